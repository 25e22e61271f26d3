//! What can go wrong with other systems' backups.

use foreign::backup::{BackupError, Problem};

use super::{Exit, Failure, catalog};

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        Self::Backup(error)
    }
}

/// Its exit code.
pub(super) fn exit(error: &BackupError) -> Exit {
    match error {
        BackupError::Incomplete { .. } | BackupError::Unused { .. } => Exit::Incomplete,
        BackupError::Unusable { .. }
        | BackupError::Damaged { .. }
        | BackupError::Unidentified { .. }
        | BackupError::Machine { .. } => Exit::SourceDamaged,
    }
}

/// What to try next.
pub(super) fn hint(error: &BackupError) -> &'static str {
    match error {
        BackupError::Incomplete { .. } => {
            "add what is missing, or take an older set with --latest-complete"
        }
        BackupError::Unusable { problem, .. } => match problem {
            Problem::Tags { .. } | Problem::OneVolume { .. } => {
                "--set-id SNAPSHOT takes one snapshot alone"
            }
            _ => "docs/FOREIGN.md says what dumps must look like",
        },
        BackupError::Damaged { .. } => {
            "another copy of the file may be there; restore --salvage leaves damaged ranges out"
        }
        BackupError::Unused { .. } => "docs/FOREIGN.md says what dumps must look like",
        BackupError::Unidentified { .. } => "mend or remove the file, or name a set by --set-id",
        BackupError::Machine { .. } => catalog::MACHINE,
    }
}
