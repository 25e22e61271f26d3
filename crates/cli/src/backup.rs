//! Another system's backup in the place of snapshot files.

use foreign::Limits;
use foreign::backup::BackupSet;
use restore::VolumeMember;
use restore::snapfmt::Digest;

use crate::exit::Failure;

/// A set that was opened.
pub(crate) struct Backup {
    /// What is known of it.
    pub set: BackupSet,
}

impl Backup {
    /// Opens a set; gives its members besides.
    pub(crate) fn open(set: BackupSet) -> Result<(Self, Vec<VolumeMember>), Failure> {
        let members = set.open(&Limits::DEFAULT)?;
        Ok((Self { set }, members))
    }

    /// Looks whether its files are there and as long as they must be, before anything of them is read.
    pub(crate) fn undamaged(self) -> Result<Self, Failure> {
        self.set.damaged().map_or(Ok(self), |error| Err(error.into()))
    }

    /// What a journal is bound to: the snapshots, which never change, and how they make the volume.
    pub(crate) fn word(&self, layout: String) -> String {
        let mut text = layout;
        for member in &self.set.members {
            text.push_str(member.snapshot.as_str());
            text.push('\n');
        }
        format!("backup-{}", Digest::of(text.as_bytes()))
    }
}
