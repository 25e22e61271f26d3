//! Sources and targets that panic.

use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use restore::Volume;
use restore::sink::Sink;
use restore::source::{ChunkRef, Extent, Proof, ReadError, Scratch, Source};

use crate::memory::{MemorySource, volume_over};
use crate::model::MemberModel;
use crate::noise;

/// Bytes of the volume of [`panicking`].
pub const SIZE: usize = 24 << 20;
/// Far more than any run of it takes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A source whose `at`-th read panics.
pub struct Panicking {
    source: MemorySource,
    reads: AtomicU64,
    at: u64,
}

impl Source for Panicking {
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
        assert!(self.reads.fetch_add(1, Ordering::Relaxed) != self.at, "in a source");
        self.source.read(chunk, out, scratch)
    }
}

/// A target whose `at`-th write panics.
pub struct PanickingSink {
    pub writes: AtomicU64,
    pub at: u64,
    pub ordered: bool,
    pub waits: bool,
}

impl Sink for PanickingSink {
    fn path(&self) -> &Path {
        Path::new("panicking")
    }

    fn is_ordered(&self) -> bool {
        self.ordered
    }

    fn waits(&self) -> bool {
        self.waits
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        assert!(self.writes.fetch_add(1, Ordering::Relaxed) != self.at, "in a target");
        Ok(())
    }

    fn zero_at(&self, _: Range<u64>) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}

pub fn panicking(at: u64) -> Volume {
    let member = MemberModel::of("vol-0", noise(1, SIZE));
    let source = MemorySource::new(&member, 64 << 10);
    volume_over(Box::new(Panicking { source, reads: AtomicU64::new(0), at }))
}

/// Runs something that must panic, and soon.
pub fn panics(what: &str, act: impl FnOnce() + Send + 'static) {
    let (sender, ended) = channel();
    thread::spawn(move || {
        let _ = sender.send(catch_unwind(AssertUnwindSafe(act)).is_err());
    });
    let panicked = ended.recv_timeout(PATIENCE).ok();
    assert_eq!(panicked, Some(true), "{what}: Some(false) is no panic, None still waits");
}
