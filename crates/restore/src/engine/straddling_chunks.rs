//! Whole chunks that only partly belong to a window: decoded once, kept until the next window.

use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use crate::source::{ChunkRef, Proof, ReadError, Scratch, Source, read_around};

/// Most bytes of chunks one worker keeps.
pub(super) const MAX_KEPT: usize = 32 << 20;

/// One worker's last chunk of each column.
pub struct StraddlingChunks {
    /// What reading takes.
    pub scratch: Scratch,
    slots: Vec<Slot>,
    /// The last chunk that was read around bad sectors.
    damaged: Damaged,
}

/// A chunk that its medium gave only in part.
#[derive(Default)]
struct Damaged {
    key: Option<(usize, u32, u64)>,
    plain: Vec<u8>,
    lost: Vec<Lost>,
}

/// Bytes of a member that could not be read.
#[derive(Clone)]
pub(crate) struct Lost {
    pub(crate) range: Range<u64>,
    pub(crate) cause: Arc<ReadError>,
}

#[derive(Default)]
struct Slot {
    /// Column, layer and start of the chunk held.
    key: Option<(usize, u32, u64)>,
    proof: Option<Proof>,
    plain: Vec<u8>,
}

/// A whole chunk.
pub struct Whole<'c> {
    pub(crate) plain: &'c [u8],
    pub(crate) proof: Proof,
    /// Stored bytes read for it just now, 0 when it was still held.
    pub(crate) stored: u64,
}

impl Whole<'_> {
    /// The bytes of the chunk, which starts at `start`, that are member bytes `range`.
    pub fn slice(&self, start: u64, range: &Range<u64>) -> &[u8] {
        let at = |offset: u64| usize::try_from(offset - start).unwrap_or(usize::MAX);
        &self.plain[at(range.start)..at(range.end)]
    }
}

impl StraddlingChunks {
    /// Nothing is kept yet.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            scratch: Scratch::for_one_pass()?,
            slots: Vec::new(),
            damaged: Damaged::default(),
        })
    }

    /// The chunk of column `place`, decoded now or still held.
    pub fn whole(
        &mut self,
        place: usize,
        source: &dyn Source,
        chunk: &ChunkRef,
    ) -> Result<Whole<'_>, ReadError> {
        let most = (MAX_KEPT / chunk.len().max(1)).max(1);
        let number = place % most;
        if self.slots.len() <= number {
            self.slots.resize_with(number + 1, Slot::default);
        }
        let slot = &mut self.slots[number];
        let key = (place, chunk.layer, chunk.range.start);
        if slot.key == Some(key)
            && let Some(proof) = slot.proof
        {
            return Ok(Whole { plain: &slot.plain, proof, stored: 0 });
        }
        slot.key = None;
        slot.plain.resize(chunk.len(), 0);
        let proof = source.read(chunk, &mut slot.plain, &mut self.scratch)?;
        (slot.key, slot.proof) = (Some(key), Some(proof));
        Ok(Whole { plain: &slot.plain, proof, stored: chunk.at.len.into() })
    }

    /// What can be read of a chunk of column `place` that its medium could not give, and what cannot.
    /// `None` where only whole chunks can be checked.
    pub(crate) fn around(
        &mut self,
        place: usize,
        source: &dyn Source,
        chunk: &ChunkRef,
    ) -> Option<(&[u8], &[Lost])> {
        source.sector(chunk)?;
        let slot = &mut self.damaged;
        let key = Some((place, chunk.layer, chunk.range.start));
        if slot.key != key {
            slot.lost.clear();
            slot.plain.resize(chunk.len(), 0);
            read_around(source, chunk, &chunk.range, &mut slot.plain, |range, error| {
                match slot.lost.last_mut() {
                    Some(last) if last.range.end == range.start && last.cause.is_like(&error) => {
                        last.range.end = range.end;
                    }
                    _ => slot.lost.push(Lost { range, cause: Arc::new(error) }),
                }
                ControlFlow::Continue(())
            });
            slot.key = key;
        }
        Some((&slot.plain, &slot.lost))
    }

    /// Forgets what is held: the columns are another segment's now.
    pub(crate) fn forget(&mut self) {
        for slot in &mut self.slots {
            slot.key = None;
        }
        self.damaged.key = None;
    }
}

#[cfg(test)]
mod tests {
    use super::StraddlingChunks;
    use crate::source::{ChunkRef, Extent, Proof, ReadCause, ReadError, Scratch, Source, StoredAt};
    use std::ops::Range;
    use std::path::Path;

    /// Chunks of their own number; those from 9 on leave half of something and fail.
    struct Numbers;

    impl Source for Numbers {
        fn size(&self) -> u64 {
            160
        }

        fn largest_chunk(&self) -> u32 {
            16
        }

        fn extents(&self, _: Range<u64>, _: &mut Vec<Extent>) -> Result<(), ReadError> {
            Ok(())
        }

        fn read(
            &self,
            chunk: &ChunkRef,
            out: &mut [u8],
            _: &mut Scratch,
        ) -> Result<Proof, ReadError> {
            let number = u8::try_from(chunk.range.start / 16).unwrap();
            out.fill(number);
            if number < 9 {
                return Ok(Proof::Crc);
            }
            let source = std::io::ErrorKind::Other.into();
            Err(ReadError::new(Path::new("numbers"), ReadCause::Io { offset: 0, source }))
        }
    }

    fn chunk(number: u64) -> ChunkRef {
        ChunkRef::new(number * 16..number * 16 + 16, None, StoredAt { offset: 0, len: 5, crc: 0 })
    }

    #[test]
    fn a_chunk_that_failed_is_not_taken_for_the_one_before() {
        let mut carry = StraddlingChunks::new().unwrap();
        assert_eq!(carry.whole(0, &Numbers, &chunk(3)).unwrap().stored, 5);
        let held = carry.whole(0, &Numbers, &chunk(3)).unwrap();
        assert_eq!((held.plain, held.stored), ([3; 16].as_slice(), 0));
        assert!(carry.whole(0, &Numbers, &chunk(9)).is_err());
        let again = carry.whole(0, &Numbers, &chunk(3)).unwrap();
        assert_eq!((again.plain, again.stored), ([3; 16].as_slice(), 5));
        assert!(carry.whole(0, &Numbers, &chunk(9)).is_err());
        assert!(carry.whole(0, &Numbers, &chunk(9)).is_err());
    }
}
