//! One member's content at one generation, whatever stored it.

mod around;
mod chain;
mod fault;
mod native;
mod pages;
mod raw;
mod repeats;
mod sectors;

use snapfmt::Offset;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use host::is_of_machine;
use snapfmt::{Decoder, Digest, Fault, FormatError};

pub(crate) use around::read_around;
pub use chain::Chain;
pub use fault::{BackupFault, Checksum};
pub use native::{NativeSource, SnapshotFile};
pub use pages::PageCache;
pub use raw::{NotRaw, RawSource};
use repeats::Repeats;
pub use sectors::Sectors;

/// One member at one generation: its size, what is where, and verified reads.
///
/// Offsets and ranges are bytes of the member.
pub trait Source: Send + Sync {
    /// Size of the member in bytes.
    fn size(&self) -> u64;

    /// The longest chunk that [`Source::read`] gives, in bytes.
    fn largest_chunk(&self) -> u32;

    /// The longest chunk that a worker keeps, in bytes, since it comes again: where no chunk does, 0.
    fn largest_kept(&self) -> u32 {
        0
    }

    /// Appends the extents that cover `range`, in order and without gaps. The first may start
    /// before the range and the last end after it: a chunk is never cut, and a run of zeros is
    /// given as far as it is known.
    fn extents(&self, range: Range<u64>, out: &mut Vec<Extent>) -> Result<(), ReadError>;

    /// Tells the system that a chunk will be read soon, so that what is stored of it is on its way from
    /// the medium. A hint: nothing waits for it and nothing fails.
    fn will_need(&self, _chunk: &ChunkRef) {}

    /// Reads a chunk that [`Source::extents`] named into `out`, which has exactly its length, and
    /// says how it was proved. On an error `out` holds nothing that may be used.
    fn read(
        &self,
        chunk: &ChunkRef,
        out: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<Proof, ReadError>;

    /// The least that can be read by itself of a chunk that its medium cannot give as a whole, in bytes.
    /// `None` where only whole chunks can be checked: then a chunk is good or lost.
    fn sector(&self, _chunk: &ChunkRef) -> Option<u32> {
        None
    }

    /// Reads some bytes of a chunk, whole sectors of it, as [`Source::sector`] says.
    fn read_part(
        &self,
        _chunk: &ChunkRef,
        part: Range<u64>,
        _out: &mut [u8],
    ) -> Result<(), ReadError> {
        let source = io::ErrorKind::Unsupported.into();
        Err(ReadError::new(Path::new(""), ReadCause::Io { offset: part.start, source }))
    }
}

/// A run of a member's bytes with one kind of content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Extent {
    /// Which bytes.
    pub range: Range<u64>,
    /// What they are.
    pub kind: ExtentKind,
}

/// What a run of bytes is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ExtentKind {
    /// Bytes of one stored chunk.
    Data(ChunkRef),
    /// Zeros: the source read zeros, or said so.
    Zero,
    /// The source has nothing there; reads as zeros.
    Hole,
    /// Whatever the parent has. Never given by a [`Chain`] or another complete source.
    Inherit,
}

/// A stored chunk, as its source names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChunkRef {
    /// The member bytes of the whole chunk, which may reach beyond the extent that names it.
    pub range: Range<u64>,
    /// BLAKE3 of the plain bytes, where the source has it.
    pub digest: Option<Digest>,
    /// Which of its parts, in the source's own terms (a generation of a chain, say).
    pub(crate) layer: u32,
    pub(crate) at: StoredAt,
}

/// Where a chunk's stored bytes are, in the terms of the source that gave the chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoredAt {
    /// Offset of the stored bytes in bytes.
    pub offset: u64,
    /// Their length in bytes.
    pub len: u32,
    /// Their CRC-32, where the source has one; otherwise 0.
    pub crc: u32,
}

impl ChunkRef {
    /// Names a chunk that covers `range` of the member.
    pub const fn new(range: Range<u64>, digest: Option<Digest>, at: StoredAt) -> Self {
        Self { range, digest, layer: 0, at }
    }

    /// Where the stored bytes are.
    pub const fn stored_at(&self) -> StoredAt {
        self.at
    }

    /// Length of the chunk in bytes.
    pub fn len(&self) -> usize {
        usize::try_from(self.range.end.saturating_sub(self.range.start)).unwrap_or(usize::MAX)
    }

    /// Whether the chunk has no bytes; it never does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How the bytes of a chunk were proved to be what was stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proof {
    /// A cryptographic digest of the plain bytes matched.
    Digest,
    /// A checksum matched.
    Crc,
    /// The source has no check: a raw file or device.
    None,
}

/// What a worker needs to read chunks; one for each thread.
#[derive(Debug)]
pub struct Scratch {
    /// Decodes native chunks.
    pub decoder: Decoder,
    repeats: Repeats,
}

impl Scratch {
    /// Buffers grow on first use.
    pub fn new() -> io::Result<Self> {
        Ok(Self { decoder: Decoder::new()?, repeats: Repeats::default() })
    }

    /// For one pass over files, in which what was found damaged stays so.
    pub fn for_one_pass() -> io::Result<Self> {
        Ok(Self { decoder: Decoder::for_one_pass()?, repeats: Repeats::default() })
    }
}

/// Bytes that could not be read as they were stored.
#[derive(Debug, thiserror::Error)]
#[error("{}: {cause}", path.display())]
pub struct ReadError {
    /// The file that was read.
    pub path: PathBuf,
    /// What is wrong with it.
    #[source]
    pub cause: ReadCause,
    pub(crate) copy: Option<Arc<Path>>,
}

/// What is wrong with a file that was read.
#[derive(Debug, thiserror::Error)]
pub enum ReadCause {
    /// A snapshot file is damaged.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Another system's backup is damaged.
    #[error(transparent)]
    Backup(#[from] BackupFault),
    /// What the file is laid over is damaged.
    #[error("{0}")]
    Below(#[source] Arc<ReadError>),
    /// Reading failed.
    #[error("cannot be read at offset {offset}: {source}", offset = Offset(*offset))]
    Io {
        /// Offset in bytes.
        offset: u64,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// There is nothing to be read.
    #[error("{why}")]
    NotThere {
        /// Why.
        why: &'static str,
    },
    /// The caller asks for a chunk that another source has named.
    #[error("the chunk is of another source")]
    NoSuchChunk,
    /// A snapshot leaves bytes to a parent that does not have them.
    #[error(
        "bytes {start} to {end} are inherited, the parent has whole chunks up to {parent} only", start = Offset(*start), end = Offset(*end), parent = Offset(*parent))]
    BeyondParent {
        /// First byte inherited.
        start: u64,
        /// First byte after them.
        end: u64,
        /// How far the parent may be inherited from.
        parent: u64,
    },
    /// Nothing says what the bytes are: they are left to a parent, and there is none in the chain.
    #[error("bytes from {start} are inherited, but the chain ends here", start = Offset(*start))]
    NoParent {
        /// First byte inherited.
        start: u64,
    },
}

impl ReadError {
    /// An error about `path`.
    pub fn new(path: &Path, cause: impl Into<ReadCause>) -> Self {
        Self { path: path.to_owned(), cause: cause.into(), copy: None }
    }

    /// An error about one of a catalog's files.
    pub fn of(file: &SnapshotFile, cause: impl Into<ReadCause>) -> Self {
        Self { copy: file.copy.clone(), ..Self::new(&file.path, cause) }
    }

    /// Another copy of the damaged file, which may be whole.
    pub fn copy(&self) -> Option<&Path> {
        match &self.cause {
            ReadCause::Below(below) => below.copy(),
            _ => self.copy.as_deref(),
        }
    }

    /// Whether the system failed over the file, which says nothing of what the file holds.
    pub fn is_of_machine(&self) -> bool {
        match &self.cause {
            ReadCause::Io { source, .. } => is_of_machine(source),
            ReadCause::Format(error) => matches!(&error.fault, Fault::Io(e) if is_of_machine(e)),
            _ => false,
        }
    }
}
