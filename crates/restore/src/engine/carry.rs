//! Whole chunks that only partly belong to a window: decoded once, kept until the next window.

use std::io;
use std::ops::Range;

use crate::source::{ChunkRef, Proof, ReadError, Scratch, Source};

/// Most bytes of chunks one worker keeps.
pub(super) const MAX_KEPT: usize = 32 << 20;

/// One worker's last chunk of each column.
pub(crate) struct Carry {
    pub(crate) scratch: Scratch,
    slots: Vec<Slot>,
}

#[derive(Default)]
struct Slot {
    /// Column, layer and start of the chunk held.
    key: Option<(usize, u32, u64)>,
    proof: Option<Proof>,
    plain: Vec<u8>,
}

/// A whole chunk.
pub(crate) struct Whole<'c> {
    pub(crate) plain: &'c [u8],
    pub(crate) proof: Proof,
    /// Stored bytes read for it just now, 0 when it was still held.
    pub(crate) stored: u64,
}

impl Whole<'_> {
    /// The bytes of the chunk, which starts at `start`, that are member bytes `range`.
    pub(crate) fn slice(&self, start: u64, range: &Range<u64>) -> &[u8] {
        let at = |offset: u64| usize::try_from(offset - start).unwrap_or(usize::MAX);
        &self.plain[at(range.start)..at(range.end)]
    }
}

impl Carry {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { scratch: Scratch::new()?, slots: Vec::new() })
    }

    /// The chunk of column `place`, decoded now or still held.
    pub(crate) fn whole(
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

    /// Forgets what is held: the columns are another segment's now.
    pub(crate) fn forget(&mut self) {
        for slot in &mut self.slots {
            slot.key = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Carry;
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
        let mut carry = Carry::new().unwrap();
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
