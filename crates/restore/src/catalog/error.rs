//! Why no set could be chosen or opened.

use std::path::PathBuf;

use snapfmt::{FormatError, SetContentId, SetId, StateId, VolumeId};

use super::files::FileError;

/// What is needed and not among the files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Missing {
    /// A member of the set itself.
    Member {
        /// Its number in the roster.
        index: u32,
        /// Its volume id.
        volume_id: VolumeId,
        /// Of which set.
        set_id: SetId,
    },
    /// An ancestor that a member's snapshot builds on.
    Parent {
        /// The member's volume id.
        volume_id: VolumeId,
        /// The set whose snapshot of that volume is missing.
        set_id: SetId,
    },
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Member { index, volume_id, set_id } => {
                write!(
                    f,
                    "member {index} ({volume_id:?}) of set {set_id:?}",
                    volume_id = volume_id.as_str(),
                    set_id = set_id.as_str()
                )
            }
            Self::Parent { volume_id, set_id } => write!(
                f,
                "the parent snapshot of volume {:?} from set {:?}",
                volume_id.as_str(),
                set_id.as_str()
            ),
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

/// Why several sets could be meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ambiguity {
    /// The files are of several logical volumes.
    SourceVolumes,
    /// The prefix fits several set ids.
    SetId,
    /// The lineage forks: several sets have one generation or one parent.
    Fork,
    /// The newest by generation is not the newest by time.
    Order,
}

impl std::fmt::Display for Ambiguity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::SourceVolumes => "the files are of several source volumes",
            Self::SetId => "several set ids begin like that",
            Self::Fork => "the lineage forks",
            Self::Order => "the newest set by generation is not the newest by time",
        })
    }
}

/// Why no set could be opened.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// Nothing fits the selection.
    #[error("no snapshot set {}", if *.any { "fits the selection" } else { "was found" })]
    NotFound {
        /// Whether there are other sets among the files.
        any: bool,
    },
    /// Several sets fit.
    #[error("{why}: {}", list(candidates))]
    Ambiguous {
        /// Why.
        why: Ambiguity,
        /// The sets.
        candidates: Vec<Candidate>,
    },
    /// Members or ancestors are not among the files.
    #[error(
        "set {:?} is incomplete: {} missing{}",
        set_id.as_str(), list(missing), also_unreadable(unreadable)
    )]
    Incomplete {
        /// The set.
        set_id: SetId,
        /// What is missing.
        missing: Vec<Missing>,
        /// Files that may be it, but cannot be read well enough to tell.
        unreadable: Vec<FileError>,
    },
    /// A file of the set is damaged.
    #[error("set {:?} is damaged: {file}", set_id.as_str())]
    Damaged {
        /// The set.
        set_id: SetId,
        /// The file and what is wrong with it.
        file: FileError,
    },
    /// A file is so damaged that nothing says which set it belongs to.
    #[error("{file}; which set it belongs to is not known, it may be the newest")]
    Unidentified {
        /// The file and what is wrong with it.
        file: FileError,
    },
    /// Two captures were made under one set id.
    #[error(
        "{first} and {second} are of two different captures under one set id, {:?}",
        set_id.as_str(), first = first.display(), second = second.display()
    )]
    Mixed {
        /// The set id.
        set_id: SetId,
        /// A file of one.
        first: PathBuf,
        /// A file of the other.
        second: PathBuf,
    },
    /// Files that one seal ties together contradict each other.
    #[error(
        "{first} and {second} contradict each other about set {:?}",
        set_id.as_str(), first = first.display(), second = second.display()
    )]
    Contradiction {
        /// The set.
        set_id: SetId,
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// The set's content id is not the one expected.
    #[error("set {:?} has content id {found}, expected {expected}", set_id.as_str())]
    ContentId {
        /// The set.
        set_id: SetId,
        /// What the caller expects.
        expected: String,
        /// What its seal says.
        found: SetContentId,
    },
    /// The parent at hand is not the one that was built on.
    #[error(
        "{child} builds on state {expected} of volume {:?} in set {:?}, {parent} holds state {found}",
        volume_id.as_str(), set_id.as_str(), child = child.display(), parent = parent.display()
    )]
    WrongParent {
        /// The child's file.
        child: PathBuf,
        /// The file found for the parent.
        parent: PathBuf,
        /// The member's volume id.
        volume_id: VolumeId,
        /// The parent's set.
        set_id: SetId,
        /// The state the child names.
        expected: StateId,
        /// The state found.
        found: StateId,
    },
    /// A parent has another chunk size than its child.
    #[error("{child} and its parent {parent} have different chunk sizes", child = child.display(), parent = parent.display())]
    ChunkSize {
        /// The child's file.
        child: PathBuf,
        /// The parent's file.
        parent: PathBuf,
    },
    /// A chain is longer than the limit, or returns to itself.
    #[error("{path}: the chain of parents is longer than {max}", path = path.display())]
    ChainTooLong {
        /// The newest file of the chain.
        path: PathBuf,
        /// The limit.
        max: u32,
    },
    /// A layout that does not fit its members.
    #[error(transparent)]
    Layout(#[from] crate::LayoutMismatch),
    /// A structure read after opening is damaged.
    #[error("{path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: FormatError,
    },
}

fn also_unreadable(files: &[FileError]) -> String {
    if files.is_empty() { String::new() } else { format!("; unreadable: {}", list(files)) }
}

fn list(items: &[impl std::fmt::Display]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
