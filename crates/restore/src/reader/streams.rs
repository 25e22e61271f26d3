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
