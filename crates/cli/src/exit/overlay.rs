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
        OverlayError::Foreign { .. } => "name the overlay itself, in a file of your own",
        OverlayError::Io { .. } => "check the path and its permissions",
        OverlayError::NotAnOverlay { .. }
        | OverlayError::Version { .. }
        | OverlayError::Damaged { .. }
        | OverlayError::TooLarge { .. } => "docs/OVERLAY.md says what an overlay is",
    }
}
