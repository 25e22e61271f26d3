//! A snapshot's blocks as a source.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use restore::source::{
    BackupFault, ChunkRef, Extent, ExtentKind, Proof, ReadCause, ReadError, Scratch, Sectors,
    Source, StoredAt,
};

use super::answer::Listed;
use super::blocks::{Blocks, Checksums};
use super::proof::{not_read, opened, proved};
use super::runs::Runs;
use super::{BLOCK_LEN, BLOCK_SIZE};
use crate::backup::Fault;
use crate::limits::Limits;

/// The blocks that a list names, each in a file.
pub(super) struct BlockSource {
    /// In bytes.
    pub size: u64,
    /// How many bytes from the start are the parent's where the list does not name them.
    pub inherited: u64,
    pub list: Arc<Runs<Listed>>,
    pub blocks: Arc<Blocks>,
    pub checksums: Checksums,
    pub limits: Limits,
}

/// The bytes of the blocks from `first` to before `end`.
const fn bytes(first: u32, end: u32) -> Range<u64> {
    first as u64 * BLOCK_SIZE..end as u64 * BLOCK_SIZE
}

impl BlockSource {
    /// Appends what the list does not name.
    fn unnamed(&self, range: Range<u64>, out: &mut Vec<Extent>) {
        let split = self.inherited.clamp(range.start, range.end);
        for (range, kind) in
            [(range.start..split, ExtentKind::Inherit), (split..range.end, ExtentKind::Hole)]
        {
            if !range.is_empty() {
                out.push(Extent { range, kind });
            }
        }
    }

    /// The checksum of a block, wherever it stands.
    fn checksum(&self, block: u32) -> Result<Option<[u8; 32]>, ReadError> {
        let place = self.list.get(block).map(|(_, place)| place);
        if let Some(checksum) = place.and_then(|place| self.checksums.get(place)) {
            return Ok(Some(checksum));
        }
        self.blocks.checksum_beside(block, &self.limits).map_err(|e| {
            let source = match &*e.fault {
                Fault::Io(error) => io::Error::new(error.kind(), error.to_string()),
                other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
            };
            ReadError::new(&e.path, ReadCause::Io { offset: 0, source })
        })
    }
}

impl Source for BlockSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn largest_chunk(&self) -> u32 {
        BLOCK_LEN
    }

    fn extents(&self, range: Range<u64>, out: &mut Vec<Extent>) -> Result<(), ReadError> {
        let mut at = range.start - range.start % BLOCK_SIZE;
        let end = range.end.min(self.size);
        let first = u32::try_from(at / BLOCK_SIZE).unwrap_or(u32::MAX);
        for run in self.list.from(first) {
            let own = bytes(run.first, run.end());
            if at >= end {
                return Ok(());
            }
            if own.start > at {
                self.unnamed(at..own.start, out);
                at = own.start;
            }
            if run.value == Listed::Gone {
                out.push(Extent { range: at..own.end, kind: ExtentKind::Zero });
                at = own.end;
            }
            while at < own.end.min(end) {
                let block = at..at + BLOCK_SIZE;
                let stored = StoredAt { offset: at, len: BLOCK_LEN, crc: 0 };
                let chunk = ChunkRef::new(block.clone(), None, stored);
                at = block.end;
                out.push(Extent { range: block, kind: ExtentKind::Data(chunk) });
            }
        }
        if at < end {
            self.unnamed(at..self.size, out);
        }
        Ok(())
    }

    fn read(&self, chunk: &ChunkRef, out: &mut [u8], _: &mut Scratch) -> Result<Proof, ReadError> {
        let range = chunk.range.clone();
        let block = u32::try_from(range.start / BLOCK_SIZE).unwrap_or(u32::MAX);
        let path = self.blocks.path(block);
        if !self.blocks.has(block) {
            return Err(ReadError::new(&path, BackupFault::Missing { range }));
        }
        let (mut file, found) = opened(&self.blocks.roots, &path, &range)?;
        let expected = BLOCK_SIZE;
        if found != expected {
            return Err(ReadError::new(&path, BackupFault::Length { range, expected, found }));
        }
        file.read_exact(out)
            .map_err(|source| ReadError::new(&path, ReadCause::Io { offset: 0, source }))?;
        match self.checksum(block)? {
            Some(expected) => proved(&path, &range, out, &expected),
            None => Ok(Proof::None),
        }
    }

    /// A block with a checksum is proved as a whole or not at all.
    fn sector(&self, chunk: &ChunkRef) -> Option<u32> {
        let block = u32::try_from(chunk.range.start / BLOCK_SIZE).ok()?;
        let proved = self.checksum(block).map_or(true, |checksum| checksum.is_some());
        let path = self.blocks.path(block);
        let (file, _) =
            (!proved).then(|| opened(&self.blocks.roots, &path, &chunk.range).ok())??;
        Some(Sectors::of(&file).size())
    }

    fn read_part(
        &self,
        chunk: &ChunkRef,
        part: Range<u64>,
        out: &mut [u8],
    ) -> Result<(), ReadError> {
        let block = u32::try_from(chunk.range.start / BLOCK_SIZE).unwrap_or(u32::MAX);
        let path = self.blocks.path(block);
        let (file, _) = opened(&self.blocks.roots, &path, &chunk.range)?;
        let offset = part.start - chunk.range.start;
        let read = Sectors::of(&file).read(&file, offset, out);
        read.map_err(|source| ReadError::new(&path, ReadCause::Io { offset, source }))
    }
}

/// What is wrong with a block's file, as far as can be told without reading it.
pub(super) fn damaged(blocks: &Blocks, block: u32) -> Option<ReadError> {
    let (path, range) = (blocks.path(block), bytes(block, block.saturating_add(1)));
    if !blocks.has(block) {
        return Some(ReadError::new(&path, BackupFault::Missing { range }));
    }
    match std::fs::symlink_metadata(&path) {
        Ok(meta) if meta.is_file() && meta.len() == BLOCK_SIZE => None,
        Ok(meta) => {
            let (expected, found) = (BLOCK_SIZE, meta.len());
            Some(ReadError::new(&path, BackupFault::Length { range, expected, found }))
        }
        Err(e) => Some(not_read(&path, &range, e)),
    }
}
