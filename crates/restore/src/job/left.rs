//! What earlier runs have left, looked at and not touched.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::identity::identity;
use super::{JobError, JournalAt, Target};
use crate::journal::{Binding, Journal, JournalError, Stranger};
use crate::sink::ImageSink;

/// Whether a restore of `range`, padding included, would go past what earlier runs have left of this
/// target and journal. Changes nothing.
///
/// # Errors
///
/// Those that [`Restore::run`](super::Restore::run) would end with at once.
pub fn look(
    target: &Target,
    journal: Option<&JournalAt>,
    range: &Range<u64>,
) -> Result<(), JobError> {
    let (path, is_there) = match target {
        Target::Image { path, .. } => {
            let failed = |source| JobError::Target { path: path.clone(), source };
            let temporary = ImageSink::temporary_path(path).map_err(failed)?;
            refuse_leftover(&temporary, journal)?;
            let is_left = exists(&temporary);
            (temporary, is_left)
        }
        Target::InPlace { path, .. } => (path.clone(), true),
        Target::Pipe { .. } => return Ok(()),
    };
    let Some(at) = journal else { return Ok(()) };
    let binding = Binding { volume: at.volume.clone(), range: range.clone() };
    let found = Journal::look(&at.path, (!at.restart).then_some(&binding))?;
    match found {
        Some(found) if is_there => is_of(&path, found, &at.path),
        _ => Ok(()),
    }
}

/// A temporary file of which no journal says what it holds.
pub(super) fn refuse_leftover(
    temporary: &Path,
    journal: Option<&JournalAt>,
) -> Result<(), JobError> {
    let known = journal.is_some_and(|at| at.restart || exists(&at.path));
    if known || !exists(temporary) {
        return Ok(());
    }
    Err(JobError::Leftover { path: temporary.to_owned() })
}

/// Whether `path` is what the journal says that the target is.
pub(super) fn is_of(path: &Path, found: String, journal: &Path) -> Result<(), JobError> {
    let failed = |source: io::Error| JobError::Target { path: PathBuf::from(path), source };
    let expected = identity(path).map_err(failed)?;
    if found == expected {
        return Ok(());
    }
    let why = Stranger::Target { expected, found };
    Err(JournalError::Stranger { path: journal.to_owned(), why }.into())
}

/// Whatever is there, a link that leads nowhere included.
pub(super) fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}
