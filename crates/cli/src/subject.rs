//! A volume that can be read, and all that is known of it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use foreign::backup::BackupSet;
use host::device;
use jiff::Timestamp;
use repository::catalog::OpenSet;
use repository::stack::Unassembled;
use restore::Volume;
use restore::job;
use restore::layout_file;
use restore::snapfmt::{Digest, SetManifest, VolumeId};

use crate::backup::Backup;
use crate::exit::Failure;
use crate::fingerprint::RAW;
use crate::members;
use crate::output::note;
use crate::stack::{Assembly, Joined};

/// A volume that can be read, and where it is from.
pub(crate) struct Subject {
    /// Where it is from.
    pub origin: Origin,
    /// Its bytes.
    pub volume: Volume,
    /// Whether they are laid together as they should be.
    pub assembly: Assembly,
    /// What there is to be said of them.
    pub warnings: Vec<String>,
}

/// Where a volume is from.
pub(crate) enum Origin {
    /// A set of snapshot files.
    Set { manifest: Box<SetManifest>, open: OpenSet },
    /// A set of another system's backups.
    Backup(Backup),
    /// Raw members: their ids and paths.
    Raw(Vec<(VolumeId, PathBuf)>),
}

impl Subject {
    pub(crate) fn new(origin: Origin, joined: Joined) -> Self {
        let Joined { volume, assembly, warnings } = joined;
        Self { origin, volume, assembly, warnings }
    }

    /// The members of a set, however they make a volume.
    pub(crate) fn of_members(set: BackupSet) -> Result<Self, Failure> {
        let (backup, members) = Backup::open(set)?;
        let assembly = if members.len() > 1 { Assembly::Apart } else { Assembly::Sound };
        let joined = Joined::new(members::apart(members)?, assembly);
        Ok(Self::new(Origin::Backup(backup), joined))
    }

    /// Refuses what cannot be proved to be put together as it was.
    pub(crate) fn proved(self) -> Result<Self, Failure> {
        Ok(Self { assembly: self.assembly.proved()?, ..self })
    }

    /// Refuses what is known to be damaged, too, before anything of it is read.
    pub(crate) fn undamaged(self) -> Result<Self, Failure> {
        let proved = self.proved()?;
        let origin = match proved.origin {
            Origin::Backup(backup) => Origin::Backup(backup.undamaged()?),
            origin @ (Origin::Set { .. } | Origin::Raw(_)) => origin,
        };
        Ok(Self { origin, ..proved })
    }

    /// Whether only a salvage goes on with it.
    pub(crate) const fn is_doubtful(&self) -> bool {
        matches!(self.assembly, Assembly::Doubtful(_))
    }

    /// Says what a salvage goes on with.
    pub(crate) fn tell_doubt(&self) {
        if let Assembly::Doubtful(Unassembled::Problems { doubts, .. }) = &self.assembly {
            for doubt in doubts {
                note(&doubt.to_string());
            }
        }
    }

    /// Whether its members are laid together as they should be, and not only in some way.
    pub(crate) const fn is_volume(&self) -> bool {
        !matches!(self.assembly, Assembly::Apart)
    }

    /// What it can be called: its set's id, or that of the first of its members.
    pub(crate) fn id(&self) -> &str {
        match &self.origin {
            Origin::Set { manifest, .. } => manifest.id.as_str(),
            Origin::Backup(backup) => backup.set.id.as_str(),
            Origin::Raw(_) => {
                self.volume.members().first().map_or("", |member| member.volume_id.as_str())
            }
        }
    }

    /// When it was taken, where that is known.
    pub(crate) fn time(&self) -> Option<Timestamp> {
        match &self.origin {
            Origin::Set { manifest, .. } => Some(manifest.time),
            Origin::Backup(backup) => backup.set.time,
            Origin::Raw(_) => None,
        }
    }

    /// The largest logical sector size among the members: what was written in smaller sectors can be
    /// read in larger ones of that size, not the other way round.
    pub(crate) fn sector_size(&self) -> Result<u32, Failure> {
        let sizes = match &self.origin {
            Origin::Set { manifest, .. } => {
                manifest.members.iter().map(|member| member.logical_sector).collect()
            }
            Origin::Backup(_) => Vec::new(),
            Origin::Raw(given) => given
                .iter()
                .map(|(_, path)| {
                    let sectors = fs::File::open(path).and_then(|file| device::sectors(&file));
                    Ok(sectors.map_err(|e| members::failure(path, e))?.0)
                })
                .collect::<Result<Vec<u32>, Failure>>()?,
        };
        Ok(sizes.into_iter().max().unwrap_or(512))
    }

    /// The volume's content in a word, for a journal to be bound to: the set's content id or, of raw
    /// members, a digest of what tells that they are the same and were not written to since.
    pub(crate) fn word(&self) -> Result<String, Failure> {
        let mut text = layout_text(&self.volume);
        match &self.origin {
            Origin::Set { open, .. } => {
                let content = open.content;
                // A volume inside that of the set is of the same files, and has other bytes.
                Ok(if layout_text(&open.volume()?) == text {
                    content.to_string()
                } else {
                    format!("{content}-{}", Digest::of(text.as_bytes()))
                })
            }
            Origin::Backup(backup) => Ok(backup.word(text)),
            Origin::Raw(given) => {
                for (_, path) in given {
                    text.push_str(&state_of(path).map_err(|e| members::failure(path, e))?);
                    text.push('\n');
                }
                Ok(format!("{RAW}{}", Digest::of(text.as_bytes())))
            }
        }
    }
}

/// How a volume lies on which members, as a file for `--layout`.
pub(crate) fn layout_text(volume: &Volume) -> String {
    layout_file::render(volume.layout().map(), &members::sizes(volume.members()))
}

/// What tells that a file or device is the same and was not written to since.
pub(crate) fn state_of(path: &Path) -> std::io::Result<String> {
    let file = fs::File::open(path)?;
    let (meta, identity) = (file.metadata()?, job::TargetId::of(path, &file)?.text);
    if !meta.is_file() {
        // The times of a device's node are of the last start of the machine.
        return Ok(identity);
    }
    Ok(format!("{identity} {} {}.{}", meta.len(), meta.mtime(), meta.mtime_nsec()))
}
