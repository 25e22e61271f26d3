//! Targets that are read back in the end: a medium that lies is found out.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use restore::job::{JobError, JournalAt, Restore};
use restore::journal::{Binding, Journal};
use restore::source::ChunkRef;
use testing::hooked::Hooked;
use testing::job::{Before, entry, expected, journal, over, stale, write_stale};
use testing::memory::{MemorySource, volume_over};
use testing::model::MemberModel;
use testing::place::{Place, go, model, volume};
use testing::{check, files, noise};

#[test]
fn a_medium_that_does_not_hold_what_was_written_is_found_out() {
    let member = MemberModel::of("vol-0", noise(1, 32 << 20));
    let size = member.size();
    for (is_image, byte, behind) in
        [(true, size - 1, 0), (false, size - 1, 0), (true, size + 7, 99)]
    {
        let place = Place::new();
        let target = if is_image { place.partial() } else { place.target() };
        let source = MemorySource::new(&member, 256 << 10);
        let (reads, at_read) = (AtomicU64::new(0), 32 * 4);
        // In the second reading, which is the comparison's, a byte of the target changes.
        let before_read = move |_: &ChunkRef| {
            if reads.fetch_add(1, Ordering::Relaxed) == at_read {
                files::overwrite(&target, byte, &[0xEE]);
            }
        };
        let volume = volume_over(Box::new(Hooked { source, before_read }));
        let restore = if is_image {
            place.image(&volume)
        } else {
            write_stale(&place.target(), &[1; 100], &[Before::Dirty]);
            place.in_place(&volume)
        };
        let end = size + behind;
        let unfinished = go(Restore { end, verify_target: true, ..restore }).unwrap_err();
        let JobError::Mismatch { wrong, path } = &unfinished.error else { panic!("{unfinished}") };
        assert_eq!(*path, place.target());
        assert!(wrong.end_from(byte).is_some() && wrong.bytes() <= 256 << 10, "{wrong:?}");
        assert!(unfinished.to_string().contains("does not hold what was written"));
        assert_eq!(unfinished.proven, 0, "what was proved is so no more");
        let left: &[&str] = if is_image { &[] } else { &["target"] };
        assert_eq!(place.names(), left);
    }
}

/// What is resumed is looked at before a run goes on with it: it was written long ago.
#[test]
fn what_an_earlier_run_has_written_is_looked_at_first() {
    let model = model();
    let volume = volume(&model);
    let place = Place::new();
    place.unfinished(&model);
    let binding = Binding { volume: "content-1".into(), range: 0..volume.size() };
    let proven = Journal::open(&entry(&place.journal()), &binding).unwrap().proven();
    let first = proven.next_from(0).unwrap();
    files::overwrite(&place.partial(), first, &[!model.bytes()[testing::index(first)]]);
    let before = place.content();
    let unfinished = go(place.image(&volume)).unwrap_err();
    let JobError::Changed { wrong, .. } = &unfinished.error else { panic!("{unfinished}") };
    assert!(wrong.end_from(first).is_some(), "{wrong:?}");
    assert_eq!(unfinished.proven, proven.bytes());
    assert!(place.content() == before, "nothing changes by it");
    let anew = JournalAt { restart: true, ..journal(&place.journal()) };
    go(Restore { journal: Some(anew), ..place.image(&volume) }).unwrap().publish().unwrap();
    assert!(fs::read(place.target()).unwrap() == model.bytes());
}

#[test]
fn a_target_that_is_right_is_published_after_the_comparison() {
    let model = model();
    let volume = volume(&model);
    for delta in [false, true] {
        let place = Place::new();
        write_stale(&place.target(), &stale(9 << 20, &[Before::Dirty]), &[Before::Dirty]);
        let target = over(&place.target(), delta, false);
        let restore = Restore {
            target,
            end: volume.size() + 5000,
            verify_target: true,
            ..place.in_place(&volume)
        };
        go(restore).unwrap().publish().unwrap();
        assert_eq!(place.names(), ["target"]);
        let before = stale(9 << 20, &[Before::Dirty]);
        let (range, end) = (0..volume.size(), volume.size() + 5000);
        let whole = expected(before, &model.bytes(), &range, end);
        check::same(&fs::read(place.target()).unwrap(), &whole, 0);
    }
}
