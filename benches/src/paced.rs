//! A target that takes as long as a disk of some speed would, and costs nothing else: what is left
//! of the time is the engine's.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use restore::sink::Sink;

/// Takes one write after the other, at so many bytes a second, from any number of threads.
#[derive(Debug)]
pub struct PacedSink {
    bytes_per_second: u64,
    /// When the disk has done all that it was given.
    idle_at: Mutex<Instant>,
}

impl PacedSink {
    /// A disk of this speed.
    pub fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second, idle_at: Mutex::new(Instant::now()) }
    }
}

impl Sink for PacedSink {
    fn write_at(&self, data: &[u8], _: u64) -> io::Result<()> {
        let nanos = u128::from(data.len() as u64) * 1_000_000_000;
        let nanos = nanos / u128::from(self.bytes_per_second);
        let done_at = {
            let mut idle_at = self.idle_at.lock().unwrap_or_else(PoisonError::into_inner);
            let start = (*idle_at).max(Instant::now());
            *idle_at = start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            *idle_at
        };
        thread::sleep(done_at.saturating_duration_since(Instant::now()));
        Ok(())
    }

    fn zero_at(&self, _: Range<u64>) -> io::Result<()> {
        Ok(())
    }

    fn path(&self) -> &Path {
        Path::new("(a disk of some speed)")
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}
