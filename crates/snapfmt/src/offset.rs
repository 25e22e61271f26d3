//! How places in files, devices and volumes are said.

use std::fmt;

/// A place, in bytes from the start. Shown in both ways of counting, `4096 (0x1000)`: one is what other programs
/// take, the other what hex dumps show.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Offset(pub u64);

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{0} ({0:#x})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Offset;

    #[test]
    fn in_both_ways() {
        assert_eq!(Offset(0).to_string(), "0 (0x0)");
        assert_eq!(Offset(1 << 20).to_string(), "1048576 (0x100000)");
        assert_eq!(Offset(u64::MAX).to_string(), "18446744073709551615 (0xffffffffffffffff)");
    }
}
