//! The sets of a catalog, as those to choose from.

use std::path::PathBuf;

use snapfmt::SetId;

use super::assemble::state_of;
use super::choose::{ContentId, Doubts, Selectable};
use super::files::FileError;
use super::set::SetEntry;
use super::{Catalog, CatalogError, SetKey, SetState};

/// A set and the catalog it is of, as one of several to choose from.
#[derive(Clone, Copy, Debug)]
pub struct FileSet<'c> {
    /// Where its files are.
    pub catalog: &'c Catalog,
    /// The set.
    pub entry: &'c SetEntry,
}

impl Selectable for FileSet<'_> {
    fn key(&self) -> SetKey<'_> {
        SetKey::from(&self.entry.manifest)
    }

    fn content(&self) -> ContentId {
        self.entry.content.map_or(ContentId::Unknown, ContentId::Known)
    }

    fn place(&self) -> (&'static str, PathBuf) {
        let Self { catalog, entry } = self;
        ("snapshot files", entry.first_path(catalog.files(), catalog.bad()).to_owned())
    }

    fn parents(&self) -> Vec<SetId> {
        let mut parents: Vec<SetId> = self.entry.parent_sets().cloned().collect();
        parents.sort_unstable();
        parents.dedup();
        parents
    }

    fn forks(&self) -> bool {
        true
    }
}

impl FileSet<'_> {
    /// Why the set cannot be used, by what opening its files tells. It fails where the system does.
    pub fn obstacle(&self) -> Result<Option<CatalogError>, CatalogError> {
        match self.catalog.open_set(self.entry) {
            Ok(_) => Ok(None),
            Err(error) => match error.machine() {
                Some(file) => Err(CatalogError::Machine { file }),
                None => Ok(Some(error)),
            },
        }
    }
}

impl Catalog {
    /// The sets, as those to choose from.
    pub fn choices(&self) -> Vec<FileSet<'_>> {
        self.sets().iter().map(|entry| FileSet { catalog: self, entry }).collect()
    }

    /// What makes a choice among the sets doubtful.
    pub fn doubts(&self) -> Doubts<CatalogError> {
        let unknown = || self.bad().iter().filter(|b| b.manifest.is_none()).map(|b| &b.error);
        let first = |is: &dyn Fn(&FileError) -> bool| unknown().find(|file| is(file)).cloned();
        Doubts {
            absent: first(&|file| self.is_absent(file)).map(|file| CatalogError::NoPath { file }),
            machine: first(&FileError::is_of_machine).map(|file| CatalogError::Machine { file }),
            unidentified: first(&|_| true).map(|file| CatalogError::Unidentified { file }),
        }
    }

    /// Whether a set can be used, seen from what opening its files tells.
    pub fn state(&self, entry: &SetEntry) -> SetState {
        state_of(&self.open_set(entry))
    }
}
