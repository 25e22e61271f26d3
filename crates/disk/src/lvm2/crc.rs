//! The checksum of labels, areas and texts.

/// CRC-32 as lvm2 computes it (`lib/misc/crc.c`): the usual polynomial, a start value of its own,
/// nothing inverted.
pub(super) fn crc(bytes: &[u8]) -> u32 {
    const START: u32 = 0xf597_a6cf;
    let mut hasher = crc32fast::Hasher::new_with_initial(!START);
    hasher.update(bytes);
    !hasher.finalize()
}

#[cfg(test)]
mod tests {
    #[test]
    fn of_the_usual_digits() {
        assert_eq!(super::crc(b"123456789"), 0x4991_cf02);
    }
}
