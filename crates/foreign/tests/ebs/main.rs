//! EBS dumps: those of a real tool chain, and made ones, are found, tied to sets, read, and refused where
//! they are not whole.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod made;
mod real;
mod refused;
mod sample;
mod sets;
mod tree;

use std::path::Path;

use foreign::Limits;
use foreign::backup::{BackupError, Backups, Missing, OpenBackup, find};
use restore::catalog::Selection;

const LIMITS: Limits = Limits::DEFAULT;

fn found(path: &Path) -> Backups {
    find(&[path.to_owned()], &LIMITS)
}

fn one(id: &str) -> Selection {
    Selection { set_id: Some(id.to_owned()), ..Selection::default() }
}

/// The member of one snapshot, opened.
fn opened(backups: &Backups, snapshot: &str) -> Result<OpenBackup, BackupError> {
    backups.select(&one(snapshot))?.set.open(&LIMITS)
}

/// What is missing of the snapshot.
fn missing(backups: &Backups, snapshot: &str) -> Vec<Missing> {
    match opened(backups, snapshot) {
        Err(BackupError::Incomplete { missing, .. }) => missing,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("nothing is missing of {snapshot}"),
    }
}
