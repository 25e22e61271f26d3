//! Why a journal cannot be used.

use snapfmt::Offset;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::Binding;
use host::entry::{Foreign, NotOwn};

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It cannot be read or written.
    #[error("{}: the journal cannot be used: {source}", path.display())]
    Io {
        /// The journal.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Another process works with it.
    #[error("{}: another restore is using this journal", path.display())]
    Busy {
        /// The journal.
        path: PathBuf,
    },
    /// Another user may have put it there.
    #[error("{}: {why}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What tells so.
        why: Foreign,
    },
    /// It is something else.
    #[error("{}: is not a journal of a restore", path.display())]
    NotAJournal {
        /// The file.
        path: PathBuf,
    },
    /// It belongs to another restore.
    #[error("{}: is the journal of another restore: {why}", path.display())]
    BindingMismatch {
        /// The journal.
        path: PathBuf,
        /// In what they differ.
        why: BindingMismatch,
    },
}

impl JournalError {
    pub(super) fn not_own(path: &Path, error: NotOwn) -> Self {
        let path = path.to_owned();
        match error {
            NotOwn::System(source) => Self::Io { path, source },
            NotOwn::Foreign(why) => Self::Foreign { path, why },
        }
    }
}

/// In what a journal differs from what was expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BindingMismatch {
    /// It is about another volume's content.
    Volume {
        /// What the restore is of.
        expected: String,
        /// What the journal says.
        found: String,
    },
    /// It is about other bytes.
    Range {
        /// What the restore is of.
        expected: Range<u64>,
        /// What the journal says.
        found: Range<u64>,
    },
    /// It is about another target.
    Target {
        /// What the target is.
        expected: String,
        /// What the journal says.
        found: String,
    },
}

impl BindingMismatch {
    /// In what `found` differs from `expected`.
    pub(super) fn between(found: &Binding, expected: &Binding) -> Option<Self> {
        if found.volume != expected.volume {
            let (expected, found) = (expected.volume.clone(), found.volume.clone());
            return Some(Self::Volume { expected, found });
        }
        let (expected, found) = (expected.range.clone(), found.range.clone());
        (found != expected).then_some(Self::Range { expected, found })
    }
}

impl fmt::Display for BindingMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volume { expected, found } => {
                write!(f, "of content {}, not {expected}", found.escape_debug())
            }
            Self::Range { expected, found } => write!(
                f,
                "of bytes {} to {}, not {} to {}",
                Offset(found.start),
                Offset(found.end),
                Offset(expected.start),
                Offset(expected.end)
            ),
            Self::Target { expected, found } => {
                write!(f, "onto {}, not {expected}", found.escape_debug())
            }
        }
    }
}
