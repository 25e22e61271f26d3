//! A panic in a source or a target ends the job: no thread waits for one that is gone.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod support;

use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use restore::engine::{Options, run};
use restore::image::Image;
use restore::job::Restore;
use restore::reader::{self, Reader};
use restore::sink::Sink;
use restore::source::{ChunkRef, Extent, Proof, ReadError, Scratch, Source};
use restore::{Algorithm, Digests, Progress, Volume};
use support::memory::{MemorySource, volume_over};
use support::model::MemberModel;
use support::{job, jobs, noise, strict};

const SIZE: usize = 24 << 20;
/// Far more than any of these takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A source whose `at`-th read panics.
struct Panicking {
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
struct PanickingSink {
    writes: AtomicU64,
    at: u64,
    ordered: bool,
    waits: bool,
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

fn panicking(at: u64) -> Volume {
    let member = MemberModel::of("vol-0", noise(1, SIZE));
    let source = MemorySource::new(&member, 64 << 10);
    volume_over(Box::new(Panicking { source, reads: AtomicU64::new(0), at }))
}

/// Runs something that must panic, and soon.
fn panics(what: &str, act: impl FnOnce() + Send + 'static) {
    let (sender, ended) = channel();
    thread::spawn(move || {
        let _ = sender.send(catch_unwind(AssertUnwindSafe(act)).is_err());
    });
    let panicked = ended.recv_timeout(PATIENCE).ok();
    assert_eq!(panicked, Some(true), "{what}: Some(false) is no panic, None still waits");
}

#[test]
fn a_source_that_panics_ends_every_kind_of_run() {
    for at in [0, 7, 200] {
        for (ordered, waits) in [(false, false), (true, false), (false, true), (true, true)] {
            panics(&format!("read {at}, ordered {ordered}, waits {waits}"), move || {
                let volume = panicking(at);
                let sink =
                    PanickingSink { writes: AtomicU64::new(0), at: u64::MAX, ordered, waits };
                let _ = run(&volume, 0..volume.size(), &sink, &strict(3), &Progress::default());
            });
        }
        panics(&format!("read {at}, hashed"), move || {
            let volume = panicking(at);
            let digests = Digests::new([Algorithm::Blake3]);
            let sink = PanickingSink {
                writes: AtomicU64::new(0),
                at: u64::MAX,
                ordered: false,
                waits: false,
            };
            let options = Options { digests: Some(&digests), ..strict(3) };
            let _ = run(&volume, 0..volume.size(), &sink, &options, &Progress::default());
        });
    }
}

#[test]
fn a_target_that_panics_ends_every_kind_of_run() {
    for at in [0, 5] {
        for (ordered, waits) in [(false, false), (true, false), (false, true), (true, true)] {
            panics(&format!("write {at}, ordered {ordered}, waits {waits}"), move || {
                let volume = panicking(u64::MAX);
                let sink = PanickingSink { writes: AtomicU64::new(0), at, ordered, waits };
                let _ = run(&volume, 0..volume.size(), &sink, &strict(3), &Progress::default());
            });
        }
    }
}

#[test]
fn a_restore_with_a_journal_ends() {
    panics("a restore with a journal", || {
        let dir = tempfile::tempdir().unwrap();
        let volume = panicking(40);
        let target = job::image(&dir.path().join("image"));
        let journal = Some(job::journal(&dir.path().join("journal")));
        let restore = Restore { journal, ..job::whole(&volume, target) };
        let _ = restore.run(&Progress::default());
    });
}

/// The read that panics ends its own thread; those that wait for the same chunk read it themselves.
#[test]
fn those_who_wait_for_a_chunk_do_not_wait_for_a_reader_that_is_gone() {
    let options = reader::Options { cache: 1 << 20, threads: jobs(2) };
    let reader = Arc::new(Reader::new(Arc::new(panicking(0)), &options).unwrap());
    let (sender, ended) = channel();
    for _ in 0..6 {
        let (reader, sender) = (Arc::clone(&reader), sender.clone());
        thread::spawn(move || {
            let read = AssertUnwindSafe(|| reader.read_at(5, &mut [0; 100]).is_ok());
            let _ = sender.send(catch_unwind(read).unwrap_or(false));
        });
    }
    let good = (0..6).filter(|_| ended.recv_timeout(PATIENCE).unwrap()).count();
    assert_eq!(good, 5);
}
