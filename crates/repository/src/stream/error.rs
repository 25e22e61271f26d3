//! Why a set could not be restored from pipes.

use std::io;
use std::path::{Path, PathBuf};

use snapfmt::{Fault, FormatError, NotStream, SetId, VolumeId};

use crate::catalog::Missing;
use restore::engine::RunError;
use restore::source::ReadError;

/// Why a set could not be restored from pipes.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// No input was given.
    #[error("no input was given")]
    NoInput,
    /// An input could not be opened.
    #[error("{}: cannot be opened: {source}", path.display())]
    Open {
        /// The input.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// An input is of a form that cannot be read in one pass.
    #[error(
        "{}: is {form} snapshot; from a pipe only full snapshots in stream form can be restored",
        path.display()
    )]
    NotStream {
        /// The input.
        path: PathBuf,
        /// Which form.
        form: NotStream,
    },
    /// A structure of an input is damaged or missing, or the input could not be read.
    #[error(transparent)]
    Read(ReadError),
    /// Two inputs are of different sets.
    #[error(
        "{} is of set {:?}, {} of set {:?}",
        first.display(), first_set.as_str(), second.display(), second_set.as_str()
    )]
    OtherSet {
        /// One input.
        first: PathBuf,
        /// Its set.
        first_set: SetId,
        /// The other input.
        second: PathBuf,
        /// Its set.
        second_set: SetId,
    },
    /// Two inputs say different things of the set that they are of.
    #[error(
        "{} and {} contradict each other about set {:?}",
        first.display(), second.display(), set_id.as_str()
    )]
    Contradiction {
        /// The set.
        set_id: SetId,
        /// One input.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// Two inputs are of different captures: their seals differ.
    #[error(
        "{} and {} are of two different captures under one set id, {:?}",
        first.display(), second.display(), set_id.as_str()
    )]
    Mixed {
        /// The set id.
        set_id: SetId,
        /// An input of one.
        first: PathBuf,
        /// An input of the other.
        second: PathBuf,
    },
    /// Two inputs are one member.
    #[error("{} and {} are both of volume {:?}", first.display(), second.display(), volume_id.as_str())]
    Twice {
        /// The member's volume id.
        volume_id: VolumeId,
        /// One input.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// Members of the set are not among the inputs.
    #[error("set {:?} is incomplete: {} missing", set_id.as_str(), list(missing))]
    Incomplete {
        /// The set.
        set_id: SetId,
        /// What is missing.
        missing: Vec<Missing>,
    },
    /// The target must be written in logical order, in which pipes do not give it.
    #[error("{}: a volume that comes from a pipe cannot be written to one", path.display())]
    Ordered {
        /// The target.
        path: PathBuf,
    },
    /// A chunk is damaged, the target failed, or the job was interrupted or could not start.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl StreamError {
    /// What is wrong with the structures of the input `path`.
    pub(super) fn format(path: &Path, error: FormatError) -> Self {
        match error.fault {
            Fault::NotStream(form) => Self::NotStream { path: path.to_owned(), form },
            _ => Self::Read(ReadError::new(path, error)),
        }
    }
}

fn list(missing: &[Missing]) -> String {
    missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
