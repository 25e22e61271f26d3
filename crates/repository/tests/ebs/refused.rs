//! The sample with something taken away or changed.

use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::Path;

use foreign::backup::{BackupError, Fault, Missing, Problem};
use restore::Progress;
use restore::source::{BackupFault, ReadCause};
use snaprestore::catalog::{Generation, Latest, Lookup, Selectable as _, Selection, SetState};
use snaprestore::{Proving, Repository, RepositoryError, select_backup};

use crate::sample::{Sample, hash};
use crate::{LIMITS, found, missing, opened};

/// Ten blocks, listed by two pages.
const SNAPSHOT: &str = "snap-90a5b666e55ef4506";
/// 18 blocks, listed by three pages.
const THREE_PAGES: &str = "snap-3b6546a372622e328";

fn page(snapshot: &str, number: u32) -> String {
    format!("{snapshot}/list-snapshot-blocks.{number:04}.json")
}

fn block(snapshot: &str, number: u32) -> String {
    format!("{snapshot}/blocks/{number:08}.bin")
}

fn remove(sample: &Sample, name: &str) {
    fs::remove_file(sample.path().join(name)).unwrap();
}

#[test]
fn a_block_without_its_file_is_damage() {
    let sample = Sample::new();
    let lost = sample.path().join(block(SNAPSHOT, 11));
    remove(&sample, &block(SNAPSHOT, 11));
    let backups = found(sample.path());
    let set = &backups.sets[1];
    assert_eq!(set.state(), SetState::Damaged);
    let problems: Vec<_> = set.all_problems().collect();
    let [Problem::Blocks { lost: 1, first }] = problems.as_slice() else { panic!("{problems:?}") };
    assert_eq!(*first, lost);
    // What is left can be read.
    let open = opened(&backups, SNAPSHOT).unwrap();
    let [damage] = open.damage.as_slice() else { panic!("{:?}", open.damage) };
    assert_eq!(damage.path, lost);
    let error = hash(&*open.members[0].source).unwrap_err();
    let ReadCause::Backup(BackupFault::Missing { range }) = error.cause else { panic!("{error}") };
    assert_eq!((error.path, range), (lost, 11 << 19..12 << 19));
}

#[test]
fn a_changed_byte_is_damage() {
    let sample = Sample::new();
    let path = sample.path().join(block(SNAPSHOT, 11));
    let file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 1000).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 1000).unwrap();
    let open = opened(&found(sample.path()), SNAPSHOT).unwrap();
    assert!(open.damage.is_empty(), "only reading shows it");
    let error = hash(&*open.members[0].source).unwrap_err();
    assert_eq!(error.path, path);
    let is_checksum = matches!(error.cause, ReadCause::Backup(BackupFault::Checksum { .. }));
    assert!(is_checksum, "{error}");
}

#[test]
fn a_file_of_another_length_is_damage() {
    for len in [0, 512 * 1024 - 1, 512 * 1024 + 1] {
        let sample = Sample::new();
        let path = sample.path().join(block(SNAPSHOT, 11));
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(len).unwrap();
        let open = opened(&found(sample.path()), SNAPSHOT).unwrap();
        assert_eq!(open.damage.len(), 1);
        let error = hash(&*open.members[0].source).unwrap_err();
        let ReadCause::Backup(BackupFault::Length { found, .. }) = error.cause else {
            panic!("{error}")
        };
        assert_eq!((error.path, found), (path, len));
    }
}

#[test]
fn the_last_page_is_missed_by_the_token_before_it() {
    let sample = Sample::new();
    remove(&sample, &page(THREE_PAGES, 2));
    let path = sample.path().join(page(THREE_PAGES, 1));
    assert_eq!(missing(&found(sample.path()), THREE_PAGES), [Missing::NextPage { path }]);
}

#[test]
fn a_page_between_others_is_missed_by_its_number() {
    let sample = Sample::new();
    remove(&sample, &page(THREE_PAGES, 1));
    let path = sample.path().join(page(THREE_PAGES, 1));
    assert_eq!(missing(&found(sample.path()), THREE_PAGES), [Missing::Page { path }]);
}

#[test]
fn a_page_is_missed_by_the_blocks_it_names() {
    // Whether it is the first, or another one and the names have no numbers.
    for (gone, block) in [("one", 0), ("two", 8)] {
        let sample = Sample::new();
        for (number, name) in (0..).zip(["one.json", "two.json", "three.json"]) {
            let from = sample.path().join(page(THREE_PAGES, number));
            let to = from.with_file_name(name);
            fs::rename(from, to).unwrap();
        }
        let whole = found(sample.path());
        assert!(opened(&whole, THREE_PAGES).is_ok(), "names do not matter");
        remove(&sample, &format!("{THREE_PAGES}/{gone}.json"));
        let path = sample.path().join(self::block(THREE_PAGES, block));
        assert_eq!(missing(&found(sample.path()), THREE_PAGES), [Missing::PageOf { block, path }]);
    }
}

#[test]
fn no_list_at_all() {
    let sample = Sample::new();
    remove(&sample, &page("snap-87d5c03266cb6380d", 0));
    let path = sample.path().join("snap-87d5c03266cb6380d");
    let missing = missing(&found(sample.path()), "snap-87d5c03266cb6380d");
    assert_eq!(missing, [Missing::List { path }]);
}

#[test]
fn a_member_that_is_not_there_is_named() {
    let sample = Sample::new();
    fs::remove_dir_all(sample.path().join(SNAPSHOT)).unwrap();
    let backups = found(sample.path());
    let states: Vec<_> = backups.sets.iter().map(foreign::backup::BackupSet::state).collect();
    assert_eq!(states, [SetState::Complete, SetState::Incomplete, SetState::Complete]);
    let second = Selection { generation: Some(Generation::Number(1)), ..Selection::default() };
    let error = select_backup(&backups, &second).unwrap().open(&LIMITS).err().unwrap();
    let BackupError::Incomplete { missing, .. } = &error else { panic!("{error}") };
    assert_eq!(missing.len(), 1);
    assert!(error.to_string().contains(SNAPSHOT), "{error}");
}

#[test]
fn an_older_set_only_where_it_was_asked_for() {
    let sample = Sample::new();
    fs::remove_dir_all(sample.path().join(THREE_PAGES)).unwrap();
    let backups = found(sample.path());
    let newest = select_backup(&backups, &Selection::default()).unwrap();
    assert_eq!((newest.generation, newest.state()), (2, SetState::Incomplete));
    let any = Selection { latest: Latest::Complete, ..Selection::default() };
    assert_eq!(select_backup(&backups, &any).unwrap().generation, 1);
    let paths = [sample.path().to_owned()];
    let repository = Repository::open(&paths, &Lookup::default(), &LIMITS);
    let progress = Progress::default();
    let proving = Proving { jobs: NonZeroUsize::MIN, progress: &progress };
    let selected = repository.select(&any, &proving).unwrap();
    assert_eq!((selected.set.key().generation, selected.passed_over.len()), (1, 1));
}

fn fault_of(path: &Path) -> Problem {
    let error = opened(&found(path), SNAPSHOT).err().unwrap();
    match error {
        BackupError::Unusable { problem, .. } => problem,
        other => panic!("{other}"),
    }
}

#[test]
fn blocks_of_another_size_are_refused() {
    let sample = Sample::new();
    let path = sample.path().join(page(SNAPSHOT, 1));
    let text = fs::read_to_string(&path).unwrap().replace("524288", "512");
    fs::write(&path, text).unwrap();
    let Problem::File(fault) = fault_of(sample.path()) else { panic!() };
    assert_eq!(fault.path, path);
    assert!(matches!(*fault.fault, Fault::BlockSize { found: 512, .. }), "{fault}");
}

#[test]
fn a_page_that_is_cut_off_is_refused() {
    let sample = Sample::new();
    let path = sample.path().join(page(SNAPSHOT, 1));
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, &text[..text.len() / 2]).unwrap();
    let Problem::File(fault) = fault_of(sample.path()) else { panic!() };
    assert_eq!(fault.path, path);
    assert!(matches!(*fault.fault, Fault::Json(_)), "{fault}");
}

#[test]
fn two_checksums_of_a_block_are_refused() {
    let sample = Sample::new();
    let path = sample.path().join(SNAPSHOT).join("get-snapshot-block.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path.with_file_name("again.json"), text.replace("cvvkAAzKnl", "cvvkAAzKnm")).unwrap();
    let Problem::File(fault) = fault_of(sample.path()) else { panic!() };
    assert!(matches!(*fault.fault, Fault::OtherChecksum { block: 0, .. }), "{fault}");
}

#[test]
fn a_description_that_cannot_be_read_may_be_of_the_newest() {
    let sample = Sample::new();
    for name in ["describe-snapshots.json", "awscli-describe-snapshots.json"] {
        let path = sample.path().join(name);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() / 2]).unwrap();
    }
    let backups = found(sample.path());
    assert_eq!(backups.unreadable.len(), 2);
    let error = select_backup(&backups, &Selection::default()).err().unwrap();
    assert!(matches!(error, RepositoryError::Backup(BackupError::Unidentified { .. })), "{error}");
    // Each directory describes its own snapshot, and so the sets are known nevertheless.
    assert_eq!(
        select_backup(&backups, &crate::one("dsnap-00000000000abc001")).unwrap().members.len(),
        4
    );
}
