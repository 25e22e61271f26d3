//! Why no set could be chosen.

use std::sync::Arc;

use foreign::backup::BackupError;
use restore::engine::RunError;
use restore::set::Candidate;
use restore::snapfmt::LayoutError;
use restore::source::ReadError;

use crate::catalog::{CatalogError, Reason};

/// How many of the sets that cannot be used are named.
const NAMED: usize = 8;

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
