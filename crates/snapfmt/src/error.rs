//! What can be wrong with a snapshot file, and where.

use crate::Offset;
use std::fmt;
use std::io;

use crate::geometry::ChunkNo;
use crate::ids::Digest;
use crate::layout_error::LayoutError;

/// The part of a snapshot file that an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Structure {
    /// The file as a whole.
    File,
    /// The manifest, first in the file, repeated in the tail.
    Manifest,
    /// The extent map's root: counts and the digest of each page.
    ExtentMapRoot,
    /// The `n`-th page of the segment table.
    SegmentPage(u32),
    /// The `n`-th page of the column table.
    ColumnPage(u32),
    /// The header of a record that lies before the chunk it describes.
    RecordHeader,
    /// The record of a chunk (or of the run that starts there).
    Record(ChunkNo),
    /// The stored bytes of a chunk.
    Chunk(ChunkNo),
    /// The canonical frame of a zero or hole run.
    ZeroFrame(ChunkNo),
    /// An index page: records, sorted by chunk number.
    IndexPage,
    /// A page of the page directory.
    DirectoryPage,
    /// The root of the page directory.
    IndexRoot,
    /// The list of the snapshot ids of all members.
    Seal,
    /// The footer, last in the file.
    Footer,
    /// A frame of a kind this version does not know.
    UnknownFrame(u16),
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("file"),
            Self::Manifest => f.write_str("manifest"),
            Self::ExtentMapRoot => f.write_str("extent map root"),
            Self::SegmentPage(n) => write!(f, "extent map segment page {n}"),
            Self::ColumnPage(n) => write!(f, "extent map column page {n}"),
            Self::RecordHeader => f.write_str("record header"),
            Self::Record(no) => write!(f, "record of chunk {no}"),
            Self::Chunk(no) => write!(f, "chunk {no}"),
            Self::ZeroFrame(no) => write!(f, "zero frame of chunk {no}"),
            Self::IndexPage => f.write_str("index page"),
            Self::DirectoryPage => f.write_str("index directory page"),
            Self::IndexRoot => f.write_str("index root"),
            Self::Seal => f.write_str("seal"),
            Self::Footer => f.write_str("footer"),
            Self::UnknownFrame(kind) => write!(f, "frame of unknown kind {kind}"),
        }
    }
}

/// What is wrong with a [`Structure`].
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The bytes are no snapshot file at all.
    /// None of them is shown: a link may lead to what only root may read.
    #[error("is not a snaprestore snapshot")]
    NotASnapshot,
    /// The file ends inside the structure.
    #[error("is cut off: needs {need} bytes, the file has {have} left")]
    Truncated {
        /// Bytes the structure needs.
        need: u64,
        /// Bytes left in the file.
        have: u64,
    },
    /// A frame's magic or project magic is not there.
    #[error("has no frame header")]
    Magic,
    /// A CRC-32 does not match.
    #[error("CRC-32 is {found:08x}, expected {expected:08x}")]
    Checksum {
        /// As stored.
        expected: u32,
        /// As computed.
        found: u32,
    },
    /// A BLAKE3 digest does not match.
    #[error("BLAKE3 is {found}, expected {expected}")]
    Digest {
        /// As stored.
        expected: Digest,
        /// As computed.
        found: Digest,
    },
    /// A frame says it stands elsewhere: it was moved, or belongs to another file.
    #[error("says it stands at offset {claimed}", claimed = Offset(*claimed))]
    Misplaced {
        /// The offset the frame claims.
        claimed: u64,
    },
    /// A frame carries another file's tag.
    #[error("belongs to another snapshot file")]
    ForeignTag,
    /// A frame of one kind stands where another must be.
    #[error("is expected, a frame of kind {found} is there")]
    Kind {
        /// The kind found.
        found: u16,
    },
    /// A value is beyond a limit.
    #[error("{field} is {value}, the limit is {max}")]
    Limit {
        /// Which value.
        field: &'static str,
        /// What the file claims.
        value: u64,
        /// The most that is accepted.
        max: u64,
    },
    /// A field holds a value it cannot have.
    #[error("{field} is {value}, expected {expected}")]
    Value {
        /// Which field.
        field: &'static str,
        /// What the file holds.
        value: u64,
        /// What it should be.
        expected: u64,
    },
    /// A field breaks a rule that is not a single expected value.
    #[error("{field} is {value}: {rule}")]
    Rule {
        /// Which field.
        field: &'static str,
        /// What the file holds.
        value: u64,
        /// What is required of it.
        rule: &'static str,
    },
    /// Two structures that must say the same differ.
    #[error("disagrees with the {0}")]
    Disagrees(Structure),
    /// A full snapshot has no record for a chunk, or a record that the index promises is not there.
    #[error("is missing")]
    Missing,
    /// The format version is newer than this reader.
    #[error("format version {found} is not supported, this reader knows version {known}")]
    Version {
        /// As claimed.
        found: u32,
        /// The newest this reader knows.
        known: u32,
    },
    /// A feature that readers must know is not known.
    #[error(
        "needs the feature {name:?}, which this version does not have; a newer snaprestore is needed"
    )]
    Feature {
        /// The feature's name, as the file gives it.
        name: String,
    },
    /// The manifest is not the JSON it should be.
    #[error("is not valid: {0}")]
    Json(#[source] serde_json::Error),
    /// The zstd decoder refused the frame.
    #[error("cannot be decompressed ({reason})")]
    Decode {
        /// The decoder's own words.
        reason: &'static str,
    },
    /// The snapshot is of a form that cannot be read in one pass.
    #[error("is of {0} snapshot: in one pass only full ones in stream form can be read")]
    NotStream(NotStream),
    /// The extent map is no layout.
    #[error("is no layout: {0}")]
    Layout(#[source] LayoutError),
    /// A canonical zero frame holds other bytes.
    #[error("is not the canonical encoding of {len} zero bytes")]
    NotCanonical {
        /// Plain length of the run in bytes.
        len: u64,
    },
    /// Reading failed.
    #[error("cannot be read: {0}")]
    Io(#[source] io::Error),
}

/// Why a snapshot cannot be read in one pass, without seeking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotStream {
    /// Chunks without a record are its parent's.
    Incremental,
    /// Equal chunks are stored once.
    Deduplicated,
    /// Zeros have no frames.
    Compact,
}

impl fmt::Display for NotStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Incremental => "an incremental",
            Self::Deduplicated => "a deduplicated",
            Self::Compact => "a compact",
        })
    }
}

/// One thing wrong with a snapshot file: which structure, at which offset, and what.
///
/// It names no path; the caller that opened the file adds that, once.
#[derive(Debug, thiserror::Error)]
#[error("{}{fault}", place(*what, *at))]
pub struct FormatError {
    /// File offset in bytes.
    pub at: u64,
    /// Which structure.
    pub what: Structure,
    /// What is wrong with it.
    #[source]
    pub fault: Fault,
}

/// Where in the file, for a message; a fault of the file as a whole needs no place.
fn place(what: Structure, at: u64) -> String {
    match what {
        Structure::File => String::new(),
        _ => format!("{what} at offset {}: ", Offset(at)),
    }
}

/// The result of reading a snapshot file.
pub type Result<T> = std::result::Result<T, FormatError>;

impl Structure {
    /// An error about this structure.
    pub(crate) const fn fault(self, at: u64, fault: Fault) -> FormatError {
        FormatError { at, what: self, fault }
    }

    /// A failed read; the end of the file is told apart from a failing medium.
    pub(crate) fn io(self, at: u64, len: u64, file_len: u64, error: io::Error) -> FormatError {
        let fault = match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                Fault::Truncated { need: len, have: file_len.saturating_sub(at) }
            }
            _ => Fault::Io(error),
        };
        self.fault(at, fault)
    }
}
