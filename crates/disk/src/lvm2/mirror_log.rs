//! The log that a mirror keeps on disk: which of its regions are the same on all legs
//! (`drivers/md/dm-log.c`, `struct log_header_disk`).

use std::ops::Range;

use snapfmt::ReadAt;

use crate::fields::{le32, le64};

/// `MiRr`, as a number of four bytes.
const MAGIC: u32 = 0x4d69_5272;
/// Versions that have their bits in the same order on all machines that wrote them little-endian.
const VERSIONS: [u32; 2] = [1, 2];
/// The bits follow the header after two sectors.
const BITS: u64 = 1024;
/// Most regions of one mirror; lvm2 makes fewer, for their bits are to fit one extent.
const MOST_REGIONS: u64 = 1 << 26;
/// How much of the bits is read at once, in bytes.
const READ: usize = 64 << 10;

/// The ranges of a mirror of `size` bytes in regions of `region` that its log proves to be in sync; `None`
/// if the log is none, or not of this mirror.
pub(super) fn in_sync(log: &dyn ReadAt, size: u64, region: u64) -> Option<Vec<Range<u64>>> {
    if region == 0 {
        return None;
    }
    let regions = size.div_ceil(region);
    let mut header = [0; 16];
    log.read_exact_at(&mut header, 0).ok()?;
    let is_log = le32(&header, 0)? == MAGIC && VERSIONS.contains(&le32(&header, 4)?);
    // A region of another size would be another number of them.
    if !is_log || le64(&header, 8)? != regions || regions > MOST_REGIONS {
        return None;
    }
    let len = regions.div_ceil(8);
    if BITS.checked_add(len).is_none_or(|end| end > log.len()) {
        return None;
    }
    let mut runs = Runs { size, region, found: Vec::new() };
    let mut done = 0;
    while done < len {
        let mut bytes = vec![0; READ.min(usize::try_from(len - done).unwrap_or(READ))];
        log.read_exact_at(&mut bytes, BITS + done).ok()?;
        for (first, byte) in (done * 8..).step_by(8).zip(&bytes) {
            runs.add(first, (regions - first).min(8), *byte);
        }
        done += bytes.len() as u64;
    }
    Some(runs.found)
}

/// Runs of regions whose bits are set.
struct Runs {
    size: u64,
    region: u64,
    found: Vec<Range<u64>>,
}

impl Runs {
    /// The bits of `count` regions from `first` on.
    fn add(&mut self, first: u64, count: u64, bits: u8) {
        if bits == u8::MAX {
            return self.push(first, count);
        }
        for bit in (0..count).filter(|bit| bits >> bit & 1 == 1) {
            self.push(first + bit, 1);
        }
    }

    fn push(&mut self, first: u64, count: u64) {
        let start = first.saturating_mul(self.region);
        let end = (first + count).saturating_mul(self.region).min(self.size);
        match self.found.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => self.found.push(start..end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::in_sync;

    fn log(regions: u64, bits: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        bytes[..4].copy_from_slice(b"rRiM");
        bytes[4] = 2;
        bytes[8..16].copy_from_slice(&regions.to_le_bytes());
        bytes[1024..1024 + bits.len()].copy_from_slice(bits);
        bytes
    }

    #[test]
    fn regions_whose_bits_are_set() {
        let log = log(21, &[0b1000_0110, 0xff, 0b1_0001]);
        // The last region is cut short, and bits behind it count for nothing.
        let expected = [10..30, 70..170, 200..205];
        assert_eq!(in_sync(&log, 205, 10).unwrap(), expected);
    }

    #[test]
    fn a_log_that_is_not_of_the_mirror_proves_nothing() {
        let good = log(16, &[0xff, 0xff]);
        assert_eq!(in_sync(&good, 160, 10).unwrap(), std::slice::from_ref(&(0..160)));
        for (size, region) in [(160, 0), (160, 9), (161, 10), (150, 10)] {
            assert_eq!(in_sync(&good, size, region), None, "{size} {region}");
        }
        for (at, value) in [(0, b'x'), (4, 3), (8, 17)] {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(in_sync(&bad, 160, 10), None, "{at}");
        }
        // Bits that would be behind the end of the log.
        assert_eq!(in_sync(&good[..1025].to_vec(), 160, 10), None);
        assert_eq!(in_sync(&log(1 << 40, &[]), 10 << 40, 10), None);
    }
}
