//! Every bit of every document of small dumps is flipped: what is read then is right, or something is
//! named. A document's damage is never taken for a statement.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::tree::{A, B, BLOCK, C, Tree, changes_page, described, full_page};
use crate::{found, opened};

/// The first byte of each of the first blocks, and the size of the volume.
type Truth = (u64, Vec<u8>);

const BLOCKS: usize = 6;

/// What a snapshot reads as; `None` where it is refused.
fn read(tree: &Path, snapshot: &str) -> Option<Truth> {
    let open = opened(&found(tree), snapshot).ok()?;
    if !open.damage.is_empty() {
        return None;
    }
    let [member] = open.members.as_slice() else { return None };
    let size = member.source.size();
    let bytes = |block: usize| {
        let start = (block * BLOCK) as u64;
        crate::sample::bytes(&*member.source, start..start + 1).ok().map(|bytes| bytes[0])
    };
    Some((size, (0..BLOCKS).map(bytes).collect::<Option<Vec<_>>>()?))
}

/// Flips each bit of a document; `excused` says which bits nothing else in the dump speaks against.
fn flip_all(tree: &Tree, name: &str, snapshots: &[&str], excused: impl Fn(&str, usize) -> bool) {
    let path = tree.path().join(name);
    let right = fs::read(&path).unwrap();
    let text = String::from_utf8(right.clone()).unwrap();
    let truth: Vec<Truth> = snapshots.iter().map(|s| read(tree.path(), s).unwrap()).collect();
    let mut refused = 0;
    for bit in 0..right.len() * 8 {
        let mut wrong = right.clone();
        wrong[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &wrong).unwrap();
        for (snapshot, truth) in snapshots.iter().zip(&truth) {
            match read(tree.path(), snapshot) {
                None => refused += 1,
                Some(found) if found == *truth => {}
                Some(found) => {
                    let shown = String::from_utf8_lossy(&wrong);
                    assert!(
                        excused(&text, bit / 8),
                        "bit {bit} of {name}: {snapshot} reads as {found:?}, not {truth:?}\n{shown}"
                    );
                }
            }
        }
    }
    fs::write(&path, &right).unwrap();
    assert!(refused > 0, "no flip of {name} was noticed");
}

/// Three snapshots: all blocks, changes of it, changes of these.
fn lineage() -> Tree {
    let tree = Tree::new();
    tree.full(A, 1, &[(0, 1), (1, 2), (2, 3), (5, 6)]);
    tree.changes(B, A, 1, &[(1, None), (2, Some(9)), (4, Some(8))]);
    tree.changes(C, B, 1, &[(0, Some(7))]);
    let one = |snapshot, time| described(snapshot, "vol-1", time, &[]);
    tree.describe(&[
        one(A, "2026-01-01T00:00:00Z"),
        one(B, "2026-01-02T00:00:00Z"),
        one(C, "2026-01-03T00:00:00Z"),
    ]);
    tree
}

fn never(_: &str, _: usize) -> bool {
    false
}

#[test]
fn of_a_list_of_all_blocks() {
    flip_all(&lineage(), &format!("{A}/list.json"), &[A], never);
}

#[test]
fn of_a_list_of_changes() {
    let tree = lineage();
    let name = format!("{B}/list-changed-blocks.{A}..{B}.json");
    // Nothing but the list says which block is gone: its number has no other witness.
    let gone = |text: &str, at: usize| text.find("\"BlockIndex\":1,").unwrap() + 13 == at;
    flip_all(&tree, &name, &[B, C], gone);
}

#[test]
fn of_a_list_of_changes_that_says_what_it_is_of() {
    let tree = lineage();
    let name = format!("{B}/list-changed-blocks.{A}..{B}.json");
    let mut page = changes_page(1, &[(2, Some(9)), (4, Some(8))]);
    page["FirstSnapshotId"] = json!(A);
    page["SecondSnapshotId"] = json!(B);
    page["NextToken"] = json!(null);
    tree.json(&name, &page);
    flip_all(&tree, &name, &[B], never);
}

#[test]
fn of_pages() {
    let tree = lineage();
    let mut first = full_page(1, &[0, 1]);
    first["NextToken"] = json!("AAAB");
    tree.json(&format!("{A}/list.0.json"), &first);
    tree.json(&format!("{A}/list.1.json"), &full_page(1, &[2, 5]));
    fs::remove_file(tree.path().join(format!("{A}/list.json"))).unwrap();
    flip_all(&tree, &format!("{A}/list.0.json"), &[A], never);
    flip_all(&tree, &format!("{A}/list.1.json"), &[A], never);
}

#[test]
fn of_checksums() {
    flip_all(&lineage(), &format!("{B}/get-snapshot-block.json"), &[B], never);
}

#[test]
fn of_the_answer_beside_a_block() {
    let tree = lineage();
    let path = tree.path().join(format!("{A}/get-snapshot-block.json"));
    let all: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for block in ["0", "1", "2", "5"] {
        tree.json(&format!("{A}/blocks/{block:0>8}.bin.json"), &all[block]);
    }
    fs::remove_file(path).unwrap();
    flip_all(&tree, &format!("{A}/blocks/00000001.bin.json"), &[A], never);
}

#[test]
fn of_descriptions() {
    let tree = Tree::new();
    tree.full(A, 1, &[(0, 1), (2, 3)]);
    tree.describe(&[described(A, "vol-1", "2026-01-01T00:00:00Z", &[("Name", "db")])]);
    flip_all(&tree, "describe-snapshots.json", &[A], never);
}

#[test]
fn a_snapshot_that_was_not_whole_never_becomes_so() {
    let tree = lineage();
    let mut pending = described(A, "vol-1", "2026-01-01T00:00:00Z", &[]);
    pending["State"] = json!("pending");
    tree.describe(&[pending]);
    let path = tree.path().join("describe-snapshots.json");
    let text = fs::read_to_string(&path).unwrap();
    let state = text.find("\"State\"").unwrap();
    assert_eq!(read(tree.path(), A), None);
    for bit in state * 8..(state + "\"State\":\"pending\"".len()) * 8 {
        let mut wrong = text.clone().into_bytes();
        wrong[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &wrong).unwrap();
        let backups = found(tree.path());
        let is_named = backups.damaged_files().any(|file| file.path == path);
        assert!(is_named || read(tree.path(), A).is_none(), "{}", String::from_utf8_lossy(&wrong));
    }
}
