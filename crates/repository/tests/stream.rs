//! Sets restored through pipes: all that a restore by position gives, or an error that says why not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::proptest;
use restore::engine::RunError;
use restore::source::ReadCause;
use restore::{Counts, Progress};
use snapfmt::{ChunkNo, Limits, NotStream, Structure};
use snaprestore::capture::Form;
use snaprestore::catalog::Missing;
use snaprestore::stream::{StreamError, StreamInput, StreamSet, Streamed};
use testing::files::{self, Place, flip};
use testing::hand::{Chunk, HandFile, HandMember, HandSet};
use testing::lineage::{Act, Change, Lineage, Step, Way};
use testing::model::{Kind, MemberModel, Part, VolumeModel, tally};
use testing::scenario::steps;
use testing::sinks::{CountingSink, MemorySink};
use testing::{check, noise};

const CHUNK: usize = 4096;

/// Gives 1, 2, 3, … bytes at a time, up to `most`, and is interrupted now and then.
struct Drops {
    bytes: io::Cursor<Vec<u8>>,
    most: usize,
    turn: usize,
}

impl Read for Drops {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.turn += 1;
        if self.turn.is_multiple_of(5) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let len = buf.len().min(1 + self.turn % self.most);
        self.bytes.read(&mut buf[..len])
    }
}

fn drops(path: &Path, most: usize) -> StreamInput {
    let bytes = io::Cursor::new(std::fs::read(path).unwrap());
    StreamInput::new(path, Box::new(move || Ok(Box::new(Drops { bytes, most, turn: 0 }))))
}

fn inputs(files: &[HandFile]) -> Vec<StreamInput> {
    files.iter().map(|file| StreamInput::file(&file.path)).collect()
}

/// Restores into memory; every logical byte must be given exactly once.
fn restore(inputs: Vec<StreamInput>) -> Result<(Streamed, Vec<u8>), StreamError> {
    let progress = Progress::default();
    let set = StreamSet::open(inputs, &Limits::DEFAULT, &progress)?;
    let size = set.layout().size();
    assert_eq!(set.manifest().logical_size, size);
    let sink = MemorySink::new(size);
    let streamed = set.restore(&sink)?;
    assert_eq!((progress.done(), progress.total()), (size, size));
    assert_eq!(progress.data(), streamed.report.counts.data);
    Ok((streamed, sink.into_bytes(&(0..size))))
}

fn fails(inputs: Vec<StreamInput>) -> StreamError {
    match restore(inputs) {
        Err(error) => error,
        Ok((streamed, _)) => panic!("restored: {streamed:?}"),
    }
}

fn comes_back(model: &VolumeModel, inputs: Vec<StreamInput>) -> Streamed {
    let (streamed, bytes) = restore(inputs).unwrap();
    check::same(&bytes, &model.bytes(), 0);
    let counts = tally(&model.kinds());
    let Counts { data, zero, hole, unmapped, by_digest, .. } = streamed.report.counts;
    assert_eq!((data, zero, hole), (counts.data, counts.zero, counts.hole));
    assert_eq!((unmapped, by_digest), (counts.unmapped, counts.data));
    streamed
}

proptest! {
    #![proptest_config(testing::cases(48))]

    /// Captured or written by hand: any layout, any sizes.
    #[test]
    fn every_full_set_comes_back((chunk, steps) in steps(), most in 1..100_000_usize) {
        let form = Form { compact_zeros: false, dedup: false };
        let lineage = Lineage::new(chunk, &[Step { form, ..steps[0].clone() }]);
        let generation = &lineage.generations[0];
        let set = files::open_set(&files::catalog(lineage.directory.path()), &generation.set_id);
        let mut inputs: Vec<_> = set.own_files().map(|file| drops(&file.path, most)).collect();
        // The order in which they are given does not matter.
        inputs.reverse();
        let streamed = comes_back(&generation.model, inputs);
        assert_eq!(streamed.content, set.content);
    }
}

/// Two members that a stripe of no round size scatters, the rest of one behind a gap, and bytes that
/// the layout does not use in front, between and behind. With data, zeros and holes.
fn scattered() -> VolumeModel {
    let mut members = vec![
        MemberModel::of("vol-0", noise(1, 700 * CHUNK + 77)),
        MemberModel::of("vol-1", noise(2, 600 * CHUNK)),
    ];
    for member in &mut members {
        for (first, count, kind) in [(3, 5, Kind::Zero), (8, 2, Kind::Hole), (300, 290, Kind::Zero)]
        {
            member.bytes[first * CHUNK..(first + count) * CHUNK].fill(0);
            member.kinds[first * CHUNK..(first + count) * CHUNK].fill(kind);
        }
    }
    let layout = vec![
        Part::Striped(721, 3000, vec![(0, 5), (1, 1000)]),
        Part::Unmapped(5000),
        Part::Linear(18_897 + 50 * CHUNK as u64, (0, 540 * CHUNK as u64)),
    ];
    VolumeModel { members, layout }
}

fn hand(model: &VolumeModel) -> HandSet {
    let member = |m: &MemberModel| {
        let chunks = m.bytes.chunks(CHUNK).zip(m.kinds.chunks(CHUNK));
        let chunks = chunks.map(|(bytes, kinds)| match kinds[0] {
            Kind::Data => Chunk::Data(bytes.to_vec()),
            Kind::Zero => Chunk::Zero,
            Kind::Hole => Chunk::Hole,
        });
        let full = HandMember::full(&m.volume, &m.bytes, CHUNK);
        HandMember { chunks: chunks.collect(), stream: true, ..full }
    };
    HandSet {
        id: "dsnap-0000".into(),
        generation: 0,
        chunk: CHUNK,
        map: model.extent_map(),
        members: model.members.iter().map(member).collect(),
    }
}

#[test]
fn however_little_comes_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let model = scattered();
    let files = hand(&model).write(directory.path());
    for most in [1, 100, 1 << 20] {
        comes_back(&model, files.iter().map(|file| drops(&file.path, most)).collect());
    }
}

/// The way it is meant: each FIFO has a writer that waits for its reader.
#[test]
fn fifos_are_read_at_the_same_time() {
    let directory = tempfile::tempdir().unwrap();
    let model = scattered();
    let files = hand(&model).write(directory.path());
    let fifos: Vec<PathBuf> = files.iter().map(|file| file.path.with_extension("fifo")).collect();
    thread::scope(|scope| {
        for (file, fifo) in files.iter().zip(&fifos) {
            let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
            let kind = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, fifo, kind, mode, 0).unwrap();
            scope.spawn(move || std::fs::write(fifo, std::fs::read(&file.path).unwrap()).unwrap());
        }
        comes_back(&model, fifos.iter().map(StreamInput::file).collect());
    });
}

/// Chunks that follow each other leave together, where the layout has them together.
#[test]
fn writes_are_large() {
    let directory = tempfile::tempdir().unwrap();
    let size = 1024 * CHUNK as u64;
    let member = HandMember::full("vol-0", &noise(1, 1024 * CHUNK), CHUNK);
    let member = HandMember { stream: true, ..member };
    let files = HandSet::single("dsnap-0000", CHUNK, member).write(directory.path());
    let progress = Progress::default();
    let sink = CountingSink::new(&progress, None);
    let set = StreamSet::open(inputs(&files), &Limits::DEFAULT, &progress).unwrap();
    set.restore(&sink).unwrap();
    assert_eq!(sink.written.load(Ordering::Relaxed), size);
    assert_eq!(sink.calls.load(Ordering::Relaxed), size >> 20);
}

#[test]
fn what_is_not_one_whole_set_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let model = scattered();
    let set = hand(&model);
    let files = set.write(directory.path());
    let other = HandSet { id: "dsnap-other".into(), ..set.clone() }.write(directory.path());
    let mut says_otherwise = set;
    says_otherwise.members[1].own_tag = Some("mine".into());
    let elsewhere = directory.path().join("elsewhere");
    let contradicting = says_otherwise.write(&elsewhere);

    assert!(matches!(fails(Vec::new()), StreamError::NoInput));
    let error = fails(inputs(&files[1..]));
    let StreamError::Incomplete { missing, .. } = &error else { panic!("{error}") };
    let [Missing::Member { index: 0, volume_id, .. }] = missing.as_slice() else {
        panic!("{missing:?}")
    };
    assert_eq!(volume_id.as_str(), "vol-0");
    let text =
        "set \"dsnap-0000\" is incomplete: member 0 (\"vol-0\") of set \"dsnap-0000\" missing";
    assert_eq!(error.to_string(), text);

    let twice = [&files[..], &files[1..]].concat();
    let error = fails(inputs(&twice));
    let StreamError::Twice { volume_id, first, second } = &error else { panic!("{error}") };
    assert_eq!((volume_id.as_str(), first, second), ("vol-1", &files[1].path, &files[1].path));

    let mixed = [files[0].clone(), other[1].clone()];
    let error = fails(inputs(&mixed));
    let StreamError::OtherSet { first, second_set, .. } = &error else { panic!("{error}") };
    assert_eq!((first, second_set.as_str()), (&files[0].path, "dsnap-other"));

    let error = fails(inputs(&[files[0].clone(), contradicting[1].clone()]));
    let StreamError::Contradiction { second, .. } = &error else { panic!("{error}") };
    assert_eq!(second, &contradicting[1].path);
}

/// Only the seals tell two captures under one id apart, and they come last.
#[test]
fn two_captures_under_one_id_are_told_apart_in_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let mut model = scattered();
    let files = hand(&model).write(directory.path());
    model.members[0].bytes[CHUNK] ^= 1;
    let again = hand(&model).write(&directory.path().join("again"));
    let error = fails(inputs(&[files[0].clone(), again[1].clone()]));
    let StreamError::Mixed { first, second, .. } = &error else { panic!("{error}") };
    let mut both = [first.clone(), second.clone()];
    both.sort();
    let mut expected = [files[0].path.clone(), again[1].path.clone()];
    expected.sort();
    assert_eq!(both, expected);
}

#[test]
fn other_forms_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = noise(1, 2 * CHUNK);
    let single = |id: &str, member| HandSet::single(id, CHUNK, member).write(directory.path());
    let full = single("dsnap-0000", HandMember::full("vol-0", &bytes, CHUNK));
    let parent = ("dsnap-0000", full[0].state);
    let child = HandMember::inheriting("vol-0", &bytes, CHUNK, parent);
    let child = single("dsnap-0001", child);
    let step = Step {
        changes: vec![Change { chunks: 3, short: 0, acts: vec![Act::Common(1)] }],
        layout: Vec::new(),
        way: Way::Memory(4096),
        restart: false,
        form: Form { compact_zeros: false, dedup: true },
        rotate: 0,
        jobs: 1,
    };
    let lineage = Lineage::new(CHUNK, &[step]);
    let set = files::open_set(&files::catalog(lineage.directory.path()), "dsnap-0000");
    let own = set.own_files().map(|f| (f.path.clone(), f.snapshot.footer().state));
    let dedup: Vec<_> = own.map(|(path, state)| HandFile { path, state }).collect();
    for (file, expected) in [
        (&full, NotStream::Compact),
        (&child, NotStream::Incremental),
        (&dedup, NotStream::Deduplicated),
    ] {
        let error = fails(inputs(file));
        let StreamError::NotStream { path, form } = &error else { panic!("{error}") };
        assert_eq!((path, *form), (&file[0].path, expected));
        assert!(error.to_string().contains("only full snapshots in stream form"), "{error}");
    }
}

#[test]
fn damage_is_found_wherever_it_is() {
    let model = scattered();
    // In the stripes, in the linear part, and where the layout uses nothing.
    for (member, chunk, used) in [(0, 20, true), (1, 40, true), (0, 592, true), (1, 595, false)] {
        let directory = tempfile::tempdir().unwrap();
        let files = hand(&model).write(directory.path());
        flip(&files[member].path, Place::Chunk(chunk));
        let error = fails(inputs(&files));
        let StreamError::Run(RunError::Damaged(damage)) = &error else { panic!("{error}") };
        assert_eq!((damage.member.index(), &damage.cause.path), (member, &files[member].path));
        let ReadCause::Format(cause) = &damage.cause.cause else { panic!("{error}") };
        assert_eq!(cause.what, Structure::Chunk(ChunkNo(chunk)));
        let start = u64::from(chunk) * CHUNK as u64;
        assert_eq!(damage.range, start..start + CHUNK as u64);
        let logical: Vec<u64> = damage.logical.iter().cloned().flatten().collect();
        assert_eq!(logical, model.logical(member, &damage.range));
        assert_eq!(!logical.is_empty(), used, "chunk {chunk} of member {member}");
    }
    for place in [Place::RecordHeader(20), Place::IndexPage(0), Place::IndexRoot] {
        let directory = tempfile::tempdir().unwrap();
        let files = hand(&model).write(directory.path());
        flip(&files[1].path, place);
        let error = fails(inputs(&files));
        let StreamError::Read(read) = &error else { panic!("{error}") };
        assert_eq!(read.path, files[1].path);
        assert!(matches!(read.cause, ReadCause::Format(_)), "{error}");
    }
}

#[test]
fn a_writer_that_dies_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let files = hand(&scattered()).write(directory.path());
    let len = files[1].path.metadata().unwrap().len();
    for cut in [len - 1, len - 232, len / 2, 100, 0] {
        files::cut(&files[1].path, cut);
        let error = fails(inputs(&files)).to_string();
        let name = files[1].path.display().to_string();
        assert!(error.starts_with(&name) && error.contains("is cut off"), "{error}");
    }
    std::fs::remove_file(&files[1].path).unwrap();
    let error = fails(inputs(&files));
    let StreamError::Open { path, source } = &error else { panic!("{error}") };
    assert_eq!((path, source.kind()), (&files[1].path, io::ErrorKind::NotFound));
}

#[test]
fn targets_that_cannot_be_written_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let files = hand(&scattered()).write(directory.path());
    let progress = Progress::default();
    let ordered = MemorySink::new(0).ordered_from(0);
    let set = StreamSet::open(inputs(&files), &Limits::DEFAULT, &progress).unwrap();
    let error = set.restore(&ordered).unwrap_err();
    assert!(matches!(error, StreamError::Ordered { .. }), "{error}");
    for call in [0, 1, 5, 100] {
        let progress = Progress::default();
        let set = StreamSet::open(inputs(&files), &Limits::DEFAULT, &progress).unwrap();
        let sink = MemorySink::new(set.layout().size()).failing_at(call);
        let error = set.restore(&sink).unwrap_err();
        let StreamError::Run(RunError::Target { path, source, .. }) = &error else {
            panic!("{error}")
        };
        assert_eq!(path, Path::new("memory-sink"));
        assert_eq!(source.kind(), io::ErrorKind::StorageFull);
    }
}

/// Gives some bytes, says so, and then nothing until the test is over.
struct Stalling {
    bytes: io::Cursor<Vec<u8>>,
    stalled: Sender<()>,
    over: Receiver<()>,
}

impl Read for Stalling {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(buf)?;
        if read == 0 {
            self.stalled.send(()).unwrap();
            // The other end is only ever dropped.
            let _ = self.over.recv();
        }
        Ok(read)
    }
}

/// An input that stalls after `len` bytes; what says that it does, and what ends it when dropped.
fn stalling(path: &Path, len: usize) -> (StreamInput, Receiver<()>, Sender<()>) {
    let (stalled, stalls) = channel();
    let (end, over) = channel();
    let mut bytes = std::fs::read(path).unwrap();
    bytes.truncate(len);
    let reader = Stalling { bytes: io::Cursor::new(bytes), stalled, over };
    (StreamInput::new(path, Box::new(move || Ok(Box::new(reader)))), stalls, end)
}

/// Runs `work` and makes sure that it does not wait for anyone.
fn soon<T>(work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    assert!(start.elapsed() < Duration::from_secs(20), "took {:?}", start.elapsed());
    result
}

#[test]
fn a_job_that_waits_for_a_pipe_can_be_cancelled() {
    let directory = tempfile::tempdir().unwrap();
    let files = hand(&scattered()).write(directory.path());
    // In the head, among the records, in the tail.
    let len = std::fs::read(&files[1].path).unwrap().len();
    for stall in [0, 100, len / 2, len - 10] {
        let (input, stalls, _end) = stalling(&files[1].path, stall);
        let progress = Progress::default();
        let error = thread::scope(|scope| {
            let progress = &progress;
            scope.spawn(move || {
                stalls.recv().unwrap();
                progress.cancel();
            });
            let both = vec![StreamInput::file(&files[0].path), input];
            soon(|| {
                let set = StreamSet::open(both, &Limits::DEFAULT, progress)?;
                set.restore(&MemorySink::new(set_size())).map(drop)
            })
            .unwrap_err()
        });
        assert!(matches!(error, StreamError::Run(RunError::Interrupted)), "at {stall}: {error}");
    }
}

fn set_size() -> u64 {
    scattered().bytes().len() as u64
}

#[test]
fn a_job_that_fails_does_not_wait_for_other_pipes() {
    let directory = tempfile::tempdir().unwrap();
    let files = hand(&scattered()).write(directory.path());
    let len = std::fs::read(&files[1].path).unwrap().len();
    flip(&files[0].path, Place::Chunk(690));
    let (input, _stalls, _end) = stalling(&files[1].path, len / 2);
    let error = soon(|| fails(vec![StreamInput::file(&files[0].path), input]));
    assert!(matches!(error, StreamError::Run(RunError::Damaged(_))), "{error}");
    let (input, _stalls, _end) = stalling(&files[1].path, 0);
    let error = soon(|| fails(vec![input, StreamInput::file("/nowhere")]));
    assert!(matches!(error, StreamError::Open { .. }), "{error}");
}

#[test]
fn a_cancelled_job_stops_within_a_chunk() {
    let directory = tempfile::tempdir().unwrap();
    let model = scattered();
    let files = hand(&model).write(directory.path());
    let progress = Progress::default();
    let set = StreamSet::open(inputs(&files), &Limits::DEFAULT, &progress).unwrap();
    // The first call gives the unmapped bytes.
    let sink = CountingSink::new(&progress, Some(1));
    let error = set.restore(&sink).unwrap_err();
    assert!(matches!(error, StreamError::Run(RunError::Interrupted)), "{error}");
    // What is held is written as a whole.
    assert!(progress.done() < progress.total() / 2, "{} done", progress.done());
}
