//! What can be missing from, or wrong with, a backup.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use restore::snapfmt::{SetId, VolumeId};
use restore::source::ReadError;

use super::Name;

/// What a backup needs and does not have.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Missing {
    /// A snapshot of the set.
    #[error("snapshot {snapshot} of volume {:?}", volume_id.as_str())]
    Member {
        /// Its name.
        snapshot: Name,
        /// The volume it is of.
        volume_id: VolumeId,
    },
    /// A snapshot that another one builds on.
    #[error("snapshot {snapshot}, which {child} builds on")]
    Parent {
        /// Its name.
        snapshot: Name,
        /// The one that builds on it.
        child: Name,
    },
    /// What a list of changes builds on: no name says it.
    #[error("the name of the snapshot that {} builds on", path.display())]
    ParentName {
        /// The list.
        path: PathBuf,
    },
    /// More of a list that goes on.
    #[error("the page that follows {}: it ends with a NextToken", path.display())]
    NextPage {
        /// The last page there is.
        path: PathBuf,
    },
    /// One of a row of numbered pages.
    #[error("page {}", path.display())]
    Page {
        /// Where it would be.
        path: PathBuf,
    },
    /// A page with a block that is there.
    #[error("the page that lists block {block}: {} is there, and no page names it", path.display())]
    PageOf {
        /// The block's number.
        block: u32,
        /// Its file.
        path: PathBuf,
    },
    /// The list of the blocks.
    #[error("the list of the blocks in {}", path.display())]
    List {
        /// The directory with the blocks.
        path: PathBuf,
    },
    /// The files of all blocks of a list.
    #[error(
        "the files of {blocks} blocks (such as 0.bin, block-0.bin or block_0) that {} names",
        path.display()
    )]
    Files {
        /// The list.
        path: PathBuf,
        /// How many blocks it has.
        blocks: u64,
    },
    /// The rest of a snapshot that was still being made when it was described.
    #[error("the end of snapshot {snapshot}: its state is {state:?}")]
    Rest {
        /// Its name.
        snapshot: Name,
        /// The state it was in.
        state: Box<str>,
    },
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not the JSON it should be.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// It is longer than documents may be.
    #[error("{found} bytes are more than the {max} a document may have")]
    TooLong {
        /// Its bytes.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// There are more documents than may be.
    #[error("there are more documents than the {max} that are read")]
    Documents {
        /// The limit.
        max: u32,
    },
    /// There are more files and directories than may be.
    #[error("there are too many files")]
    Files,
    /// Directories lie deeper in each other than may be.
    #[error("directories lie too deep in each other")]
    Depth,
    /// Its blocks have a size that no such snapshot has.
    #[error("blocks of {found} bytes; {expected} are expected")]
    BlockSize {
        /// The size of real ones.
        expected: u64,
        /// What it says.
        found: u64,
    },
    /// Nothing says how large the volume is, or it cannot be.
    #[error("a volume of {found} GiB; 1 to {max} are possible")]
    VolumeSize {
        /// What it says; 0 where nothing does.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// Two files give a volume different sizes.
    #[error("a volume of {found} GiB, but {other} says {expected} GiB", other = other.display())]
    OtherSize {
        /// What it says.
        found: u64,
        /// What the other says.
        expected: u64,
        /// The other.
        other: PathBuf,
    },
    /// A block lies beyond the end of the volume.
    #[error("block {block} is beyond the end of the volume, which has {blocks} blocks")]
    Beyond {
        /// The block's number.
        block: u32,
        /// How many the volume has.
        blocks: u64,
    },
    /// It holds more than one file does.
    #[error("holds {found} blocks, at most {expected} are expected")]
    RunLength {
        /// The most.
        expected: u64,
        /// What its name says.
        found: u64,
    },
    /// One thing stands in two places, and nothing says which is meant.
    #[error("has block {block}, and so has {other}", other = other.display())]
    Twice {
        /// The block's number.
        block: u32,
        /// The other file.
        other: PathBuf,
    },
    /// Two documents give a block different checksums.
    #[error("gives block {block} another checksum than stood before, as in {other}", other = other.display())]
    OtherChecksum {
        /// The block's number.
        block: u32,
        /// The first document with checksums.
        other: PathBuf,
    },
    /// An entry of a list of descriptions cannot be used; the others are.
    #[error("entry {place} of Snapshots: {why}")]
    Entry {
        /// Its place in the list.
        place: usize,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing says which snapshot it is of.
    #[error("nothing says which snapshot it is of: no id in the file or directory names")]
    NoSnapshot,
    /// It says another snapshot than its name does.
    #[error("says {found}, and its name says {expected}")]
    OtherSnapshot {
        /// The snapshot it says.
        found: Name,
        /// The one in its name, or in that of its directory.
        expected: Name,
    },
    /// A file among runs of blocks whose name does not say which blocks it has.
    #[error("lies among runs of blocks, and its name is not FIRST.SHA256.COUNT.zstd")]
    NoSegment,
    /// What is called like a run of blocks cannot be opened as one: the blocks are there, and not to be had.
    #[error("is called like a run of blocks, but is {what}")]
    NoFile {
        /// What it is.
        what: &'static str,
    },
    /// By its name it is a part of a dump, and cannot be used as one.
    #[error("is called like a part of a dump, and cannot be used: {why}")]
    Unusable {
        /// Why.
        why: &'static str,
    },
    /// A document has something else in the place of an answer.
    #[error("has {what} in the place of an answer")]
    NoAnswer {
        /// What it has.
        what: &'static str,
    },
    /// It is all that is found of a snapshot, and cannot be used.
    #[error("is all that is found of snapshot {snapshot}, and is not used: {why}")]
    NoDump {
        /// The snapshot.
        snapshot: Name,
        /// Why.
        why: &'static str,
    },
    /// Two descriptions give a snapshot different states.
    #[error("says that snapshot {snapshot} is {found:?}, and {other} says {expected:?}", other = other.display())]
    OtherState {
        /// The snapshot.
        snapshot: Name,
        /// Its state.
        found: Box<str>,
        /// The state in the other document.
        expected: Box<str>,
        /// The other document.
        other: PathBuf,
    },
    /// What should be the answer beside a block has no checksum.
    #[error("is no answer of get-snapshot-block with a Checksum")]
    NoChecksum,
    /// A block is said to be gone, and its file is there.
    #[error("says that block {block} is gone, but its file is there: {file}", file = file.display())]
    NotGone {
        /// The block's number.
        block: u32,
        /// Its file.
        file: PathBuf,
    },
    /// It has a checksum of a block that the list says is gone.
    #[error("has a checksum of block {block}, which the list says is gone")]
    Gone {
        /// The block's number.
        block: u32,
    },
    /// It has a checksum of a block that no list names.
    #[error("has a checksum of block {block}, which no page of the list names")]
    Unlisted {
        /// The block's number.
        block: u32,
    },
    /// It says something else than another file about the same thing.
    #[error("contradicts {other} about {about}", other = other.display())]
    Contradicts {
        /// The other file.
        other: PathBuf,
        /// What they speak of.
        about: Name,
    },
}

/// A file that cannot be used, and why.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {fault}", path.display())]
pub struct FileFault {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    #[source]
    pub fault: Arc<Fault>,
}

impl FileFault {
    /// Whether the system failed over the file, which says nothing of what the file holds.
    pub fn is_of_machine(&self) -> bool {
        matches!(&*self.fault, Fault::Io(error) if host::is_of_machine(error))
    }

    pub(crate) fn new(path: &Path, fault: Fault) -> Self {
        Self { path: path.to_owned(), fault: Arc::new(fault) }
    }
}

/// Why a set or a member cannot be used as it is.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Problem {
    /// Something of it is not there.
    #[error("{0} is missing")]
    Missing(Missing),
    /// A file of it is not what it should be.
    #[error(transparent)]
    File(#[from] FileFault),
    /// Blocks that are listed have no file.
    #[error("{lost} of its blocks have no file that can be used; the first is {}", first.display())]
    Blocks {
        /// How many.
        lost: u64,
        /// The first of the files.
        first: PathBuf,
    },
    /// Two members disagree about a tag that must be the same.
    #[error("snapshots {first} and {second} have different tags {tag}")]
    Tags {
        /// The tag.
        tag: &'static str,
        /// One member.
        first: Name,
        /// The other.
        second: Name,
    },
    /// Two snapshots of one volume are in one set.
    #[error("snapshots {first} and {second} are of one volume")]
    OneVolume {
        /// One member.
        first: Name,
        /// The other.
        second: Name,
    },
    /// A volume would have become smaller, which volumes never do.
    #[error(
        "snapshot {snapshot} of {size} bytes builds on {parent}, which has {parent_size}: volumes do \
         not shrink"
    )]
    Smaller {
        /// The snapshot.
        snapshot: Name,
        /// Its size.
        size: u64,
        /// What it builds on.
        parent: Name,
        /// The size of that.
        parent_size: u64,
    },
    /// A chain is longer than the limit, or returns to itself.
    #[error("snapshot {snapshot}: the chain of what it builds on is longer than {max}")]
    Chain {
        /// The newest of it.
        snapshot: Name,
        /// The limit.
        max: u32,
    },
}

impl From<Missing> for Problem {
    fn from(missing: Missing) -> Self {
        Self::Missing(missing)
    }
}

/// What should be known of a backup that can be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Warning {
    /// A program that is known to leave something out wrote it.
    #[error(
        "{}: flexible-snapshot-proxy is known to leave out the last run of blocks, up to 32 MiB; \
         they would read as zeros", path.display()
    )]
    LastRun {
        /// The directory.
        path: PathBuf,
    },
    /// Blocks that no saved checksum proves.
    #[error(
        "{}: {blocks} of {of} blocks have no SHA-256 saved with them: nothing proves these",
        path.display()
    )]
    NoDigests {
        /// The directory.
        path: PathBuf,
        /// How many have none.
        blocks: u64,
        /// How many there are.
        of: u64,
    },
    /// A file where a dump is that is not used.
    #[error("{}{} is not used: {why}", path.display(), others(*more))]
    NotUsed {
        /// The file.
        path: PathBuf,
        /// How many others are like it.
        more: u64,
        /// Why.
        why: &'static str,
    },
    /// A list of a snapshot of which nothing else was found.
    #[error("{}: a list of blocks, and no file of any of them is there", path.display())]
    ListAlone {
        /// The list.
        path: PathBuf,
    },
    /// A file that no snapshot was found for.
    #[error("{}: nothing says which snapshot it is of; it is not used", path.display())]
    Stray {
        /// The file or directory.
        path: PathBuf,
    },
}

fn others(more: u64) -> String {
    if more == 0 { String::new() } else { format!(" (and {more} more)") }
}

/// Why no backup could be opened.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Something of the set is not there.
    #[error("set {:?} is incomplete: {} missing", set_id.as_str(), list(missing))]
    Incomplete {
        /// The set.
        set_id: SetId,
        /// All that is missing.
        missing: Vec<Missing>,
    },
    /// The set cannot be used.
    #[error("set {:?} cannot be used: {problem}", set_id.as_str())]
    Unusable {
        /// The set.
        set_id: SetId,
        /// The first thing that is wrong.
        problem: Problem,
    },
    /// Files of the set are not there or not as long as they must be.
    #[error("set {:?} is damaged in {count} places; the first: {first}", set_id.as_str())]
    Damaged {
        /// The set.
        set_id: SetId,
        /// How many places.
        count: usize,
        /// The first of them.
        #[source]
        first: Arc<ReadError>,
    },
    /// A file cannot be read, and what it describes could be the newest set.
    #[error("{file}; what it describes is not known, it may be the newest set")]
    Unidentified {
        /// The file and what is wrong with it.
        file: FileFault,
    },
    /// No such set is there, and of what was found something could not be used.
    #[error(
        "no such snapshot set was found; {count} found things are not used, the first: {first}"
    )]
    Unused {
        /// How many.
        count: usize,
        /// The first of them.
        first: Warning,
    },
    /// The system failed over a file: what it holds is not known.
    #[error("{file}; this says nothing of the file, and no set is passed over for it")]
    Machine {
        /// The file and the system's error.
        file: FileFault,
    },
}

fn list(items: &[Missing]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
