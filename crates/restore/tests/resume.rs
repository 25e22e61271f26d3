//! Restores that stop and go on: what is left behind, and what is taken up again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use restore::engine::{OnDamage, Options, RunError, run};
use restore::job::{JobError, Restore, Target};
use restore::journal::{Binding, Journal};
use restore::sink::NullSink;
use restore::{Algorithm, Digests, Progress, Volume};
use snapfmt::{ExtentMap, Limits, Mapping, Segment};
use testing::files::{self, Place as InFile, flip};
use testing::hand::{HandMember, HandSet};
use testing::job::{Before, entry, expected, image, in_place, journal, write_stale};
use testing::place::{Place, STOP, failing, go, model, volume};
use testing::{check, indices, jobs, noise, strict};

const MIB: u64 = 1 << 20;

#[test]
fn an_unfinished_image_goes_on_where_it_was() {
    let model = model();
    let (volume, bytes) = (volume(&model), model.bytes());
    let place = Place::new();
    let proven = place.unfinished(&model);
    let restored = go(place.image(&volume)).unwrap();
    assert_eq!(restored.report.counts.resumed, proven);
    assert_eq!(place.names(), [".target.partial", "journal"], "its name comes last");
    restored.publish().unwrap();
    assert_eq!(place.names(), ["target"]);
    check::same(&fs::read(place.target()).unwrap(), &bytes, 0);
}

/// An image of a part, with zeros behind it, stopped and taken up again several times.
#[test]
fn part_of_a_volume_goes_on_as_well() {
    let model = model();
    let place = Place::new();
    let (range, end) = (12_345..volume(&model).size(), volume(&model).size() + 3_000_001);
    let mut proven = 0;
    // Two workers may be busy with what lies before the place.
    for stop in [60, 2] {
        let failing = failing(&model, stop);
        let restore = Restore { range: range.clone(), end, jobs: jobs(1), ..place.image(&failing) };
        let unfinished = go(restore).unwrap_err();
        assert!(unfinished.proven >= proven.max(1), "{} after {proven}", unfinished.proven);
        proven = unfinished.proven;
    }
    let volume = volume(&model);
    let restored = go(Restore { range: range.clone(), end, ..place.image(&volume) }).unwrap();
    assert_eq!(restored.report.counts.resumed, proven);
    restored.publish().unwrap();
    let whole = expected(vec![0; testing::index(end)], &model.bytes(), &range, end);
    check::same(&fs::read(place.target()).unwrap(), &whole[12_345..], range.start);
}

/// Whatever the unproved places of the temporary file hold.
#[test]
fn what_is_not_proved_is_not_believed() {
    let model = model();
    let (volume, bytes) = (volume(&model), model.bytes());
    let place = Place::new();
    place.unfinished(&model);
    let binding = Binding { volume: "content-1".into(), range: 0..volume.size() };
    let proven = Journal::open(&entry(&place.journal()), &binding).unwrap().proven();
    let partial = fs::read(place.partial()).unwrap();
    let mut at = 0;
    while at < volume.size() {
        let next = proven.end_from(at).or_else(|| proven.next_from(at)).unwrap_or(volume.size());
        if proven.end_from(at).is_none() {
            files::overwrite(&place.partial(), at, &noise(at, testing::index(next - at)));
        } else {
            check::same(&partial[indices(&(at..next))], &bytes[indices(&(at..next))], at);
        }
        at = next;
    }
    go(place.image(&volume)).unwrap().publish().unwrap();
    check::same(&fs::read(place.target()).unwrap(), &bytes, 0);
}

#[test]
fn where_nothing_is_proved_nothing_is_left() {
    let model = model();
    let place = Place::new();
    for with_journal in [true, false] {
        let failing = failing(&model, if with_journal { 0 } else { STOP });
        let journal = with_journal.then(|| journal(&place.journal()));
        let unfinished = go(Restore { journal, ..place.image(&failing) }).unwrap_err();
        assert_eq!(unfinished.proven, 0);
        assert!(place.names().is_empty(), "{:?}", place.names());
    }
    // Neither where the target cannot be made.
    let volume = volume(&model);
    let nowhere = place.dir.path().join("no-such-directory/target");
    let cannot = |target, end| {
        let unfinished = go(Restore { target, end, ..place.image(&volume) }).unwrap_err();
        assert!(matches!(unfinished.error, JobError::Target { .. }), "{unfinished}");
    };
    assert!(Target::image(&nowhere).is_err());
    // Or cannot be as long.
    cannot(image(&place.target()), u64::MAX);
    assert!(place.names().is_empty(), "{:?}", place.names());
    fs::write(place.target(), "mine").unwrap();
    cannot(in_place(&place.target()), u64::MAX);
    assert_eq!(place.content(), [(place.target(), b"mine".to_vec())]);
}

#[test]
fn what_is_dropped_unpublished_is_kept_with_a_journal_only() {
    let volume = volume(&model());
    let place = Place::new();
    drop(go(Restore { journal: None, ..place.image(&volume) }).unwrap());
    assert!(place.names().is_empty());
    drop(go(place.image(&volume)).unwrap());
    assert_eq!(place.names(), [".target.partial", "journal"]);
    let restored = go(place.image(&volume)).unwrap();
    assert_eq!(restored.report.counts.resumed, volume.size());
    restored.publish_and_keep_journal().unwrap();
    assert_eq!(place.names(), ["journal", "target"]);
}

/// The name is taken: what was restored stays and can be published by another run.
#[test]
fn a_name_that_is_taken_costs_nothing() {
    let model = model();
    let volume = volume(&model);
    let place = Place::new();
    let restored = go(place.image(&volume)).unwrap();
    fs::write(place.target(), "mine").unwrap();
    let error = restored.publish().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read(place.target()).unwrap(), b"mine");
    let target = Target::Image { entry: entry(&place.target()), replace: true, preallocate: false };
    let restored = go(Restore { target, ..place.image(&volume) }).unwrap();
    assert_eq!(restored.report.counts.resumed, volume.size());
    restored.publish().unwrap();
    check::same(&fs::read(place.target()).unwrap(), &model.bytes(), 0);
    assert_eq!(place.names(), ["target"]);
}

#[test]
fn what_is_lost_is_not_done() {
    let chunk = 64 << 10;
    let bytes = noise(1, 96 * chunk);
    let dir = tempfile::tempdir().unwrap();
    let member = HandMember::full("vol-0", &bytes, chunk);
    let path = HandSet::single("dsnap-0", chunk, member).write(dir.path()).remove(0).path;
    flip(&path, InFile::Chunk(40));
    let catalog = files::catalog(dir.path());
    let volume = files::open_set(&catalog, "dsnap-0").volume().unwrap();
    let place = Place::new();
    write_stale(&place.target(), &[], &[Before::Hole]);
    let lost = 40 * chunk as u64..41 * chunk as u64;
    let mut expected = bytes;
    expected[indices(&lost)].fill(0xAA);
    for run in 0..3 {
        let on_damage = OnDamage::Salvage { fill: 0xAA };
        let restore = Restore { on_damage, verify_target: true, ..place.in_place(&volume) };
        let restored = go(restore).unwrap();
        let damaged: Vec<_> = restored.report.damaged_ranges().iter().cloned().collect();
        assert_eq!(damaged, std::slice::from_ref(&lost), "run {run} says it again");
        let resumed = restored.report.counts.resumed;
        assert_eq!(resumed, if run == 0 { 0 } else { volume.size() - MIB });
        restored.publish_and_keep_journal().unwrap();
        check::same(&fs::read(place.target()).unwrap(), &expected, 0);
    }
}

const ALL: [Algorithm; 3] = [Algorithm::Sha256, Algorithm::Md5, Algorithm::Blake3];

#[test]
fn a_digest_is_of_everything_whatever_was_done_before() {
    let model = model();
    let volume = volume(&model);
    let bytes = model.bytes();
    for (range, stop) in [(0..volume.size(), STOP), (999_999..6_000_001, 18)] {
        let place = Place::new();
        let [stopped, digests, fresh] = [0; 3].map(|_| Digests::new(ALL));
        let part = Restore { range: range.clone(), end: range.end, ..place.image(&volume) };
        let failing = failing(&model, stop);
        let first = Restore {
            jobs: jobs(1),
            digests: Some(&stopped),
            range: range.clone(),
            end: range.end,
            ..place.image(&failing)
        };
        let unfinished = go(first).unwrap_err();
        assert!(unfinished.proven > 0, "{unfinished}");
        let restored = go(Restore { digests: Some(&digests), ..part }).unwrap();
        assert_eq!(restored.report.counts.resumed, unfinished.proven);
        restored.publish().unwrap();
        let options = Options { digests: Some(&fresh), ..strict(2) };
        run(&volume, range.clone(), &NullSink, &options, &Progress::default()).unwrap();
        let (found, fresh) = (digests.finish(), fresh.finish());
        assert_eq!(found, fresh);
        let hash = blake3::hash(&bytes[indices(&range)]).to_hex().to_string();
        assert_eq!(found[2], (Algorithm::Blake3, hash));
    }
}

/// Zeros that are done are hashed all the same, which takes as long as there are zeros.
#[test]
fn hashing_what_is_done_can_be_interrupted() {
    const TIB: u64 = 1 << 40;
    let segment = Segment { start: 0, length: TIB, mapping: Mapping::Unmapped };
    let map = ExtentMap::new(TIB, &[], [segment], &Limits::DEFAULT).unwrap();
    let volume = Volume::new(restore::Layout::new(map), Vec::new()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let binding = Binding { volume: "zeros".into(), range: 0..TIB };
    let journal = Journal::open(&entry(&dir.path().join("journal")), &binding).unwrap();
    journal.done(0..TIB, 0);
    journal.sync_point(|| Ok(())).unwrap();
    let digests = Digests::new([Algorithm::Md5]);
    let options = Options { digests: Some(&digests), journal: Some(&journal), ..strict(1) };
    let progress = Progress::default();
    let started = Instant::now();
    let result = thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(50));
            progress.cancel();
        });
        run(&volume, 0..TIB, &NullSink, &options, &progress)
    });
    assert!(matches!(result, Err(RunError::Interrupted)), "{result:?}");
    assert!(started.elapsed() < Duration::from_secs(20), "a TiB takes half an hour");
}
