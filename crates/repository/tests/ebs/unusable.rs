//! What is known to be a snapshot's and cannot be used is not stepped over for an older one.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use foreign::backup::{BackupError, Fault, Problem};
use serde_json::json;
use snaprestore::catalog::Selection;
use snaprestore::{RepositoryError, select_backup};

use crate::tree::{A, B, Tree, described, full_page, plain};
use crate::{found, opened};

/// A sound dump of a volume.
fn sound() -> Tree {
    let tree = Tree::new();
    tree.full(A, 1, &[(0, 1), (1, 2)]);
    tree
}

/// The newest is not chosen, for this file or directory; a name still chooses the sound one.
fn is_in_doubt(tree: &Tree, name: &str) {
    let backups = found(tree.path());
    let error = select_backup(&backups, &Selection::default()).err().unwrap();
    assert!(
        matches!(&error, RepositoryError::Backup(BackupError::Unidentified { .. })),
        "{name}: {error}"
    );
    let expected = tree.path().join(name).display().to_string();
    assert!(error.to_string().starts_with(&expected), "expected {expected}: {error}");
    assert!(error.to_string().contains(B), "{error}");
    assert_eq!(tree.content(A, 2), [1, 2]);
}

#[test]
fn a_linked_dump_may_be_the_newest() {
    let elsewhere = Tree::new();
    elsewhere.full(B, 1, &[(0, 9)]);
    for target in [elsewhere.path().join(B), "nowhere".into()] {
        let tree = sound();
        symlink(&target, tree.path().join(B)).unwrap();
        is_in_doubt(&tree, B);
    }
    // A link beside the dump itself tells nothing new.
    let tree = sound();
    symlink(A, tree.path().join(format!("latest-{A}"))).unwrap();
    assert!(select_backup(&found(tree.path()), &Selection::default()).is_ok());
}

/// Compresses a file as gzip would, as far as its first bytes.
fn pack(path: &Path) {
    let packed = path.with_file_name(format!("{}.gz", path.file_name().unwrap().display()));
    fs::write(&packed, [&[0x1f, 0x8b, 8, 0][..], &fs::read(path).unwrap()].concat()).unwrap();
    fs::remove_file(path).unwrap();
}

#[test]
fn a_packed_dump_may_be_the_newest() {
    let tree = sound();
    tree.full(B, 1, &[(0, 9)]);
    let block = format!("{B}/blocks/00000000.bin");
    pack(&tree.path().join(&block));
    for document in ["list.json", "get-snapshot-block.json"] {
        pack(&tree.path().join(B).join(document));
    }
    let backups = found(tree.path());
    let error = select_backup(&backups, &Selection::default()).err().unwrap();
    assert!(matches!(&error, RepositoryError::Backup(BackupError::Unidentified { .. })), "{error}");
    assert!(error.to_string().contains(&format!("{B}/")), "{error}");
    // Its list beside the directory does not say more.
    tree.json(&format!("list-snapshot-blocks.{B}.json"), &full_page(1, &[0]));
    assert!(select_backup(&found(tree.path()), &Selection::default()).is_err());
    // One file with all of it.
    let tree = sound();
    tree.write(&format!("{B}.tar.gz"), &[0x1f, 0x8b, 8, 0]);
    is_in_doubt(&tree, &format!("{B}.tar.gz"));
    // Beside a dump of its own, or with a name of which only a part is an id, it is only named.
    for name in [format!("{A}.tar.gz"), format!("{B}.log")] {
        let tree = sound();
        tree.write(&name, &[0x1f, 0x8b, 8, 0][..if name.ends_with("gz") { 4 } else { 1 }]);
        assert!(select_backup(&found(tree.path()), &Selection::default()).is_ok(), "{name}");
    }
}

#[test]
fn states_that_contradict_each_other_are_named() {
    for states in [["completed", "error"], ["pending", "completed"]] {
        let tree = sound();
        let documents = ["describe-1.json", "describe-2.json"];
        for (document, state) in documents.into_iter().zip(states) {
            let mut one = described(A, "vol-1", "2026-01-01T00:00:00Z", &[]);
            one["State"] = json!(state);
            tree.json(document, &json!({"Snapshots": [one]}));
        }
        let backups = found(tree.path());
        let is_state = |problem: &&Problem| matches!(problem, Problem::File(file) if matches!(&*file.fault, Fault::OtherState { .. }));
        let problem = backups.sets[0].all_problems().find(is_state).unwrap().to_string();
        for word in documents.into_iter().chain(states) {
            assert!(problem.contains(word), "{word}: {problem}");
        }
        let error = opened(&backups, A).err().unwrap();
        assert!(matches!(&error, BackupError::Unusable { .. }), "{error}");
    }
}

#[test]
fn a_size_that_cannot_be_is_damage() {
    for size in [json!(0), json!(1_u64 << 40)] {
        let tree = sound();
        let mut one = described(A, "vol-1", "2026-01-01T00:00:00Z", &[]);
        one["VolumeSize"] = size;
        tree.describe(&[one]);
        let error = opened(&found(tree.path()), A).err().unwrap().to_string();
        assert!(error.contains("describe-snapshots.json") && error.contains("GiB"), "{error}");
    }
    let tree = sound();
    tree.json(&format!("{A}/list-2.json"), &full_page(0, &[0, 1]));
    assert!(opened(&found(tree.path()), A).is_err());
}

#[test]
fn runs_of_blocks_that_cannot_be_used_are_named() {
    let tree = sound();
    let file = tree.write(&format!("{A}.1/9.zstd"), &plain(1));
    assert_eq!(tree.content(A, 2), [1, 2]);
    let warnings = &found(tree.path()).sets[0].warnings;
    let said = file.display().to_string();
    assert!(warnings.iter().any(|w| w.to_string().contains(&said)), "{warnings:?}");
}
