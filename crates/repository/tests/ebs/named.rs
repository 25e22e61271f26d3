//! What lies in a dump and is called or encoded in another way is read or named.

use std::fs;
use std::os::unix::fs::symlink;

use foreign::backup::{BackupError, Backups, Fault, Missing, Problem, Warning};
use restore::source::{BackupFault, ReadCause};
use serde_json::{Value, json};
use snaprestore::catalog::{Selection, SetState};
use snaprestore::{RepositoryError, select_backup};

use crate::tree::{A, B, BLOCK, Tree, changes_page, described, full_page, plain};
use crate::{found, missing, opened};

/// A full dump whose list is not yet written.
fn unlisted() -> Tree {
    let tree = Tree::new();
    tree.blocks(A, &[(0, 1), (1, 2), (3, 4)]);
    tree
}

fn list() -> Value {
    full_page(1, &[0, 1, 3])
}

fn warned(backups: &Backups, of: &str) -> bool {
    let all = backups.warnings.iter().chain(backups.sets.iter().flat_map(|set| &set.warnings));
    all.into_iter().any(|warning| warning.to_string().contains(of))
}

fn only_problem(backups: &Backups) -> &Problem {
    let problems: Vec<_> = backups.sets[0].all_problems().collect();
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    problem
}

#[test]
fn a_list_in_any_file_and_encoding_is_read() {
    let text = list().to_string();
    let pretty = serde_json::to_string_pretty(&list()).unwrap();
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let lines = {
        let mut first = full_page(1, &[0, 1]);
        first["NextToken"] = json!("more");
        format!("{first}\n{}\n", full_page(1, &[3]))
    };
    let long = format!("{}{text}", " ".repeat(5 << 20));
    for (name, bytes) in [
        ("list-snapshot-blocks.json", [b"\xef\xbb\xbf", text.as_bytes()].concat()),
        ("list-snapshot-blocks.json", [b"\xff\xfe".to_vec(), utf16(&pretty)].concat()),
        ("list-snapshot-blocks.json", [b"\xff\xfe".to_vec(), utf16(&long)].concat()),
        ("list-snapshot-blocks.jsonl", lines.clone().into_bytes()),
        ("pages.NDJSON", lines.into_bytes()),
        ("list-snapshot-blocks.0000", text.clone().into_bytes()),
        ("list-snapshot-blocks.json.bak", text.clone().into_bytes()),
        ("page one.txt", text.clone().into_bytes()),
        ("blocks/list", text.clone().into_bytes()),
    ] {
        let tree = unlisted();
        tree.write(&format!("{A}/{name}"), &bytes);
        assert_eq!(tree.content(A, 4), [1, 2, 0, 4], "{name}");
    }
}

#[test]
fn the_entries_alone_are_a_list() {
    let tree = unlisted();
    tree.describe(&[described(A, "vol-1", "2026-01-01T00:00:00Z", &[])]);
    let path = tree.json(&format!("{A}/list.json"), &list()["Blocks"]);
    assert_eq!(tree.content(A, 4), [1, 2, 0, 4], "as --query Blocks prints them");
    let entries = list()["Blocks"].as_array().unwrap().clone();
    let lines: Vec<_> = entries.iter().map(Value::to_string).collect();
    fs::write(&path, lines.join("\n")).unwrap();
    assert_eq!(tree.content(A, 4), [1, 2, 0, 4], "one a line");
    tree.blocks(B, &[(1, 9)]);
    let page = changes_page(1, &[(0, None), (1, Some(9))]);
    tree.json(&format!("{B}/list-changed-blocks.{A}..{B}.json"), &page["ChangedBlocks"]);
    tree.describe(&[
        described(A, "vol-1", "2026-01-01T00:00:00Z", &[]),
        described(B, "vol-1", "2026-01-02T00:00:00Z", &[]),
    ]);
    assert_eq!(tree.content(B, 4), [0, 9, 0, 4]);
}

#[test]
fn what_cannot_be_read_as_a_list_is_named() {
    for (name, text) in [
        ("list.yaml", "Blocks:\n- BlockIndex: 0\n"),
        ("list.json", r#"{"blocks": [{"blockIndex": 0, "blockToken": "a"}]}"#),
        ("list.json", r#"[[0, "a"], [1, "b"], [3, "c"]]"#),
        ("list.json.gz", "\x1f\u{8b}"),
        ("notes.txt", "[seen on Monday]"),
    ] {
        let tree = unlisted();
        let bytes = if name.ends_with("gz") { b"\x1f\x8b\x08\0".to_vec() } else { text.into() };
        tree.write(&format!("{A}/{name}"), &bytes);
        let backups = found(tree.path());
        if name.ends_with("gz") {
            let error = opened(&backups, A).err().unwrap();
            assert!(matches!(error, BackupError::Unusable { .. }), "{error}");
            assert!(error.to_string().contains(name), "{error}");
            continue;
        }
        let path = tree.path().join(A);
        assert_eq!(missing(&backups, A), [Missing::List { path }]);
        assert!(warned(&backups, name), "{name} {:?}", backups.sets[0].warnings);
    }
}

#[test]
fn an_unknown_key_is_damage() {
    let tree = unlisted();
    let mut page = list();
    page["Blocks"][1]["BlockTokem"] = json!("AAAB");
    let path = tree.json(&format!("{A}/list.json"), &page);
    let backups = found(tree.path());
    let Problem::File(fault) = only_problem(&backups) else { panic!() };
    assert_eq!(fault.path, path);
    let said = fault.to_string();
    assert!(said.contains("entry 1 of Blocks") && said.contains("BlockTokem"), "{said}");
    let mut page = list();
    page["VolumeSjze"] = page["VolumeSize"].take();
    tree.json(&format!("{A}/list.json"), &page);
    let said = only_problem(&found(tree.path())).to_string();
    assert!(said.contains("VolumeSjze"), "{said}");
}

#[test]
fn a_block_is_gone_only_where_nothing_speaks_for_it() {
    let dump = |changes: &[(u32, Option<u8>)]| {
        let tree = Tree::new();
        tree.full(A, 1, &[(0, 1), (1, 2)]);
        tree.changes(B, A, 1, changes);
        tree
    };
    let page = |tree: &Tree, value: &Value| {
        tree.json(&format!("{B}/list-changed-blocks.{A}..{B}.json"), value)
    };
    let gone = changes_page(1, &[(0, Some(7)), (1, None)]);
    // Its file is there.
    let tree = dump(&[(0, Some(7)), (1, Some(8))]);
    let path = page(&tree, &gone);
    let backups = found(tree.path());
    let set = backups.sets.iter().find(|set| set.id.as_str() == B).unwrap();
    let problems: Vec<_> = set.all_problems().collect();
    let [Problem::File(fault)] = problems.as_slice() else { panic!("{problems:?}") };
    assert_eq!(fault.path, path);
    assert!(matches!(&*fault.fault, Fault::NotGone { block: 1, .. }), "{fault}");
    // Only its checksum is.
    fs::remove_file(tree.path().join(format!("{B}/blocks/00000001.bin"))).unwrap();
    let error = opened(&found(tree.path()), B).err().unwrap().to_string();
    assert!(error.contains("checksum of block 1") && error.contains("gone"), "{error}");
    // An entry without any token says nothing.
    let tree = dump(&[(0, Some(7))]);
    let mut neither = gone.clone();
    neither["ChangedBlocks"][1] = json!({"BlockIndex": 1});
    page(&tree, &neither);
    assert!(opened(&found(tree.path()), B).is_err());
    page(&tree, &gone);
    assert_eq!(tree.content(B, 2), [7, 0]);
}

#[test]
fn a_page_is_missed_by_a_checksum_of_what_it_names() {
    let tree = Tree::new();
    tree.full(A, 1, &[(0, 1), (1, 2), (3, 4)]);
    tree.json(&format!("{A}/list.json"), &full_page(1, &[0, 3]));
    fs::remove_file(tree.path().join(format!("{A}/blocks/00000001.bin"))).unwrap();
    let error = opened(&found(tree.path()), A).err().unwrap().to_string();
    assert!(error.contains("checksum of block 1"), "{error}");
}

#[test]
fn missing_digests_are_said() {
    let unproved = |tree: &Tree| {
        let backups = found(tree.path());
        let warnings = backups.sets[0].warnings.iter().filter_map(|warning| match warning {
            Warning::NoDigests { blocks, of, .. } => Some((*blocks, *of)),
            _ => None,
        });
        (warnings.collect::<Vec<_>>(), warned(&backups, "get-snapshot-block.json"))
    };
    let tree = Tree::new();
    tree.full(A, 1, &[(0, 1), (1, 2), (3, 4)]);
    assert_eq!(unproved(&tree), (vec![], false));
    // Another form: the document is named as well.
    let name = format!("{A}/get-snapshot-block.json");
    tree.json(&name, &json!({"0": "B4VNL", "1": "B4VNL", "3": "B4VNL"}));
    assert_eq!(unproved(&tree), (vec![(3, 3)], true));
    tree.json(&name, &json!([{"Index": 0, "Sha256": "B4VNL"}]));
    assert_eq!(unproved(&tree), (vec![(3, 3)], true));
    fs::remove_file(tree.path().join(&name)).unwrap();
    assert_eq!(unproved(&tree), (vec![(3, 3)], false));
}

#[test]
fn block_files_with_other_names_are_read() {
    for (old, new) in [("{:08}.bin", "block_{}"), ("{:08}.bin", "{}"), ("{:08}.bin", "{:04}.raw")] {
        let tree = unlisted();
        tree.json(&format!("{A}/list.json"), &list());
        for block in [0, 1, 3] {
            let name = |form: &str| {
                let digits = [(8, "{:08}"), (4, "{:04}"), (0, "{}")];
                let (width, part) = digits.into_iter().find(|(_, p)| form.contains(p)).unwrap();
                form.replace(part, &format!("{block:0width$}"))
            };
            let directory = tree.path().join(A).join("blocks");
            fs::rename(directory.join(name(old)), directory.join(name(new))).unwrap();
        }
        assert_eq!(tree.content(A, 4), [1, 2, 0, 4], "{new}");
    }
}

#[test]
fn a_dump_without_any_known_block_file_is_named() {
    let tree = Tree::new();
    let path = tree.json(&format!("{A}/list.json"), &list());
    for block in [0, 1, 3] {
        tree.write(&format!("{A}/blocks/part{block}.chunk"), &plain(1));
    }
    let backups = found(tree.path());
    assert_eq!(backups.sets[0].state(), SetState::Incomplete);
    assert_eq!(missing(&backups, A), [Missing::Files { path, blocks: 3 }]);
    assert!(warned(&backups, "part0.chunk (and 2 more)"), "{:?}", backups.sets[0].warnings);
    // A list that lies somewhere else is not a dump, but named.
    let tree = Tree::new();
    tree.json(&format!("list-snapshot-blocks.{A}.json"), &list());
    let backups = found(tree.path());
    assert!(backups.sets.is_empty() && !backups.is_empty());
    let error = select_backup(&backups, &Selection::default()).err().unwrap();
    assert!(matches!(error, RepositoryError::Backup(BackupError::Unused { .. })), "{error}");
    assert!(error.to_string().contains(A), "{error}");
}

#[test]
fn a_dump_without_an_id_is_named() {
    let tree = Tree::new();
    tree.full("x", 1, &[(0, 1)]);
    let backups = found(tree.path());
    assert!(backups.sets.is_empty());
    let is_named = |f: &foreign::backup::FileFault| f.path.ends_with("x/list.json");
    assert!(backups.unreadable.iter().any(is_named), "{:?}", backups.unreadable);
    let error = select_backup(&backups, &Selection::default()).err().unwrap();
    assert!(matches!(error, RepositoryError::Backup(BackupError::Unidentified { .. })), "{error}");
    // It may be newer than what has an id.
    tree.full(A, 1, &[(0, 1)]);
    assert!(select_backup(&found(tree.path()), &Selection::default()).is_err());
}

#[test]
fn one_bad_description_does_not_take_the_others_with_it() {
    let tree = Tree::new();
    tree.full(A, 1, &[(0, 1)]);
    tree.full(B, 1, &[(0, 2)]);
    let mut bad = described(B, "vol-2", "2026-01-02T00:00:00Z", &[]);
    bad["VolumeSize"] = json!("eight");
    tree.describe(&[described(A, "vol-1", "2026-01-01T00:00:00Z", &[]), bad]);
    let backups = found(tree.path());
    let [fault] = backups.unreadable.as_slice() else { panic!("{:?}", backups.unreadable) };
    assert!(matches!(&*fault.fault, Fault::Entry { place: 1, .. }), "{fault}");
    let volumes: Vec<_> = backups.sets.iter().map(|s| s.source_volume_id.as_str()).collect();
    assert_eq!(volumes, [B, "vol-1"]);
    assert_eq!(tree.content(A, 1), [1]);
}

#[test]
fn a_volume_does_not_shrink() {
    let tree = Tree::new();
    tree.full(A, 2, &[(0, 1)]);
    tree.changes(B, A, 1, &[(0, Some(2))]);
    let backups = found(tree.path());
    let set = backups.sets.iter().find(|set| set.id.as_str() == B).unwrap();
    let problems: Vec<_> = set.all_problems().collect();
    assert!(matches!(problems.as_slice(), [Problem::Smaller { .. }]), "{problems:?}");
}

#[test]
fn links_and_fifos_are_named_and_not_opened() {
    let tree = unlisted();
    let (name, away) = (format!("{A}/list-snapshot-blocks.json"), tree.path().join("away.txt"));
    tree.json("away.txt", &list());
    symlink(&away, tree.path().join(&name)).unwrap();
    let backups = found(tree.path());
    assert!(warned(&backups, &name), "{:?}", backups.sets[0].warnings);
    assert!(opened(&backups, A).is_err());
    fs::remove_file(tree.path().join(&name)).unwrap();
    // A link to a whole dump does not vanish either.
    let linked = Tree::new();
    symlink(tree.path().join(A), linked.path().join(A)).unwrap();
    let backups = found(linked.path());
    assert!(backups.sets.is_empty() && warned(&backups, A), "{:?}", backups.warnings);
    let path = tree.path().join(&name);
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let backups = found(tree.path());
    assert!(warned(&backups, &name), "{:?}", backups.sets[0].warnings);
}

#[test]
fn what_takes_the_place_of_a_file_that_was_found_is_not_read() {
    let swaps: [fn(&std::path::Path, &std::path::Path); 3] = [
        |path, other| {
            fs::remove_file(path).unwrap();
            symlink(other, path).unwrap();
        },
        |path, _| {
            fs::remove_file(path).unwrap();
            assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
        },
        |path, other| {
            let directory = path.parent().unwrap();
            fs::rename(directory, directory.with_extension("old")).unwrap();
            symlink(other.parent().unwrap(), directory).unwrap();
        },
    ];
    for swap in swaps {
        let tree = unlisted();
        tree.json(&format!("{A}/list.json"), &list());
        let elsewhere = Tree::new();
        let other = elsewhere.write("00000001.bin", &plain(2));
        let open = opened(&found(tree.path()), A).unwrap();
        let path = tree.path().join(format!("{A}/blocks/00000001.bin"));
        swap(&path, &other);
        let block = BLOCK as u64;
        let error = crate::sample::bytes(&*open.members[0].source, block..2 * block).unwrap_err();
        assert_eq!(error.path, path);
        let is_missing = matches!(error.cause, ReadCause::Backup(BackupFault::Missing { .. }));
        assert!(is_missing || matches!(error.cause, ReadCause::Io { .. }), "{error}");
    }
}
