//! Choosing one set of other systems' backups.

use std::path::PathBuf;

use restore::catalog::{
    CatalogError, ContentId, Doubts, Reason, Selectable, Selection, SetKey, SetState, choose,
    is_of_machine,
};
use restore::snapfmt::SetId;

use super::{BackupError, BackupSet, Backups, Fault, FileFault, Missing, Problem};
use crate::limits::Limits;

/// What was selected, and what was passed over for it.
pub struct Selected<'b> {
    /// The set.
    pub set: BackupSet,
    /// Newer sets that are not complete, with [`Selection::latest`].
    pub skipped: Vec<&'b BackupSet>,
}

impl Selectable for &BackupSet {
    fn key(&self) -> SetKey<'_> {
        (**self).key()
    }

    fn content(&self) -> ContentId {
        ContentId::Never
    }

    fn place(&self) -> (&'static str, PathBuf) {
        let path = self.members.iter().find_map(|member| member.path.clone());
        (self.format.noun(), path.unwrap_or_default())
    }

    fn parents(&self) -> Vec<SetId> {
        let missing = |problem: &Problem| match problem {
            Problem::Missing(Missing::Parent { snapshot, .. }) => snapshot.as_str().parse().ok(),
            _ => None,
        };
        let mut parents: Vec<SetId> = self.all_problems().filter_map(missing).collect();
        parents.sort_unstable();
        parents.dedup();
        parents
    }

    /// Lists of changes may all be against one base.
    fn forks(&self) -> bool {
        false
    }
}

impl Reason for BackupError {}

impl FileFault {
    /// Whether the system failed over the file, which says nothing of what the file holds.
    pub fn is_of_machine(&self) -> bool {
        matches!(&*self.fault, Fault::Io(error) if is_of_machine(error))
    }
}

impl BackupSet {
    /// Why the set cannot be used, by what is known without reading it. It fails where the system does.
    pub fn obstacle(&self) -> Result<Option<BackupError>, BackupError> {
        let machine = self.all_problems().find_map(|problem| match problem {
            Problem::File(file) if file.is_of_machine() => Some(file.clone()),
            _ => None,
        });
        if let Some(file) = machine {
            return Err(BackupError::Machine { file });
        }
        if self.state() == SetState::Complete {
            return Ok(None);
        }
        let why = self.open(&Limits::DEFAULT).err().or_else(|| self.damaged());
        Ok(Some(why.unwrap_or(CatalogError::NoneFits { there: Vec::new() }.into())))
    }
}

impl Backups {
    /// The set that is meant. An id that is a member's snapshot means that snapshot alone.
    pub fn select(&self, selection: &Selection) -> Result<Selected<'_>, BackupError> {
        if let Some(set) = self.snapshot(selection) {
            return proved(set, selection);
        }
        let sets: Vec<&BackupSet> = self.sets.iter().collect();
        let selected = choose(&sets, selection, self.doubts(), |set| set.obstacle());
        let selected = selected.map_err(|error| self.or_unused(error))?;
        let skipped = selected.passed_over.into_iter().map(|(set, _)| *set).collect();
        Ok(Selected { set: (*selected.set).clone(), skipped })
    }

    /// What makes a choice among the sets doubtful.
    pub fn doubts(&self) -> Doubts<BackupError> {
        let machine = self.unreadable.iter().find(|file| file.is_of_machine()).cloned();
        let unidentified = self.unreadable.first().cloned();
        Doubts {
            absent: None,
            machine: machine.map(|file| BackupError::Machine { file }),
            unidentified: unidentified.map(|file| BackupError::Unidentified { file }),
        }
    }

    /// The member that the selection names by its snapshot.
    pub fn snapshot(&self, selection: &Selection) -> Option<BackupSet> {
        let id = selection.set_id.as_deref()?;
        if self.sets.iter().any(|set| set.id.as_str() == id) {
            return None;
        }
        let mut all = self.sets.iter().flat_map(|set| set.members.iter().map(move |m| (set, m)));
        let (set, member) = all.find(|(_, member)| member.snapshot.as_str() == id)?;
        let whole = Selection { set_id: None, ..selection.clone() };
        let alone = set.alone(member)?;
        (whole.fits(&set.key()) || whole.fits(&alone.key())).then_some(alone)
    }

    /// Where nothing was found that fits: what was found and could be what is looked for, if anything was.
    pub fn or_unused(&self, error: BackupError) -> BackupError {
        match (error, self.warnings.first()) {
            (
                BackupError::Select(CatalogError::NotFound | CatalogError::NoneFits { .. }),
                Some(first),
            ) => BackupError::Unused { count: self.warnings.len(), first: first.clone() },
            (error, _) => error,
        }
    }
}

/// There is no content id to compare with the one expected.
fn proved<'b>(set: BackupSet, selection: &Selection) -> Result<Selected<'b>, BackupError> {
    match selection.content_id.clone() {
        None => Ok(Selected { set, skipped: Vec::new() }),
        Some(expected) => Err(CatalogError::NoContentId { set_id: set.id, expected }.into()),
    }
}
