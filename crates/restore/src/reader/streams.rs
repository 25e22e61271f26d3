//! Who reads in sequence, told from the reads alone.
//!
//! Reads of one who goes on in sequence may come out of order, since the kernel asks for several of
//! them together and several threads answer.

use std::ops::Range;

/// How many are told apart.
const MOST: usize = 32;
/// A read this many of its lengths off the place where the last one ended may still be of the same
/// stream, as far as that is within `NEAR`.
const LENGTHS: u64 = 16;
const NEAR: Range<u64> = 64 << 10..8 << 20;
/// Bytes read in sequence before it is believed.
const BELIEVED: u64 = 128 << 10;
/// So many times as much as was read in sequence is read ahead, at most: what is read for nothing when
/// a stream ends is in proportion.
const AHEAD: u64 = 4;
/// A stream is over after so many reads of others.
const PATIENCE: u64 = 4096;

/// The streams.
#[derive(Debug)]
pub(super) struct Streams {
    /// Most bytes to be ahead with all streams together.
    limit: u64,
    size: u64,
    all: Vec<Stream>,
    /// Counts reads.
    clock: u64,
}

#[derive(Debug)]
struct Stream {
    /// The end of the furthest read.
    position: u64,
    /// Bytes read in sequence.
    read: u64,
    /// Everything before this is being read ahead.
    planned: u64,
    last: u64,
}

impl Stream {
    const fn is_believed(&self) -> bool {
        self.read >= BELIEVED
    }
}

impl Streams {
    /// Of a volume of `size` bytes, so many bytes ahead with all of them together.
    pub(super) const fn new(size: u64, limit: u64) -> Self {
        Self { limit, size, all: Vec::new(), clock: 0 }
    }

    /// Most bytes to be ahead.
    pub(super) const fn limit(&self) -> u64 {
        self.limit
    }

    /// Takes note of a read; says whether it is one of a sequence.
    pub(super) fn note(&mut self, range: &Range<u64>) -> bool {
        self.clock += 1;
        let len = range.end - range.start;
        let near = len.saturating_mul(LENGTHS).clamp(NEAR.start, NEAR.end);
        let clock = self.clock;
        let found = self.all.iter_mut().find(|s| range.start.abs_diff(s.position) <= near);
        if let Some(stream) = found {
            stream.read += range.end.saturating_sub(stream.position.max(range.start));
            stream.position = stream.position.max(range.end);
            stream.last = clock;
            return stream.is_believed();
        }
        if self.all.len() >= MOST {
            let live = |s: &Stream| s.is_believed() && clock - s.last < PATIENCE;
            let oldest = (0..).zip(&self.all).min_by_key(|(_, s)| (live(s), s.last));
            if let Some((oldest, _)) = oldest {
                self.all.swap_remove(oldest);
            }
        }
        let Range { end: position, .. } = *range;
        self.all.push(Stream { position, read: len, planned: position, last: clock });
        false
    }

    /// The next bytes to be read ahead; `window` says where those end that begin at an offset, if they
    /// can be held.
    pub(super) fn next(&mut self, window: impl Fn(u64) -> Option<u64>) -> Option<Range<u64>> {
        let clock = self.clock;
        let live = |s: &Stream| s.is_believed() && clock - s.last < PATIENCE;
        let streams = self.all.iter().filter(|s| live(s)).count().max(1) as u64;
        let (share, size) = (self.limit / streams, self.size);
        self.all.iter_mut().filter(|s| live(s)).find_map(|stream| {
            let depth = share.min(stream.read.saturating_mul(AHEAD));
            let start = stream.planned.max(stream.position);
            let end = window(start)?.min(size);
            // A window that is not within reach as a whole comes later.
            if start >= size || end > stream.position.saturating_add(depth) {
                return None;
            }
            stream.planned = end;
            Some(start..end)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, Streams};
    use std::ops::Range;

    const MIB: u64 = 1 << 20;
    const SIZE: u64 = 1 << 40;

    fn window(at: u64) -> u64 {
        (at / MIB + 1) * MIB
    }

    fn ahead(streams: &mut Streams) -> Vec<Range<u64>> {
        std::iter::from_fn(|| streams.next(|at| Some(window(at)))).collect()
    }

    /// Reads of 128 KiB from `at`, in pairs the wrong way round, as two threads answer them.
    fn read(streams: &mut Streams, at: u64, reads: u64) -> bool {
        let step = 128 << 10;
        let swapped =
            (0..reads).map(|n| if n % 2 == 0 && n + 1 < reads { n + 1 } else { n - n % 2 });
        swapped.fold(false, |_, n| streams.note(&(at + n * step..at + (n + 1) * step)))
    }

    #[test]
    fn what_is_ahead_grows_with_what_was_read_up_to_the_limit() {
        let mut streams = Streams::new(SIZE, 16 * MIB);
        assert!(!streams.note(&(5 * MIB..5 * MIB + 4096)));
        assert!(ahead(&mut streams).is_empty());
        assert!(read(&mut streams, 5 * MIB, 8));
        let first = ahead(&mut streams);
        // All of it once, from where the reader is. Of each pair that was the wrong way round, only the
        // first went on.
        assert_eq!(first.first().map(|r| r.start), Some(6 * MIB));
        assert!(first.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert!(first.last().is_some_and(|last| last.end == 8 * MIB));
        assert!(ahead(&mut streams).is_empty());
        assert!(read(&mut streams, 6 * MIB, 800));
        let far = ahead(&mut streams);
        assert_eq!(far.last().map(|r| r.end), Some(6 * MIB + 100 * MIB + 16 * MIB));
        assert!(ahead(&mut streams).is_empty());
    }

    #[test]
    fn several_streams_share_the_limit_and_others_do_not_end_them() {
        let mut streams = Streams::new(SIZE, 16 * MIB);
        for n in 0..4 {
            assert!(read(&mut streams, n << 32, 64));
        }
        // Here and there, more than are told apart.
        for n in 0..2 * MOST as u64 {
            assert!(!streams.note(&((n << 33) + (9 << 30)..(n << 33) + (9 << 30) + 4096)));
        }
        let planned = ahead(&mut streams);
        for n in 0..4 {
            let of: Vec<_> = planned.iter().filter(|r| r.start >> 32 == n).collect();
            let bytes: u64 = of.iter().map(|r| r.end - r.start).sum();
            assert_eq!(bytes, 4 * MIB, "stream {n}: {of:?}");
        }
    }

    #[test]
    fn nothing_is_ahead_of_the_end_or_of_what_cannot_be_held() {
        let mut streams = Streams::new(10 * MIB + 5, 16 * MIB);
        assert!(read(&mut streams, 0, 72));
        assert_eq!(streams.next(|_| None), None);
        let planned = ahead(&mut streams);
        assert_eq!(planned.last().map(|r| r.end), Some(10 * MIB + 5));
        assert!(ahead(&mut streams).is_empty());
    }
}
