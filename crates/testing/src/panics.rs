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
use restore::source::ChunkRef;

use crate::hooked::Hooked;
use crate::memory::{MemorySource, volume_over};
use crate::model::MemberModel;
use crate::noise;

/// Bytes of the volume of [`panicking`].
pub const SIZE: usize = 24 << 20;
/// Far more than any run of it takes.
pub const PATIENCE: Duration = Duration::from_secs(60);

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

/// A volume whose source panics in its `at`-th read.
pub fn panicking(at: u64) -> Volume {
    let member = MemberModel::of("vol-0", noise(1, SIZE));
    let source = MemorySource::new(&member, 64 << 10);
    let reads = AtomicU64::new(0);
    let before_read = move |_: &ChunkRef| {
        assert!(reads.fetch_add(1, Ordering::Relaxed) != at, "in a source");
    };
    volume_over(Box::new(Hooked { source, before_read }))
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
