//! Bytes of which only so many are read.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use snapfmt::ReadAt;

/// Part of some bytes, with what may still be read of all of them.
pub(super) struct Bounded<'b> {
    bytes: &'b dyn ReadAt,
    range: Range<u64>,
    left: Arc<Left>,
}

struct Left {
    reads: AtomicU64,
    bytes: AtomicU64,
}

impl<'b> Bounded<'b> {
    pub(super) fn new(bytes: &'b dyn ReadAt, reads: u32, most: u64) -> Self {
        let left = Left { reads: AtomicU64::new(reads.into()), bytes: AtomicU64::new(most) };
        Self { bytes, range: 0..bytes.len(), left: Arc::new(left) }
    }

    /// A part of it, which counts for the whole; `None` beyond its end.
    pub(super) fn part(&self, range: Range<u64>) -> Option<Self> {
        let (start, end) = (range.start.min(range.end), range.end.min(self.len()));
        let range = self.range.start.checked_add(start)?..self.range.start.checked_add(end)?;
        let part = Self { bytes: self.bytes, range, left: Arc::clone(&self.left) };
        (part.range.start < part.range.end).then_some(part)
    }
}

/// Takes `amount` if that much is left.
fn take(left: &AtomicU64, amount: u64) -> io::Result<()> {
    let taken =
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(amount));
    taken.map(drop).map_err(|_| io::Error::other("more was read than a check may"))
}

impl ReadAt for Bounded<'_> {
    fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.len()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        take(&self.left.reads, 1)?;
        take(&self.left.bytes, buf.len() as u64)?;
        self.bytes.read_exact_at(buf, self.range.start + offset)
    }
}

#[cfg(test)]
mod tests {
    use super::{Bounded, ReadAt as _};

    #[test]
    fn parts_share_what_is_left() {
        let bytes = vec![7; 100];
        let all = Bounded::new(&bytes, 3, 50);
        let part = all.part(90..200).unwrap();
        assert_eq!(part.len(), 10);
        let mut buf = [0; 10];
        part.read_exact_at(&mut buf, 0).unwrap();
        assert!(part.read_exact_at(&mut buf, 1).is_err(), "beyond its end, which costs nothing");
        all.read_exact_at(&mut [0; 40], 0).unwrap();
        assert!(all.read_exact_at(&mut [0; 1], 0).is_err(), "no bytes are left");
        assert!(all.part(100..100).is_none());
    }
}
