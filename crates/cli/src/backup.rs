//! Another system's backups in the place of snapshot files.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use foreign::Limits;
use foreign::backup::{BackupError, BackupSet, Backups, Problem};
use restore::VolumeMember;
use restore::catalog::{Catalog, CatalogError, Selectable, Selection};
use restore::snapfmt::Digest;
use restore::source::ReadError;

use crate::args::{LayoutArgs, StackArgs};
use crate::exit::{Exit, Failure};
use crate::members;
use crate::output::note;
use crate::stack::{self, Joined};
use crate::subject::{SetName, Subject};

/// A set that was opened.
pub(crate) struct Backup {
    /// What is known of it.
    pub set: BackupSet,
    /// What is known to be lost of it.
    pub damage: Vec<ReadError>,
    /// Whether its members lie together as they should, and not only in some way.
    pub is_volume: bool,
}

/// The backups under `paths`, where there are no snapshot files.
pub(crate) fn find(paths: &[PathBuf], catalog: &Catalog) -> Option<Backups> {
    // Whoever keeps snapshot files does not wait for a search for something else.
    if !catalog.files().is_empty() {
        return None;
    }
    let backups = foreign::backup::find(paths, &Limits::DEFAULT);
    (!backups.sets.is_empty()).then_some(backups)
}

/// What must not be overwritten: the directories that files were found in, lists and descriptions, and
/// whatever of `targets` is there already and beside them.
pub(crate) fn evidence(backups: &Backups, targets: &[PathBuf]) -> Vec<PathBuf> {
    let real = |path: &Path| path.canonicalize().ok();
    let held: HashSet<PathBuf> = backups
        .evidence
        .iter()
        .flat_map(|path| [real(path), real(&path.join(foreign::ebs::BLOCKS))])
        .flatten()
        .collect();
    let is_held = |target: &&PathBuf| {
        real(target).is_some_and(|path| path.parent().is_some_and(|parent| held.contains(parent)))
    };
    backups.evidence.iter().chain(targets.iter().filter(is_held)).cloned().collect()
}

/// The one set that is meant; says which newer ones were passed over, and what should be known of it.
pub(crate) fn set(backups: &Backups, selection: &Selection) -> Result<BackupSet, Failure> {
    let selected = backups.select(selection)?;
    for set in &selected.skipped {
        let why = set.open(&Limits::DEFAULT).err().map(|e| e.to_string()).unwrap_or_default();
        let key = set.key().candidate();
        note(&format!("passed over {key}: {why}"));
    }
    for warning in &selected.set.warnings {
        note(&warning.to_string());
    }
    Ok(selected.set)
}

/// The volume that the members of a set make as the arguments say.
pub(crate) fn volume(
    set: BackupSet,
    layout: &LayoutArgs,
    stack: &StackArgs,
) -> Result<Subject, Failure> {
    open(set, true, |members| stack::join(members, layout, stack, true))
}

/// The members of a set, whether or not anything says how they make a volume.
pub(crate) fn members(
    set: BackupSet,
    layout: &LayoutArgs,
    stack: &StackArgs,
) -> Result<Subject, Failure> {
    if set.members.len() > 1 && layout.is_empty() && stack.is_empty() {
        open(set, false, |members| members::apart(members).map(Joined::from))
    } else {
        volume(set, layout, stack)
    }
}

fn open(
    set: BackupSet,
    is_volume: bool,
    join: impl FnOnce(Vec<VolumeMember>) -> Result<Joined, Failure>,
) -> Result<Subject, Failure> {
    let opened = set.open(&Limits::DEFAULT)?;
    let Joined { volume, doubt } = join(opened.members)?;
    let name = SetName { set_id: set.id.clone(), content_id: None };
    let backup = Backup { set, damage: opened.damage, is_volume };
    Ok(Subject { set: Some(name), open: None, backup: Some(backup), volume, doubt })
}

impl Backup {
    /// What a journal is bound to: the snapshots, which never change, and how they make the volume.
    pub(crate) fn word(&self, layout: String) -> String {
        let mut text = layout;
        for member in &self.set.members {
            text.push_str(member.snapshot.as_str());
            text.push('\n');
        }
        format!("backup-{}", Digest::of(text.as_bytes()))
    }
}

impl Subject {
    /// Refuses what is known to be damaged before anything of it is read.
    pub(crate) fn refuse_damage(&mut self) -> Result<(), Failure> {
        self.refuse_doubt()?;
        let Some(Backup { set, damage, .. }) = &mut self.backup else { return Ok(()) };
        match set.damaged(std::mem::take(damage)) {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Select(error) => Self::Catalog(error),
            error => Self::Backup(error),
        }
    }
}

pub(crate) fn exit(error: &BackupError) -> Exit {
    match error {
        BackupError::Select(CatalogError::Ambiguous { .. }) => Exit::Usage,
        BackupError::Select(_) | BackupError::Incomplete { .. } => Exit::Incomplete,
        BackupError::Unusable { .. }
        | BackupError::Damaged { .. }
        | BackupError::Unidentified { .. }
        | BackupError::NoContentId { .. } => Exit::SourceDamaged,
    }
}

pub(crate) fn hint(error: &BackupError) -> &'static str {
    match error {
        BackupError::Select(_) => "snaprestore list shows the sets there are",
        BackupError::Incomplete { .. } => {
            "add what is missing, or take an older set with --latest-complete"
        }
        BackupError::Unusable { problem, .. } => match problem {
            Problem::Tags { .. } | Problem::OneVolume { .. } => {
                "--set-id SNAPSHOT takes one snapshot alone"
            }
            _ => "docs/FOREIGN.md says what dumps must look like",
        },
        BackupError::Damaged { .. } => {
            "another copy of the file may be there; restore --salvage leaves damaged ranges out"
        }
        BackupError::Unidentified { .. } => "mend or remove the file, or name a set by --set-id",
        BackupError::NoContentId { .. } => "backups of other systems have no content id",
    }
}
