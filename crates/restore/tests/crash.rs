//! Wherever a restore is stopped, what its journal says is durable is so and right, and the next run
//! does the rest and nothing else.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::path::Path;
use std::thread;
use std::time::Duration;

use host::entry::Entry;
use proptest::prelude::{any, prop, proptest};
use restore::engine::{Options, RunError, run};
use restore::journal::{Binding, Journal, SyncError, SyncPoints};
use restore::{Counts, Progress, RangeSet, Volume};
use testing::crash::{CrashSink, Fault};
use testing::memory::{MemorySource, volume_of};
use testing::model::{Kind, MemberModel, Part, VolumeModel};
use testing::{check, indices, noise, strict};

/// After each piece of work, after a few of them, and in the end only.
const POINTS: [u64; 3] = [1, 2 << 20, u64::MAX];

fn points(bytes: u64) -> SyncPoints {
    SyncPoints { bytes, time: Duration::from_secs(3600) }
}

/// Data in pieces, short zeros among them, long ones, and places that nobody has.
fn model() -> VolumeModel {
    let member = |n: u64| {
        let mut member = MemberModel::of(&format!("vol-{n}"), noise(n, 3 << 20));
        for (range, kind) in [
            (300_000..301_000, Kind::Zero),
            (1_000_000..2_600_000, Kind::Hole),
            (2_700_000..2_700_001, Kind::Zero),
        ] {
            member.bytes[range.clone()].fill(0);
            member.kinds[range].fill(kind);
        }
        member
    };
    let layout = vec![
        Part::Striped(20, 50_000, vec![(0, 0), (1, 7)]),
        Part::Unmapped(5000),
        Part::Linear(2_000_000, (0, 1_000_003)),
        Part::Linear(1_500_001, (1, 1_400_000)),
    ];
    VolumeModel { members: vec![member(1), member(2)], layout }
}

fn volume(model: &VolumeModel) -> Volume {
    volume_of(model, |_, m| Box::new(MemorySource::new(m, 128 << 10)))
}

/// Why a run was stopped.
#[derive(Debug)]
enum Stopped {
    Run(#[allow(dead_code, reason = "shown when a test fails")] RunError),
    Sync(#[allow(dead_code, reason = "shown when a test fails")] SyncError),
}

/// Brings the volume to the sink as a restore with a journal does.
fn bring(
    volume: &Volume,
    sink: &CrashSink,
    journal: &Journal,
    jobs: usize,
    points: SyncPoints,
) -> Result<Counts, Stopped> {
    let options = Options { journal: Some(journal), ..strict(jobs) };
    let progress = Progress::default();
    let (ran, kept) = thread::scope(|scope| {
        let keeper = scope.spawn(|| {
            let kept = journal.keep(points, sink);
            if kept.is_err() {
                progress.cancel();
            }
            kept
        });
        let ran = run(volume, 0..volume.size(), sink, &options, &progress);
        journal.close();
        (ran, keeper.join().unwrap())
    });
    kept.map_err(Stopped::Sync)?;
    let last = journal.sync_point(|| restore::sink::Sink::sync(sink));
    let report = ran.map_err(Stopped::Run)?;
    last.map_err(Stopped::Sync)?;
    Ok(report.counts)
}

struct Place<'v> {
    volume: &'v Volume,
    bytes: &'v [u8],
    journal: &'v Path,
}

impl Place<'_> {
    fn open(&self) -> Journal {
        let binding = Binding { volume: "content-1".into(), range: 0..self.volume.size() };
        Journal::open(&Entry::at(self.journal).unwrap(), &binding).unwrap()
    }

    /// One run with a fault: whether it got through, and what is found afterwards.
    fn run(
        &self,
        before: &[u8],
        (fault, seed): (Option<Fault>, u64),
        jobs: usize,
        points: SyncPoints,
    ) -> (Result<Counts, Stopped>, CrashSink) {
        let journal = self.open();
        let proven = journal.proven();
        let sink = CrashSink::new(before, fault, seed);
        let result = bring(self.volume, &sink, &journal, jobs, points);
        let given = sink.given();
        let again: RangeSet = proven.iter().filter(|r| touches(&given, r)).cloned().collect();
        assert!(again.is_empty(), "proved already, and written again: {again:?}");
        // The next run knows what is in the file, not what this one knew.
        drop(journal);
        for range in self.open().proven().iter() {
            let found = &sink.durable()[indices(range)];
            check::same(found, &self.bytes[indices(range)], range.start);
        }
        if let Ok(counts) = &result {
            let sum = counts.data + counts.zero + counts.hole + counts.unmapped + counts.resumed;
            assert_eq!(sum, self.volume.size());
            assert_eq!(counts.resumed, proven.bytes());
        }
        (result, sink)
    }

    /// A run that nothing stops, which must do all that is left.
    fn finish(&self, before: &[u8], jobs: usize) {
        let (result, sink) = self.run(before, (None, 0), jobs, points(1));
        result.unwrap();
        check::same(&sink.durable(), self.bytes, 0);
        assert!(self.open().proven().covers(&(0..self.volume.size())));
    }
}

fn touches(set: &RangeSet, range: &std::ops::Range<u64>) -> bool {
    set.next_from(range.start).is_some_and(|at| at < range.end)
}

/// Every write and every sync that there is fails once.
#[test]
fn whichever_call_fails_the_next_run_does_the_rest() {
    let model = model();
    let (volume, bytes) = (volume(&model), model.bytes());
    let stale = noise(77, bytes.len());
    let directory = tempfile::tempdir().unwrap();
    let (mut failures, mut resumed) = (0, 0);
    for (jobs, bytes_between) in [1, 3].into_iter().flat_map(|j| POINTS.map(|p| (j, p))) {
        let path = directory.path().join("journal");
        let place = Place { volume: &volume, bytes: &bytes, journal: &path };
        let (result, sink) = place.run(&stale, (None, 0), jobs, points(bytes_between));
        result.unwrap();
        std::fs::remove_file(&path).unwrap();
        let (writes, syncs) = sink.calls();
        assert!(writes > 12 && syncs > 0, "{writes} writes, {syncs} syncs");
        let faults = (0..writes).flat_map(|n| [Fault::Write(n), Fault::PowerCut(n)]);
        for (seed, fault) in (0..).zip(faults.chain((0..syncs).map(Fault::Sync))) {
            let failing = (Some(fault), seed);
            let (result, sink) = place.run(&stale, failing, jobs, points(bytes_between));
            // How many syncs there are depends on the moment.
            failures += u64::from(result.is_err());
            resumed += u64::from(place.open().proven().bytes() > 0);
            assert!(result.is_err() || matches!(fault, Fault::Sync(_)), "{fault:?}");
            place.finish(&sink.survivors(), 4 - jobs);
            std::fs::remove_file(&path).unwrap();
        }
    }
    assert!(failures > 190 && resumed > 60, "{failures} runs stopped, {resumed} proved something");
}

/// A sync that failed is not made good by one that works: `fsync(2)` says so once.
#[test]
fn what_a_failed_sync_was_to_make_durable_is_written_again() {
    let model = model();
    let (volume, bytes) = (volume(&model), model.bytes());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    let place = Place { volume: &volume, bytes: &bytes, journal: &path };
    let stale = noise(77, bytes.len());
    // The only one there is.
    let (result, sink) = place.run(&stale, (Some(Fault::Sync(0)), 5), 2, points(u64::MAX));
    assert!(matches!(result, Err(Stopped::Sync(SyncError::Target(_)))), "{result:?}");
    assert!(place.open().proven().is_empty());
    assert_eq!(sink.calls().1, 1, "nobody asks again");
    place.finish(&sink.survivors(), 2);
}

proptest! {
    #![proptest_config(testing::cases(16))]

    /// One fault after the other, each with what the last one has left.
    #[test]
    fn any_number_of_crashes_ends_in_the_same_bytes(
        faults in prop::collection::vec((any::<(u8, u8, u64)>(), 1..4_usize, 0..3_usize), 1..8),
    ) {
        let model = model();
        let (volume, bytes) = (volume(&model), model.bytes());
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let place = Place { volume: &volume, bytes: &bytes, journal: &path };
        let mut found = noise(77, bytes.len());
        let mut proven = 0;
        for ((kind, number, seed), jobs, at) in faults {
            let number = u64::from(number) % 24;
            let fault = match kind % 3 {
                0 => Fault::Write(number),
                1 => Fault::PowerCut(number),
                _ => Fault::Sync(number % 6),
            };
            let (_, sink) = place.run(&found, (Some(fault), seed), jobs, points(POINTS[at]));
            found = sink.survivors();
            let now = place.open().proven().bytes();
            assert!(now >= proven, "what is proved stays proved");
            proven = now;
        }
        place.finish(&found, 2);
    }
}
