//! Choosing the one set that is meant.

use std::borrow::Cow;

use restore::Progress;
use restore::set::{Candidate, SetKey};

use crate::any_set::AnySet;
use crate::backups;
use crate::catalog::{
    Catalog, CatalogError, Doubts, FileSet, Gap, Latest, Selectable as _, Selection, choose,
};
use crate::error::RepositoryError;
use crate::prove::Proving;
use crate::repository::Repository;
use crate::verify::prove_inherited;

/// What was selected, and what was passed over for it.
pub struct Selected<'r> {
    /// The set.
    pub set: AnySet<'r>,
    /// Newer sets that cannot be used, and why, with [`Selection::latest`].
    pub passed_over: Vec<(Candidate, RepositoryError)>,
    /// Sets that are not there and may be newer, with [`Selection::latest`].
    pub gaps: Vec<Gap>,
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

impl FileSet<'_> {
    /// Proves what the set inherits, where the selection says which content it must have; what the set has
    /// itself is proved as it is read. Nothing but indexes is read here.
    pub fn prove(&self, selection: &Selection, progress: &Progress) -> Result<(), CatalogError> {
        if selection.content_id.is_none() {
            return Ok(());
        }
        match self.catalog.open_set(self.entry) {
            Ok(open) => prove_inherited(&open, progress),
            // Nothing of it can be read; opening it says why.
            Err(_) => Ok(()),
        }
    }
}

impl Catalog {
    /// The set that is meant, by what opening its files tells: [`Latest::Sound`](crate::catalog::Latest) is taken
    /// for [`Latest::Complete`](crate::catalog::Latest) here. With [`Selection::content_id`] what it inherits is proved.
    pub fn select(&self, selection: &Selection) -> Result<FileSet<'_>, CatalogError> {
        let sets = self.choices();
        let selected = choose(&sets, selection, self.doubts(), FileSet::obstacle)?;
        selected.set.prove(selection, &Progress::default())?;
        Ok(*selected.set)
    }
}
