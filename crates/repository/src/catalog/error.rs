//! Why no set could be chosen or opened.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use snapfmt::{FormatError, SetContentId, SetId, StateId, VolumeId};

use super::Candidate;
use super::files::FileError;
use super::gap::Gap;
use crate::finding::Finding;
use restore::source::ReadError;

/// How many of a list a message names.
const NAMED: usize = 8;

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

/// Why several sets could be meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ambiguity {
    /// The files are of several logical volumes.
    SourceVolumes,
    /// The prefix fits several set ids.
    SetId,
    /// The lineage forks: several sets have one generation or one parent.
    Fork,
    /// Generations, times and what builds on what do not give one order.
    Order,
    /// Nothing says when a set was taken: it may be the newest.
    Time,
}

impl std::fmt::Display for Ambiguity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::SourceVolumes => "the files are of several source volumes",
            Self::SetId => "several set ids begin like that",
            Self::Fork => "the lineage forks",
            Self::Order => "generations, times, and which set builds on which give no one order",
            Self::Time => "nothing says when it was taken, it may be the newest",
        })
    }
}

/// Why no set could be opened.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// There is no set at all.
    #[error("no snapshot set was found")]
    NotFound,
    /// Nothing fits the selection.
    #[error("no snapshot set fits the selection{}", others(there))]
    NoneFits {
        /// The sets that there are.
        there: Vec<Candidate>,
    },
    /// Several sets fit.
    #[error("{why}: {}", ambiguity(*why, candidates))]
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
    /// A set that is known only because another one builds on it may be the one that is meant.
    #[error("none of the files of set {gap} is there; it may be the set that is meant{}", instead(found.as_ref()))]
    Gap {
        /// What is known of it.
        gap: Gap,
        /// The set that would be taken instead, if there is one.
        found: Option<Candidate>,
    },
    /// A set is there twice, stored by two systems.
    #[error(
        "set {:?} is there as {} ({}) and as {} ({}), and nothing says that they hold the same",
        set_id.as_str(), first.0, first.1.display(), second.0, second.1.display()
    )]
    Twice {
        /// The set id.
        set_id: SetId,
        /// What stored one, and where it lies.
        first: (&'static str, PathBuf),
        /// What stored the other, and where it lies.
        second: (&'static str, PathBuf),
    },
    /// A path that was given is not there.
    #[error("{file}")]
    NoPath {
        /// The path and the system's error.
        file: FileError,
    },
    /// The system failed over a file: what it holds is not known.
    #[error("{file}; this says nothing of the file, and no set is passed over for it")]
    Machine {
        /// The file and the system's error.
        file: FileError,
    },
    /// A file of the set is damaged.
    #[error("set {:?} is damaged: {file}", set_id.as_str())]
    Damaged {
        /// The set.
        set_id: SetId,
        /// The file and what is wrong with it.
        file: FileError,
    },
    /// Reading all of the set found damage.
    #[error("set {:?} is damaged in {count} places; the first: {}: {first}", set_id.as_str(), path.display())]
    Unsound {
        /// The set.
        set_id: SetId,
        /// How many places.
        count: u64,
        /// The file with the first of them.
        path: PathBuf,
        /// Another copy of that file, which may be whole.
        copy: Option<Arc<Path>>,
        /// The first of them.
        #[source]
        first: Box<Finding>,
    },
    /// A file is so damaged that nothing says which set it belongs to.
    #[error("{file}; which set it belongs to is not known, it may be the newest")]
    Unidentified {
        /// The file and what is wrong with it.
        file: FileError,
    },
    /// The caller asks for a set of another catalog.
    #[error("set {:?} is of another catalog", set_id.as_str())]
    NotOfThisCatalog {
        /// The set id.
        set_id: SetId,
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
        /// The set that has the content id.
        holder: Option<Candidate>,
    },
    /// The set has no content id that could be compared.
    #[error("set {:?} has no content id, {expected} is expected", set_id.as_str())]
    NoContentId {
        /// The set.
        set_id: SetId,
        /// What the caller expects.
        expected: String,
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
    /// What the set inherits cannot be followed to where it is stored.
    #[error("what set {:?} inherits cannot be proved to be what its content id stands for: {cause}", set_id.as_str())]
    Unproved {
        /// The set.
        set_id: SetId,
        /// The file at which the chain breaks, and why.
        #[source]
        cause: Arc<ReadError>,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
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
    Layout(#[from] restore::LayoutMismatch),
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

impl CatalogError {
    /// The file that the system failed over, where that is why a set cannot be used.
    pub fn machine(&self) -> Option<FileError> {
        let files = match self {
            Self::Damaged { file, .. } | Self::Unidentified { file } | Self::Machine { file } => {
                std::slice::from_ref(file)
            }
            Self::Incomplete { unreadable, .. } => unreadable,
            _ => &[],
        };
        files.iter().find(|file| file.is_of_machine()).cloned()
    }
}

fn also_unreadable(files: &[FileError]) -> String {
    if files.is_empty() { String::new() } else { format!("; unreadable: {}", list(files)) }
}

fn others(there: &[Candidate]) -> String {
    if there.is_empty() { String::new() } else { format!("; there are {}", list(there)) }
}

fn instead(found: Option<&Candidate>) -> String {
    found.map(|set| format!(" rather than {set}")).unwrap_or_default()
}

/// Of several volumes each with the number of its sets; otherwise the sets.
fn ambiguity(why: Ambiguity, candidates: &[Candidate]) -> String {
    if why != Ambiguity::SourceVolumes {
        return list(candidates);
    }
    let mut volumes: BTreeMap<&VolumeId, u64> = BTreeMap::new();
    for candidate in candidates {
        *volumes.entry(&candidate.source_volume_id).or_default() += 1;
    }
    let sets = |count| if count == 1 { "1 set".into() } else { format!("{count} sets") };
    let line =
        |(id, count): (&VolumeId, u64)| format!("{} ({})", id.as_str().escape_debug(), sets(count));
    list(&volumes.into_iter().map(line).collect::<Vec<_>>())
}

/// The first few, and how many more there are.
fn list(items: &[impl std::fmt::Display]) -> String {
    let named: Vec<String> = items.iter().take(NAMED).map(ToString::to_string).collect();
    let more = items.len() - named.len();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    named.join(", ") + &more
}
