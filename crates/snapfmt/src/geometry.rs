//! Sizes, chunk numbers and the arithmetic between them.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// A chunk's number within its member: byte offset divided by the chunk size.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChunkNo(pub u32);

impl fmt::Display for ChunkNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A member's number: its place in the roster.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MemberNo(pub u32);

impl fmt::Display for MemberNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl MemberNo {
    /// As an index into a slice ordered by the roster.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A chunk size in bytes: a power of two from 4 KiB to 16 MiB.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct ChunkSize(u32);

/// A chunk size that is not a power of two from 4 KiB to 16 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("chunk size {0} is not a power of two from 4096 to 16777216")]
pub struct BadChunkSize(pub u64);

impl ChunkSize {
    /// The smallest, 4 KiB.
    pub const MIN: Self = Self(4 << 10);
    /// The largest, 16 MiB.
    pub const MAX: Self = Self(16 << 20);
    /// What a writer takes when nothing else is asked for; `docs/PERFORMANCE.md` has the figures.
    pub const DEFAULT: Self = Self(512 << 10);

    /// In bytes.
    pub const fn bytes(self) -> u32 {
        self.0
    }
}

impl TryFrom<u64> for ChunkSize {
    type Error = BadChunkSize;

    fn try_from(bytes: u64) -> Result<Self, BadChunkSize> {
        match u32::try_from(bytes) {
            Ok(b) if b.is_power_of_two() && (Self::MIN.0..=Self::MAX.0).contains(&b) => Ok(Self(b)),
            _ => Err(BadChunkSize(bytes)),
        }
    }
}

impl TryFrom<u32> for ChunkSize {
    type Error = BadChunkSize;

    fn try_from(bytes: u32) -> Result<Self, BadChunkSize> {
        Self::try_from(u64::from(bytes))
    }
}

impl From<ChunkSize> for u32 {
    fn from(size: ChunkSize) -> Self {
        size.0
    }
}

/// A member's size and chunk size, known to fit together: at least one chunk and at most 2^32 - 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    size: u64,
    chunk_size: ChunkSize,
    chunks: u32,
}

impl Geometry {
    /// `None` when `size` is zero or gives more than `max_chunks` chunks.
    pub fn new(size: u64, chunk_size: ChunkSize, max_chunks: u32) -> Option<Self> {
        let chunks = size.div_ceil(u64::from(chunk_size.0));
        match u32::try_from(chunks) {
            Ok(chunks) if chunks > 0 && chunks <= max_chunks => {
                Some(Self { size, chunk_size, chunks })
            }
            _ => None,
        }
    }

    /// The member's size in bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The chunk size.
    pub const fn chunk_size(&self) -> ChunkSize {
        self.chunk_size
    }

    /// How many chunks the member has; the last may be shorter than the others.
    pub const fn chunks(&self) -> u32 {
        self.chunks
    }

    /// Where chunk `no` starts, in bytes.
    pub fn offset(&self, no: ChunkNo) -> u64 {
        u64::from(no.0) * u64::from(self.chunk_size.0)
    }

    /// The chunk that byte `offset` lies in; beyond the member's end, one that it does not have.
    pub fn chunk_at(&self, offset: u64) -> ChunkNo {
        ChunkNo(u32::try_from(offset / u64::from(self.chunk_size.0)).unwrap_or(u32::MAX))
    }

    /// The bytes of `count` chunks from `first`, clipped to the member's size.
    pub fn bytes(&self, first: ChunkNo, count: u32) -> Range<u64> {
        let end = (u64::from(first.0) + u64::from(count)) * u64::from(self.chunk_size.0);
        self.offset(first)..end.min(self.size)
    }

    /// The length of chunk `no` in bytes: the chunk size, or less for the last one.
    pub fn chunk_len(&self, no: ChunkNo) -> u32 {
        let bytes = self.bytes(no, 1);
        u32::try_from(bytes.end.saturating_sub(bytes.start)).unwrap_or(self.chunk_size.0)
    }

    /// The number of whole chunks a child of another size may inherit from this member: those that
    /// end at or before the smaller of the two sizes. All chunks when the sizes are equal.
    pub fn inheritable(&self, child_size: u64) -> u32 {
        if child_size == self.size {
            return self.chunks;
        }
        let whole = self.size.min(child_size) / u64::from(self.chunk_size.0);
        u32::try_from(whole).unwrap_or(self.chunks)
    }
}

#[cfg(test)]
mod tests {
    use super::{ChunkNo, ChunkSize, Geometry};

    #[test]
    fn the_last_chunk_may_be_short() {
        let g = Geometry::new(10_000, ChunkSize::MIN, 1 << 28).unwrap();
        assert_eq!((g.chunks(), g.chunk_len(ChunkNo(1)), g.chunk_len(ChunkNo(2))), (3, 4096, 1808));
        assert_eq!(g.bytes(ChunkNo(1), 5), 4096..10_000);
        assert_eq!(g.chunk_at(8192), ChunkNo(2));
    }

    #[test]
    fn a_straddling_chunk_is_not_inheritable() {
        let g = Geometry::new(10_000, ChunkSize::MIN, 1 << 28).unwrap();
        assert_eq!([g.inheritable(10_000), g.inheritable(20_000), g.inheritable(4097)], [3, 2, 1]);
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        assert!(Geometry::new(0, ChunkSize::MIN, 1 << 28).is_none());
        assert!(Geometry::new(u64::MAX, ChunkSize::MAX, 1 << 28).is_none());
        for bad in [0, 1, 4095, 5000, 32 << 20, u64::MAX] {
            assert!(ChunkSize::try_from(bad).is_err(), "{bad}");
        }
    }
}
