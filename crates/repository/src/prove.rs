//! Reading all of a set, to know whether it is sound.

use std::num::NonZeroUsize;

use crate::catalog::{CatalogError, FileSet};
use crate::verify::{Depth, FileReport, Finding, verify};
use restore::engine::{self, OnDamage, Options};
use restore::sink::NullSink;
use restore::source::ReadError;
use restore::{Progress, Volume};

use crate::any_set::AnySet;
use crate::error::RepositoryError;
use foreign::Limits;
use foreign::backup::{BackupError, BackupSet};

/// How sets are read where only a sound one will do.
#[derive(Clone, Copy, Debug)]
pub struct Proving<'p> {
    /// With how many workers.
    pub jobs: NonZeroUsize,
    /// How far that is, and the way to stop it.
    pub progress: &'p Progress,
}

impl Proving<'_> {
    /// What is damaged in a set that is complete.
    pub(super) fn unsound(
        &self,
        set: &AnySet<'_>,
    ) -> Result<Option<RepositoryError>, RepositoryError> {
        match set {
            AnySet::Files(set) => self.files(set),
            AnySet::Backup(set) => self.backup(set),
        }
    }

    fn files(&self, set: &FileSet<'_>) -> Result<Option<RepositoryError>, RepositoryError> {
        let open = set.catalog.open_set(set.entry)?;
        let reports = verify(&open, Depth::Full, self.jobs, self.progress)?;
        let found = |report: &FileReport| report.findings.len() as u64 + report.more.count();
        let count = reports.iter().map(found).sum();
        let first = |report: FileReport| {
            let path = report.path;
            report.findings.into_iter().next().map(|finding| (path, finding))
        };
        let Some((path, finding)) = reports.into_iter().find_map(first) else { return Ok(None) };
        if finding.is_of_machine() {
            return Err(RepositoryError::Machine(match finding {
                Finding::Format(error) => ReadError::new(&path, error).into(),
                Finding::Chain(error) => error,
                Finding::State { .. } => return Ok(None),
            }));
        }
        let (set_id, first) = (set.entry.manifest.id.clone(), Box::new(finding));
        let copy = open.all_files().find(|file| file.path == path).and_then(|f| f.copy.clone());
        Ok(Some(CatalogError::Unsound { set_id, count, path, copy, first }.into()))
    }

    fn backup(&self, set: &BackupSet) -> Result<Option<RepositoryError>, RepositoryError> {
        let options =
            Options { on_damage: OnDamage::Salvage { fill: 0 }, ..Options::new(self.jobs) };
        let mut damage = Vec::new();
        for member in set.open(&Limits::DEFAULT)? {
            let volume = Volume::of_one(member).map_err(RepositoryError::Layout)?;
            let size = volume.size();
            let report = engine::run(&volume, 0..size, &NullSink, &options, self.progress)?;
            damage.extend(report.damage.into_iter().map(|damage| damage.cause));
        }
        if let Some(machine) = damage.iter().find(|cause| cause.is_of_machine()) {
            return Err(RepositoryError::Machine(machine.clone()));
        }
        let count = damage.len();
        Ok(damage
            .into_iter()
            .next()
            .map(|first| BackupError::Damaged { set_id: set.id.clone(), count, first }.into()))
    }
}
