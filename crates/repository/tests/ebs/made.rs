//! What the real sample does not show.

use std::fs;

use foreign::Limits;
use foreign::backup::{Fault, Missing, Problem};
use restore::source::{BackupFault, ExtentKind, ReadCause};
use serde_json::json;
use snaprestore::catalog::SetState;

use crate::tree::{A, B, BLOCK, C, Tree, changes_page, full_page, plain};
use crate::{found, missing, opened};

#[test]
fn what_is_gone_reads_as_zeros_and_what_is_not_named_is_the_parents() {
    let tree = Tree::new();
    tree.full(A, 1, &[(0, 1), (1, 2), (2, 3), (5, 6)]);
    tree.changes(B, A, 1, &[(1, None), (2, Some(9)), (4, Some(8)), (7, None)]);
    tree.changes(C, B, 1, &[(0, None), (1, Some(7))]);
    assert_eq!(tree.content(A, 8), [1, 2, 3, 0, 0, 6, 0, 0]);
    assert_eq!(tree.content(B, 8), [1, 0, 9, 0, 8, 6, 0, 0]);
    assert_eq!(tree.content(C, 8), [0, 7, 9, 0, 8, 6, 0, 0]);
}

#[test]
fn what_a_volume_has_grown_by_is_zeros() {
    let tree = Tree::new();
    tree.full(A, 1, &[(0, 1), (2047, 2)]);
    tree.changes(B, A, 2, &[(2048, Some(3))]);
    let open = opened(&found(tree.path()), B).unwrap();
    let source = &open.members[0].source;
    assert_eq!(source.size(), 2 << 30);
    let mut extents = Vec::new();
    source.extents(0..2 << 30, &mut extents).unwrap();
    let last = extents.last().unwrap();
    assert_eq!((last.range.clone(), &last.kind), (2049 << 19..4096 << 19, &ExtentKind::Hole));
    let content = tree.content(B, 2050);
    assert_eq!((content[0], &content[2046..]), (1, [0, 2, 3, 0].as_slice()));
}

#[test]
fn what_a_full_list_does_not_name_is_a_hole() {
    let tree = Tree::new();
    tree.full(A, 1, &[(3, 1)]);
    let open = opened(&found(tree.path()), A).unwrap();
    let mut extents = Vec::new();
    open.members[0].source.extents(0..1 << 30, &mut extents).unwrap();
    let holes = extents.iter().filter(|e| e.kind == ExtentKind::Hole).count();
    assert_eq!((extents.len(), holes), (3, 2));
}

#[test]
fn an_empty_snapshot_needs_no_files() {
    let tree = Tree::new();
    tree.json(&format!("{A}/list.json"), &full_page(1, &[]));
    assert_eq!(tree.content(A, 2), [0, 0]);
}

#[test]
fn a_list_alone_is_no_dump() {
    let tree = Tree::new();
    tree.full(A, 1, &[(0, 1)]);
    tree.json(&format!("list-snapshot-blocks.{B}.json"), &full_page(1, &[0]));
    assert_eq!(found(tree.path()).sets.len(), 1);
}

#[test]
fn a_full_list_beside_files_of_changes_only() {
    let tree = Tree::new();
    tree.full(A, 1, &[(0, 1), (1, 2), (2, 3)]);
    tree.changes(B, A, 1, &[(1, Some(9))]);
    tree.json(&format!("{B}/list.json"), &full_page(1, &[0, 1, 2]));
    assert_eq!(tree.content(B, 2), [1, 9]);
    // With a file that is not of the changes it is a full dump that has lost something.
    tree.write(&format!("{B}/blocks/00000002.bin"), &plain(0));
    assert_eq!(opened(&found(tree.path()), B).unwrap().damage.len(), 1);
}

#[test]
fn snapshots_of_changes_in_a_circle() {
    let tree = Tree::new();
    tree.changes(A, B, 1, &[(0, Some(1))]);
    tree.changes(B, A, 1, &[(0, Some(1))]);
    let backups = found(tree.path());
    let problems: Vec<_> = backups.sets[0].all_problems().collect();
    assert!(matches!(problems.as_slice(), [Problem::Chain { .. }]), "{problems:?}");
}

#[test]
fn changes_on_nobody_knows_what() {
    let tree = Tree::new();
    tree.blocks(B, &[(0, 1)]);
    let path = tree.json(&format!("{B}/changes.json"), &changes_page(1, &[(0, Some(1))]));
    assert_eq!(missing(&found(tree.path()), B), [Missing::ParentName { path }]);
    // It may be written down with the answer.
    tree.full(A, 1, &[(1, 2)]);
    let mut page = changes_page(1, &[(0, Some(1))]);
    page["FirstSnapshotId"] = json!(A);
    tree.json(&format!("{B}/changes.json"), &page);
    assert_eq!(tree.content(B, 2), [1, 2]);
}

#[test]
fn answers_after_each_other_in_one_file() {
    let tree = Tree::new();
    tree.blocks(A, &[(0, 1), (1, 2), (3, 4)]);
    let mut first = full_page(1, &[0, 1]);
    first["NextToken"] = json!("more");
    let mut second = full_page(1, &[3]);
    second["NextToken"] = json!(null);
    tree.write(&format!("{A}/list.json"), format!("{first}\n{second}\n").as_bytes());
    assert_eq!(tree.content(A, 4), [1, 2, 0, 4]);
    let path = tree.json(&format!("{A}/list.json"), &json!([second, first]));
    assert_eq!(tree.content(A, 4), [1, 2, 0, 4], "their order does not matter");
    // Too long to be held.
    let far = " ".repeat(5 << 20);
    tree.write(&format!("{A}/list.json"), format!("{first}{far}{second}").as_bytes());
    assert_eq!(tree.content(A, 4), [1, 2, 0, 4], "nor how far they are apart");
    fs::remove_file(tree.path().join(A).join("blocks/00000003.bin")).unwrap();
    tree.json(&format!("{A}/list.json"), &first);
    assert_eq!(missing(&found(tree.path()), A), [Missing::NextPage { path }]);
}

#[test]
fn pages_may_be_called_by_numbers_alone() {
    let tree = Tree::new();
    tree.blocks(A, &[(0, 1), (1, 2), (3, 4)]);
    let mut first = full_page(1, &[0, 1]);
    first["NextToken"] = json!("more");
    tree.json(&format!("{A}/1.json"), &first);
    tree.json(&format!("{A}/2.json"), &full_page(1, &[3]));
    assert_eq!(tree.content(A, 4), [1, 2, 0, 4]);
}

#[test]
fn documents_of_other_kinds_are_left_alone() {
    let tree = Tree::new();
    tree.full(A, 1, &[(0, 1)]);
    let other = json!({"1": "text", "2": [1, {}], "3": {"size": 4}, "4": null, "5": -1.5});
    tree.json(&format!("{A}/other.json"), &other);
    tree.json("other.json", &json!([other, 1, "text", [[]]]));
    let backups = found(tree.path());
    assert!(backups.unreadable.is_empty(), "{:?}", backups.unreadable);
    assert_eq!(tree.content(A, 2), [1, 0]);
}

#[test]
fn the_end_of_a_list_is_no_list() {
    let tree = Tree::new();
    tree.blocks(A, &[(5, 6)]);
    for (name, block) in [("page.0", 0), ("page.2", 2)] {
        let mut page = full_page(1, &[block]);
        page["NextToken"] = json!("more");
        tree.json(&format!("{A}/{name}.json"), &page);
    }
    // Complete by itself, and all its blocks are there.
    tree.json(&format!("{A}/last.json"), &full_page(1, &[5]));
    let path = tree.path().join(A).join("page.1.json");
    assert_eq!(missing(&found(tree.path()), A), [Missing::Page { path }]);
}

#[test]
fn what_has_the_name_of_a_block_and_is_no_file_is_not_touched() {
    for link in [true, false] {
        let tree = Tree::new();
        tree.full(A, 1, &[(0, 1), (1, 2)]);
        let path = tree.path().join(A).join("blocks/00000001.bin");
        let elsewhere = tree.path().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        if link {
            std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        } else {
            // Whoever opens it to read waits for ever.
            assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        }
        let backups = found(tree.path());
        assert_eq!(backups.sets[0].state(), SetState::Damaged);
        let open = opened(&backups, A).unwrap();
        assert_eq!(open.damage.len(), 1);
        let block = BLOCK as u64;
        let error = crate::sample::bytes(&*open.members[0].source, block..2 * block).unwrap_err();
        assert_eq!(error.path, path);
        assert!(matches!(error.cause, ReadCause::Backup(BackupFault::Missing { .. })), "{error}");
    }
}

#[test]
fn a_lost_block_that_later_snapshots_have_anew_is_lost_to_those_before_only() {
    let tree = Tree::new();
    tree.full(A, 2, &[(0, 1), (1, 2), (2, 3), (2049, 4)]);
    tree.changes(B, A, 2, &[(1, Some(9)), (3, Some(8))]);
    tree.changes(C, B, 2, &[(2, None), (2049, None)]);
    for (snapshot, block) in [(A, 1), (A, 2), (A, 2049), (B, 3)] {
        fs::remove_file(tree.path().join(format!("{snapshot}/blocks/{block:08}.bin"))).unwrap();
    }
    let backups = found(tree.path());
    let expected = [
        (A, vec![(A, 1), (A, 2), (A, 2049)]),
        (B, vec![(B, 3), (A, 2), (A, 2049)]),
        // What is lost below is gone in it.
        (C, vec![(B, 3)]),
    ];
    for (snapshot, lost) in expected {
        let set = backups.sets.iter().find(|set| set.id.as_str() == snapshot).unwrap();
        let problems: Vec<_> = set.all_problems().collect();
        let [Problem::Blocks { lost: count, .. }] = problems.as_slice() else {
            panic!("{problems:?}")
        };
        assert_eq!(*count, lost.len() as u64, "{snapshot}");
        let damage = opened(&backups, snapshot).unwrap().damage;
        let paths: Vec<_> = damage.iter().map(|error| error.path.clone()).collect();
        let path = |(snapshot, block): (&str, u32)| {
            tree.path().join(format!("{snapshot}/blocks/{block:08}.bin"))
        };
        assert_eq!(paths, lost.into_iter().map(path).collect::<Vec<_>>(), "{snapshot}");
    }
}

#[test]
fn one_block_by_two_names() {
    let tree = Tree::new();
    tree.full(A, 1, &[(0, 1)]);
    tree.write(&format!("{A}/block-0.bin"), &plain(2));
    let backups = found(tree.path());
    let problems: Vec<_> = backups.sets[0].all_problems().collect();
    let [Problem::File(fault)] = problems.as_slice() else { panic!("{problems:?}") };
    assert!(matches!(*fault.fault, Fault::Twice { block: 0, .. }), "{fault}");
}

#[test]
fn sizes_must_agree() {
    let tree = Tree::new();
    tree.full(A, 2, &[(0, 1)]);
    tree.describe(&[crate::tree::described(A, "vol-1", "2026-01-01T00:00:00Z", &[])]);
    let backups = found(tree.path());
    let problems: Vec<_> = backups.sets[0].all_problems().collect();
    let [Problem::File(fault)] = problems.as_slice() else { panic!("{problems:?}") };
    assert!(matches!(*fault.fault, Fault::OtherSize { found: 2, expected: 1, .. }), "{fault}");
    let tree = Tree::new();
    tree.proxy(A, 2, &[(0, 1, 1)]);
    tree.describe(&[crate::tree::described(A, "vol-1", "2026-01-01T00:00:00Z", &[])]);
    assert_eq!(found(tree.path()).sets[0].state(), SetState::Damaged);
}

#[test]
fn blocks_beyond_the_end_are_refused() {
    let tree = Tree::new();
    tree.full(A, 1, &[(2048, 1)]);
    let backups = found(tree.path());
    let problems: Vec<_> = backups.sets[0].all_problems().collect();
    let [Problem::File(fault)] = problems.as_slice() else { panic!("{problems:?}") };
    assert!(matches!(*fault.fault, Fault::Beyond { block: 2048, blocks: 2048 }), "{fault}");
}

#[test]
fn links_are_not_followed_and_depth_is_bounded() {
    let tree = Tree::new();
    tree.full(A, 1, &[(0, 1)]);
    std::os::unix::fs::symlink(tree.path(), tree.path().join("loop")).unwrap();
    assert_eq!(found(tree.path()).sets.len(), 1);
    let limits = Limits { depth: 2, ..Limits::DEFAULT };
    let backups = foreign::find(&[tree.path().to_owned()], &limits).backups;
    assert!(backups.unreadable.iter().any(|f| matches!(*f.fault, Fault::Depth)));
    let limits = Limits { files: 3, ..Limits::DEFAULT };
    let backups = foreign::find(&[tree.path().to_owned()], &limits).backups;
    assert!(backups.unreadable.iter().any(|f| matches!(*f.fault, Fault::Files)));
    let limits = Limits { documents: 1, ..Limits::DEFAULT };
    let backups = foreign::find(&[tree.path().to_owned()], &limits).backups;
    assert!(backups.unreadable.iter().any(|f| matches!(*f.fault, Fault::Documents { .. })));
}
