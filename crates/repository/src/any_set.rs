//! Choosing one set of all formats.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use crate::catalog::{
    Candidate, CatalogError, ContentId, Doubts, FileSet, Gap, Latest, Reason, Selectable,
    Selection, SetKey, choose,
};
use restore::engine::RunError;
use restore::snapfmt::{LayoutError, SetId};
use restore::source::ReadError;

use crate::backups;
use crate::prove::Proving;
use crate::repository::Repository;
use foreign::backup::{BackupError, BackupSet};

/// How many of the sets that cannot be used are named.
const NAMED: usize = 8;

/// A set of any format.
#[derive(Clone)]
pub enum AnySet<'r> {
    /// Of snapshot files.
    Files(FileSet<'r>),
    /// Of another system's backups.
    Backup(Cow<'r, BackupSet>),
}

/// What was selected, and what was passed over for it.
pub struct Selected<'r> {
    /// The set.
    pub set: AnySet<'r>,
    /// Newer sets that cannot be used, and why, with [`Selection::latest`].
    pub passed_over: Vec<(Candidate, RepositoryError)>,
    /// Sets that are not there and may be newer, with [`Selection::latest`].
    pub gaps: Vec<Gap>,
}

/// Why no set could be chosen.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// Among the sets, or among the snapshot files.
    #[error(transparent)]
    Catalog(CatalogError),
    /// Among other systems' backups.
    #[error(transparent)]
    Backup(BackupError),
    /// None of the sets that fit can be used.
    #[error("{}", Self::none_usable(newest, others))]
    NoneUsable {
        /// Why not the newest.
        newest: Box<Self>,
        /// Why not the others, newest first.
        others: Vec<Self>,
    },
    /// The system failed while a set was read: what it holds is not known.
    #[error("{0}; this says nothing of the file, and no set is passed over for it")]
    Machine(Arc<ReadError>),
    /// A member has more bytes than a layout can say.
    #[error(transparent)]
    Layout(LayoutError),
    /// Reading a set stopped.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl Reason for RepositoryError {
    fn of_all(all: Vec<(Candidate, Self)>) -> Option<Self> {
        let mut all = all.into_iter().map(|(_, why)| why);
        let newest = Box::new(all.next()?);
        Some(Self::NoneUsable { newest, others: all.collect() })
    }
}

impl RepositoryError {
    /// Why none of several sets can be used; of very many the first few say it.
    pub fn none_usable(newest: &Self, others: &[Self]) -> String {
        if others.is_empty() {
            return newest.to_string();
        }
        let named = std::iter::once(newest).chain(others).take(NAMED);
        let reasons: Vec<String> = named.map(ToString::to_string).collect();
        let count = others.len() + 1;
        let more = match count - reasons.len() {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        format!("none of {count} sets can be used: {}{more}", reasons.join("; "))
    }
}

impl From<CatalogError> for RepositoryError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::Interrupted => Self::Run(RunError::Interrupted),
            error => Self::Catalog(error),
        }
    }
}

impl From<BackupError> for RepositoryError {
    fn from(error: BackupError) -> Self {
        Self::Backup(error)
    }
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

impl AnySet<'_> {
    /// Why the set cannot be used. It fails where that cannot be known.
    fn obstacle(
        &self,
        latest: Latest,
        proving: &Proving<'_>,
    ) -> Result<Option<RepositoryError>, RepositoryError> {
        let known = match self {
            Self::Files(set) => set.obstacle()?.map(RepositoryError::from),
            Self::Backup(set) => backups::obstacle(set)?,
        };
        match (known, latest) {
            (None, Latest::Sound) => proving.unsound(self),
            (known, _) => Ok(known),
        }
    }
}

impl Repository {
    /// The set that is meant; `proving` is how sets are read where only a sound one will do. What a set of
    /// snapshot files inherits is proved where its content id is expected.
    pub fn select(
        &self,
        selection: &Selection,
        proving: &Proving<'_>,
    ) -> Result<Selected<'_>, RepositoryError> {
        let own = selection.set_id.as_deref();
        let is_set = self.snapshots.sets().iter().any(|s| Some(s.manifest.id.as_str()) == own);
        // An id that is a member's snapshot means that snapshot alone.
        if !is_set && let Some(alone) = backups::snapshot(&self.backups, selection) {
            let set = AnySet::Backup(Cow::Owned(backups::no_content(alone, selection)?));
            return Ok(Selected { set, passed_over: Vec::new(), gaps: Vec::new() });
        }
        let sets = self.sets();
        let obstacle = |set: &AnySet<'_>| set.obstacle(selection.latest, proving);
        let selected = choose(&sets, selection, self.doubts(), obstacle)
            .map_err(|error| backups::or_unused(&self.backups, error))?;
        if let AnySet::Files(set) = selected.set {
            set.prove(selection, proving.progress)?;
        }
        let passed_over = selected.passed_over.into_iter();
        Ok(Selected {
            set: selected.set.clone(),
            passed_over: passed_over.map(|(set, why)| (set.key().candidate(), why)).collect(),
            gaps: selected.gaps,
        })
    }

    /// All sets, by source volume, generation and time.
    pub fn sets(&self) -> Vec<AnySet<'_>> {
        let files = self.snapshots.choices().into_iter().map(AnySet::Files);
        let backups = self.backups.sets.iter().map(|set| AnySet::Backup(Cow::Borrowed(set)));
        let mut sets: Vec<AnySet<'_>> = files.chain(backups).collect();
        sets.sort_by(|a, b| {
            let (a, b) = (a.key(), b.key());
            let place = |key: &SetKey<'_>| (key.generation, key.time);
            let volumes = a.source_volume_id.cmp(b.source_volume_id);
            volumes.then(place(&a).cmp(&place(&b))).then_with(|| a.id.cmp(b.id))
        });
        sets
    }

    fn doubts(&self) -> Doubts<RepositoryError> {
        let (files, backups) = (self.snapshots.doubts(), backups::doubts(&self.backups));
        let either = |a: Option<CatalogError>, b| a.map(RepositoryError::from).or(b);
        Doubts {
            absent: either(files.absent, backups.absent),
            machine: either(files.machine, backups.machine),
            unidentified: either(files.unidentified, backups.unidentified),
        }
    }
}
