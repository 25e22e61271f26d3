//! Places that are written to, and that the system does not give.

use std::io;

use attach::overlay::OverlayError;
use attach::{AttachError, MountError};
use host::entry::LinkOfAnother;
use host::interlock::Refused;
use host::room::NoRoom;
use repository::capture::CaptureError;
use repository::rebuild::RebuildError;
use restore::engine::RunError;
use restore::job::JobError;
use restore::journal::JournalError;
use rustix::io::Errno;

use super::{AttachFailure, Failure};

/// What to do about a link that is not followed.
const LINK_HINT: &str = "name the directory itself: where something is written, only links of root or your own are followed";

/// What to do where no more files can be opened.
const OPEN_FILES: &str =
    "too few files may be open at the same time: raise ulimit -n (LimitNOFILE= of a systemd unit)";

const LONG_NAME: &str = "choose a shorter name: a file name has 255 bytes at most, 246 where .NAME.partial and .NAME.journal are kept beside it, and a path 4095";

const DIRECTORY: &str = "name a file in it that does not exist yet";

/// Whether a place cannot be meant: a link of another user is on the way, no filesystem takes its name, or it is a
/// directory where a file is to be.
pub(super) fn is_refused(failure: &Failure) -> bool {
    error(failure).is_some_and(|error| refusal_hint(error).is_some())
}

fn refusal_hint(error: &io::Error) -> Option<&'static str> {
    if LinkOfAnother::is_why(error) {
        return Some(LINK_HINT);
    }
    match error.kind() {
        io::ErrorKind::InvalidFilename => Some(LONG_NAME),
        io::ErrorKind::IsADirectory => Some(DIRECTORY),
        _ => None,
    }
}

/// What to do where that is so, or the system opens no more files.
pub(super) fn hint(failure: &Failure) -> Option<&'static str> {
    if let Some(hint) = error(failure).and_then(refusal_hint) {
        return Some(hint);
    }
    let error = error(failure).or_else(|| other_error(failure))?;
    if is(error, Errno::MFILE) {
        return Some(OPEN_FILES);
    }
    is(error, Errno::NFILE).then_some("the machine has too many open files: raise fs.file-max")
}

fn is(error: &io::Error, errno: Errno) -> bool {
    Errno::from_io_error(error) == Some(errno)
}

/// What the system says of anything else.
fn other_error(failure: &Failure) -> Option<&io::Error> {
    match failure {
        Failure::System(error) | Failure::Member { error, .. } | Failure::Compare { error, .. } => {
            Some(error)
        }
        Failure::Run { error, .. } => run_error(error),
        Failure::Unfinished { unfinished, .. } => match &unfinished.error {
            JobError::Run(error) => run_error(error),
            _ => None,
        },
        Failure::Attach(AttachFailure::Attach(
            AttachError::Place { source, .. }
            | AttachError::Fuse { source }
            | AttachError::OpenFiles { source, .. }
            | AttachError::Loop { source, .. }
            | AttachError::Start { source },
        )) => Some(source),
        _ => None,
    }
}

fn run_error(error: &RunError) -> Option<&io::Error> {
    match error {
        RunError::Target { source, .. }
        | RunError::ReadBack { source, .. }
        | RunError::Start(source) => Some(source),
        RunError::Damaged(_) | RunError::Interrupted => None,
    }
}

/// What the system says of a place that is written to.
fn error(failure: &Failure) -> Option<&io::Error> {
    match failure {
        Failure::Target { error, .. }
        | Failure::Report { error, .. }
        | Failure::Interlock(Refused::System { source: error, .. })
        | Failure::Room(NoRoom::System { source: error, .. })
        | Failure::Capture { error: CaptureError::Target { source: error, .. }, .. }
        | Failure::Rebuild(RebuildError::Target { source: error, .. })
        | Failure::Overlay(OverlayError::Io { source: error, .. })
        | Failure::Attach(AttachFailure::Mount(MountError { source: error, .. })) => Some(error),
        Failure::Unfinished { unfinished, .. } => match &unfinished.error {
            JobError::Target { source, .. }
            | JobError::Journal(JournalError::Io { source, .. }) => Some(source),
            _ => None,
        },
        _ => None,
    }
}
