//! Whether a file is a journal, or what a crash has left of one.

use std::path::Path;

use super::text::Lines;
use super::{JOURNAL, JournalError};

/// Refuses what is neither a journal nor called like one of those that this program names itself: after a power
/// cut a journal may be full of zeros.
pub(super) fn can_be_given_up(bytes: &[u8], path: &Path) -> Result<(), JournalError> {
    if bytes.is_empty() || is_named_by_program(path) {
        return Ok(());
    }
    begun(&Lines::new(bytes), path).map(drop)
}

/// Whether a path ends with `.NAME.journal`, or with the digits and `.journal` of a device's journal, or with one of
/// these for a part of a target.
fn is_named_by_program(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let Some((stem, rest)) = name.rsplit_once(JOURNAL) else { return false };
    let is_part = |part: &str| {
        part.split_once("-of-").is_some_and(|(n, count)| is_number(n) && is_number(count))
    };
    let is_digest = stem.len() == 16 && stem.bytes().all(|byte| byte.is_ascii_hexdigit());
    (rest.is_empty() || rest.strip_prefix('-').is_some_and(is_part))
        && (is_digest || (stem.len() > 1 && stem.starts_with('.')))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A journal of which nothing is kept, if it is one.
pub(super) fn begun(lines: &Lines<'_>, path: &Path) -> Result<u64, JournalError> {
    if lines.begins_like_a_journal() {
        Ok(0)
    } else {
        Err(JournalError::NotAJournal { path: path.to_owned() })
    }
}
