//! Arguments → the set that is meant, with a word on those that were passed over for it.

use std::path::{Path, PathBuf};

use foreign::backup::{BackupSet, Backups};
use repository::catalog::{Catalog, CatalogError, FileError, Latest, Lookup, Selection};
use repository::{AnySet, Proving, Repository, RepositoryError, select_backup};
use restore::Progress;
use restore::renamed::Likeness;
use restore::set::is_called_snapshot;
use restore::snapfmt::Fault;
use restore::source::NotRaw;

use crate::args::{Common, SelectionArgs};
use crate::exit::Failure;
use crate::members;
use crate::output::note;
use crate::watch::Watch;

/// Opens the snapshot files under `paths`.
pub(crate) fn catalog(paths: &[PathBuf]) -> Catalog {
    Catalog::open(paths, &Lookup::default())
}

/// The one set that is meant, whatever stored it; says what should be known of it, too.
pub(crate) fn set<'r>(
    repository: &'r Repository,
    selection: &Selection,
    common: &Common,
) -> Result<AnySet<'r>, Failure> {
    // Only for a sound set is any of them read, and that takes long.
    let mut watch = (selection.latest == Latest::Sound).then(|| Watch::start(common, "verifying"));
    let unwatched = Progress::default();
    let progress = watch.as_ref().map_or(&unwatched, Watch::progress);
    let selected = repository.select(selection, &Proving { jobs: common.jobs(), progress });
    let terminated = watch.as_mut().is_some_and(Watch::finish);
    let selected = selected.map_err(|error| failure(error, terminated))?;
    for (set, why) in &selected.passed_over {
        note(&format!("passed over {set}: {why}"));
    }
    for gap in &selected.gaps {
        note(&format!("passed over {gap}: none of its files is there"));
    }
    if selection.latest != Latest::Any {
        for file in unidentified(repository) {
            note(&format!("passed over {file}"));
        }
    }
    let warnings = match &selected.set {
        AnySet::Backup(set) => set.warnings.iter(),
        AnySet::Files(_) => [].iter(),
    };
    // What is not used could have been of a newer set.
    let unused = repository.backups.warnings.iter().filter(|_| !selection.is_named());
    for warning in warnings.chain(unused) {
        note(&warning.to_string());
    }
    Ok(selected.set)
}

/// The files and directories of which nobody knows what they hold.
fn unidentified(repository: &Repository) -> impl Iterator<Item = String> {
    let bad = repository.snapshots.bad().iter().filter(|b| b.manifest.is_none());
    let unreadable = repository.backups.unreadable.iter().map(ToString::to_string);
    bad.map(|b| b.error.to_string()).chain(unreadable)
}

/// Why there is no set: what has the name of a snapshot may be a container of another format.
fn no_snapshot(error: CatalogError) -> Failure {
    if let CatalogError::Unidentified { file } | CatalogError::Damaged { file, .. } = &error
        && !is_renamed_snapshot(&file.path)
        && let Some(why) = container(file)
    {
        return Failure::NotRaw { path: file.path.clone(), why };
    }
    error.into()
}

/// Whether a file was looked at because its name is that of a snapshot file with something added. A packed one
/// is no other format.
fn is_renamed_snapshot(path: &Path) -> bool {
    Likeness::of(path) == Likeness::Snapshot && !is_called_snapshot(path)
}

/// The container of another format that a file is that has the name of a snapshot.
pub(crate) fn container(file: &FileError) -> Option<NotRaw> {
    matches!(file.cause.fault, Fault::NotASnapshot).then(|| members::container(&file.path))?
}

fn failure(error: RepositoryError, terminated: bool) -> Failure {
    match error {
        RepositoryError::Catalog(error) => no_snapshot(error),
        RepositoryError::Backup(error) => error.into(),
        RepositoryError::NoneUsable { newest, others } => {
            let message = RepositoryError::none_usable(&newest, &others);
            Failure::NoneUsable { message, newest: Box::new(failure(*newest, terminated)) }
        }
        RepositoryError::Layout(error) => Failure::Layout(error.into()),
        RepositoryError::Run(error) => Failure::Run { error, terminated },
        error @ RepositoryError::Machine(_) => Failure::Unread(error),
    }
}

/// The one set of backups that is meant; says what should be known of it, too.
pub(crate) fn backup(backups: &Backups, selection: &Selection) -> Result<BackupSet, Failure> {
    let set = select_backup(backups, selection).map_err(|error| failure(error, false))?;
    for warning in &set.warnings {
        note(&warning.to_string());
    }
    Ok(set)
}

impl SelectionArgs {
    /// As the library takes it.
    pub(crate) fn resolve(&self) -> Selection {
        Selection {
            set_id: self.set_id.clone(),
            source_volume: self.source_volume.clone(),
            generation: self.generation.clone(),
            at: self.at.map(|instant| instant.0),
            content_id: self.expect_content_id.clone(),
            latest: match (self.latest_sound, self.latest_complete) {
                (true, _) => Latest::Sound,
                (false, true) => Latest::Complete,
                (false, false) => Latest::Any,
            },
        }
    }

    /// Whether nothing was asked for.
    pub(crate) fn is_empty(&self) -> bool {
        let Self {
            set_id,
            source_volume,
            generation,
            at,
            expect_content_id,
            latest_complete,
            latest_sound,
        } = self;
        set_id.is_none()
            && source_volume.is_none()
            && generation.is_none()
            && at.is_none()
            && expect_content_id.is_none()
            && !latest_complete
            && !latest_sound
    }
}
