//! Damaged files, media and targets that fail, and jobs that are cancelled.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use restore::engine::{Options, RunError, Told, run};
use restore::source::{
    ChunkRef, Extent, NativeSource, PageCache, Proof, ReadCause, ReadError, Scratch, Source,
};
use restore::{Damage, Progress, Report, Volume};
use snapfmt::{ChunkNo, Fault, Limits, Snapshot, Structure};
use snaprestore::catalog::{Catalog, Lookup};
use snaprestore::verify::{Depth, Finding, verify};
use testing::files::{self, BadSectors, Place, flip};
use testing::hand::{Chunk, HandFile, HandMember, HandSet};
use testing::memory::{MemorySource, volume_of, volume_over};
use testing::model::{Kind, MemberModel, Part, VolumeModel, each_byte};
use testing::sinks::{CountingSink, MemorySink};
use testing::{check, noise, salvage, strict};

const CHUNK: usize = 4096;

/// Two members that a stripe of no round size scatters, and the rest of one behind a gap.
fn scattered() -> VolumeModel {
    let member = |n: u64, len| MemberModel::of(&format!("vol-{n}"), noise(n, len));
    VolumeModel {
        members: vec![member(0, 20 * CHUNK + 77), member(1, 16 * CHUNK)],
        layout: vec![
            Part::Striped(21, 3000, vec![(0, 5), (1, 1000)]),
            Part::Unmapped(5000),
            Part::Linear(18_897, (0, 63_100)),
        ],
    }
}

/// The model as a full set, all data.
fn write(model: &VolumeModel, directory: &Path) -> Vec<HandFile> {
    let members = model.members.iter().map(|m| HandMember::full(&m.volume, &m.bytes, CHUNK));
    HandSet {
        id: "dsnap-0000".into(),
        generation: 0,
        chunk: CHUNK,
        map: model.extent_map(),
        members: members.collect(),
    }
    .write(directory)
}

fn volume(directory: &Path, id: &str) -> Volume {
    files::open_set(&files::catalog(directory), id).volume().unwrap()
}

fn restore(volume: &Volume, options: &Options<'_>) -> Result<(Report, Vec<u8>), RunError> {
    let sink = MemorySink::new(volume.size());
    let report = run(volume, 0..volume.size(), &sink, options, &Progress::default())?;
    Ok((report, sink.into_bytes(&(0..volume.size()))))
}

/// Member bytes of whole chunks.
fn chunks(model: &VolumeModel, member: usize, numbers: Range<u64>) -> Range<u64> {
    let chunk = CHUNK as u64;
    numbers.start * chunk..(numbers.end * chunk).min(model.members[member].size())
}

/// Salvage must lose exactly the logical bytes of these member bytes, and say so.
fn salvages(volume: &Volume, model: &VolumeModel, lost: &[(usize, Range<u64>)]) {
    let mut owners = Vec::new();
    each_byte(&model.layout, |place| owners.push(place));
    for fill in [0, 0xAA] {
        let (report, bytes) = restore(volume, &salvage(2, fill)).unwrap();
        let mut expected = model.bytes();
        let mut logical: Vec<u64> = Vec::new();
        for (member, range) in lost {
            logical.extend(model.logical(*member, range));
        }
        logical.sort_unstable();
        for at in &logical {
            expected[testing::index(*at)] = fill;
        }
        check::same(&bytes, &expected, 0);
        let found: Vec<u64> = report.damaged_ranges().iter().cloned().flatten().collect();
        assert_eq!(found, logical, "the damaged ranges");
        let mut each: Vec<u64> =
            report.damage.iter().flat_map(|d| d.logical.iter().cloned().flatten()).collect();
        each.sort_unstable();
        assert_eq!(each, logical, "each lost byte is in one entry");
        let starts = report.damage.iter().map(|d| d.logical[0].start);
        assert!(starts.is_sorted(), "damage is in logical order");
        for damage in &report.damage {
            let member = damage.member.index();
            assert_eq!(damage.volume_id.as_str(), model.members[member].volume);
            for at in damage.logical.iter().cloned().flatten() {
                let (owner, byte) = owners[testing::index(at)].unwrap();
                assert!(owner == member && damage.range.contains(&(byte as u64)), "byte {at}");
            }
        }
        let counts = &report.counts;
        let sum = counts.data + counts.zero + counts.hole + counts.unmapped;
        assert_eq!(
            sum + logical.len() as u64,
            volume.size(),
            "what is lost is not counted as good"
        );
    }
}

fn damaged(result: Result<(Report, Vec<u8>), RunError>) -> restore::Damage {
    match result {
        Err(RunError::Damaged(damage)) => *damage,
        other => panic!("expected damage, got {:?}", other.map(|(report, _)| report)),
    }
}

/// The structure that an error names.
fn structure(cause: &ReadCause) -> Structure {
    match cause {
        ReadCause::Format(error) => error.what,
        other => panic!("expected a format error, got {other}"),
    }
}

#[test]
fn a_damaged_chunk_stops_the_run_or_is_exactly_what_is_lost() {
    let model = scattered();
    let directory = tempfile::tempdir().unwrap();
    let written = write(&model, directory.path());
    // In the middle, at the seam of the two segments, and the short one at the end.
    for (member, chunk) in [(0, 7), (0, 15), (0, 20), (1, 0)] {
        flip(&written[member].path, Place::Chunk(chunk));
        let volume = volume(directory.path(), "dsnap-0000");
        let damage = damaged(restore(&volume, &strict(3)));
        assert_eq!(damage.member.index(), member);
        assert_eq!(damage.volume_id.as_str(), model.members[member].volume);
        assert_eq!(damage.cause.path, written[member].path);
        assert_eq!(structure(&damage.cause.cause), Structure::Chunk(ChunkNo(chunk)));
        let text = RunError::Damaged(damage.into()).to_string();
        let name = written[member].path.display().to_string();
        assert!(text.contains(&name) && text.contains(&format!("chunk {chunk} ")), "{text}");
        let no = u64::from(chunk);
        salvages(&volume, &model, &[(member, chunks(&model, member, no..no + 1))]);
        // The same flip again heals it.
        heal(&written[member].path, chunk);
        check::restored(&volume, &model, &[], &strict(1));
    }
}

/// Undoes a flip: where the bytes are is told by the index, which was never damaged.
fn heal(path: &Path, chunk: u32) {
    flip(path, Place::Chunk(chunk));
}

#[test]
fn several_damaged_chunks_are_all_listed() {
    let model = scattered();
    let directory = tempfile::tempdir().unwrap();
    let written = write(&model, directory.path());
    let lost = [(0, 2), (0, 3), (0, 16), (1, 2), (1, 15)];
    for (member, chunk) in lost {
        flip(&written[member].path, Place::Chunk(chunk));
    }
    let volume = volume(directory.path(), "dsnap-0000");
    let lost = lost.map(|(m, c)| (m, chunks(&model, m, u64::from(c)..u64::from(c) + 1)));
    salvages(&volume, &model, &lost);
}

#[test]
fn a_sector_that_cannot_be_read_costs_its_chunk() {
    let model = scattered();
    let directory = tempfile::tempdir().unwrap();
    let written = write(&model, directory.path());
    let at = files::place(&written[0].path, Place::Chunk(9)).start + 512;
    let file = BadSectors { bytes: std::fs::read(&written[0].path).unwrap(), bad: at..at + 512 };
    let snapshot = Arc::new(Snapshot::open(Arc::new(file), &Limits::DEFAULT).unwrap());
    let other = files::open(&written[1].path);
    let volume = volume_of(&model, |no, _| {
        let snapshot = [&snapshot, &other][no].clone();
        Box::new(files::chain(&[(written[no].path.clone(), snapshot)]))
    });
    let damage = damaged(restore(&volume, &strict(1)));
    let ReadCause::Format(error) = &damage.cause.cause else { panic!("{}", damage.cause) };
    assert!(matches!(&error.fault, Fault::Io(e) if e.raw_os_error() == Some(5)), "{error}");
    salvages(&volume, &model, &[(0, chunks(&model, 0, 9..10))]);
}

/// A member with more records than an index page holds.
fn long_member() -> VolumeModel {
    let len = 1500 * CHUNK + 9;
    let member = MemberModel::of("vol-0", noise(5, len));
    VolumeModel { members: vec![member], layout: vec![Part::Linear(len as u64 - 100, (0, 100))] }
}

#[test]
fn a_damaged_index_page_costs_the_chunks_it_lists() {
    let model = long_member();
    for (place, what, lost) in [
        (Place::IndexPage(0), Structure::IndexPage, 0..1024),
        (Place::IndexPage(1), Structure::IndexPage, 1024..1501),
        (Place::DirectoryPage(0), Structure::DirectoryPage, 0..1501),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let written = write(&model, directory.path());
        flip(&written[0].path, place);
        let volume = volume(directory.path(), "dsnap-0000");
        let damage = damaged(restore(&volume, &strict(2)));
        assert_eq!(damage.cause.path, written[0].path);
        assert_eq!(structure(&damage.cause.cause), what);
        salvages(&volume, &model, &[(0, chunks(&model, 0, lost))]);
    }
}

/// A restore does not need the headers in front of the chunks; verifying finds them all the same.
#[test]
fn a_damaged_record_header_costs_no_data_and_is_found() {
    let model = scattered();
    let directory = tempfile::tempdir().unwrap();
    let written = write(&model, directory.path());
    flip(&written[1].path, Place::RecordHeader(4));
    let catalog = files::catalog(directory.path());
    let set = files::open_set(&catalog, "dsnap-0000");
    check::restored(&set.volume().unwrap(), &model, &[], &strict(2));
    for depth in [Depth::Quick, Depth::Full] {
        let reports = verify(&set, depth, testing::jobs(2), &Progress::default()).unwrap();
        assert!(reports[0].findings.is_empty());
        let [Finding::Format(error)] = reports[1].findings.as_slice() else {
            panic!("{:?}", reports[1].findings)
        };
        assert_eq!(error.what, Structure::Record(ChunkNo(4)));
    }
}

/// A chain of two: the child overrides chunks 0 to 9, of which some as zeros, and inherits the rest.
fn overriding(directory: &Path) -> (VolumeModel, PathBuf) {
    let old = noise(1, 20 * CHUNK);
    let parent = HandSet::single("dsnap-0000", CHUNK, HandMember::full("vol-0", &old, CHUNK));
    let parent = parent.write(directory).remove(0);
    let mut new = old.clone();
    new[..7 * CHUNK].copy_from_slice(&noise(2, 7 * CHUNK));
    new[7 * CHUNK..10 * CHUNK].fill(0);
    let mut child = HandMember::inheriting("vol-0", &new, CHUNK, ("dsnap-0000", parent.state));
    for no in 0..7 {
        child.chunks[no] = Chunk::Data(new[no * CHUNK..(no + 1) * CHUNK].to_vec());
    }
    child.chunks[7..10].fill(Chunk::Hole);
    let child = HandSet { generation: 1, ..HandSet::single("dsnap-0001", CHUNK, child) };
    child.write(directory);
    let member = MemberModel::of("vol-0", new);
    let layout = vec![Part::Linear(20 * CHUNK as u64, (0, 0))];
    let mut model = VolumeModel { members: vec![member], layout };
    model.members[0].kinds[7 * CHUNK..10 * CHUNK].fill(Kind::Hole);
    (model, parent.path)
}

#[test]
fn damage_that_a_child_overrides_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let (model, parent) = overriding(directory.path());
    for chunk in 0..10 {
        flip(&parent, Place::Chunk(chunk));
    }
    let newest = volume(directory.path(), "dsnap-0001");
    check::restored(&newest, &model, &[], &strict(2));
    // What the child inherits is another matter, and the file to blame is the parent's.
    flip(&parent, Place::Chunk(10));
    let damage = damaged(restore(&newest, &strict(2)));
    assert_eq!(damage.cause.path, parent);
    assert_eq!(damage.range, chunks(&model, 0, 10..11));
    salvages(&newest, &model, &[(0, chunks(&model, 0, 10..11))]);
}

#[test]
fn a_parent_without_an_index_costs_only_what_is_inherited() {
    let directory = tempfile::tempdir().unwrap();
    let (model, parent) = overriding(directory.path());
    flip(&parent, Place::IndexPage(0));
    let newest = volume(directory.path(), "dsnap-0001");
    let damage = damaged(restore(&newest, &strict(2)));
    assert_eq!(damage.cause.path, parent);
    salvages(&newest, &model, &[(0, chunks(&model, 0, 10..20))]);
}

/// An incremental file alone, without the chain it needs.
#[test]
fn a_file_without_its_parent_gives_only_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let (model, _) = overriding(directory.path());
    let path = directory.path().join("dsnap-0001/0.snap");
    let source = NativeSource::new(&path, files::open(&path), Arc::new(PageCache::default()));
    let alone = volume_over(Box::new(source));
    salvages(&alone, &model, &[(0, chunks(&model, 0, 10..20))]);
    let chain = volume_over(Box::new(files::chain(&[(path.clone(), files::open(&path))])));
    let damage = damaged(restore(&chain, &strict(1)));
    assert!(matches!(damage.cause.cause, ReadCause::NoParent { .. }), "{}", damage.cause);
    assert_eq!(damage.cause.path, path);
    salvages(&chain, &model, &[(0, chunks(&model, 0, 10..20))]);
}

#[test]
fn a_source_that_fails_at_some_read_loses_that_chunk() {
    let model = scattered();
    // One worker reads in order; a chunk that two windows share would be read once for each.
    for (fails, cut) in [(0, 5000), (3, 5000), (11, 4096)] {
        let volume = volume_of(&model, |no, member| {
            let source = MemorySource::new(member, cut);
            let source = if no == 0 { source.failing_at(fails) } else { source };
            Box::new(source) as Box<dyn Source>
        });
        let (report, bytes) = restore(&volume, &salvage(1, 0xAA)).unwrap();
        let [damage] = report.damage.as_slice() else { panic!("{:?}", report.damage) };
        assert_eq!(damage.member.index(), 0);
        let mut expected = model.bytes();
        let lost = model.logical(0, &damage.range);
        for at in &lost {
            expected[testing::index(*at)] = 0xAA;
        }
        check::same(&bytes, &expected, 0);
        assert!(damage.range.end - damage.range.start <= u64::from(cut));
        assert_eq!(damage.logical.iter().cloned().flatten().collect::<Vec<_>>(), lost);
    }
}

#[test]
fn a_target_that_fails_stops_the_run_and_is_named() {
    let mut model = long_member();
    // Zeros, so that there are calls of both kinds.
    for start in (0..1500 * CHUNK).step_by(40 * CHUNK) {
        model.members[0].bytes[start..start + 9 * CHUNK].fill(0);
        model.members[0].kinds[start..start + 9 * CHUNK].fill(Kind::Zero);
    }
    let volume = volume_of(&model, |_, m| Box::new(MemorySource::new(m, 4096)) as Box<dyn Source>);
    let sink = MemorySink::new(volume.size());
    run(&volume, 0..volume.size(), &sink, &strict(1), &Progress::default()).unwrap();
    let calls = sink.calls();
    assert!(calls > 20, "{calls} calls");
    for n in [0, 1, 2, 7, calls / 2, calls - 1] {
        let sink = MemorySink::new(volume.size()).failing_at(n);
        let result = run(&volume, 0..volume.size(), &sink, &strict(1), &Progress::default());
        let Err(RunError::Target { path, offset, source }) = result else { panic!("{result:?}") };
        assert_eq!(path, Path::new("memory-sink"));
        assert_eq!(offset, sink.offsets().get(testing::index(n)).copied(), "call {n}");
        assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
        // Two others may be writing when it fails.
        assert!(sink.calls() <= n + 1 + 2 * 2, "{} calls after call {n} failed", sink.calls());
    }
}

/// One worker fails, and the others only finish the shard they are at.
#[test]
fn a_target_that_fails_stops_all_workers() {
    let member = MemberModel::of("vol-0", noise(3, 48 << 20));
    let volume = volume_over(Box::new(MemorySource::new(&member, 1 << 20)));
    let sink = MemorySink::new(volume.size()).failing_at(3);
    let result = run(&volume, 0..volume.size(), &sink, &strict(4), &Progress::default());
    assert!(matches!(result, Err(RunError::Target { offset: Some(_), .. })), "{result:?}");
    // A shard is a 32nd of the volume here: two windows.
    assert!(sink.calls() <= 4 + 4 * 2, "{} of 48 calls", sink.calls());
}

#[test]
fn a_cancelled_run_stops_soon() {
    // Data in every window of a MiB, of which there are many.
    let member = MemberModel::of("vol-0", noise(3, 48 << 20));
    let size = member.size();
    let source = MemorySource::new(&member, 1 << 20);
    let volume = volume_over(Box::new(source));
    for workers in [1, 4] {
        let progress = Progress::default();
        let sink = CountingSink::new(&progress, Some(5));
        let result = run(&volume, 0..size, &sink, &strict(workers), &progress);
        assert!(matches!(result, Err(RunError::Interrupted)), "{result:?}");
        let calls = sink.calls.load(Ordering::Relaxed);
        let most = 6 + 2 * workers as u64;
        assert!((6..=most).contains(&calls), "{calls} calls with {workers} workers");
        assert!(progress.done() < size);
    }
    let progress = Progress::default();
    progress.cancel();
    let sink = CountingSink::new(&progress, None);
    let result = run(&volume, 0..size, &sink, &strict(2), &progress);
    assert!(matches!(result, Err(RunError::Interrupted)), "{result:?}");
    assert_eq!(sink.calls.load(Ordering::Relaxed), 0);
}

/// Opening reads little of a file: what is damaged behind that is found by whoever reads it.
#[test]
fn a_damaged_root_is_found_when_the_file_is_opened() {
    let model = scattered();
    let directory = tempfile::tempdir().unwrap();
    let written = write(&model, directory.path());
    flip(&written[1].path, Place::IndexRoot);
    let catalog = Catalog::open(&[directory.path().to_owned()], &Lookup::default());
    let [bad] = catalog.bad() else { panic!("{:?}", catalog.bad()) };
    assert_eq!(bad.error.path, written[1].path);
    assert_eq!(bad.error.cause.what, Structure::IndexRoot);
    let error = catalog.open_set(&catalog.sets()[0]).unwrap_err();
    assert!(matches!(error, snaprestore::catalog::CatalogError::Damaged { .. }), "{error}");
}

/// A member of which nothing can be read.
struct Dead(MemorySource);

impl Source for Dead {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn largest_chunk(&self) -> u32 {
        self.0.largest_chunk()
    }

    fn extents(&self, range: Range<u64>, out: &mut Vec<Extent>) -> Result<(), ReadError> {
        self.0.extents(range, out)
    }

    fn read(&self, chunk: &ChunkRef, _: &mut [u8], _: &mut Scratch) -> Result<Proof, ReadError> {
        let source = std::io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error());
        let cause = ReadCause::Io { offset: chunk.range.start, source };
        Err(ReadError::new(Path::new("dead"), cause))
    }
}

/// Each stripe is lost by itself: few of them are told as one, none is forgotten.
#[test]
fn a_dead_member_under_stripes() {
    let size = 16 << 20;
    let member = |n: u64| MemberModel::of(&format!("vol-{n}"), noise(n, size));
    let (members, size) = (vec![member(0), member(1)], size as u64);
    let layout = vec![Part::Striped(size / 512, 512, vec![(0, 0), (1, 0)])];
    let model = VolumeModel { members, layout };
    let volume = volume_of(&model, |no, member| {
        let source = MemorySource::new(member, 64 << 10);
        if no == 1 { Box::new(Dead(source)) } else { Box::new(source) as Box<dyn Source> }
    });
    let told = AtomicU64::new(0);
    let tell = |damage: &Damage| {
        told.fetch_add(damage.range.end - damage.range.start, Ordering::Relaxed);
    };
    let options = Options { told: Some(Told(&tell)), ..salvage(4, 0) };
    let sink = MemorySink::new(volume.size());
    let report = run(&volume, 0..volume.size(), &sink, &options, &Progress::default()).unwrap();
    let lost = report.damaged_ranges();
    assert_eq!((lost.bytes(), lost.iter().count() as u64), (size, size / 512));
    assert!(lost.iter().all(|range| range.start % 1024 == 512));
    assert!(report.damage.iter().all(|damage| damage.logical.len() <= Damage::PIECES));
    assert_eq!(told.into_inner(), size);
}
