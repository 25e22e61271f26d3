//! Volumes at random, through their generations, against a model that knows only bytes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use proptest::prelude::proptest;
use restore::engine::run;
use restore::sink::Sink;
use restore::source::Source;
use restore::{Layout, Progress, Volume, VolumeMember};
use snapfmt::{Column, ExtentMap, Limits, Mapping, MemberNo, Segment};
use snaprestore::capture::Form;
use testing::check::{self, Reading};
use testing::lineage::{Act, Change, Lineage, Piece, Step, Stored, Way};
use testing::memory::{MemorySource, volume_of};
use testing::model::{Kind, MemberModel, Part, VolumeModel, tally};
use testing::scenario::{reading, steps};
use testing::sinks::MemorySink;
use testing::{files, indices, noise, salvage, strict};

proptest! {
    #![proptest_config(testing::cases(96))]

    #[test]
    fn every_generation_comes_back((chunk, steps) in steps(), reading in reading()) {
        let lineage = Lineage::new(chunk, &steps);
        let catalog = files::catalog(lineage.directory.path());
        for n in 0..lineage.generations.len() {
            check::generation(&lineage, &catalog, n, &reading);
        }
    }
}

const CHUNK: usize = 4096;
const KINDS: [Stored; 4] = [Stored::Data, Stored::Zero, Stored::Hole, Stored::Inherit];

/// What makes a set by hand store a kind.
fn act_for(kind: Stored, seed: u64) -> Act {
    match kind {
        Stored::Data => Act::Fresh(seed << 32),
        Stored::Zero => Act::Zero,
        Stored::Hole => Act::Hole,
        Stored::Inherit => Act::Keep,
    }
}

fn by_hand(chunks: usize, acts: Vec<Act>, layout: Vec<Piece>) -> Step {
    let changes = vec![Change { chunks, short: 1000, acts }; 2];
    let form = Form { compact_zeros: true, dedup: false };
    Step { changes, layout, way: Way::Hand, restart: false, form, rotate: 0, jobs: 2 }
}

/// How often a chunk that is stored as one kind is stored as another by the next generation.
fn transitions(lineage: &Lineage) -> [[usize; 4]; 4] {
    let catalog = files::catalog(lineage.directory.path());
    let number = |kind: Stored| KINDS.iter().position(|k| *k == kind).unwrap();
    let mut seen = [[0; 4]; 4];
    let all: Vec<_> = lineage
        .generations
        .iter()
        .map(|g| check::stored(&files::open_set(&catalog, &g.set_id)))
        .collect();
    for (pair, generation) in all.windows(2).zip(&lineage.generations[1..]) {
        for (member, below) in pair[1].iter().zip(&generation.builds_on) {
            let Some(below) = below else { continue };
            for (from, to) in pair[0][*below].iter().zip(member) {
                seen[number(*from)][number(*to)] += 1;
            }
        }
    }
    seen
}

/// Not at random: below each of the three kinds that a full snapshot has, every sequence of three
/// kinds in the generations after it, and then one that keeps or changes all of them in turn.
#[test]
fn every_kind_follows_every_kind() {
    let chunks = 3 * 4 * 4 * 4;
    // As if the chunk's number were written in digits of 3, 4, 4 and 4.
    let digit = |no: usize, generation: usize| match generation {
        0 => KINDS[no / 64],
        1 => KINDS[no / 16 % 4],
        2 => KINDS[no / 4 % 4],
        3 => KINDS[no % 4],
        _ => KINDS[(no + no / 4) % 4],
    };
    let steps: Vec<Step> = (0..5)
        .map(|generation| {
            let acts = (0..chunks).map(|no| act_for(digit(no, generation), generation as u64 + 1));
            let striped = Piece { width: 2, member: 0, stripe: 7000, length: 90, skip: 10 };
            let rest = Piece { width: 1, member: 1, stripe: 1, length: 80_000, skip: 500 };
            by_hand(chunks, acts.collect(), vec![striped, rest])
        })
        .collect();
    let lineage = Lineage::new(CHUNK, &steps);
    let catalog = files::catalog(lineage.directory.path());
    let reading = Reading { jobs: 2, ranges: vec![(100_000, 1_200_000), (5, 1_300_333)] };
    for n in 0..lineage.generations.len() {
        check::generation(&lineage, &catalog, n, &reading);
    }
    for (from, row) in KINDS.iter().zip(transitions(&lineage)) {
        for (to, times) in KINDS.iter().zip(row) {
            assert!(times > 0, "{from:?} is never followed by {to:?}");
        }
    }
}

/// A member that shrinks and grows again must not get back what it had before.
#[test]
fn what_a_member_lost_by_shrinking_stays_lost() {
    let fresh = |seed| vec![Act::Fresh(seed)];
    let keep = || vec![Act::Keep];
    let sizes =
        [(8, 100, fresh(1)), (3, 700, keep()), (8, 100, keep()), (8, 0, keep()), (9, 5, keep())];
    for way in [Way::Hand, Way::Raw(5000), Way::Memory(3000)] {
        let steps: Vec<Step> = sizes
            .iter()
            .map(|(chunks, short, acts)| Step {
                changes: vec![Change { chunks: *chunks, short: *short, acts: acts.clone() }],
                way,
                ..by_hand(1, Vec::new(), Vec::new())
            })
            .collect();
        let lineage = Lineage::new(CHUNK, &steps);
        let catalog = files::catalog(lineage.directory.path());
        for n in 0..lineage.generations.len() {
            check::generation(&lineage, &catalog, n, &Reading { jobs: 1, ranges: Vec::new() });
        }
        let last = &lineage.generations[4].model.members[0].bytes;
        assert!(
            last[..2 * CHUNK].iter().any(|b| *b != 0) && last[3 * CHUNK..].iter().all(|b| *b == 0)
        );
        // The chunk that straddles the smaller size is stored anew each time.
        assert_eq!(
            lineage.generations[1].stored[0],
            [Stored::Inherit, Stored::Inherit, Stored::Data]
        );
    }
}

/// Chunks so large that a worker cannot keep one of each column: columns share a place, and one that
/// fails must not leave its bytes behind as another's.
#[test]
fn columns_that_share_a_place_are_told_apart() {
    const MIB: usize = 1 << 20;
    let member = |n: u64| MemberModel::of(&format!("vol-{n}"), noise(n, 14 * MIB));
    let columns = (0..3).map(|n| (n, 0)).collect();
    let layout = vec![Part::Striped(4, 7 << 19, columns)];
    let model = VolumeModel { members: (0..3).map(member).collect(), layout };
    let volume = |fails: Option<usize>| {
        volume_of(&model, |no, member| {
            let source = MemorySource::new(member, 14 << 20);
            Box::new(if fails == Some(no) { source.failing_at(0) } else { source })
        })
    };
    check::restored_bytes(&volume(None), &model, &strict(1));
    // The first window has a part of it, which is lost; the next ones read it again.
    let failing = volume(Some(2));
    let sink = MemorySink::new(failing.size());
    let whole = 0..failing.size();
    let report = run(&failing, whole.clone(), &sink, &salvage(1, 0), &Progress::default()).unwrap();
    let mut expected = model.bytes();
    let lost = report.damaged_ranges();
    assert!(!lost.is_empty() && lost.iter().all(|range| range.end <= 16 << 20), "{lost:?}");
    for range in lost.iter() {
        expected[indices(range)].fill(0);
    }
    check::same(&sink.into_bytes(&whole), &expected, 0);
}

/// Where zeros end and data starts, or the other way round, to the byte: in long runs, which a plan
/// passes over without asking again, and in short ones.
#[test]
fn every_border_between_zeros_and_data_is_kept() {
    const MIB: u64 = 1 << 20;
    let runs = [
        (3 * MIB + 5, Kind::Zero),
        (1, Kind::Data),
        (2 * MIB, Kind::Hole),
        (4096, Kind::Data),
        (1, Kind::Zero),
        (4095, Kind::Data),
        (MIB + 1, Kind::Zero),
        (1, Kind::Data),
    ];
    let member = |n: u64| {
        let kinds: Vec<Kind> =
            runs.iter().flat_map(|(len, kind)| vec![*kind; testing::index(*len)]).collect();
        let zero = |(byte, kind): (u8, &Kind)| if *kind == Kind::Data { byte | 1 } else { 0 };
        let bytes = noise(n, kinds.len()).into_iter().zip(&kinds).map(zero).collect();
        MemberModel { volume: format!("vol-{n}"), bytes, kinds }
    };
    let (one, other) = (member(1), member(2));
    let size = one.size();
    for layout in [
        vec![Part::Linear(size, (0, 0)), Part::Linear(size - 1, (1, 1))],
        vec![Part::Striped(size / 3000, 3000, vec![(0, size % 3000), (1, 0)])],
    ] {
        let model = VolumeModel { members: vec![one.clone(), other.clone()], layout };
        let volume = volume_of(&model, |_, m| Box::new(MemorySource::new(m, 4096)));
        let (bytes, kinds) = (model.bytes(), model.kinds());
        let borders = (1..kinds.len()).filter(|at| kinds[*at] != kinds[at - 1]);
        let some: Vec<u64> = borders.map(|at| at as u64).collect();
        let step = some.len().div_ceil(16);
        for at in some.iter().step_by(step).flat_map(|at| [at - 1, *at, at + 1]) {
            for range in [0..at, at..volume.size()] {
                let sink = MemorySink::new(volume.size());
                let progress = Progress::default();
                let report = run(&volume, range.clone(), &sink, &strict(2), &progress).unwrap();
                let place = indices(&range);
                check::same(
                    &sink.into_bytes(&range)[place.clone()],
                    &bytes[place.clone()],
                    range.start,
                );
                let counts = tally(&kinds[place]);
                assert_eq!((report.counts.zero, report.counts.hole), (counts.zero, counts.hole));
            }
        }
    }
}

/// As far out as a layout can be: sums that wrap would read the wrong bytes, or none.
#[test]
fn the_end_of_the_address_space_is_read_like_any_other_place() {
    let member = MemberModel::of("vol-0", noise(1, 3 << 20));
    let start = u64::MAX - 1 - member.size();
    let column = Column { member: MemberNo(0), offset: 0 };
    let segments = [
        Segment { start: 0, length: start, mapping: Mapping::Unmapped },
        Segment { start, length: member.size(), mapping: Mapping::Linear(column) },
    ];
    let map = ExtentMap::new(u64::MAX - 1, &[member.size()], segments, &Limits::DEFAULT).unwrap();
    let source = Box::new(MemorySource::new(&member, 5000)) as Box<dyn Source>;
    let members = vec![VolumeMember { volume_id: "vol-0".parse().unwrap(), source: source.into() }];
    let volume = Volume::new(Layout::new(map), members).unwrap();
    for ordered in [false, true] {
        let progress = Progress::default();
        let sink = FarSink { start, near: MemorySink::new(member.size()), ordered };
        let range = start..u64::MAX - 1;
        let report = run(&volume, range, &sink, &strict(2), &progress).unwrap();
        assert_eq!(report.counts.data, member.size());
        check::same(&sink.near.into_bytes(&(0..member.size())), &member.bytes, start);
    }
}

/// Bytes far out, kept as if they were near.
struct FarSink {
    start: u64,
    near: MemorySink,
    ordered: bool,
}

impl Sink for FarSink {
    fn write_at(&self, data: &[u8], offset: u64) -> std::io::Result<()> {
        self.near.write_at(data, offset - self.start)
    }

    fn zero_at(&self, range: std::ops::Range<u64>) -> std::io::Result<()> {
        self.near.zero_at(range.start - self.start..range.end - self.start)
    }

    fn is_ordered(&self) -> bool {
        self.ordered
    }

    fn path(&self) -> &std::path::Path {
        self.near.path()
    }

    fn sync(&self) -> std::io::Result<()> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> std::io::Result<()> {
        Ok(())
    }
}

/// What lies beyond the volume is nobody's bytes.
#[test]
fn a_range_ends_where_the_volume_does() {
    let member = MemberModel::of("vol-0", noise(1, 100_000));
    let layout = vec![Part::Linear(100_000, (0, 0))];
    let model = VolumeModel { members: vec![member], layout };
    let volume = volume_of(&model, |_, member| Box::new(MemorySource::new(member, 4096)));
    for (range, inside) in [
        (90_000..200_000, 90_000..100_000),
        (0..u64::MAX, 0..100_000),
        (100_000..100_001, 100_000..100_000),
        (u64::MAX - 1..u64::MAX, 100_000..100_000),
        (50_000..50_000, 50_000..50_000),
    ] {
        let (progress, sink) = (Progress::default(), MemorySink::new(100_000));
        let report = run(&volume, range, &sink, &strict(2), &progress).unwrap();
        let length = inside.end - inside.start;
        assert_eq!(
            (report.counts.data, progress.done(), progress.total()),
            (length, length, length)
        );
        sink.into_bytes(&inside);
    }
}
