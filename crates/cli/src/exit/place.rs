//! Places that are written to, and that the system does not give.

use std::io;

use attach::overlay::OverlayError;
use host::entry::LinkOfAnother;
use host::interlock::Refused;
use host::room::NoRoom;
use repository::capture::CaptureError;
use repository::rebuild::RebuildError;
use restore::job::JobError;
use restore::journal::JournalError;

use super::Failure;

/// What to do about a link that is not followed.
pub(super) const LINK_HINT: &str = "name the directory itself: where something is written, only links of root or your own are followed";

/// Whether a link of another user is on the way to a place.
pub(super) fn is_behind_a_link(failure: &Failure) -> bool {
    error(failure).is_some_and(LinkOfAnother::is_why)
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
        | Failure::Overlay(OverlayError::Io { source: error, .. }) => Some(error),
        Failure::Unfinished { unfinished, .. } => match &unfinished.error {
            JobError::Target { source, .. }
            | JobError::Journal(JournalError::Io { source, .. }) => Some(source),
            _ => None,
        },
        _ => None,
    }
}
