//! What sets of every format have in common: what tells one from another, and whether it can be used.

use std::path::Path;

use host::entry::PARTIAL;
use jiff::Timestamp;
use snapfmt::{SetId, SetManifest, VolumeId};

/// The tag that holds a generation's id.
pub const GENERATION_TAG: &str = "datafy:snapshot:generation-id";

/// What a set is told from others by.
#[derive(Clone, Copy, Debug)]
pub struct SetKey<'s> {
    /// Its id.
    pub id: &'s SetId,
    /// Its logical volume.
    pub source_volume_id: &'s VolumeId,
    /// Its place in the lineage.
    pub generation: u64,
    /// The id of its generation, where it has one.
    pub generation_id: Option<&'s str>,
    /// When it was taken, where that is known.
    pub time: Option<Timestamp>,
}

impl SetKey<'_> {
    /// The set as one of several to choose from.
    pub fn candidate(&self) -> Candidate {
        Candidate {
            set_id: self.id.clone(),
            source_volume_id: self.source_volume_id.clone(),
            generation: self.generation,
            time: self.time,
        }
    }
}

impl<'s> From<&'s SetManifest> for SetKey<'s> {
    fn from(set: &'s SetManifest) -> Self {
        Self {
            id: &set.id,
            source_volume_id: &set.source_volume_id,
            generation: set.generation,
            generation_id: set.tags.get(GENERATION_TAG).map(String::as_str),
            time: Some(set.time),
        }
    }
}

/// One set that could have been meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// The set's id.
    pub set_id: SetId,
    /// Its logical volume.
    pub source_volume_id: VolumeId,
    /// Its generation.
    pub generation: u64,
    /// When it was taken, where that is known.
    pub time: Option<jiff::Timestamp>,
}

impl std::fmt::Display for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} (volume {}, generation {}, ",
            self.set_id.as_str().escape_debug(),
            self.source_volume_id.as_str().escape_debug(),
            self.generation,
        )?;
        match self.time {
            Some(time) => write!(f, "{time})"),
            None => f.write_str("of unknown time)"),
        }
    }
}

/// Whether a set can be used as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetState {
    /// Every member and every ancestor is there.
    Complete,
    /// A member or an ancestor is missing.
    Incomplete,
    /// A file of it, or of an ancestor, is damaged, or files contradict each other.
    Damaged,
}

/// Whether a path is called like a snapshot file.
pub fn is_called_snapshot(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "snap")
}

/// A capture that was not finished leaves its work in a directory like this; it is no set yet.
pub fn is_unfinished_capture(path: &Path) -> bool {
    let name = path.file_name().map(|n| n.to_string_lossy());
    name.is_some_and(|n| n.starts_with('.') && n.ends_with(PARTIAL))
}
