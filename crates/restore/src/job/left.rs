//! What earlier runs have left, looked at and not touched.

use std::fs::File;
use std::path::Path;

use super::identity::TargetId;
use super::{JobError, JournalAt};
use crate::journal::{BindingMismatch, JournalError};
use host::entry::{Entry, NotOwn, check_file};
use host::lock::lock;

/// The temporary file that an earlier run has left, if there is one. It is the caller's, a journal may say what
/// it holds, and no other process works with it; whether others may have written to it is asked before it is used.
pub(super) fn left(
    temporary: &Entry,
    target: &Entry,
    journal: Option<&JournalAt>,
) -> Result<Option<File>, JobError> {
    let path = temporary.path();
    if temporary.is_named(target).map_err(|source| JobError::at(&path, source))? {
        return Ok(None);
    }
    let file = temporary.open_to_give_up().map_err(|error| match error {
        NotOwn::System(source) => JobError::at(&path, source),
        NotOwn::Foreign(why) => JobError::Foreign { path: path.clone(), why },
    })?;
    let Some(file) = file else { return Ok(None) };
    if !journal.is_some_and(|at| at.restart || at.entry.exists()) {
        return Err(JobError::Leftover { path });
    }
    // Once it is locked, another run may have finished it already.
    let is_free = lock(&file).and_then(|locked| Ok(locked && temporary.is(&file)?));
    if is_free.map_err(|source| JobError::at(&path, source))? {
        Ok(Some(file))
    } else {
        Err(JobError::Busy { path: target.path() })
    }
}

/// Refuses a temporary file that others may have written to.
pub(super) fn check_own(path: &Path, file: &File) -> Result<(), JobError> {
    check_file(file).map_err(|why| JobError::Foreign { path: path.to_owned(), why })
}

/// Whether `file`, opened as `path`, is what the journal says that the target is, and whether nothing else can
/// look the same.
pub(super) fn is_of(
    path: &Path,
    file: &File,
    found: &str,
    journal: &Path,
) -> Result<bool, JobError> {
    let id = TargetId::of(path, file).map_err(|source| JobError::at(path, source))?;
    if found == id.text {
        return Ok(id.is_unique);
    }
    let why = BindingMismatch::Target { expected: id.text, found: found.to_owned() };
    Err(JournalError::BindingMismatch { path: journal.to_owned(), why }.into())
}
