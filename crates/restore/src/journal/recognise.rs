//! Whether a file is a journal, or what a crash has left of one.

use std::path::Path;

use super::JournalError;
use super::text::Lines;

/// Refuses what is no journal, nor what a power cut may leave of one: zeros.
pub(super) fn can_be_given_up(bytes: &[u8], path: &Path) -> Result<(), JournalError> {
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(());
    }
    begun(&Lines::new(bytes), path).map(drop)
}

/// A journal of which nothing is kept, if it is one.
pub(super) fn begun(lines: &Lines<'_>, path: &Path) -> Result<u64, JournalError> {
    if lines.begins_like_a_journal() {
        Ok(0)
    } else {
        Err(JournalError::NotAJournal { path: path.to_owned() })
    }
}
