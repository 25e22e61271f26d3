//! Dumps of flexible-snapshot-proxy.

use std::fs;
use std::path::{Path, PathBuf};

use foreign::backup::{Fault, Problem, Warning};
use restore::source::{BackupFault, ReadCause};
use snaprestore::catalog::SetState;

use crate::tree::{A, B, BLOCK, Tree};
use crate::{LIMITS, found, opened};

#[test]
fn runs_of_flexible_snapshot_proxy() {
    let tree = Tree::new();
    let files = tree.proxy(A, 1, &[(0, 3, 1), (64, 64, 2), (130, 1, 3)]);
    let content = tree.content(A, 132);
    assert_eq!((content[..4].to_vec(), &content[127..]), (vec![1, 1, 1, 0], &[2, 0, 0, 3, 0][..]));
    let backups = found(tree.path());
    assert_eq!(backups.sets[0].state(), SetState::Complete);
    assert!(matches!(backups.sets[0].warnings.as_slice(), [Warning::LastRun { .. }]));
    // Changes may lie over it.
    tree.changes(B, A, 1, &[(1, Some(9)), (64, None), (131, Some(7))]);
    let content = tree.content(B, 132);
    assert_eq!((&content[..4], content[64], content[65]), ([1, 9, 1, 0].as_slice(), 0, 2));
    assert_eq!(content[130..], [3, 7]);
    // A frame of something else.
    fs::write(&files[0], frame(1, 3 * BLOCK - 1)).unwrap();
    let cause = first_read(&tree, A);
    assert!(matches!(cause, BackupFault::Length { .. }), "{cause}");
    fs::write(&files[0], frame(2, 3 * BLOCK)).unwrap();
    let cause = first_read(&tree, A);
    assert!(matches!(cause, BackupFault::Checksum { .. }), "{cause}");
    fs::write(&files[0], frame(1, 4 * BLOCK)).unwrap();
    let cause = first_read(&tree, A);
    assert!(matches!(cause, BackupFault::Compressed { .. }), "{cause}");
    fs::write(&files[0], [0; 100]).unwrap();
    let cause = first_read(&tree, A);
    assert!(matches!(cause, BackupFault::Compressed { .. }), "{cause}");
}

#[test]
fn dumps_of_two_kinds_or_twice() {
    let tree = Tree::new();
    tree.proxy(A, 1, &[(0, 3, 1)]);
    let again = Tree::new();
    again.proxy(A, 1, &[(0, 3, 1)]);
    let both = [tree.path().to_owned(), again.path().to_owned()];
    let set = |paths: &[PathBuf]| foreign::find(paths, &LIMITS).backups.sets.remove(0);
    assert_eq!(set(&both).state(), SetState::Complete);
    again.proxy(A, 1, &[(7, 1, 1)]);
    assert_eq!(set(&both).state(), SetState::Damaged, "they contradict each other");
    // Blocks have no end that may be missing.
    tree.full(A, 1, &[(0, 9)]);
    assert_eq!(tree.content(A, 2), [9, 0]);
    assert!(found(tree.path()).sets[0].warnings.is_empty());
}

fn frame(fill: u8, len: usize) -> Vec<u8> {
    zstd::encode_all(vec![fill; len].as_slice(), 1).unwrap()
}

/// What is wrong with the first chunk of a snapshot.
fn first_read(tree: &Tree, snapshot: &str) -> BackupFault {
    let open = opened(&found(tree.path()), snapshot).unwrap();
    let error = crate::sample::bytes(&*open.members[0].source, 0..1).unwrap_err();
    match error.cause {
        ReadCause::Backup(fault) => fault,
        other => panic!("{other}"),
    }
}

#[test]
fn runs_that_overlap_or_lie_outside_are_refused() {
    for runs in [&[(0, 3, 1), (2, 1, 2)][..], &[(2047, 2, 1)], &[(0, 65, 1)]] {
        let tree = Tree::new();
        tree.proxy(A, 1, runs);
        // The dump does not vanish.
        let backups = found(tree.path());
        let problems: Vec<_> = backups.sets[0].all_problems().collect();
        let [Problem::File(fault)] = problems.as_slice() else { panic!("{problems:?}") };
        assert!(fault.path.ends_with(fault.path.file_name().unwrap()), "{fault}");
        assert_eq!(backups.damaged_files().count(), 1, "{runs:?}");
    }
}

#[test]
fn a_run_that_something_renamed_is_read() {
    for rename in [
        |name: &str| name.replace('=', "%3D"),
        |name: &str| name.replace('=', ""),
        |name: &str| format!("{name}.tmp"),
        |name: &str| name.replace(".zstd", ".zst"),
        |name: &str| format!("00{name}"),
    ] {
        let tree = Tree::new();
        let files = tree.proxy(A, 1, &[(0, 2, 1), (9, 1, 7)]);
        let name = files[1].file_name().unwrap().to_str().unwrap();
        let renamed = files[1].with_file_name(rename(name));
        fs::rename(&files[1], &renamed).unwrap();
        assert_eq!(tree.content(A, 10), [1, 1, 0, 0, 0, 0, 0, 0, 0, 7], "{}", renamed.display());
        // What is there by both names counts once; what only claims to be it is found out.
        fs::copy(&renamed, &files[1]).unwrap();
        fs::write(&renamed, [0; 7]).unwrap();
        assert_eq!(tree.content(A, 10)[9], 7);
        fs::remove_file(&files[1]).unwrap();
        let open = opened(&found(tree.path()), A).unwrap();
        let at = 9 * BLOCK as u64;
        let error = crate::sample::bytes(&*open.members[0].source, at..at + 1).unwrap_err();
        assert_eq!(error.path, renamed);
    }
}

#[test]
fn a_run_whose_name_says_nothing_is_named() {
    for name in ["9.AAAA.1.zstd", "9.zstd", "part-3.zstd.1", "9"] {
        let tree = Tree::new();
        let files = tree.proxy(A, 1, &[(0, 2, 1), (9, 1, 7)]);
        let renamed = files[1].with_file_name(name);
        fs::rename(&files[1], &renamed).unwrap();
        let backups = found(tree.path());
        let problems: Vec<_> = backups.sets[0].all_problems().collect();
        let [Problem::File(fault)] = problems.as_slice() else { panic!("{name}: {problems:?}") };
        assert_eq!(fault.path, renamed);
        assert!(matches!(*fault.fault, Fault::NoSegment), "{fault}");
    }
    // Anything else is named, and keeps nobody from the rest.
    let tree = Tree::new();
    tree.proxy(A, 1, &[(0, 2, 1)]);
    tree.write(&format!("{A}.1/README"), b"text");
    assert_eq!(tree.content(A, 2), [1, 1]);
    let warnings = &found(tree.path()).sets[0].warnings;
    assert!(warnings.iter().any(|w| w.to_string().contains("README")), "{warnings:?}");
}

/// Its name says that the blocks exist, so that they are no zeros.
#[test]
fn a_run_that_is_no_file_is_named() {
    let link = |at: &Path| {
        let aside = at.with_file_name("aside.dat");
        fs::rename(at, &aside).unwrap();
        std::os::unix::fs::symlink("aside.dat", at).unwrap();
    };
    let dangling = |at: &Path| {
        fs::remove_file(at).unwrap();
        std::os::unix::fs::symlink("nowhere", at).unwrap();
    };
    let socket = |at: &Path| {
        fs::remove_file(at).unwrap();
        drop(std::os::unix::net::UnixListener::bind(at).unwrap());
    };
    let directory = |at: &Path| {
        fs::remove_file(at).unwrap();
        fs::create_dir(at).unwrap();
    };
    let replacements: [&dyn Fn(&Path); 4] = [&link, &dangling, &socket, &directory];
    for replace in replacements {
        let tree = Tree::new();
        let files = tree.proxy(A, 1, &[(0, 2, 1), (9, 1, 7)]);
        replace(&files[1]);
        let backups = found(tree.path());
        let problems: Vec<_> = backups.sets[0].all_problems().collect();
        let [Problem::File(fault)] = problems.as_slice() else { panic!("{problems:?}") };
        assert_eq!(fault.path, files[1]);
        assert!(matches!(*fault.fault, Fault::NoFile { .. }), "{fault}");
    }
}

#[test]
fn runs_in_a_directory_that_says_no_snapshot_are_named() {
    let tree = Tree::new();
    let files = tree.proxy(A, 1, &[(0, 2, 1)]);
    let elsewhere = tree.path().join("elsewhere");
    fs::rename(files[0].parent().unwrap(), &elsewhere).unwrap();
    let backups = found(tree.path());
    let [fault] = backups.unreadable.as_slice() else { panic!("{:?}", backups.unreadable) };
    assert_eq!(fault.path, elsewhere);
    assert!(matches!(*fault.fault, Fault::NoSnapshot), "{fault}");
}
