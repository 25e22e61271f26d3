//! What a run would not have to do again.

use std::ops::Range;

use super::left::{check_own, is_of, left};
use super::{JobError, JournalAt, Target};
use crate::journal::{Binding, Journal};
use crate::sink::ImageSink;

/// How many bytes of `range`, padding included, a restore would not do again, going on with what earlier runs
/// have left of this target and journal. Changes nothing.
///
/// # Errors
///
/// Those that [`Restore::run`](super::Restore::run) would end with at once.
pub fn look(
    target: &Target,
    journal: Option<&JournalAt>,
    range: &Range<u64>,
) -> Result<u64, JobError> {
    let (path, left, is_image) = match target {
        Target::Image { entry, .. } => {
            let temporary = ImageSink::temporary(entry);
            let path = temporary.path();
            (path, left(&temporary, entry, journal)?, true)
        }
        Target::InPlace { file, path, .. } => {
            let file = file.try_clone().map_err(|source| JobError::at(path, source))?;
            (path.clone(), Some(file), false)
        }
        Target::Pipe { .. } => return Ok(0),
    };
    let Some(at) = journal else { return Ok(0) };
    let binding = Binding { volume: at.volume.clone(), range: range.clone() };
    let found = Journal::look(&at.entry, (!at.restart).then_some(&binding))?;
    let (Some(found), Some(left)) = (found, left) else { return Ok(0) };
    let Some(known) = &found.target else { return Ok(0) };
    if is_image {
        check_own(&path, &left)?;
    }
    is_of(&path, &left, known, &at.entry.path())?;
    Ok(found.proven.bytes())
}
