//! Another system's backup in the place of snapshot files.

use foreign::Limits;
use foreign::backup::{BackupSet, OpenBackup};
use restore::VolumeMember;
use restore::snapfmt::Digest;
use restore::source::ReadError;

use crate::exit::Failure;

/// A set that was opened.
pub(crate) struct Backup {
    /// What is known of it.
    pub set: BackupSet,
    /// What is known to be lost of it.
    pub damage: Vec<ReadError>,
}

impl Backup {
    /// Opens a set; gives its members besides.
    pub(crate) fn open(set: BackupSet) -> Result<(Self, Vec<VolumeMember>), Failure> {
        let OpenBackup { members, damage } = set.open(&Limits::DEFAULT)?;
        Ok((Self { set, damage }, members))
    }

    /// Refuses what is known to be damaged before anything of it is read.
    pub(crate) fn undamaged(self) -> Result<Self, Failure> {
        let Self { set, damage } = self;
        match set.damaged(damage) {
            Some(error) => Err(error.into()),
            None => Ok(Self { set, damage: Vec::new() }),
        }
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
