//! Other systems' backups as sets to choose from.

use std::path::PathBuf;

use foreign::backup::{BackupError, BackupSet, Backups, Problem};
use restore::set::{SetKey, SetState};
use restore::snapfmt::SetId;

use crate::catalog::{CatalogError, ContentId, Doubts, Selectable, Selection, choose};
use crate::error::RepositoryError;

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
        self.parents.to_vec()
    }

    /// Lists of changes may all be against one base.
    fn forks(&self) -> bool {
        false
    }
}

/// Why a set cannot be used, by what is known without reading it. It fails where the system does.
pub(crate) fn obstacle(set: &BackupSet) -> Result<Option<RepositoryError>, RepositoryError> {
    let machine = set.all_problems().find_map(|problem| match problem {
        Problem::File(file) if file.is_of_machine() => Some(file.clone()),
        _ => None,
    });
    if let Some(file) = machine {
        return Err(BackupError::Machine { file }.into());
    }
    if set.state() == SetState::Complete {
        return Ok(None);
    }
    let why = set.open(&foreign::Limits::DEFAULT).err().or_else(|| set.damaged());
    let none = || CatalogError::NoneFits { there: Vec::new() }.into();
    Ok(Some(why.map_or_else(none, RepositoryError::from)))
}

/// The set of other systems' backups that is meant. An id that is a member's snapshot means that snapshot alone.
pub fn select_backup(
    backups: &Backups,
    selection: &Selection,
) -> Result<BackupSet, RepositoryError> {
    if let Some(set) = snapshot(backups, selection) {
        return no_content(set, selection);
    }
    let sets: Vec<&BackupSet> = backups.sets.iter().collect();
    let selected = choose(&sets, selection, doubts(backups), |set| obstacle(set));
    Ok((*selected.map_err(|error| or_unused(backups, error))?.set).clone())
}

/// What makes a choice among the sets doubtful.
pub(crate) fn doubts(backups: &Backups) -> Doubts<RepositoryError> {
    let machine = backups.unreadable.iter().find(|file| file.is_of_machine()).cloned();
    let unidentified = backups.unreadable.first().cloned();
    Doubts {
        absent: None,
        machine: machine.map(|file| BackupError::Machine { file }.into()),
        unidentified: unidentified.map(|file| BackupError::Unidentified { file }.into()),
    }
}

/// The member that the selection names by its snapshot, as a set of its own.
pub(crate) fn snapshot(backups: &Backups, selection: &Selection) -> Option<BackupSet> {
    let id = selection.set_id.as_deref()?;
    if backups.sets.iter().any(|set| set.id.as_str() == id) {
        return None;
    }
    let mut all = backups.sets.iter().flat_map(|set| set.members.iter().map(move |m| (set, m)));
    let (set, member) = all.find(|(_, member)| member.snapshot.as_str() == id)?;
    let whole = Selection { set_id: None, ..selection.clone() };
    let alone = set.alone(member)?;
    (whole.fits(&set.key()) || whole.fits(&alone.key())).then_some(alone)
}

/// Where nothing was found that fits: what was found and could be what is looked for, if anything was.
pub(crate) fn or_unused(backups: &Backups, error: RepositoryError) -> RepositoryError {
    match (error, backups.warnings.first()) {
        (
            RepositoryError::Catalog(CatalogError::NotFound | CatalogError::NoneFits { .. }),
            Some(first),
        ) => BackupError::Unused { count: backups.warnings.len(), first: first.clone() }.into(),
        (error, _) => error,
    }
}

/// There is no content id to compare with the one expected.
pub(crate) fn no_content(
    set: BackupSet,
    selection: &Selection,
) -> Result<BackupSet, RepositoryError> {
    match selection.content_id.clone() {
        None => Ok(set),
        Some(expected) => Err(CatalogError::NoContentId { set_id: set.id, expected }.into()),
    }
}
