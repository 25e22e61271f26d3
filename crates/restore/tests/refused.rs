//! Journals and temporary files that belong to something else, or to nothing any more.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::fs;

use restore::job::{JobError, JournalAt, Restore};
use restore::journal::{BindingMismatch, JournalError};
use testing::job::{Before, expected, in_place, journal, stale, write_stale};
use testing::place::{Place, STOP, failing, go, model, volume};
use testing::{check, files};

const MIB: u64 = 1 << 20;

fn stranger(error: &JobError) -> &BindingMismatch {
    match error {
        JobError::Journal(JournalError::BindingMismatch { why, .. }) => why,
        other => panic!("{other}"),
    }
}

#[test]
fn a_journal_of_another_restore_is_refused() {
    let model = model();
    let volume = volume(&model);
    let place = Place::new();
    place.unfinished(&model);
    let other = JournalAt { volume: "content-2".into(), ..journal(&place.journal()) };
    let error = place.refuses(Restore { journal: Some(other), ..place.image(&volume) });
    assert!(matches!(stranger(&error), BindingMismatch::Volume { .. }), "{error}");
    for (range, end) in
        [(0..MIB, MIB), (MIB..volume.size(), volume.size()), (0..volume.size(), 32 * MIB)]
    {
        let error = place.refuses(Restore { range, end, ..place.image(&volume) });
        assert!(matches!(stranger(&error), BindingMismatch::Range { .. }), "{error}");
    }
    // It is of an image that has no name yet, not of a file that has the name.
    fs::write(place.target(), vec![1; 100]).unwrap();
    let error = place.refuses(place.in_place(&volume));
    assert!(matches!(stranger(&error), BindingMismatch::Target { .. }), "{error}");
    // Something that is no journal at all.
    fs::write(place.journal(), "dear diary").unwrap();
    for restart in [false, true] {
        let at = JournalAt { restart, ..journal(&place.journal()) };
        let error = place.refuses(Restore { journal: Some(at), ..place.image(&volume) });
        let refused = matches!(error, JobError::Journal(JournalError::NotAJournal { .. }));
        assert!(refused, "{error}");
    }
}

#[test]
fn a_journal_of_another_file_is_refused() {
    let model = model();
    let volume = volume(&model);
    let place = Place::new();
    let before = stale(8 << 20, &[Before::Dirty]);
    write_stale(&place.target(), &before, &[Before::Dirty]);
    let unfinished = go(place.in_place(&failing(&model, STOP))).unwrap_err();
    assert!(unfinished.proven > 0);
    // The same name and bytes, but another file.
    let old = place.dir.path().join("old");
    fs::rename(place.target(), &old).unwrap();
    fs::copy(&old, place.target()).unwrap();
    let error = place.refuses(place.in_place(&volume));
    assert!(matches!(stranger(&error), BindingMismatch::Target { .. }), "{error}");
    // Another name, but the file.
    let restored = go(Restore { target: in_place(&old), ..place.in_place(&volume) }).unwrap();
    assert_eq!(restored.report.counts.resumed, unfinished.proven);
    restored.publish().unwrap();
    let size = volume.size();
    check::same(&fs::read(&old).unwrap(), &expected(before, &model.bytes(), &(0..size), size), 0);
}

#[test]
fn a_temporary_file_that_was_replaced_is_refused() {
    let model = model();
    let place = Place::new();
    place.unfinished(&model);
    let copy = place.dir.path().join("copy");
    fs::copy(place.partial(), &copy).unwrap();
    fs::rename(&copy, place.partial()).unwrap();
    let error = place.refuses(place.image(&volume(&model)));
    assert!(matches!(stranger(&error), BindingMismatch::Target { .. }), "{error}");
}

#[test]
fn a_temporary_file_without_a_journal_is_refused() {
    let model = model();
    let volume = volume(&model);
    let place = Place::new();
    place.unfinished(&model);
    fs::remove_file(place.journal()).unwrap();
    for journal in [None, Some(journal(&place.journal()))] {
        let error = place.refuses(Restore { journal, ..place.image(&volume) });
        assert!(matches!(error, JobError::Leftover { .. }), "{error}");
    }
}

#[test]
fn a_journal_whose_temporary_file_is_gone_starts_over() {
    let model = model();
    let volume = volume(&model);
    let place = Place::new();
    place.unfinished(&model);
    fs::remove_file(place.partial()).unwrap();
    let restored = go(place.image(&volume)).unwrap();
    assert_eq!(restored.report.counts.resumed, 0);
    restored.publish().unwrap();
    check::same(&fs::read(place.target()).unwrap(), &model.bytes(), 0);
    assert_eq!(place.names(), ["target"]);
}

#[test]
fn a_restart_starts_over() {
    let model = model();
    let volume = volume(&model);
    for content in ["content-1", "content-2"] {
        let place = Place::new();
        place.unfinished(&model);
        files::overwrite(&place.partial(), 0, &[0xEE; 5000]);
        let at = JournalAt { volume: content.into(), restart: true, ..journal(&place.journal()) };
        let restored = go(Restore { journal: Some(at), ..place.image(&volume) }).unwrap();
        assert_eq!(restored.report.counts.resumed, 0);
        restored.publish().unwrap();
        check::same(&fs::read(place.target()).unwrap(), &model.bytes(), 0);
        assert_eq!(place.names(), ["target"]);
    }
    let place = Place::new();
    write_stale(&place.target(), &[1; 1000], &[Before::Dirty]);
    let unfinished = go(place.in_place(&failing(&model, STOP))).unwrap_err();
    assert!(unfinished.proven > 0);
    write_stale(&place.target(), &stale(7 << 20, &[Before::Dirty]), &[Before::Dirty]);
    let at = JournalAt { restart: true, ..journal(&place.journal()) };
    let restored = go(Restore { journal: Some(at), ..place.in_place(&volume) }).unwrap();
    assert_eq!(restored.report.counts.resumed, 0);
    restored.publish().unwrap();
    check::same(&fs::read(place.target()).unwrap(), &model.bytes(), 0);
}

#[test]
fn two_at_the_same_time_do_not_meet() {
    let model = model();
    let volume = volume(&model);
    let place = Place::new();
    // The first is done but for its name: it holds its journal and its file.
    let first = go(place.image(&volume)).unwrap();
    let error = place.refuses(place.image(&volume));
    assert!(matches!(error, JobError::Busy { .. }), "{error}");
    let error = place.refuses(Restore { journal: None, ..place.image(&volume) });
    assert!(matches!(error, JobError::Leftover { .. }), "{error}");
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("copy");
    for restart in [false, true] {
        fs::copy(place.journal(), &copy).unwrap();
        let at = JournalAt { restart, ..journal(&copy) };
        let error = place.refuses(Restore { journal: Some(at), ..place.image(&volume) });
        assert!(matches!(error, JobError::Busy { .. }), "{error}");
    }
    first.publish().unwrap();
    check::same(&fs::read(place.target()).unwrap(), &model.bytes(), 0);
    // One that has looked for the target before that finds it when it begins, and does nothing.
    for journal in [Some(journal(&place.journal())), None] {
        let unfinished = go(Restore { journal, ..place.image(&volume) }).unwrap_err();
        assert!(matches!(unfinished.error, JobError::Exists { .. }), "{unfinished}");
        assert_eq!(place.names(), ["target"]);
    }
}
