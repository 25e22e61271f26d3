//! Targets that hold most of it already: what is right stays unwritten, what is wrong is found.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::ops::Range;
use std::path::{Path, PathBuf};

use proptest::prelude::{any, prop, proptest};
use restore::engine::{Existing, Options, run};
use restore::job::compare;
use restore::sink::{InPlaceSink, Io, ReadBack};
use restore::{Algorithm, Digests, Progress, RangeSet, Report, Volume};
use tempfile::TempDir;
use testing::hand::{Chunk, HandMember, HandSet};
use testing::job::open;
use testing::lineage::Lineage;
use testing::memory::{MemorySource, volume_of};
use testing::model::{Kind, MemberModel, Part, VolumeModel};
use testing::scenario::steps;
use testing::sinks::Recording;
use testing::{check, files, indices, noise, strict};

const CHUNK: usize = 4096;

/// A volume, what it is and where its files are.
struct Subject {
    name: &'static str,
    model: VolumeModel,
    volume: Volume,
    directory: TempDir,
}

/// Two members with all kinds of content: `chunks` chunks, of which every fifth is zeros and every
/// seventh a hole.
fn members(chunks: usize, chunk: usize) -> Vec<MemberModel> {
    let member = |n: u64| {
        let mut member = MemberModel::of(&format!("vol-{n}"), noise(n, chunks * chunk - 77));
        let whole = member.bytes.chunks_mut(chunk).zip(member.kinds.chunks_mut(chunk));
        for (no, (bytes, kinds)) in whole.enumerate() {
            if no % 5 == 3 || no % 7 == 5 {
                bytes.fill(0);
                kinds.fill(if no % 5 == 3 { Kind::Zero } else { Kind::Hole });
            }
        }
        member
    };
    vec![member(1), member(2)]
}

/// The model as a full set, whose chunks have digests.
fn native(name: &'static str, layout: Vec<Part>) -> Subject {
    let model = VolumeModel { members: members(200, CHUNK), layout };
    let directory = tempfile::tempdir().unwrap();
    let stored = |m: &MemberModel| {
        let whole = m.bytes.chunks(CHUNK).zip(m.kinds.chunks(CHUNK));
        let chunks = whole.map(|(bytes, kinds)| match kinds[0] {
            Kind::Data => Chunk::Data(bytes.to_vec()),
            Kind::Zero => Chunk::Zero,
            Kind::Hole => Chunk::Hole,
        });
        HandMember { chunks: chunks.collect(), ..HandMember::full(&m.volume, &m.bytes, CHUNK) }
    };
    HandSet {
        id: "dsnap-0000".into(),
        generation: 0,
        chunk: CHUNK,
        map: model.extent_map(),
        members: model.members.iter().map(stored).collect(),
    }
    .write(directory.path());
    let volume = files::open_set(&files::catalog(directory.path()), "dsnap-0000").volume().unwrap();
    Subject { name, model, volume, directory }
}

/// The model from memory, whose chunks have none.
fn memory(name: &'static str, model: VolumeModel, cut: u32) -> Subject {
    let volume = volume_of(&model, |_, m| Box::new(MemorySource::new(m, cut)));
    Subject { name, model, volume, directory: tempfile::tempdir().unwrap() }
}

fn linear() -> Vec<Part> {
    let size = 200 * CHUNK as u64 - 77;
    vec![Part::Linear(size, (0, 0)), Part::Unmapped(3 << 20), Part::Linear(size, (1, 0))]
}

/// Stripes of no round size from places inside of chunks: each chunk is in pieces, and no window
/// ends where a chunk does.
fn striped() -> Vec<Part> {
    vec![
        Part::Striped(150, 3000, vec![(0, 5), (1, 1000)]),
        Part::Unmapped(5000),
        Part::Linear(300_000, (0, 460_001)),
    ]
}

/// A chunk is longer than a window may be.
fn huge() -> VolumeModel {
    let member = MemberModel::of("vol-0", noise(1, 23 << 20));
    VolumeModel { members: vec![member], layout: vec![Part::Linear(22 << 20, (0, 12_345))] }
}

fn subjects() -> Vec<Subject> {
    let of = |layout| VolumeModel { members: members(200, CHUNK), layout };
    vec![
        native("native, linear", linear()),
        native("native, striped", striped()),
        memory("memory, linear", of(linear()), 5000),
        memory("memory, striped", of(striped()), 5000),
        memory("memory, longer than a window", huge(), 20 << 20),
    ]
}

/// A target that differs from the volume.
struct Target {
    path: PathBuf,
}

impl Target {
    fn new(directory: &Path, bytes: &[u8]) -> Self {
        let path = directory.join("target");
        std::fs::write(&path, bytes).unwrap();
        // What was written before a target is read back must be durable.
        std::fs::File::open(&path).unwrap().sync_all().unwrap();
        Self { path }
    }

    /// Brings the target up to date: the report, and what was written.
    fn keep(
        &self,
        volume: &Volume,
        range: &Range<u64>,
        options: &Options<'_>,
    ) -> (Report, RangeSet) {
        let sink = Recording::new(
            InPlaceSink::new(open(&self.path), &self.path, false, Io::Auto).unwrap(),
        );
        let target = ReadBack::open(&self.path, 0).unwrap();
        let options = Options { existing: Existing::Keep(&target), ..*options };
        let report = run(volume, range.clone(), &sink, &options, &Progress::default()).unwrap();
        let given = sink.given();
        let length = range.end - range.start;
        assert_eq!(report.counts.kept + given.bytes(), length, "kept and written add up");
        let counts = &report.counts;
        assert_eq!(counts.data + counts.zero + counts.hole + counts.unmapped, length);
        (report, given)
    }

    fn compare(&self, volume: &Volume, range: &Range<u64>, end: u64) -> RangeSet {
        let target = ReadBack::open(&self.path, 0).unwrap();
        compare(&target, volume, range, end, &strict(2), &Progress::default()).unwrap()
    }

    fn holds(&self, expected: &[u8]) {
        check::same(&std::fs::read(&self.path).unwrap(), expected, 0);
    }
}

fn some_ranges(size: u64) -> [Range<u64>; 3] {
    [0..size, size / 7 + 3..size / 2 + 1, size - 1..size]
}

#[test]
fn what_is_right_already_is_not_written() {
    for Subject { name, model, volume, directory } in subjects() {
        let bytes = model.bytes();
        let target = Target::new(directory.path(), &bytes);
        for range in some_ranges(volume.size()) {
            let digests = Digests::new([Algorithm::Blake3]);
            for digests in [None, Some(&digests)] {
                let options = Options { digests, ..strict(3) };
                let (report, given) = target.keep(&volume, &range, &options);
                assert!(given.is_empty(), "{name}: {given:?}");
                assert_eq!(report.counts.kept, range.end - range.start);
                // A digest is as good as reading the chunk.
                let whole = name == "native, linear" && range == (0..volume.size());
                assert!(!whole || report.counts.stored == 0, "{:?}", report.counts);
            }
            let found = digests.finish().remove(0).1;
            assert_eq!(found, blake3::hash(&bytes[indices(&range)]).to_hex().as_str(), "{name}");
            assert!(target.compare(&volume, &range, range.end).is_empty());
        }
        target.holds(&bytes);
    }
}

#[test]
fn exactly_the_chunks_that_differ_are_rewritten() {
    let Subject { model, volume, directory, .. } = native("linear", linear());
    let bytes = model.bytes();
    let chunk = CHUNK as u64;
    let second = 200 * chunk - 77 + (3 << 20);
    for wrong in [vec![0], vec![0, 1, 2], vec![4, 6, 199], vec![100], (0..200).collect::<Vec<_>>()]
    {
        // Of the data in either member; both lie where the other's chunks do not.
        let wrong: Vec<u64> = wrong.into_iter().filter(|no| no % 5 != 3 && no % 7 != 5).collect();
        let mut stale = bytes.clone();
        let mut expected = RangeSet::default();
        for (start, end) in [(0, 200 * chunk - 77), (second, volume.size())] {
            for no in &wrong {
                let range = start + no * chunk..(start + (no + 1) * chunk).min(end);
                stale[testing::index(range.end) - 1] ^= 1;
                expected.insert(range);
            }
        }
        let target = Target::new(directory.path(), &stale);
        let whole = 0..volume.size();
        assert_eq!(target.compare(&volume, &whole, whole.end), expected);
        let (report, given) = target.keep(&volume, &whole, &strict(2));
        assert_eq!(given, expected);
        assert_eq!(report.counts.stored > 0, !wrong.is_empty());
        target.holds(&bytes);
        assert!(target.compare(&volume, &whole, whole.end).is_empty());
    }
}

/// A flipped byte costs no more than the stretch of its chunk that lies together, or the zeros it is
/// among; with a hash of everything all the same.
#[test]
fn a_byte_that_differs_is_found_wherever_it_is() {
    for Subject { name, model, volume, directory } in subjects() {
        let bytes = model.bytes();
        let size = volume.size();
        let places = [0, 1, size / 3, size / 2 + 7, size - 5000, size - 1].map(testing::index);
        let mut stale = bytes.clone();
        for at in places {
            stale[at] ^= 0x40;
        }
        for range in some_ranges(size) {
            let target = Target::new(directory.path(), &stale);
            let wrong: Vec<u64> =
                places.iter().map(|at| *at as u64).filter(|at| range.contains(at)).collect();
            let found = target.compare(&volume, &range, range.end);
            assert!(wrong.iter().all(|at| found.end_from(*at).is_some()), "{name}: {found:?}");
            for each in found.iter() {
                assert!(wrong.iter().any(|at| each.contains(at)), "{name}: {each:?}");
            }
            // A chunk, a MiB of zeros, or what a window has of a chunk that is longer.
            let most = if name.contains("longer") { 16 << 20 } else { 1 << 20 };
            assert!(found.bytes() <= most * wrong.len() as u64, "{name}: {found:?}");
            let digests = Digests::new([Algorithm::Blake3]);
            let options = Options { digests: Some(&digests), ..strict(3) };
            let (_, given) = target.keep(&volume, &range, &options);
            assert_eq!(given, found, "{name}: what is found wrong is put right");
            let hash = blake3::hash(&bytes[indices(&range)]).to_hex();
            assert_eq!(digests.finish().remove(0).1, hash.as_str(), "{name}");
            let mut expected = stale.clone();
            expected[indices(&range)].copy_from_slice(&bytes[indices(&range)]);
            target.holds(&expected);
        }
    }
}

#[test]
fn stale_bytes_below_zeros_and_holes_are_zeroed() {
    for Subject { name, model, volume, directory } in subjects() {
        let bytes = model.bytes();
        let kinds = model.kinds();
        let stale: Vec<u8> = bytes
            .iter()
            .zip(&kinds)
            .map(|(byte, kind)| if *kind == Some(Kind::Data) { *byte } else { 0xEE })
            .collect();
        let target = Target::new(directory.path(), &stale);
        let whole = 0..volume.size();
        let (report, given) = target.keep(&volume, &whole, &strict(2));
        let data = |at: u64| kinds[testing::index(at)] == Some(Kind::Data);
        assert!(!given.iter().cloned().flatten().any(data), "{name}: data that is right is kept");
        assert_eq!(report.counts.kept, report.counts.data, "{name}");
        target.holds(&bytes);
    }
}

#[test]
fn padding_that_is_not_zeros_is_found() {
    let Subject { model, volume, directory, .. } = native("linear", linear());
    let (size, end) = (volume.size(), volume.size() + 3_000_001);
    let mut bytes = model.bytes();
    bytes.resize(testing::index(end) + 500, 0);
    bytes[testing::index(end)..].fill(0xEE);
    for from in [0, 5000, size - 1, size] {
        let range = from..size;
        let found = |at: Option<u64>| {
            let mut bytes = bytes.clone();
            if let Some(at) = at {
                bytes[testing::index(at)] ^= 2;
            }
            Target::new(directory.path(), &bytes).compare(&volume, &range, end)
        };
        assert!(found(None).is_empty(), "what lies behind the end is not asked for");
        for at in [size, size + 1_500_000, end - 1] {
            let found = found(Some(at));
            assert!(found.end_from(at).is_some(), "{found:?}");
            assert!(found.iter().all(|r| size <= r.start && r.end <= end), "{found:?}");
        }
        assert!(found(Some(end)).is_empty());
    }
    // A target that ends too early is no target that is right.
    let short = Target::new(directory.path(), &bytes[..testing::index(size) + 10]);
    let target = ReadBack::open(&short.path, 0).unwrap();
    for range in [0..size, size..size] {
        let result = compare(&target, &volume, &range, end, &strict(1), &Progress::default());
        assert!(result.is_err(), "{result:?}");
    }
}

proptest! {
    #![proptest_config(testing::cases(32))]

    #[test]
    fn whatever_the_target_holds_it_is_brought_up_to_date(
        (chunk, steps) in steps(),
        flips in prop::collection::vec((any::<u64>(), 1..6000_usize), 0..5),
        (a, b) in any::<(u64, u64)>(),
        jobs in 1..4_usize,
    ) {
        let lineage = Lineage::new(chunk, &steps);
        let catalog = files::catalog(lineage.directory.path());
        let generation = lineage.generations.last().unwrap();
        let volume = files::open_set(&catalog, &generation.set_id).volume().unwrap();
        let (bytes, size) = (generation.model.bytes(), volume.size());
        let mut stale = bytes.clone();
        for (seed, len) in &flips {
            let at = testing::index(seed % size);
            stale.iter_mut().skip(at).take(*len).for_each(|byte| *byte = !*byte);
        }
        let (a, b) = (a % (size + 1), b % (size + 1));
        for range in [a.min(b)..a.max(b), 0..size] {
            let target = Target::new(lineage.directory.path(), &stale);
            let found = target.compare(&volume, &range, range.end);
            let differ = range.clone().filter(|at| {
                let at = testing::index(*at);
                stale[at] != bytes[at]
            });
            let differ: RangeSet = differ.map(|at| at..at + 1).collect();
            assert!(differ.iter().all(|range| found.covers(range)));
            // Nothing is called wrong without a wrong byte in it.
            let is_wrong = |r: &Range<u64>| differ.next_from(r.start).is_some_and(|at| at < r.end);
            assert!(found.iter().all(is_wrong));
            let (_, given) = target.keep(&volume, &range, &strict(jobs));
            assert_eq!(given, found);
            let mut expected = stale.clone();
            expected[indices(&range)].copy_from_slice(&bytes[indices(&range)]);
            target.holds(&expected);
            assert!(target.compare(&volume, &range, range.end).is_empty());
        }
    }
}
