//! What one snapshot says of another: what is wrong with a parent is wrong with its children, lists of one
//! snapshot say the same, and a child is newer than its parent.

use foreign::backup::{BackupError, Fault, Problem};
use serde_json::{Value, json};
use snaprestore::catalog::{Ambiguity, CatalogError, Selection};
use snaprestore::{RepositoryError, select_backup};

use crate::tree::{A, B, C, Tree, changes_page, described, full_page};
use crate::{found, one, opened};

const TIMES: [&str; 3] = ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"];

fn descriptions() -> [Value; 3] {
    [(A, TIMES[0]), (B, TIMES[1]), (C, TIMES[2])]
        .map(|(id, time)| described(id, "vol-1", time, &[]))
}

/// A, B that builds on A, and C that builds on B.
fn line() -> Tree {
    let tree = Tree::new();
    tree.full(A, 1, &[(0, 1), (1, 1), (5, 1), (7, 1)]);
    tree.changes(B, A, 1, &[(1, Some(2)), (5, None), (9, Some(2))]);
    tree.changes(C, B, 1, &[(7, Some(3))]);
    tree.describe(&descriptions());
    tree
}

#[test]
fn what_is_wrong_with_a_parent_is_wrong_with_all_that_build_on_it() {
    for state in ["pending", "error"] {
        let tree = line();
        let mut all = descriptions();
        all[0]["State"] = json!(state);
        tree.describe(&all);
        for snapshot in [A, B, C] {
            let error = opened(&found(tree.path()), snapshot).err().unwrap().to_string();
            assert!(error.contains(A) && error.contains(state), "{snapshot}: {error}");
        }
    }
    for (key, value) in
        [("VolumeSize", json!(2)), ("State", json!("error")), ("VolumeId", json!("vol-2"))]
    {
        let tree = line();
        let mut other = descriptions()[1].clone();
        other[key] = value;
        tree.json("more/describe-snapshots.json", &json!({"Snapshots": [other]}));
        let backups = found(tree.path());
        for snapshot in [B, C] {
            let error = opened(&backups, snapshot).err().unwrap();
            assert!(matches!(error, BackupError::Unusable { .. }), "{key}: {error}");
            assert!(error.to_string().contains("more/describe-snapshots.json"), "{error}");
        }
        assert!(opened(&backups, A).is_ok());
    }
}

/// The one contradiction, by the documents and the block.
fn is_contradicted(tree: &Tree, snapshot: &str, block: u32, documents: [&str; 2]) {
    let backups = found(tree.path());
    let set = select_backup(&backups, &one(snapshot)).unwrap();
    let problems: Vec<_> = set.all_problems().collect();
    let [Problem::File(file)] = problems.as_slice() else { panic!("{problems:?}") };
    assert!(matches!(&*file.fault, Fault::Contradicts { .. }), "{file}");
    let said = file.to_string();
    for word in documents.into_iter().map(str::to_owned).chain([format!("block {block}")]) {
        assert!(said.contains(&word), "{word}: {said}");
    }
}

#[test]
fn a_list_of_all_blocks_and_one_of_changes_say_the_same() {
    let changes = format!("list-changed-blocks.{A}..{B}.json");
    for (numbers, block) in [
        // There, and gone by the changes.
        (vec![0, 1, 5, 7, 9], Some(5)),
        // Not there, and not changed from what the parent has.
        (vec![0, 1, 9], Some(7)),
        // Not there, and changed.
        (vec![0, 1, 7], Some(9)),
        // There, not changed, and not in the parent.
        (vec![0, 1, 7, 8, 9], Some(8)),
        (vec![0, 1, 7, 9], None),
    ] {
        let tree = line();
        tree.json(&format!("{B}/list.json"), &full_page(1, &numbers));
        match block {
            Some(block) => {
                // That there are files of just the changes, the first time, does not matter.
                is_contradicted(&tree, B, block, [&changes, "list.json"]);
                is_contradicted(&tree, C, block, [&changes, "list.json"]);
            }
            None => assert_eq!(tree.content(B, 10), [1, 2, 0, 0, 0, 0, 0, 1, 0, 2]),
        }
    }
}

#[test]
fn lists_of_changes_say_the_same() {
    let first = format!("{B}/list-changed-blocks.{A}..{B}.json");
    let second = format!("{B}/x/list-changed-blocks.{A}..{B}.json");
    for (changes, block) in [
        (vec![(1, Some(2)), (5, Some(2)), (9, Some(2))], 5),
        (vec![(1, Some(2)), (5, None), (9, Some(2)), (10, None)], 10),
        (vec![(5, None), (9, Some(2))], 1),
    ] {
        let tree = line();
        tree.json(&second, &changes_page(1, &changes));
        is_contradicted(&tree, B, block, [&first, &second]);
    }
    // From another snapshot.
    let tree = line();
    let second = format!("{C}/list-changed-blocks.{A}..{C}.json");
    let good = [(1, Some(2)), (5, None), (7, Some(3)), (9, Some(2))];
    tree.json(&second, &changes_page(1, &good));
    let first = format!("{C}/list-changed-blocks.{B}..{C}.json");
    assert!(opened(&found(tree.path()), C).is_ok());
    tree.json(&second, &changes_page(1, &good[..3]));
    is_contradicted(&tree, C, 9, [&first, &second]);
}

#[test]
fn a_child_is_newer_than_its_parent() {
    let tree = line();
    let mut all = descriptions();
    all[1]["StartTime"] = json!("2026-01-07T00:00:00Z");
    tree.describe(&all);
    let backups = found(tree.path());
    let error = select_backup(&backups, &Selection::default()).err().unwrap();
    let RepositoryError::Catalog(CatalogError::Ambiguous { why, candidates }) = &error else {
        panic!("{error}")
    };
    assert_eq!(*why, Ambiguity::Order);
    let names: Vec<_> = candidates.iter().map(|set| set.set_id.as_str()).collect();
    assert_eq!(names, [B, C]);
    for id in [A, B, C] {
        assert_eq!(select_backup(&backups, &one(id)).unwrap().id.as_str(), id);
    }
    // What is not among those that fit gives no doubt.
    let at = Selection { at: Some(TIMES[1].parse().unwrap()), ..Selection::default() };
    assert_eq!(select_backup(&backups, &at).unwrap().id.as_str(), A);
}

#[test]
fn a_child_is_newer_than_the_set_of_its_parent() {
    let tree = line();
    let tagged = |snapshot, set: &str, time| {
        described(snapshot, "vol-1", time, &[("datafy:snapshot:id", set)])
    };
    tree.describe(&[
        tagged(A, "dsnap-a", TIMES[0]),
        tagged(B, "dsnap-b", "2026-01-07T00:00:00Z"),
        tagged(C, "dsnap-c", TIMES[2]),
    ]);
    let error = select_backup(&found(tree.path()), &Selection::default()).err().unwrap();
    let said = error.to_string();
    assert!(said.contains("dsnap-b") && said.contains("dsnap-c"), "{said}");
}
