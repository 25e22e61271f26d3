//! How much work there is, by files that count their reads: what is known is not read again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use restore::Progress;
use restore::engine::{RunError, run};
use restore::sink::NullSink;
use snapfmt::{Limits, ReadAt, Snapshot};
use snaprestore::catalog::OpenSet;
use snaprestore::verify::{Depth, KEPT, verify};
use testing::files::{self, Place, flip};
use testing::hand::{Chunk, HandMember, HandSet};
use testing::{jobs, noise, salvage, strict};

const CHUNK: usize = 4096;

/// A file in memory that counts how often it is read. At one of the reads the caller wants no more.
struct Counted {
    bytes: Vec<u8>,
    reads: Arc<AtomicU64>,
    stop: Option<(u64, Arc<Progress>)>,
}

impl ReadAt for Counted {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
        let read = self.reads.fetch_add(1, Ordering::Relaxed);
        if let Some((_, progress)) = self.stop.as_ref().filter(|(at, _)| *at == read) {
            progress.cancel();
        }
        self.bytes.read_exact_at(buf, offset)
    }
}

/// A set whose files are opened and count their reads from now on.
struct Watched {
    set: OpenSet,
    reads: Arc<AtomicU64>,
    progress: Arc<Progress>,
}

impl Watched {
    fn open(directory: &Path, id: &str, stop: Option<u64>) -> Self {
        let mut set = files::open_set(&files::catalog(directory), id);
        // Opening does not count.
        let (reads, progress) = (Arc::new(AtomicU64::new(u64::MAX / 2)), Arc::default());
        for link in set.chains.iter_mut().flatten() {
            let stop = stop.map(|at| (at, Arc::clone(&progress)));
            let bytes = std::fs::read(&link.path).unwrap();
            let file = Counted { bytes, reads: reads.clone(), stop };
            link.snapshot = Arc::new(Snapshot::open(Arc::new(file), &Limits::DEFAULT).unwrap());
        }
        reads.store(0, Ordering::Relaxed);
        Self { set, reads, progress }
    }

    fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }
}

#[test]
fn a_chain_takes_as_long_as_its_links_and_can_be_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let write = |id: &str, generation: u64, member: HandMember| {
        let set = HandSet { generation, ..HandSet::single(id, CHUNK, member) };
        set.write(directory.path()).remove(0)
    };
    let bytes = noise(1, 3 * CHUNK + 1);
    let state = write("dsnap-0000", 0, HandMember::full("vol-0", &bytes, CHUNK)).state;
    for n in 1..600 {
        let parent = format!("dsnap-{:04}", n - 1);
        // Each stores a chunk of its own, so that its index has a page.
        let mut member = HandMember::inheriting("vol-0", &bytes, CHUNK, (&parent, state));
        member.chunks[1] = Chunk::Data(bytes[CHUNK..2 * CHUNK].to_vec());
        write(&format!("dsnap-{n:04}"), n, member);
    }
    let check = |links: usize| {
        let watched = Watched::open(directory.path(), &format!("dsnap-{:04}", links - 1), None);
        let reports = verify(&watched.set, Depth::Quick, jobs(1), &watched.progress).unwrap();
        assert_eq!(reports.len(), links);
        assert!(reports.iter().all(|report| report.findings.is_empty()));
        watched.reads()
    };
    let (half, all) = (check(300), check(600));
    assert!(all < half * 5 / 2, "{all} reads for twice as many links, {half} for the half");
    let watched = Watched::open(directory.path(), "dsnap-0599", Some(100));
    let result = verify(&watched.set, Depth::Quick, jobs(1), &watched.progress);
    assert!(matches!(result, Err(RunError::Interrupted)), "{result:?}");
    assert!(watched.reads() < 110, "{} reads, 100 were wanted", watched.reads());
}

#[test]
fn a_chunk_that_comes_twenty_thousand_times_is_read_a_few_times() {
    const TIMES: usize = 20_000;
    let directory = tempfile::tempdir().unwrap();
    let mut member = HandMember::full("vol-0", &vec![0; TIMES * CHUNK], CHUNK);
    member.chunks = vec![Chunk::Again; TIMES];
    member.chunks[0] = Chunk::Data(noise(1, CHUNK));
    let written = HandSet::single("dsnap-0", CHUNK, member).write(directory.path()).remove(0);
    let watched = Watched::open(directory.path(), "dsnap-0", None);
    let volume = watched.set.volume().unwrap();
    let all = 0..volume.size();
    let before = watched.reads();
    let report = run(&volume, all.clone(), &NullSink, &strict(2), &watched.progress).unwrap();
    assert_eq!(report.counts.data, all.end);
    let reads = watched.reads() - before;
    assert!(reads < 500, "{reads} reads for {TIMES} times one chunk");
    let reports = verify(&watched.set, Depth::Full, jobs(2), &Progress::default()).unwrap();
    assert!(reports[0].findings.is_empty());

    // Where it is damaged all that refers to it is; what is listed and kept of that is bounded.
    flip(&written.path, Place::Chunk(0));
    let watched = Watched::open(directory.path(), "dsnap-0", None);
    let reports = verify(&watched.set, Depth::Full, jobs(2), &watched.progress).unwrap();
    let found = reports[0].findings.len();
    assert_eq!((found, reports[0].more.count()), (KEPT, (TIMES - KEPT) as u64));
    let volume = watched.set.volume().unwrap();
    let report = run(&volume, all.clone(), &NullSink, &salvage(2, 0), &watched.progress).unwrap();
    assert_eq!(*report.damaged_ranges(), std::iter::once(all).collect());
    assert!(report.damage.len() <= KEPT, "{} places are listed", report.damage.len());
}
