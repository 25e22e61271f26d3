//! The ids of lvm2: 32 characters, shown with hyphens.

use std::fmt;
use std::str::FromStr;

/// Id of a physical volume, volume group or logical volume.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LvmId([u8; 32]);

/// A text that is no [`LvmId`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an id of lvm2 has 32 letters and digits")]
pub struct NotAnId;

impl LvmId {
    /// Where hyphens go: after 6 characters, then every 4.
    const GROUPS: [usize; 6] = [6, 10, 14, 18, 22, 26];

    /// Takes the 32 characters as they are on a disk.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, NotAnId> {
        let good = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'!' | b'#');
        if bytes.iter().all(good) { Ok(Self(bytes)) } else { Err(NotAnId) }
    }
}

impl FromStr for LvmId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let bytes: Vec<u8> = text.bytes().filter(|b| *b != b'-').take(33).collect();
        Self::from_bytes(bytes.try_into().map_err(|_| NotAnId)?)
    }
}

impl fmt::Display for LvmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, byte) in self.0.iter().enumerate() {
            if Self::GROUPS.contains(&n) {
                f.write_str("-")?;
            }
            write!(f, "{}", char::from(*byte))?;
        }
        Ok(())
    }
}

impl fmt::Debug for LvmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::{LvmId, NotAnId};

    #[test]
    fn is_shown_as_lvm2_shows_it() {
        let text = "FeJZrH-RlCw-KvgE-B3Jn-TMif-qciJ-QPS7CU";
        let id: LvmId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(LvmId::from_bytes(*b"FeJZrHRlCwKvgEB3JnTMifqciJQPS7CU"), Ok(id));
        for bad in [
            "",
            "FeJZrH",
            "FeJZrH-RlCw-KvgE-B3Jn-TMif-qciJ-QPS7CUx",
            "\u{7}eJZrH-RlCw-KvgE-B3Jn-TMif-qciJ-QPS7C",
        ] {
            assert_eq!(bad.parse::<LvmId>(), Err(NotAnId), "{bad:?}");
        }
    }
}
