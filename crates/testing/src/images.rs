//! Images in memory.

use std::io;
use std::ops::Range;
use std::path::Path;

use restore::image::{Image, ImageError, Run};
use restore::source::{ReadCause, ReadError};

use super::indices;

/// Bytes that are read, some of which are lost.
pub struct MemoryImage {
    pub bytes: Vec<u8>,
    /// Sorted; zeros that nothing is stored for.
    pub holes: Vec<Range<u64>>,
    pub lost: Vec<Range<u64>>,
}

impl MemoryImage {
    pub fn new(mut bytes: Vec<u8>, holes: Vec<Range<u64>>) -> Self {
        for hole in &holes {
            bytes[indices(hole)].fill(0);
        }
        Self { bytes, holes, lost: Vec::new() }
    }
}

impl Image for MemoryImage {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), ImageError> {
        let range = offset..offset + out.len() as u64;
        if self.lost.iter().any(|lost| lost.start < range.end && range.start < lost.end) {
            out.fill(0xEE);
            let source = io::Error::other("made to fail");
            let cause = ReadCause::Io { offset, source };
            return Err(ReadError::new(Path::new("lower"), cause).into());
        }
        out.copy_from_slice(&self.bytes[indices(&range)]);
        Ok(())
    }

    fn run_at(&self, offset: u64) -> Result<Run, ImageError> {
        let hole = self.holes.iter().find(|hole| hole.end > offset);
        Ok(match hole {
            Some(hole) if hole.start <= offset => Run { end: hole.end, is_data: false },
            Some(hole) => Run { end: hole.start, is_data: true },
            None => Run { end: self.size(), is_data: true },
        })
    }
}
