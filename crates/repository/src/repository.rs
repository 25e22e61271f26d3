//! All that lies under some paths, whatever stored it: found by one walk, chosen from by one rule.

use std::path::PathBuf;

use crate::catalog::{Catalog, Lookup};

use foreign::Limits;
use foreign::backup::Backups;
use foreign::find;

/// Snapshot files and other systems' backups.
pub struct Repository {
    /// The snapshot files, and the sets they make.
    pub snapshots: Catalog,
    /// Other systems' backups.
    pub backups: Backups,
}

impl Repository {
    /// Looks at all that lies under `paths`. What cannot be opened is found in [`Catalog::bad`] and
    /// [`Backups::unreadable`], and counts when a set is chosen.
    pub fn open(paths: &[PathBuf], lookup: &Lookup, limits: &Limits) -> Self {
        let found = find(paths, limits);
        let snapshots = Catalog::of_files(paths, &found.snapshots, lookup);
        Self { snapshots, backups: found.backups }
    }

    /// Whether there is nothing but, possibly, snapshot files.
    pub fn has_only_snapshots(&self) -> bool {
        self.backups.is_empty()
    }
}
