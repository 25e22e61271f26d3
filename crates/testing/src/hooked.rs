//! A source beside whose reads something happens.

use std::ops::Range;

use restore::source::{ChunkRef, Extent, Proof, ReadError, Scratch, Source};

use crate::memory::MemorySource;

/// A source, and what is done before each of its reads.
pub struct Hooked<F> {
    pub source: MemorySource,
    pub before_read: F,
}

impl<F: Fn(&ChunkRef) + Send + Sync> Source for Hooked<F> {
    fn size(&self) -> u64 {
        self.source.size()
    }

    fn largest_chunk(&self) -> u32 {
        self.source.largest_chunk()
    }

    fn extents(&self, range: Range<u64>, out: &mut Vec<Extent>) -> Result<(), ReadError> {
        self.source.extents(range, out)
    }

    fn read(
        &self,
        chunk: &ChunkRef,
        out: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<Proof, ReadError> {
        (self.before_read)(chunk);
        self.source.read(chunk, out, scratch)
    }
}
