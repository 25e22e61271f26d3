//! Restores that are divided, foretold and held back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::num::NonZeroU64;
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::{Strategy, any, prop, proptest};
use restore::engine::{RunError, run};
use restore::job::{JobError, Restore};
use restore::sink::{NullSink, PipeSink, Sink};
use restore::source::Source;
use restore::survey::survey;
use restore::{Counts, Layout, Part, Progress, Throttle, Volume, VolumeMember};
use testing::job::{Before, expected, in_place, stale, whole, write_stale};
use testing::lineage::Lineage;
use testing::memory::{MemorySource, SparseSource, volume_of, volume_over};
use testing::model::{self, Kind, MemberModel, VolumeModel};
use testing::scenario::steps;
use testing::{check, files, jobs, noise, strict};

const MIB: u64 = 1 << 20;

/// A volume of any size that has no content worth mentioning: for each segment its width, rows,
/// stripe and what is left out before it, and for each member its chunk size.
fn shape(segments: &[(usize, u64, u32, u64)], chunks: &[u32]) -> Volume {
    let mut free = vec![0; chunks.len()];
    let mut layout = Vec::new();
    for &(width, rows, stripe, skip) in segments {
        let length = rows * u64::from(stripe);
        let columns: Vec<(usize, u64)> = (0..width).map(|m| (m, free[m] + skip)).collect();
        free[..width].iter_mut().for_each(|free| *free += skip + length);
        layout.push(match columns.as_slice() {
            [] => model::Part::Unmapped(length),
            [one] => model::Part::Linear(length, *one),
            _ => model::Part::Striped(rows, stripe, columns),
        });
    }
    let sizes: Vec<u64> = free.iter().map(|free| free + 1).collect();
    let members = sizes.iter().zip(chunks).enumerate().map(|(no, (size, chunk))| {
        let source =
            SparseSource { size: *size, chunk: *chunk, data: vec![0, 3], holes: false, version: 0 };
        let volume_id = format!("vol-{no}").parse().unwrap();
        VolumeMember { volume_id, source: Box::<dyn Source>::from(Box::new(source)).into() }
    });
    let map = model::extent_map(&layout, &sizes);
    Volume::new(Layout::new(map), members.collect()).unwrap()
}

fn parts_of(volume: &Volume, range: &Range<u64>, count: u32) -> Vec<Range<u64>> {
    let part = |number: u32| format!("{number}/{count}").parse::<Part>().unwrap();
    (1..=count).map(|number| part(number).of(volume, range)).collect()
}

fn volumes() -> impl Strategy<Value = Volume> {
    let stripe = prop::sample::select(vec![4096_u32, 65_536, 1 << 20, 3000, 6 << 10, 777, 5 << 11]);
    let skip = prop::sample::select(vec![0_u64, 4096, 5, 1 << 16]);
    let segment = (0..=3_usize, 1..700_u64, stripe, skip);
    let chunk = prop::sample::select(vec![4096_u32, 512 << 10, 5000, 3 << 20, 20 << 20]);
    (prop::collection::vec(segment, 1..7), prop::collection::vec(chunk, 3))
        .prop_map(|(segments, chunks)| shape(&segments, &chunks))
}

proptest! {
    #![proptest_config(testing::cases(512))]

    #[test]
    fn all_parts_together_are_the_range(
        volume in volumes(),
        (a, b) in any::<(u64, u64)>(),
        count in 1..24_u32,
    ) {
        let (a, b) = (a % (volume.size() + 1), b % (volume.size() + 1));
        for range in [0..volume.size(), a.min(b)..a.max(b)] {
            let mut at = range.start;
            for part in parts_of(&volume, &range, count) {
                assert_eq!(part.start, at, "each begins where the one before ends");
                assert!(part.end >= part.start, "{part:?}");
                at = part.end;
                let is_edge = at == range.start || at == range.end;
                assert!(at % 4096 == 0 || is_edge, "no block belongs to two: {at:#x}");
            }
            assert_eq!(at, range.end);
        }
    }
}

proptest! {
    #![proptest_config(testing::cases(32))]

    #[test]
    fn a_survey_foretells_what_a_run_finds(
        (chunk, steps) in steps(),
        (a, b) in any::<(u64, u64)>(),
    ) {
        let lineage = Lineage::new(chunk, &steps);
        let catalog = files::catalog(lineage.directory.path());
        for (number, generation) in lineage.generations.iter().enumerate() {
            let volume = files::open_set(&catalog, &generation.set_id).volume().unwrap();
            let size = volume.size();
            let (a, b) = (a % (size + 1), b % (size + 1));
            for range in [0..size, a.min(b)..a.max(b)] {
                let found = survey(&volume, range.clone(), &Progress::default()).unwrap();
                let progress = Progress::default();
                let done = run(&volume, range, &NullSink, &strict(1), &progress).unwrap().counts;
                let kinds = |c: &Counts| (c.data, c.zero, c.hole, c.unmapped);
                assert_eq!(kinds(&found), kinds(&done));
                // A full set has each chunk of a column once, and one shard reads it once.
                if number == 0 && size <= MIB {
                    assert_eq!(found.stored, done.stored);
                }
            }
        }
    }
}

/// Two members in stripes, with zeros and a hole in each.
fn striped() -> VolumeModel {
    let member = |n: u64| {
        let mut member = MemberModel::of(&format!("vol-{n}"), noise(n, 5 << 20));
        for (range, kind) in [(700_000..2_900_000, Kind::Zero), (3_000_000..3_100_000, Kind::Hole)]
        {
            member.bytes[range.clone()].fill(0);
            member.kinds[range].fill(kind);
        }
        member
    };
    let layout = vec![
        model::Part::Striped(64, 64 << 10, vec![(0, 0), (1, 0)]),
        model::Part::Unmapped(5000),
        model::Part::Linear(MIB - 9, (1, 4 << 20)),
    ];
    VolumeModel { members: vec![member(1), member(2)], layout }
}

/// A chunk that many shards need is surveyed once, wherever the survey begins in it.
#[test]
fn a_chunk_longer_than_a_shard_is_surveyed_once() {
    let member = MemberModel::of("vol-0", noise(1, 9 << 20));
    let volume = volume_over(Box::new(MemorySource::new(&member, 3 << 20)));
    for (range, chunks) in [(0..9 * MIB, 3), (1..9 * MIB, 3), (MIB..2 * MIB, 1), (5..6, 1)] {
        let found = survey(&volume, range.clone(), &Progress::default()).unwrap();
        assert_eq!(found.stored, chunks * 3 * MIB, "{range:?}");
        assert_eq!(found.data, range.end - range.start);
    }
}

#[test]
fn parts_at_the_same_time_are_one_run() {
    let model = striped();
    let volume = volume_of(&model, |_, m| Box::new(MemorySource::new(m, 64 << 10)));
    let size = volume.size();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("target");
    let end = size + 70_001;
    let whole_run = run(&volume, 0..size, &NullSink, &strict(1), &Progress::default()).unwrap();
    for (count, range) in [(2, 0..size), (3, 0..size), (7, 12_345..size - 2_000_000), (40, 0..size)]
    {
        let before = stale(testing::index(end), &[Before::Dirty]);
        write_stale(&path, &before, &[Before::Dirty]);
        let parts = parts_of(&volume, &range, count);
        assert!(parts.iter().filter(|part| !part.is_empty()).count() > 1);
        let end = if range.end == size { end } else { range.end };
        let bring = |part: Range<u64>| {
            let end = if part.end == range.end { end } else { part.end };
            let restore =
                Restore { range: part, end, jobs: jobs(1), ..whole(&volume, in_place(&path)) };
            let restored = restore.run(&Progress::default()).unwrap();
            let counts = restored.report.counts;
            restored.publish().unwrap();
            counts
        };
        let counts: Vec<Counts> = thread::scope(|scope| {
            // The last one starts first.
            let spawn = |part: Range<u64>| scope.spawn(|| bring(part));
            let running: Vec<_> = parts.into_iter().rev().map(spawn).collect();
            running.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let found = std::fs::read(&path).unwrap();
        check::same(&found, &expected(before, &model.bytes(), &range, end), 0);
        let sum = |of: fn(&Counts) -> u64| counts.iter().map(of).sum::<u64>();
        assert_eq!(
            sum(|c| c.data + c.zero + c.hole + c.unmapped),
            range.end - range.start,
            "no byte is anyone's twice"
        );
        if range == (0..size) {
            assert_eq!(sum(|c| c.stored), whole_run.counts.stored, "no chunk is read twice");
        }
    }
}

#[test]
fn only_numbers_up_to_the_count_are_parts() {
    for wrong in ["0/3", "4/3", "1", "1/", "/1", "0/0", "-1/2", "1/2/3", "a/b", ""] {
        assert!(wrong.parse::<Part>().is_err(), "{wrong:?}");
    }
    let last: Part = "3/3".parse().unwrap();
    assert!(last.is_last() && !"2/3".parse::<Part>().unwrap().is_last());
    assert_eq!(last.to_string(), "3/3");
}

fn two_mebibytes() -> (VolumeModel, Volume) {
    let member = MemberModel::of("vol-0", noise(1, 2 << 20));
    let layout = vec![model::Part::Linear(2 * MIB, (0, 0))];
    let model = VolumeModel { members: vec![member], layout };
    let volume = volume_of(&model, |_, m| Box::new(MemorySource::new(m, 64 << 10)));
    (model, volume)
}

#[test]
fn a_throttled_restore_takes_its_time() {
    let (model, volume) = two_mebibytes();
    let directory = tempfile::tempdir().unwrap();
    for jobs in [1, 4].map(jobs) {
        let path = directory.path().join(format!("throttled-{jobs}"));
        let started = Instant::now();
        let throttle = Throttle::new(NonZeroU64::new(4 * MIB).unwrap());
        let restore = Restore {
            jobs,
            throttle: Some(&throttle),
            ..whole(&volume, testing::job::image(&path))
        };
        restore.run(&Progress::default()).unwrap().publish().unwrap();
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(450), "{took:?}");
        check::same(&std::fs::read(&path).unwrap(), &model.bytes(), 0);
    }
}

/// Zeros cost a pipe as much as data; a file gets them for nothing.
#[test]
fn only_what_is_written_out_is_throttled() {
    let volume = shape(&[(0, 256, 4096, 0)], &[4096]);
    let slow = Throttle::new(NonZeroU64::new(4 * MIB).unwrap());
    let options = restore::engine::Options { throttle: Some(&slow), ..strict(2) };
    let time = |sink: &dyn Sink| {
        let started = Instant::now();
        run(&volume, 0..volume.size(), sink, &options, &Progress::default()).unwrap();
        started.elapsed()
    };
    let pipe = PipeSink::new(Box::new(std::io::sink()), "pipe");
    assert!(time(&NullSink) < Duration::from_millis(200));
    let took = time(&pipe);
    // A tenth of a second may have been saved up.
    assert!(took >= Duration::from_millis(140), "{took:?}");
}

#[test]
fn a_throttled_restore_can_be_interrupted() {
    let (_, volume) = two_mebibytes();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("interrupted");
    let throttle = Throttle::new(NonZeroU64::MIN);
    let progress = Progress::default();
    let started = Instant::now();
    let result = thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(100));
            progress.cancel();
        });
        let target = testing::job::image(&path);
        Restore { throttle: Some(&throttle), ..whole(&volume, target) }.run(&progress)
    });
    let unfinished = result.unwrap_err();
    assert!(matches!(unfinished.error, JobError::Run(RunError::Interrupted)), "{unfinished}");
    assert!(started.elapsed() < Duration::from_secs(20), "a byte a second would take weeks");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left");
}
