//! The log that a mirror keeps on disk: which of its regions are the same on all legs
//! (`drivers/md/dm-log.c`, `struct log_header_disk`).

use std::iter;
use std::ops::Range;

use snapfmt::ReadAt;

use crate::fields::{le32, le64};
use crate::pieces::{Budget, PiecesError};

/// `MiRr`, as a number of four bytes.
const MAGIC: u32 = 0x4d69_5272;
/// Versions that have their bits in the same order on all machines that wrote them little-endian.
const VERSIONS: [u32; 2] = [1, 2];
/// The bits follow the header after two sectors.
const BITS: u64 = 1024;
/// Most regions of one mirror; lvm2 makes fewer, for their bits are to fit one extent.
const MOST_REGIONS: u64 = 1 << 26;

/// A log, with a bit for each region that is in sync.
pub(super) struct Log {
    regions: u64,
    /// Bits of 64 regions each, those of the first in the lowest bits; none is set behind the last region.
    words: Vec<u64>,
    /// In how many runs the regions in sync lie.
    runs: u64,
}

impl Log {
    /// Reads a log, which costs a piece for each word of its bits; `None` if it is none.
    pub(super) fn read(log: &dyn ReadAt, budget: &mut Budget) -> Result<Option<Self>, PiecesError> {
        let Some(regions) = regions(log) else { return Ok(None) };
        let count = regions.div_ceil(64);
        budget.take(count)?;
        let size = |bytes: u64| usize::try_from(bytes).map_err(|_| PiecesError::Size);
        let mut bytes = vec![0; size(count * 8)?];
        let bits = bytes.get_mut(..size(regions.div_ceil(8))?).unwrap_or_default();
        if log.read_exact_at(bits, BITS).is_err() {
            return Ok(None);
        }
        let mut words: Vec<u64> =
            bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
        if let Some(last) = words.last_mut().filter(|_| !regions.is_multiple_of(64)) {
            *last &= (1 << (regions % 64)) - 1;
        }
        let (mut runs, mut before) = (0, 0);
        for word in &words {
            runs += u64::from((word & !(word << 1 | before)).count_ones());
            before = word >> 63;
        }
        Ok(Some(Self { regions, words, runs }))
    }

    /// Whether it can be that of a mirror of `size` bytes in regions of `region`: a region of another size
    /// would be another number of them.
    pub(super) const fn is_of(&self, size: u64, region: u64) -> bool {
        region != 0 && size.div_ceil(region) == self.regions
    }

    /// Whether all regions are in sync.
    pub(super) fn is_whole(&self) -> bool {
        self.next(0, false) == self.regions
    }

    /// In how many runs the regions in sync lie.
    pub(super) const fn runs(&self) -> u64 {
        self.runs
    }

    /// The parts of `range` that are in sync, of a mirror in regions of `region` bytes.
    pub(super) fn in_sync(
        &self,
        region: u64,
        range: Range<u64>,
    ) -> impl Iterator<Item = Range<u64>> {
        let mut at = range.start / region.max(1);
        iter::from_fn(move || {
            let byte = |number: u64| number.saturating_mul(region).clamp(range.start, range.end);
            let first = self.next(at, true);
            at = self.next(first, false);
            Some(byte(first)..byte(at)).filter(|part| first < self.regions && !part.is_empty())
        })
    }

    /// The first region from `from` on whose bit is `bit`; the number of regions where there is none.
    fn next(&self, from: u64, bit: bool) -> u64 {
        let mut at = from;
        while at < self.regions {
            let word = usize::try_from(at / 64).ok().and_then(|n| self.words.get(n)).copied();
            let word = word.map_or(0, |word| if bit { word } else { !word }) >> (at % 64);
            if word != 0 {
                return self.regions.min(at + u64::from(word.trailing_zeros()));
            }
            at += 64 - at % 64;
        }
        self.regions
    }
}

/// How many regions a log has bits for; `None` if it is none.
fn regions(log: &dyn ReadAt) -> Option<u64> {
    let mut header = [0; 16];
    log.read_exact_at(&mut header, 0).ok()?;
    let is_log = le32(&header, 0)? == MAGIC && VERSIONS.contains(&le32(&header, 4)?);
    let regions = le64(&header, 8)?;
    let is_there = regions <= MOST_REGIONS && BITS + regions.div_ceil(8) <= log.len();
    (is_log && is_there).then_some(regions)
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use snapfmt::ReadAt;

    use super::{Log, MOST_REGIONS};
    use crate::pieces::{Budget, PiecesError};

    fn log(regions: u64, bits: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        bytes[..4].copy_from_slice(b"rRiM");
        bytes[4] = 2;
        bytes[8..16].copy_from_slice(&regions.to_le_bytes());
        bytes[1024..1024 + bits.len()].copy_from_slice(bits);
        bytes
    }

    fn read(bytes: &dyn ReadAt) -> Option<Log> {
        Log::read(bytes, &mut Budget::default()).unwrap()
    }

    fn parts(log: &Log, range: Range<u64>) -> Vec<Range<u64>> {
        log.in_sync(10, range).collect()
    }

    #[test]
    fn regions_whose_bits_are_set() {
        // The last region is cut short, and bits behind it count for nothing.
        let log = read(&log(21, &[0b1000_0110, 0xff, 0b1_0001, 0xff, 7])).unwrap();
        assert!(log.is_of(205, 10) && !log.is_whole());
        assert_eq!(log.runs(), 3);
        assert_eq!(parts(&log, 0..205), [10..30, 70..170, 200..205]);
        assert_eq!(parts(&log, 15..75), [15..30, 70..75]);
        assert_eq!(parts(&log, 30..70), []);
    }

    #[test]
    fn runs_that_go_on_in_the_next_word() {
        let mut bits = [0xff; 20];
        let whole = read(&log(160, &bits)).unwrap();
        assert!(whole.is_whole() && whole.is_of(1600, 10));
        assert_eq!(parts(&whole, 0..1600), std::slice::from_ref(&(0..1600)));
        assert_eq!(whole.runs(), 1);
        bits[7] = 0x7f;
        let parted = read(&log(160, &bits)).unwrap();
        assert_eq!((parted.runs(), parts(&parted, 5..1595)), (2, vec![5..630, 640..1595]));
    }

    #[test]
    fn a_log_that_is_not_of_the_mirror_proves_nothing() {
        let good = log(16, &[0xff, 0xff]);
        for (size, region) in [(160, 0), (160, 9), (161, 10), (150, 10)] {
            assert!(!read(&good).unwrap().is_of(size, region), "{size} {region}");
        }
        for (at, value) in [(0, b'x'), (4, 3), (15, 17)] {
            let mut bad = good.clone();
            bad[at] = value;
            assert!(read(&bad).is_none(), "{at}");
        }
        // Bits that would be behind the end of the log.
        assert!(read(&good[..1025].to_vec()).is_none());
        assert!(read(&log(1 << 40, &[])).is_none());
    }

    #[test]
    fn logs_share_what_they_may_cost() {
        let mut large = log(MOST_REGIONS, &[]);
        large.resize(1024 + (8 << 20), 0x55);
        let (mut budget, mut count) = (Budget::default(), 0);
        let refused = loop {
            match Log::read(&large, &mut budget) {
                Ok(log) => count += usize::from(log.is_some()),
                Err(refused) => break refused,
            }
        };
        assert!(matches!(refused, PiecesError::Spent { .. }), "{refused}");
        assert_eq!(count, 3);
    }
}
