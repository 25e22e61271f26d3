//! Parts of a dump that are there and cannot be used: no block reads as zeros, or as what it was before, for
//! them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use foreign::backup::{BackupError, Missing, Problem};
use serde_json::{Value, json};
use snaprestore::select_backup;

use crate::tree::{A, B, Tree, changes_page, described, full_page, plain};
use crate::{found, missing, one, opened};

const GZIP: [u8; 4] = [0x1f, 0x8b, 8, 0];

/// A dump without checksums whose list is in pages with names that do not count, and one of changes on top of it.
fn dump() -> Tree {
    let tree = Tree::new();
    for block in [0, 1, 7] {
        tree.write(&format!("{A}/blocks/{block:08}.bin"), &plain(1));
    }
    pages(&tree, A, "la.json", "lb.json");
    for block in [1, 9] {
        tree.write(&format!("{B}/blocks/{block:08}.bin"), &plain(2));
    }
    let mut first = changes_page(1, &[(1, Some(2))]);
    first["NextToken"] = json!("more");
    tree.json(&format!("{B}/ca.{A}..{B}.json"), &first);
    tree.json(&format!("{B}/cb.{A}..{B}.json"), &changes_page(1, &[(9, Some(2))]));
    let times = ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"];
    tree.describe(&[described(A, "vol-1", times[0], &[]), described(B, "vol-1", times[1], &[])]);
    tree
}

/// The blocks 0 and 7 by one page, 1 by the other, which is in their middle.
fn pages(tree: &Tree, snapshot: &str, outer: &str, inner: &str) {
    let mut page = full_page(1, &[0]);
    page["NextToken"] = json!("more");
    tree.json(&format!("{snapshot}/{outer}"), &page);
    page["Blocks"] = full_page(1, &[1])["Blocks"].clone();
    tree.json(&format!("{snapshot}/{inner}"), &page);
    tree.json(&format!("{snapshot}/lz.json"), &full_page(1, &[7]));
}

/// Puts a file out of use.
type Change = fn(&Path);

fn renamed(path: &Path, end: &str) -> std::path::PathBuf {
    path.with_file_name(format!("{}{end}", path.file_name().unwrap().display()))
}

fn pack(path: &Path) {
    fs::write(renamed(path, ".gz"), [&GZIP[..], &fs::read(path).unwrap()].concat()).unwrap();
    fs::remove_file(path).unwrap();
}

fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(renamed(path, ".tmp"), &bytes[..bytes.len() / 2]).unwrap();
    fs::remove_file(path).unwrap();
}

fn encrypt(path: &Path) {
    fs::write(renamed(path, ".age"), b"age-encryption.org/v1").unwrap();
    fs::remove_file(path).unwrap();
}

fn link(path: &Path) {
    let is_home =
        |path: &&Path| path.file_name().unwrap().display().to_string().starts_with("snap-");
    let away = path.ancestors().find(is_home).unwrap().with_file_name("away");
    let target = away.join(path.file_name().unwrap());
    fs::create_dir_all(&away).unwrap();
    fs::rename(path, &target).unwrap();
    symlink(&target, path).unwrap();
}

fn fifo(path: &Path) {
    fs::remove_file(path).unwrap();
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn directory(path: &Path) {
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
}

const CHANGES: [(&str, Change); 6] = [
    ("packed", pack),
    ("cut off", cut),
    ("encrypted", encrypt),
    ("linked", link),
    ("a FIFO", fifo),
    ("a directory", directory),
];

/// The snapshots cannot be used for this file, which is named.
fn are_unusable(tree: &Tree, snapshots: &[&str], file: &str, how: &str) {
    let backups = found(tree.path());
    for snapshot in snapshots {
        let set = select_backup(&backups, &one(snapshot)).unwrap();
        let names = |problem: &&Problem| problem.to_string().contains(file);
        let all: Vec<_> = set.all_problems().collect();
        assert!(all.iter().any(names), "{snapshot}: {file} is {how}: {all:?}");
        let error = opened(&backups, snapshot).err().unwrap();
        assert!(matches!(error, BackupError::Unusable { .. }), "{file} is {how}: {error}");
    }
}

#[test]
fn a_page_and_the_blocks_it_names() {
    for (how, change) in CHANGES {
        let tree = dump();
        let whole = found(tree.path());
        assert!(opened(&whole, A).is_ok() && opened(&whole, B).is_ok());
        for file in ["lb.json", "blocks/00000001.bin"] {
            change(&tree.path().join(A).join(file));
        }
        are_unusable(&tree, &[A, B], "lb.json", how);
        let tree = dump();
        let page = format!("cb.{A}..{B}.json");
        for file in [page.as_str(), "blocks/00000009.bin"] {
            change(&tree.path().join(B).join(file));
        }
        are_unusable(&tree, &[B], &page, how);
        assert!(opened(&found(tree.path()), A).is_ok());
    }
}

#[test]
fn a_block_that_no_page_names() {
    for (how, change) in CHANGES {
        let tree = dump();
        fs::remove_file(tree.path().join(A).join("lb.json")).unwrap();
        change(&tree.path().join(A).join("blocks/00000001.bin"));
        are_unusable(&tree, &[A, B], "00000001.bin", how);
    }
}

/// What a list names is lost, and known to be: the rest can be had.
#[test]
fn a_block_that_a_page_names() {
    for (_, change) in CHANGES {
        let tree = dump();
        change(&tree.path().join(A).join("blocks/00000007.bin"));
        let backups = found(tree.path());
        for snapshot in [A, B] {
            let set = select_backup(&backups, &one(snapshot)).unwrap();
            let problems: Vec<_> = set.all_problems().collect();
            let [Problem::Blocks { lost: 1, first }] = problems.as_slice() else {
                panic!("{problems:?}")
            };
            assert!(first.display().to_string().contains("00000007.bin"), "{first:?}");
            assert_eq!(opened(&backups, snapshot).unwrap().damage.len(), 1);
        }
    }
}

#[test]
fn all_blocks_of_a_list_that_names_none() {
    let tree = dump();
    fs::remove_dir_all(tree.path().join(B)).unwrap();
    tree.json(&format!("{B}/list.{A}..{B}.json"), &changes_page(1, &[(7, None)]));
    tree.write(&format!("{B}/blocks/00000001.bin.gz"), &GZIP);
    are_unusable(&tree, &[B], "00000001.bin.gz", "packed");
}

#[test]
fn an_error_in_the_place_of_a_page() {
    let errors = [
        json!({"__type": "ThrottlingException", "message": "Rate exceeded"}),
        json!({"__type": "x#Y", "Detail": 1}),
        json!({"message": "Internal server error"}),
        json!({"Error": {"Code": "RequestThrottled"}, "ResponseMetadata": {}}),
        json!({"Code": "InternalError", "Message": "", "RequestId": "1"}),
        json!([{"message": "Forbidden"}]),
        json!({}),
        json!([]),
        Value::Null,
    ];
    for error in errors {
        let tree = dump();
        tree.json(&format!("{A}/lb.json"), &error);
        fs::remove_file(tree.path().join(A).join("blocks/00000001.bin")).unwrap();
        are_unusable(&tree, &[A, B], "lb.json", &error.to_string());
    }
    // Anything else where a list must be, by its name.
    for name in ["list-snapshot-blocks.json", "page-2.json"] {
        let tree = dump();
        fs::rename(tree.path().join(A).join("la.json"), tree.path().join(A).join("page-1.json"))
            .unwrap();
        tree.json(&format!("{A}/{name}"), &json!({"result": "see above"}));
        are_unusable(&tree, &[A, B], name, "something else");
    }
}

#[test]
fn what_is_no_part_of_a_dump_does_not_matter() {
    let tree = dump();
    for (name, bytes) in [
        ("README", &b"notes"[..]),
        ("README.gz", &GZIP),
        ("dump.log.gz", &GZIP),
        ("lb.json.md5", b"1234"),
        ("manifest.json", br#"{"tool": "x", "message": "done"}"#),
        ("get-snapshot-block.json.gz", &GZIP),
        ("00000001.bin.json.gz", &GZIP),
        // What is there without being packed as well.
        ("lb.json.gz", &GZIP),
        ("blocks/00000001.bin.gz", &GZIP),
        ("blocks/00000007.bin.tmp", b"half"),
    ] {
        tree.write(&format!("{A}/{name}"), bytes);
    }
    symlink("lb.json", tree.path().join(A).join("newest.json")).unwrap();
    tree.json("elsewhere/answer.json", &json!({"message": "Forbidden"}));
    tree.write("elsewhere/settings.json.gz", &GZIP);
    let backups = found(tree.path());
    assert!(opened(&backups, A).is_ok(), "{:?}", opened(&backups, A).err());
    assert!(opened(&backups, B).is_ok(), "{:?}", opened(&backups, B).err());
    assert!(backups.unreadable.is_empty(), "{:?}", backups.unreadable);
}

#[test]
fn pages_are_counted_from_the_first() {
    for (names, lost) in [
        (["page-1.json", "page-2.json", "page-3.json"], "page-1.json"),
        (["list.0001", "list.0002", "list.0003"], "list.0001"),
        (["p8.json", "p9.json", "p10.json"], "p8.json"),
    ] {
        let tree = dump();
        let home = tree.path().join(A);
        for (old, new) in ["la.json", "lb.json", "lz.json"].into_iter().zip(names) {
            fs::rename(home.join(old), home.join(new)).unwrap();
        }
        for file in [names[0], "blocks/00000000.bin"] {
            fs::remove_file(home.join(file)).unwrap();
        }
        assert_eq!(missing(&found(tree.path()), A), [Missing::Page { path: home.join(lost) }]);
        // With one of them left.
        for file in [names[1], "blocks/00000001.bin"] {
            fs::remove_file(home.join(file)).unwrap();
        }
        let path = home.join(names[1]);
        assert_eq!(missing(&found(tree.path()), A), [Missing::Page { path }]);
    }
    // A date is no page's number.
    let tree = Tree::new();
    tree.blocks(A, &[(0, 1)]);
    for name in ["list-2026.json", "list.20261130.json"] {
        let path = tree.json(&format!("{A}/{name}"), &full_page(1, &[0]));
        assert_eq!(tree.content(A, 1), [1], "{name}");
        fs::remove_file(path).unwrap();
    }
}
