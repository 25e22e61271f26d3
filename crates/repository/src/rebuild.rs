//! A snapshot file whose index or tail is lost, written anew from the headers in front of its chunks.
//!
//! The writer is deterministic: the same records and stored bytes give the same file. Every chunk is decoded
//! and compared with the BLAKE3 digest that its record has, and the snapshot id is the one that the set's seal
//! names, where there is one. That proves what the member contains, not how its chunks are compressed. Nothing
//! is written that is not proved to be whole.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use snapfmt::scan::{Found, Scan};
use snapfmt::{
    ChunkNo, Content, Decoder, Digest, FormatError, ReadAt, Record, Snapshot, SnapshotId,
    SnapshotWriter, Stored, Structure, WriteError,
};

use crate::catalog::{Catalog, Lookup, SnapshotFile, open_file};
use host::entry::Entry;
use restore::ranges::length;
use restore::source::{Chain, Extent, ExtentKind, NativeSource, PageCache, ReadError, Source};

/// Why a file could not be rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// Manifest or extent map are lost, or the file cannot be read.
    #[error("{}: {source}", path.display())]
    Source {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: FormatError,
    },
    /// The parent's index cannot be read.
    #[error("the parent cannot be followed: {0}")]
    Parent(#[source] ReadError),
    /// The parent is not among the files given.
    #[error("{}: its parent, set {set_id:?}, is not among the files given", path.display())]
    NoParent {
        /// The file.
        path: PathBuf,
        /// The parent's set.
        set_id: String,
    },
    /// Chunks are lost, not only the index.
    #[error("{}: {lost} of {chunks} chunks are lost, the first is chunk {first}", path.display())]
    Lost {
        /// The file.
        path: PathBuf,
        /// How many.
        lost: u64,
        /// Of how many.
        chunks: u64,
        /// The first.
        first: ChunkNo,
    },
    /// Nothing proves that no record is missing.
    #[error("{}: nothing proves that all its records are there", path.display())]
    Unproved {
        /// The file.
        path: PathBuf,
    },
    /// What was found is not what the other members' files name.
    #[error("{}: rebuilt as snapshot {found}, the set's files name {expected}", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// What the seal says.
        expected: SnapshotId,
        /// What was rebuilt.
        found: SnapshotId,
    },
    /// The output exists.
    #[error("{} exists already", path.display())]
    Exists {
        /// The output.
        path: PathBuf,
    },
    /// The output cannot be written.
    #[error("{}: {source}", path.display())]
    Write {
        /// The output.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: WriteError,
    },
    /// The output cannot be made, synced or renamed.
    #[error("{}: {source}", path.display())]
    Target {
        /// The output.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

/// A file rebuilt.
#[derive(Clone, Copy, Debug)]
pub struct Rebuilt {
    /// Records found.
    pub records: u64,
    /// Its snapshot id.
    pub snapshot_id: SnapshotId,
    /// Whether the set's seal names its snapshot id, and with it what the member contains; otherwise every
    /// chunk of a full snapshot is there, or the records were seen up to the index that followed them.
    pub sealed: bool,
}

/// Rebuilds `path` as the new file `out`. `siblings` hold the other members of its set, and its
/// parents when it is incremental.
pub fn rebuild(
    path: &Path,
    out: &Path,
    siblings: &Catalog,
    lookup: &Lookup,
) -> Result<Rebuilt, RebuildError> {
    let failed = |source| RebuildError::Target { path: out.to_owned(), source };
    let target = Entry::at(out).map_err(failed)?;
    if target.look().map_err(failed)?.is_some() {
        return Err(RebuildError::Exists { path: out.to_owned() });
    }
    let lost = |source| RebuildError::Source { path: path.to_owned(), source };
    let io = |e| lost(FormatError { at: 0, what: Structure::File, fault: snapfmt::Fault::Io(e) });
    let file = open_file(path, lookup).map_err(io)?;
    let scan = Scan::start(&*file, &lookup.limits).map_err(lost)?;
    let map = scan.extent_map().map_err(lost)?;
    let manifest = scan.manifest().clone();
    let seal = seal_of(&file, &scan, siblings, lookup);
    let directory = target.directory();
    let (unnamed, temporary) = directory.new_file(OsStr::new(".rebuild.")).map_err(failed)?;
    let spill = directory.nameless_file().map_err(failed)?;
    let buffer = BufWriter::with_capacity(1 << 20, temporary);
    let wrote = |source| RebuildError::Write { path: out.to_owned(), source };
    let parent = match manifest.own().parent {
        Some(_) => Some(parent_of(path, &scan, siblings)?),
        None => None,
    };
    let mut rewrite = Rewrite {
        path,
        file: &*file,
        writer: SnapshotWriter::create(buffer, spill, manifest.clone(), &map).map_err(wrote)?,
        parent,
        next: 0,
        stored: Vec::new(),
        plain: Vec::new(),
        decoder: Decoder::strict().map_err(failed)?,
        proved: None,
        lost: None,
        out,
    };
    let end = rewrite.records(scan)?;
    let totals = rewrite.writer.totals();
    let unsealed = rewrite.writer.finish().map_err(wrote)?;
    let found = unsealed.snapshot_id();
    let sealed = seal.is_some();
    let ids = match seal {
        Some(ids) => ids,
        None if manifest.set.members.len() == 1
            && (manifest.own().parent.is_none() || end == ScanEnd::Index) =>
        {
            vec![found]
        }
        None => return Err(RebuildError::Unproved { path: path.to_owned() }),
    };
    match ids.get(manifest.member.index()) {
        Some(expected) if *expected == found => {}
        expected => {
            let expected = expected.copied().unwrap_or_default();
            return Err(RebuildError::Mismatch { path: path.to_owned(), expected, found });
        }
    }
    let (buffer, _) = unsealed.seal(&ids).map_err(wrote)?;
    let done = buffer.into_inner().map_err(|e| failed(e.into_error()))?;
    done.sync_all().map_err(failed)?;
    unnamed.publish(&done, &target, false).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => RebuildError::Exists { path: out.to_owned() },
        _ => failed(source),
    })?;
    Ok(Rebuilt { records: totals.records, snapshot_id: found, sealed })
}

/// Where the records ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ScanEnd {
    /// At the index, with nothing skipped on the way.
    Index,
    /// Somewhere: the file was cut off or has gaps.
    Unknown,
}

/// The seal in the file's own tail, where what leads there is intact, or else in another file of the
/// set.
fn seal_of(
    file: &Arc<dyn ReadAt>,
    scan: &Scan<'_>,
    siblings: &Catalog,
    lookup: &Lookup,
) -> Option<Vec<SnapshotId>> {
    if let Ok(own) = Snapshot::open(file.clone(), &lookup.limits) {
        return Some(own.seal().to_vec());
    }
    let set = &scan.manifest().set;
    let sibling = siblings.files().iter().find(|f| f.snapshot.manifest().set == *set);
    sibling.map(|f| f.snapshot.seal().to_vec())
}

/// The source that the parent's chain makes.
fn parent_of(path: &Path, scan: &Scan<'_>, siblings: &Catalog) -> Result<Chain, RebuildError> {
    let pages = Arc::new(PageCache::default());
    let source = |link: &SnapshotFile| {
        let native = NativeSource::of(link.clone(), pages.clone());
        (link.path.clone(), Box::new(native) as Box<dyn Source>)
    };
    let named = scan.manifest().own().parent.as_ref();
    let set_id = named.map(|p| p.set_id.to_string()).unwrap_or_default();
    let missing = || RebuildError::NoParent { path: path.to_owned(), set_id: set_id.clone() };
    let chain = named.and_then(|parent| siblings.chain_of(parent)).ok_or_else(missing)?;
    Chain::new(chain.iter().map(source).collect()).ok_or_else(missing)
}

/// Copies records into a new file, in order.
struct Rewrite<'f> {
    path: &'f Path,
    file: &'f dyn ReadAt,
    writer: SnapshotWriter<BufWriter<File>, File>,
    parent: Option<Chain>,
    next: u32,
    stored: Vec<u8>,
    plain: Vec<u8>,
    decoder: Decoder,
    /// The chunk proved last: many records may refer to it.
    proved: Option<(Stored, Digest, usize)>,
    lost: Option<(ChunkNo, u64)>,
    out: &'f Path,
}

impl Rewrite<'_> {
    fn records(&mut self, scan: Scan<'_>) -> Result<ScanEnd, RebuildError> {
        let mut end = ScanEnd::Unknown;
        let mut gaps = false;
        for found in scan {
            match found {
                Found::Record(record) => self.record(&record)?,
                Found::Skipped { .. } => gaps = true,
                Found::End if gaps => {}
                Found::End => end = ScanEnd::Index,
            }
        }
        let chunks = self.writer.geometry().chunks();
        self.fill_to(chunks)?;
        match self.lost {
            None => Ok(end),
            Some((first, lost)) => {
                let path = self.path.to_owned();
                Err(RebuildError::Lost { path, lost, chunks: chunks.into(), first })
            }
        }
    }

    fn record(&mut self, record: &Record) -> Result<(), RebuildError> {
        self.fill_to(record.first.0)?;
        if self.lost.is_some() {
            // Only counted from here on: the file cannot become whole.
            if let Content::Data { stored, digest, .. } = record.content
                && !self.prove(record.first, &stored, &digest)
            {
                self.lose(record.first, 1);
            }
            self.next = record.end();
            return Ok(());
        }
        let written = match record.content {
            Content::Data { stored, digest, reference } => {
                if !self.prove(record.first, &stored, &digest) {
                    self.lose(record.first, 1);
                    self.next = record.end();
                    return Ok(());
                }
                if reference {
                    self.writer.reference(record.first, digest, stored)
                } else {
                    self.writer.data(record.first, digest, &self.stored).map(drop)
                }
            }
            Content::Zero { .. } => self.writer.zeros(record.first, record.count),
            Content::Hole { .. } => self.writer.hole(record.first, record.count),
        };
        self.next = record.end();
        written.map_err(|source| RebuildError::Write { path: self.out.to_owned(), source })
    }

    /// Reads the stored bytes of a chunk; whether they give the plain bytes that the digest is of.
    fn prove(&mut self, no: ChunkNo, stored: &Stored, digest: &Digest) -> bool {
        let plain = self.writer.geometry().bytes(no, 1);
        let len = usize::try_from(length(&plain)).unwrap_or(0);
        if self.proved == Some((*stored, *digest, len)) {
            return true;
        }
        self.proved = None;
        self.stored.resize(stored.len as usize, 0);
        self.plain.resize(len, 0);
        let what = Structure::Chunk(no);
        let is_sound = self.file.read_exact_at(&mut self.stored, stored.offset).is_ok()
            && self
                .decoder
                .decode_frame(&self.stored, stored, digest, what, &mut self.plain)
                .is_ok();
        self.proved = is_sound.then_some((*stored, *digest, len));
        is_sound
    }

    /// Chunks without a record: the parent's, or lost.
    fn fill_to(&mut self, end: u32) -> Result<(), RebuildError> {
        while self.next < end {
            let geometry = self.writer.geometry();
            let Some(parent) = &self.parent else {
                self.lose(ChunkNo(self.next), u64::from(end - self.next));
                self.next = end;
                return Ok(());
            };
            if self.lost.is_some() {
                self.next = end;
                return Ok(());
            }
            let chunk = geometry.bytes(ChunkNo(self.next), 1);
            let mut extents = Vec::new();
            let within = chunk.start < parent.size();
            if within {
                let probe = chunk.start..chunk.start + 1;
                parent.extents(probe, &mut extents).map_err(RebuildError::Parent)?;
            }
            let first = ChunkNo(self.next);
            let (written, count) = match extents.first() {
                Some(Extent { kind: ExtentKind::Data(chunk), .. }) => {
                    (self.writer.inherit(first, chunk.digest.unwrap_or_default()), 1)
                }
                Some(extent) => {
                    let run = length(&(chunk.start..extent.range.end));
                    let chunks = run.div_ceil(u64::from(geometry.chunk_size().bytes()));
                    let count = u32::try_from(chunks).unwrap_or(end).clamp(1, end - self.next);
                    (self.writer.inherit_zeros(first, count), count)
                }
                None => {
                    self.lose(first, u64::from(end - self.next));
                    self.next = end;
                    return Ok(());
                }
            };
            written.map_err(|source| RebuildError::Write { path: self.out.to_owned(), source })?;
            self.next += count;
        }
        Ok(())
    }

    fn lose(&mut self, first: ChunkNo, count: u64) {
        let (_, lost) = self.lost.get_or_insert((first, 0));
        *lost += count;
    }
}
