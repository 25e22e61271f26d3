//! One `.snap` file as a source; what an incremental one does not hold is `Inherit`.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use snapfmt::{ChunkNo, Content, FormatError, PageEntry, Record, Snapshot, Stored};

use super::pages::PageCache;
use super::repeats::ChunkKey;
use super::{ChunkRef, Extent, ExtentKind, Proof, ReadCause, ReadError, Scratch, Source, StoredAt};

/// A snapshot file that was opened.
#[derive(Clone, Debug)]
pub struct SnapshotFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub snapshot: Arc<Snapshot>,
    /// Another file with the same snapshot, as far as opening both tells.
    pub copy: Option<Arc<Path>>,
}

/// A single snapshot file.
#[derive(Debug)]
pub struct NativeSource {
    file: SnapshotFile,
    pages: Arc<PageCache>,
}

/// The index around a chunk.
enum Leaf {
    Page(Arc<[Record]>),
    /// No record up to this chunk.
    Gap(u32),
}

impl NativeSource {
    /// Takes an opened snapshot; `path` is for messages.
    pub fn new(path: &Path, snapshot: Arc<Snapshot>, pages: Arc<PageCache>) -> Self {
        Self::of(SnapshotFile { path: path.to_owned(), snapshot, copy: None }, pages)
    }

    /// Takes a file of a catalog.
    pub const fn of(file: SnapshotFile, pages: Arc<PageCache>) -> Self {
        Self { file, pages }
    }

    /// The snapshot.
    pub const fn snapshot(&self) -> &Arc<Snapshot> {
        &self.file.snapshot
    }

    /// Only where equal chunks are stored once do records refer to others.
    fn has_repeats(&self) -> bool {
        self.file.snapshot.manifest().dedup
    }

    fn leaf(&self, no: ChunkNo) -> Result<Leaf, FormatError> {
        let chunks = self.file.snapshot.geometry().chunks();
        let root = &self.file.snapshot.index().pages;
        let (entry, until) = match covering(root, no, chunks) {
            Ok(found) => found,
            Err(until) => return Ok(Leaf::Gap(until)),
        };
        let load = || self.file.snapshot.read_directory(entry);
        let directory = self.pages.directory(&self.file.snapshot, entry, load)?;
        let entry = match covering(&directory, no, until) {
            Ok((entry, _)) => entry,
            Err(until) => return Ok(Leaf::Gap(until)),
        };
        let load = || self.file.snapshot.read_page(entry);
        self.pages.records(&self.file.snapshot, entry, load).map(Leaf::Page)
    }

    /// Appends extents from chunk `at` on, until one reaches `end`; returns where it stopped.
    fn page_extents(
        &self,
        page: &[Record],
        mut at: u32,
        end: u32,
        out: &mut Vec<Extent>,
    ) -> Result<u32, FormatError> {
        let from = page.partition_point(|r| r.end() <= at);
        for record in page.iter().skip(from) {
            if at >= end {
                break;
            }
            if record.first.0 > at {
                out.push(self.gap(at, record.first.0)?);
                at = record.first.0;
                if at >= end {
                    break;
                }
            }
            out.push(self.extent(record));
            at = record.end();
        }
        Ok(at)
    }

    fn extent(&self, record: &Record) -> Extent {
        let range = self.file.snapshot.geometry().bytes(record.first, record.count);
        let kind = match record.content {
            Content::Data { stored: Stored { offset, len, crc }, digest, .. } => {
                let at = StoredAt { offset, len, crc };
                ExtentKind::Data(ChunkRef::new(range.clone(), Some(digest), at))
            }
            Content::Zero { .. } => ExtentKind::Zero,
            Content::Hole { .. } => ExtentKind::Hole,
        };
        Extent { range, kind }
    }

    /// Chunks without a record: the parent's, or damage where there is none.
    fn gap(&self, first: u32, end: u32) -> Result<Extent, FormatError> {
        if !self.file.snapshot.is_incremental() {
            return Err(self.file.snapshot.missing_record(ChunkNo(first)));
        }
        let range = self.file.snapshot.geometry().bytes(ChunkNo(first), end.saturating_sub(first));
        Ok(Extent { range, kind: ExtentKind::Inherit })
    }
}

/// The entry that covers `no` and where the next one starts (or `end`), or, when none covers it,
/// where the next one starts.
fn covering(entries: &[PageEntry], no: ChunkNo, end: u32) -> Result<(&PageEntry, u32), u32> {
    let next = entries.partition_point(|e| e.first <= no);
    let until = entries.get(next).map_or(end, |e| e.first.0);
    match next.checked_sub(1).and_then(|i| entries.get(i)) {
        Some(entry) if no.0 < entry.end => Ok((entry, until)),
        _ => Err(until),
    }
}

impl Source for NativeSource {
    fn size(&self) -> u64 {
        self.file.snapshot.geometry().size()
    }

    fn largest_chunk(&self) -> u32 {
        self.file.snapshot.geometry().chunk_size().bytes()
    }

    fn largest_kept(&self) -> u32 {
        if self.has_repeats() { self.largest_chunk() } else { 0 }
    }

    fn extents(&self, range: Range<u64>, out: &mut Vec<Extent>) -> Result<(), ReadError> {
        let geometry = self.file.snapshot.geometry();
        // There is nothing beyond the end.
        let range = range.start..range.end.min(geometry.size());
        if range.is_empty() {
            return Ok(());
        }
        let mut at = geometry.chunk_at(range.start).0;
        let end = geometry.chunk_at(range.end - 1).0 + 1;
        let mut walk = || {
            while at < end {
                at = match self.leaf(ChunkNo(at))? {
                    Leaf::Page(page) => self.page_extents(&page, at, end, out)?,
                    Leaf::Gap(until) => {
                        out.push(self.gap(at, until)?);
                        until
                    }
                };
            }
            Ok::<_, FormatError>(())
        };
        walk().map_err(|e| ReadError::of(&self.file, e))
    }

    fn will_need(&self, chunk: &ChunkRef) {
        self.file.snapshot.file().will_need(chunk.at.offset, chunk.at.len.into());
    }

    fn read(
        &self,
        chunk: &ChunkRef,
        out: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<Proof, ReadError> {
        let geometry = self.file.snapshot.geometry();
        if chunk.range.is_empty() || chunk.range.end > geometry.size() {
            return Err(ReadError::of(&self.file, ReadCause::NoSuchChunk));
        }
        let StoredAt { offset, len, crc } = chunk.at;
        let no = geometry.chunk_at(chunk.range.start);
        let digest = chunk.digest.unwrap_or_default();
        let stored = Stored { offset, len, crc };
        let file = Arc::as_ptr(&self.file.snapshot).addr();
        let key = ChunkKey { file, stored, digest, len: out.len() };
        let Scratch { decoder, repeats } = scratch;
        let is_shared = self.has_repeats();
        if !(is_shared && repeats.fill(&key, out)) {
            self.file
                .snapshot
                .decode(decoder, no, &stored, &digest, out)
                .map_err(|e| ReadError::of(&self.file, e))?;
            if is_shared {
                repeats.note(key, out);
            }
        }
        Ok(Proof::Digest)
    }
}
