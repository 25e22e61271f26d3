//! A panic in a source or a target ends the job: no thread waits for one that is gone.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::channel;
use std::thread;

use restore::engine::{Options, run};
use restore::image::Image;
use restore::job::Restore;
use restore::reader::{self, Reader};
use restore::{Algorithm, Digests, Progress};
use snapfmt::{Consistency, Limits};
use snaprestore::capture::{CaptureRequest, Form, capture};
use snaprestore::stream::{StreamInput, StreamSet};
use snaprestore::verify::{Depth, verify_and_tell};
use testing::files::{self, Place};
use testing::hand::time_of;
use testing::hand::{HandFile, HandMember, HandSet};
use testing::model::{MemberModel, Part, VolumeModel};
use testing::panics::{PATIENCE, PanickingSink, panicking, panics};
use testing::{chunk_size, job, jobs, noise, strict};

/// Of sets.
const CHUNK: usize = 4096;

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

#[test]
fn a_capture_ends_and_leaves_nothing() {
    for at in [0, 7, 200] {
        panics(&format!("a capture, read {at}"), move || {
            let dir = tempfile::tempdir().unwrap();
            let ended = catch_unwind(AssertUnwindSafe(|| {
                capture(&panicking(at), &request(dir.path()), &Progress::default()).map(drop)
            }));
            let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
            if ended.is_ok() || !left.is_empty() {
                return;
            }
            panic!("as it should");
        });
    }
}

fn request(directory: &Path) -> CaptureRequest<'static> {
    CaptureRequest {
        directory: directory.to_owned(),
        set_id: "dsnap-0".parse().unwrap(),
        source_volume_id: "vol-logical".parse().unwrap(),
        generation: 0,
        time: time_of(0),
        consistency: Consistency::Quiesced,
        tags: BTreeMap::new(),
        chunk_size: chunk_size(CHUNK),
        level: 1,
        form: Form { compact_zeros: false, dedup: false },
        sectors: vec![(512, 512)],
        parent: None,
        tool: "tests".into(),
        jobs: jobs(3),
    }
}

/// Two members, one after the other.
fn set_of_two(directory: &Path) -> Vec<HandFile> {
    let len = 400 * CHUNK;
    let bytes = [noise(0, len), noise(1, len)];
    let member = |n: usize| MemberModel::of(&format!("vol-{n}"), bytes[n].clone());
    let part = |n| Part::Linear(len as u64, (n, 0));
    let model = VolumeModel { members: vec![member(0), member(1)], layout: vec![part(0), part(1)] };
    let full = |n: usize| HandMember::full(&format!("vol-{n}"), &bytes[n], CHUNK);
    let members = [0, 1].map(|n| HandMember { stream: true, ..full(n) }).to_vec();
    let (id, map) = ("dsnap-0".into(), model.extent_map());
    HandSet { id, generation: 0, chunk: CHUNK, map, members }.write(directory)
}

/// Hears of damage, and panics.
fn told(_: &Path, _: &dyn Display) {
    panic!("in what is told");
}

#[test]
fn a_check_goes_no_further() {
    let dir = tempfile::tempdir().unwrap();
    let files = set_of_two(dir.path());
    files::flip(&files[0].path, Place::Chunk(3));
    let progress = Arc::new(Progress::default());
    let watched = Arc::clone(&progress);
    panics("a check", move || {
        let set = files::open_set(&files::catalog(dir.path()), "dsnap-0");
        let _ = verify_and_tell(&set, Depth::Full, jobs(3), &watched, &told);
    });
    assert!(progress.done() < progress.total() / 4, "it went on to the end");
}

/// What comes of a member, and then nothing more, and no end.
struct Stalled(io::Cursor<Vec<u8>>);

impl Read for Stalled {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buf) {
            Ok(0) => loop {
                thread::park();
            },
            read => read,
        }
    }
}

#[test]
fn pipes_are_not_waited_for_by_one_that_is_gone() {
    panics("a restore from pipes", || {
        let dir = tempfile::tempdir().unwrap();
        let files = set_of_two(dir.path());
        let inputs = (0..).zip(&files).map(|(no, file)| {
            let mut bytes = std::fs::read(&file.path).unwrap();
            if no == 1 {
                // Less than is written together.
                bytes.truncate(bytes.len() / 2);
            }
            let opener = || Ok(Box::new(Stalled(io::Cursor::new(bytes))) as Box<dyn Read + Send>);
            StreamInput::new(&file.path, Box::new(opener))
        });
        let progress = Progress::default();
        let set = StreamSet::open(inputs.collect(), &Limits::DEFAULT, &progress).unwrap();
        let writes = AtomicU64::new(0);
        let _ = set.restore(&PanickingSink { writes, at: 0, ordered: false, waits: false });
    });
}
