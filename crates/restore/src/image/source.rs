//! An image as a source: what is overlaid is restored like any member.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{Image, ImageError};
use crate::ranges::length;
use crate::source::{ChunkRef, Extent, ExtentKind, Proof, ReadError, Scratch, Source, StoredAt};

/// Data is given in chunks of this many bytes: what is damaged below costs no more than that around
/// it. The image has a cache, or reads from a file.
const UNIT: u64 = 64 << 10;
/// An image gives any bytes that it can read.
const SECTOR: u32 = 512;

/// An image as a source. Its data is [`Proof::None`]: what is written over an image has no digest, and
/// nothing says which bytes those are.
pub struct ImageSource {
    image: Box<dyn Image>,
    path: PathBuf,
}

impl std::fmt::Debug for ImageSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageSource").field("path", &self.path).finish_non_exhaustive()
    }
}

impl ImageSource {
    /// Takes an image; `path` is for messages.
    pub fn new(image: Box<dyn Image>, path: &Path) -> Self {
        Self { image, path: path.to_owned() }
    }

    fn failed(&self, error: ImageError) -> ReadError {
        let path = match &error {
            ImageError::Local { path, .. } => path.clone(),
            _ => self.path.clone(),
        };
        ReadError::new(&path, error)
    }

    /// Appends the chunks of a run of data.
    fn chunks(&self, run: &Range<u64>, out: &mut Vec<Extent>) {
        let mut at = run.start;
        while at < run.end {
            let start = at - at % UNIT;
            let chunk = start..start.saturating_add(UNIT).min(self.image.size());
            let len = u32::try_from(length(&chunk)).unwrap_or(u32::MAX);
            let visible = at..chunk.end.min(run.end);
            at = visible.end;
            let stored = StoredAt { offset: chunk.start, len, crc: 0 };
            let kind = ExtentKind::Data(ChunkRef::new(chunk, None, stored));
            out.push(Extent { range: visible, kind });
        }
    }
}

impl Source for ImageSource {
    fn size(&self) -> u64 {
        self.image.size()
    }

    fn largest_chunk(&self) -> u32 {
        u32::try_from(UNIT).unwrap_or(u32::MAX)
    }

    fn extents(&self, range: Range<u64>, out: &mut Vec<Extent>) -> Result<(), ReadError> {
        let mut at = range.start;
        while at < range.end {
            let run = self.image.run_at(at).map_err(|e| self.failed(e))?;
            if run.is_data {
                self.chunks(&(at..run.end.min(range.end)), out);
            } else {
                out.push(Extent { range: at..run.end, kind: ExtentKind::Zero });
            }
            at = run.end;
        }
        Ok(())
    }

    fn read(&self, chunk: &ChunkRef, out: &mut [u8], _: &mut Scratch) -> Result<Proof, ReadError> {
        self.image.read_at(chunk.range.start, out).map_err(|e| self.failed(e))?;
        Ok(Proof::None)
    }

    fn sector(&self, _: &ChunkRef) -> Option<u32> {
        Some(SECTOR)
    }

    fn read_part(&self, _: &ChunkRef, part: Range<u64>, out: &mut [u8]) -> Result<(), ReadError> {
        self.image.read_at(part.start, out).map_err(|e| self.failed(e))
    }
}
