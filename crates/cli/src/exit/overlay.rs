//! What can go wrong with overlays.

use attach::overlay::OverlayError;

use super::Exit;

/// Its exit code.
pub(super) fn exit(error: &OverlayError) -> Exit {
    match error {
        OverlayError::Busy { .. } | OverlayError::Exists { .. } | OverlayError::Foreign { .. } => {
            Exit::TargetRefused
        }
        OverlayError::TooLarge { .. } => Exit::Usage,
        OverlayError::Io { .. }
        | OverlayError::NotAnOverlay { .. }
        | OverlayError::Version { .. }
        | OverlayError::Damaged { .. }
        | OverlayError::OtherContent { .. }
        | OverlayError::OtherSize { .. } => Exit::SourceDamaged,
    }
}

/// What to try next.
pub(super) fn hint(error: &OverlayError) -> &'static str {
    match error {
        OverlayError::Busy { .. } => "detach what is attached with it first",
        OverlayError::Exists { .. } => "choose another name",
        OverlayError::OtherContent { .. } | OverlayError::OtherSize { .. } => {
            "give the set that it was written over, or that set's own overlay"
        }
        OverlayError::Foreign { .. } => {
            "it was not touched, for other users may have written to it: name a file of your own with one name and mode 0600, or a copy of this one if it is to be trusted"
        }
        OverlayError::Io { .. } => "check the path and its permissions",
        OverlayError::NotAnOverlay { .. }
        | OverlayError::Version { .. }
        | OverlayError::Damaged { .. }
        | OverlayError::TooLarge { .. } => "docs/OVERLAY.md says what an overlay is",
    }
}
