//! All that lies under some paths, whatever stored it: found by one walk, chosen from by one rule.

mod prove;
mod select;

use std::path::PathBuf;

use restore::catalog::{Catalog, Lookup};

use crate::backup::Backups;
use crate::ebs;
use crate::limits::Limits;

pub use prove::Proving;
pub use select::{AnySet, RepositoryError, Selected};

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
        let (backups, files) = ebs::find(paths, limits);
        Self { snapshots: Catalog::of_files(paths, &files, lookup), backups }
    }

    /// Whether there is nothing but, possibly, snapshot files.
    pub fn has_only_snapshots(&self) -> bool {
        self.backups.is_empty()
    }
}
