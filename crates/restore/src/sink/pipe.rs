//! Bytes in logical order to something that cannot be written by position: a pipe.

use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::Sink;

/// Zeros are written in pieces of this many bytes.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// A stream of the logical bytes, zeros and holes written out.
pub struct PipeSink {
    out: Mutex<Box<dyn Write + Send>>,
    name: PathBuf,
}

impl std::fmt::Debug for PipeSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PipeSink").field("name", &self.name).finish_non_exhaustive()
    }
}

impl PipeSink {
    /// Writes to `out`, which messages call `name`.
    pub fn new(out: Box<dyn Write + Send>, name: impl Into<PathBuf>) -> Self {
        Self { out: Mutex::new(out), name: name.into() }
    }

    fn with(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        // The engine calls in turn: the lock is always free.
        write(&mut **self.out.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sink for PipeSink {
    fn write_at(&self, data: &[u8], _: u64) -> io::Result<()> {
        self.with(|out| out.write_all(data))
    }

    fn zero_at(&self, range: Range<u64>) -> io::Result<()> {
        self.with(|out| {
            let mut left = range.end.saturating_sub(range.start);
            while left > 0 {
                let piece = usize::try_from(left).map_or(ZEROS.len(), |l| l.min(ZEROS.len()));
                out.write_all(&ZEROS[..piece])?;
                left -= piece as u64;
            }
            Ok(())
        })
    }

    fn is_ordered(&self) -> bool {
        true
    }

    fn path(&self) -> &Path {
        &self.name
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|out| out.flush())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.sync()
    }
}
