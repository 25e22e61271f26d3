//! The sample as it is, and as a dump of changes would have it.

use std::fs;

use foreign::backup::{Backups, Missing};
use snaprestore::catalog::{Generation, Selection, SetState};
use snaprestore::select_backup;

use crate::sample::{Expected, Sample, disks, hash};
use crate::{found, missing, opened};

const VOLUME: &str = "vol-0d47afy0000000001";
/// The lists of changes that the sample has.
const CHANGES: [(&str, &str); 6] = [
    ("snap-72c89b87fef997e87", "snap-90a5b666e55ef4506"),
    ("snap-90a5b666e55ef4506", "snap-dba9ec45f6f6a8587"),
    ("snap-87d5c03266cb6380d", "snap-e31e0724cfdf06e39"),
    ("snap-e31e0724cfdf06e39", "snap-1d29a2f9a49619bfb"),
    ("snap-7f61057dbc416423b", "snap-3b6546a372622e328"),
    ("snap-678ec8749af19df66", "snap-3b1bea302353546c3"),
];

/// The disk of a snapshot is what it was; gives how many bytes nothing proved.
fn unproved(backups: &Backups, disk: &Expected) -> u64 {
    let open = opened(backups, &disk.snapshot).unwrap_or_else(|e| panic!("{}: {e}", disk.name));
    assert!(open.damage.is_empty(), "{:?}", open.damage);
    let (sha256, proved, unproved) = hash(&*open.members[0].source).unwrap();
    assert_eq!(sha256, disk.sha256, "{}", disk.name);
    assert!(proved + unproved > 0);
    unproved
}

#[test]
fn three_generations_are_found_by_their_tags() {
    let sample = Sample::new();
    let backups = found(sample.path());
    assert!(backups.unreadable.is_empty(), "{:?}", backups.unreadable);
    let view = |s: &foreign::backup::BackupSet| {
        (s.id.to_string(), s.generation, s.members.len(), s.state())
    };
    let sets: Vec<_> = backups.sets.iter().map(view).collect();
    let expected = [(0, 2), (1, 4), (2, 4)].map(|(generation, members)| {
        let id = format!("dsnap-00000000000abc00{generation}");
        (id, generation, members, SetState::Complete)
    });
    assert_eq!(sets, expected);
    assert!(backups.sets.iter().all(|s| s.source_volume_id.as_str() == VOLUME));
    assert_eq!(select_backup(&backups, &Selection::default()).unwrap().generation, 2);
    let id = "00000000-0000-0000-0000-000011110001";
    let by_id = Selection { generation: Some(Generation::Id(id.into())), ..Selection::default() };
    assert_eq!(select_backup(&backups, &by_id).unwrap().generation, 1);
    assert_eq!(backups.sets[1].tags["Managed-By"], "Datafy.io");
    assert!(!backups.sets[1].tags.contains_key("Name"), "each member has a name of its own");
}

#[test]
fn every_disk_is_what_it_was() {
    let sample = Sample::new();
    let backups = found(sample.path());
    for disk in disks() {
        assert_eq!(unproved(&backups, &disk), 0, "{}", disk.name);
    }
}

#[test]
fn changes_over_their_parents_give_the_same_disks() {
    let sample = Sample::new();
    for (first, second) in CHANGES {
        sample.only_changes(first, second);
    }
    let backups = found(sample.path());
    let set = select_backup(&backups, &Selection::default()).unwrap();
    assert!(set.members.iter().all(|member| member.parent.is_some()));
    for disk in disks() {
        assert_eq!(unproved(&backups, &disk), 0, "{}", disk.name);
    }
}

#[test]
fn a_parent_that_is_not_there_is_named() {
    let sample = Sample::new();
    let (first, second) = CHANGES[1];
    sample.only_changes(first, second);
    fs::remove_dir_all(sample.path().join(first)).unwrap();
    let parent = Missing::Parent { snapshot: first.into(), child: second.into() };
    assert_eq!(missing(&found(sample.path()), second), [parent]);
}

#[test]
fn files_as_the_aws_cli_leaves_them() {
    let snapshot = "snap-72c89b87fef997e87";
    let sample = Sample::new();
    fs::remove_dir_all(sample.path().join(snapshot)).unwrap();
    let backups = found(sample.path());
    let disk = disks().into_iter().find(|disk| disk.snapshot == snapshot).unwrap();
    assert_eq!(unproved(&backups, &disk), 0);
}

#[test]
fn without_checksums_nothing_is_proved() {
    let snapshot = "snap-87d5c03266cb6380d";
    let sample = Sample::new();
    fs::remove_file(sample.path().join(snapshot).join("get-snapshot-block.json")).unwrap();
    let backups = found(sample.path());
    let disk = disks().into_iter().find(|disk| disk.snapshot == snapshot).unwrap();
    assert_eq!(unproved(&backups, &disk), 7 * 512 * 1024);
}

#[test]
fn a_copy_helps_where_a_block_is_lost() {
    let snapshot = "snap-72c89b87fef997e87";
    let sample = Sample::new();
    fs::remove_file(sample.path().join(snapshot).join("blocks/00000002.bin")).unwrap();
    let backups = found(sample.path());
    let disk = disks().into_iter().find(|disk| disk.snapshot == snapshot).unwrap();
    assert_eq!(unproved(&backups, &disk), 0);
}

#[test]
fn paths_that_overlap_count_once() {
    let sample = Sample::new();
    let inner = sample.path().join("snap-72c89b87fef997e87");
    let paths = [
        sample.path().to_owned(),
        inner.clone(),
        inner.join("list-snapshot-blocks.0000.json"),
        sample.path().join("."),
    ];
    let backups = foreign::find(&paths, &crate::LIMITS).backups;
    assert!(backups.sets.iter().all(|set| set.state() == SetState::Complete));
}
