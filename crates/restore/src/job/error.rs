//! Why a restore did not reach its end, and what is left of it.

use snapfmt::Offset;
use std::io;
use std::path::{Path, PathBuf};

use crate::engine::RunError;
use crate::journal::{JournalError, SyncError};
use crate::ranges::RangeSet;
use crate::sink::Sink;
use host::entry::Foreign;

/// A restore that did not reach its end.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Unfinished {
    /// What stopped it.
    #[source]
    pub error: JobError,
    /// How many bytes are durable and noted, so that a later run does not do them again.
    pub proven: u64,
}

/// What stopped a restore.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The engine stopped.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The target cannot be made, opened or made durable.
    #[error("{}: {source}", path.display())]
    Target {
        /// The target.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Another run's temporary file is there, and no journal says what it holds.
    #[error("{}: is there already, and no journal says of what", path.display())]
    Leftover {
        /// The temporary file.
        path: PathBuf,
    },
    /// A temporary file is there that another user may have made.
    #[error("{}: {why}", path.display())]
    Foreign {
        /// The temporary file.
        path: PathBuf,
        /// What tells so.
        why: Foreign,
    },
    /// The target does not hold what its journal says is durable there.
    #[error(
        "{}: does not hold what the journal says of it: {} bytes differ, the first at {:#x}",
        path.display(), wrong.bytes(), wrong.next_from(0).unwrap_or(0)
    )]
    Changed {
        /// The target.
        path: PathBuf,
        /// Bytes that differ, in the volume's terms; there may be more.
        wrong: RangeSet,
    },
    /// Another process restores to the target.
    #[error("{}: another restore is writing it", path.display())]
    Busy {
        /// The temporary file.
        path: PathBuf,
    },
    /// The target is there already, and is not to be replaced.
    #[error("{}: exists already", path.display())]
    Exists {
        /// The target.
        path: PathBuf,
    },
    /// The medium does not hold what was written.
    #[error(
        "{}: the medium does not hold what was written: {} bytes differ, the first at {}",
        path.display(), wrong.bytes(), Offset(wrong.next_from(0).unwrap_or(0)))]
    Mismatch {
        /// The target.
        path: PathBuf,
        /// Which bytes, in the volume's terms.
        wrong: RangeSet,
    },
}

impl JobError {
    pub(super) fn at(path: &Path, source: io::Error) -> Self {
        Self::Target { path: path.to_owned(), source }
    }

    pub(super) fn target(sink: &dyn Sink, source: io::Error) -> Self {
        Self::Target { path: sink.path().to_owned(), source }
    }

    pub(super) fn sync(sink: &dyn Sink, error: SyncError) -> Self {
        match error {
            SyncError::Target(source) => Self::target(sink, source),
            SyncError::Journal(error) => Self::Journal(error),
        }
    }
}

impl From<JobError> for Unfinished {
    fn from(error: JobError) -> Self {
        Self { error, proven: 0 }
    }
}
