//! A set of any format.

use std::borrow::Cow;
use std::path::PathBuf;

use foreign::backup::BackupSet;
use restore::set::SetKey;
use restore::snapfmt::SetId;

use crate::catalog::{ContentId, FileSet, Selectable};

/// A set of any format.
#[derive(Clone)]
pub enum AnySet<'r> {
    /// Of snapshot files.
    Files(FileSet<'r>),
    /// Of another system's backups.
    Backup(Cow<'r, BackupSet>),
}

impl Selectable for AnySet<'_> {
    fn key(&self) -> SetKey<'_> {
        match self {
            Self::Files(set) => set.key(),
            Self::Backup(set) => set.key(),
        }
    }

    fn content(&self) -> ContentId {
        match self {
            Self::Files(set) => set.content(),
            Self::Backup(_) => ContentId::Never,
        }
    }

    fn place(&self) -> (&'static str, PathBuf) {
        match self {
            Self::Files(set) => set.place(),
            Self::Backup(set) => (&**set).place(),
        }
    }

    fn parents(&self) -> Vec<SetId> {
        match self {
            Self::Files(set) => set.parents(),
            Self::Backup(set) => (&**set).parents(),
        }
    }

    fn forks(&self) -> bool {
        match self {
            Self::Files(set) => set.forks(),
            Self::Backup(set) => (&**set).forks(),
        }
    }
}
