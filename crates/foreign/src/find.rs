//! The backups of all formats, by one walk.

use std::path::PathBuf;

use crate::backup::Backups;
use crate::ebs;
use crate::limits::Limits;

/// What lies under some paths.
pub struct Found {
    /// The backups.
    pub backups: Backups,
    /// Snapshot files, and whatever else was named and is of no format that is known here.
    pub snapshots: Vec<PathBuf>,
}

/// Looks for the backups of all known formats under `paths`, by content.
pub fn find(paths: &[PathBuf], limits: &Limits) -> Found {
    let (backups, snapshots) = ebs::find(paths, limits);
    Found { backups, snapshots }
}
