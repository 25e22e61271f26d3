//! EBS dumps: those of a real tool chain, and made ones, are found, tied to sets, read, and refused where
//! they are not whole.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod flips;
mod lines;
mod made;
mod named;
mod parts;
mod proxy;
mod real;
mod refused;
mod sample;
mod sets;
mod tree;
mod unusable;

use std::path::Path;

use foreign::Limits;
use foreign::backup::{BackupError, Backups, Missing};
use restore::VolumeMember;
use restore::source::ReadError;
use snaprestore::catalog::Selection;
use snaprestore::{RepositoryError, select_backup};

const LIMITS: Limits = Limits::DEFAULT;

fn found(path: &Path) -> Backups {
    foreign::find(&[path.to_owned()], &LIMITS).backups
}

/// An error about backups.
fn of_backups(error: RepositoryError) -> BackupError {
    match error {
        RepositoryError::Backup(error) => error,
        other => panic!("{other}"),
    }
}

fn one(id: &str) -> Selection {
    Selection { set_id: Some(id.to_owned()), ..Selection::default() }
}

/// A set that was opened, and what is lost of it.
struct Open {
    members: Vec<VolumeMember>,
    damage: Vec<ReadError>,
}

/// The member of one snapshot, opened.
fn opened(backups: &Backups, snapshot: &str) -> Result<Open, BackupError> {
    let set = select_backup(backups, &one(snapshot)).map_err(of_backups)?;
    Ok(Open { members: set.open(&LIMITS)?, damage: set.damage() })
}

/// What is missing of the snapshot.
fn missing(backups: &Backups, snapshot: &str) -> Vec<Missing> {
    match opened(backups, snapshot) {
        Err(BackupError::Incomplete { missing, .. }) => missing,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("nothing is missing of {snapshot}"),
    }
}
