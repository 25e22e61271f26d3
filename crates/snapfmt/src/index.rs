//! The index: records sorted by chunk number, in pages, under a directory of two levels.
//!
//! ```text
//! root (head, entries) -> directory page (entries) -> index page (records)
//! ```
//!
//! Each entry carries the BLAKE3 of the logical columns below it, so that a page read on demand is
//! still proven by the snapshot id.

use byteorder::{LittleEndian as Le, ReadBytesExt, WriteBytesExt};
use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::error::{Fault, Result, Structure};
use crate::geometry::ChunkNo;
use crate::ids::{Digest, Domain, SnapshotId, finish, keyed};
use crate::record::{Content, Record, RecordContext};
use crate::wire::{RECORD_LEN, array, short};

/// Most records in an index page, and entries in a directory page or the root.
pub const PER_PAGE: usize = 1024;
const ENTRY_LEN: usize = 64;
const ROOT_HEAD_LEN: usize = 40;

/// One page, as its parent names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageEntry {
    /// The first chunk of its first record.
    pub first: ChunkNo,
    /// The first chunk after its last record.
    pub end: u32,
    /// How many records or entries the page holds.
    pub count: u32,
    /// File offset of the page's frame.
    pub offset: u64,
    /// File offset of the header of its first record.
    pub records_offset: u64,
    /// BLAKE3 of the page's logical columns.
    pub digest: Digest,
}

impl PageEntry {
    /// The entry for the index page at `offset` that holds `records`, the first of which has its
    /// header at `records_offset`. `None` without records.
    pub(crate) fn of_records(records: &[Record], offset: u64, records_offset: u64) -> Option<Self> {
        let mut hasher = blake3::Hasher::new();
        for record in records {
            record.hash_logical(&mut hasher);
        }
        Some(Self {
            first: records.first()?.first,
            end: records.last()?.end(),
            count: u32::try_from(records.len()).ok()?,
            offset,
            records_offset,
            digest: finish(&hasher),
        })
    }

    /// The entry for the directory page at `offset` that holds `pages`. `None` without pages.
    pub(crate) fn of_pages(pages: &[Self], offset: u64) -> Option<Self> {
        let mut hasher = blake3::Hasher::new();
        for page in pages {
            page.hash_logical(&mut hasher);
        }
        Some(Self {
            end: pages.last()?.end,
            count: u32::try_from(pages.len()).ok()?,
            offset,
            digest: finish(&hasher),
            ..*pages.first()?
        })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> io::Result<()> {
        out.write_u32::<Le>(self.first.0)?;
        out.write_u32::<Le>(self.end)?;
        out.write_u32::<Le>(self.count)?;
        out.write_u32::<Le>(0)?;
        out.write_u64::<Le>(self.offset)?;
        out.write_u64::<Le>(self.records_offset)?;
        out.write_all(self.digest.as_bytes())
    }

    fn hash_logical(&self, hasher: &mut blake3::Hasher) {
        hasher.update(&self.first.0.to_le_bytes());
        hasher.update(&self.end.to_le_bytes());
        hasher.update(&self.count.to_le_bytes());
        hasher.update(self.digest.as_bytes());
    }
}

/// How many chunks of each kind the records of a file cover.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Records.
    pub records: u64,
    /// Chunks of data, references included.
    pub data: u64,
    /// Chunks of zeros.
    pub zero: u64,
    /// Chunks that the source had nothing for.
    pub hole: u64,
}

impl Totals {
    /// Chunks covered by any record.
    pub const fn chunks(&self) -> u64 {
        self.data.saturating_add(self.zero).saturating_add(self.hole)
    }

    /// Counts one more record.
    pub fn add(&mut self, record: &Record) {
        self.records += 1;
        let count = u64::from(record.count);
        match record.content {
            Content::Data { .. } => self.data += count,
            Content::Zero { .. } => self.zero += count,
            Content::Hole { .. } => self.hole += count,
        }
    }
}

/// The root of the page directory.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct IndexRoot {
    /// What the whole index covers.
    pub totals: Totals,
    /// The directory pages, in order.
    pub pages: Vec<PageEntry>,
}

impl IndexRoot {
    /// Parses the root's payload, which stands at file offset `at`.
    pub(crate) fn parse(payload: &[u8], at: u64) -> Result<Self> {
        let what = Structure::IndexRoot;
        let mut r = payload;
        let (count, reserved, totals) = (|r: &mut &[u8]| {
            io::Result::Ok((
                r.read_u32::<Le>()?,
                r.read_u32::<Le>()?,
                Totals {
                    records: r.read_u64::<Le>()?,
                    data: r.read_u64::<Le>()?,
                    zero: r.read_u64::<Le>()?,
                    hole: r.read_u64::<Le>()?,
                },
            ))
        })(&mut r)
        .map_err(short(what, at))?;
        if reserved != 0 {
            let fault =
                Fault::Value { field: "reserved field", value: reserved.into(), expected: 0 };
            return Err(what.fault(at, fault));
        }
        Ok(Self { totals, pages: parse_entries(r, count, what, at)? })
    }

    fn encode(&self) -> io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(ROOT_HEAD_LEN + self.pages.len() * ENTRY_LEN);
        out.write_u32::<Le>(count_u32(self.pages.len())?)?;
        out.write_u32::<Le>(0)?;
        for total in [self.totals.records, self.totals.data, self.totals.zero, self.totals.hole] {
            out.write_u64::<Le>(total)?;
        }
        for page in &self.pages {
            page.encode(&mut out)?;
        }
        Ok(out)
    }

    /// The snapshot id of a file with this index, manifest and extent map.
    pub fn snapshot_id(&self, manifest_json: &[u8], extent_map: Digest) -> SnapshotId {
        let mut root = blake3::Hasher::new();
        for total in [self.totals.records, self.totals.data, self.totals.zero, self.totals.hole] {
            root.update(&total.to_le_bytes());
        }
        self.pages.iter().for_each(|page| page.hash_logical(&mut root));
        let mut id = keyed(Domain::Snapshot);
        id.update(Digest::of(manifest_json).as_bytes());
        id.update(extent_map.as_bytes());
        id.update(finish(&root).as_bytes());
        SnapshotId(finish(&id))
    }
}

/// Parses a directory page and checks it against the entry that names it.
pub(crate) fn parse_directory(payload: &[u8], entry: &PageEntry) -> Result<Vec<PageEntry>> {
    let what = Structure::DirectoryPage;
    let pages = parse_directory_entries(payload, entry.count, entry.offset)?;
    check_page(entry, PageEntry::of_pages(&pages, entry.offset), what)?;
    if pages.first().map(|p| p.records_offset) != Some(entry.records_offset) {
        return Err(what.fault(entry.offset, Fault::Disagrees(Structure::IndexRoot)));
    }
    Ok(pages)
}

/// Parses the `count` entries of the directory page at file offset `at`.
pub(crate) fn parse_directory_entries(
    payload: &[u8],
    count: u32,
    at: u64,
) -> Result<Vec<PageEntry>> {
    parse_entries(payload, count, Structure::DirectoryPage, at)
}

/// Parses an index page and checks it against the entry that names it.
pub(crate) fn parse_page(
    payload: &[u8],
    entry: &PageEntry,
    context: &RecordContext,
) -> Result<Vec<Record>> {
    let records = parse_records(payload, entry.count, entry.offset, context)?;
    let found = PageEntry::of_records(&records, entry.offset, entry.records_offset);
    check_page(entry, found, Structure::IndexPage)?;
    Ok(records)
}

/// Parses the `count` records of the index page at file offset `at`.
pub(crate) fn parse_records(
    payload: &[u8],
    count: u32,
    at: u64,
    context: &RecordContext,
) -> Result<Vec<Record>> {
    let (chunks, rest) = payload.as_chunks::<RECORD_LEN>();
    check_count(chunks.len(), rest, count, Structure::IndexPage, at)?;
    let mut records = Vec::with_capacity(chunks.len());
    let mut next = 0;
    for bytes in chunks {
        let record = context.parse(bytes, at)?;
        check_order(Structure::Record(record.first), at, record.first.0, next)?;
        next = record.end();
        records.push(record);
    }
    Ok(records)
}

fn parse_entries(payload: &[u8], count: u32, what: Structure, at: u64) -> Result<Vec<PageEntry>> {
    let (chunks, rest) = payload.as_chunks::<ENTRY_LEN>();
    check_count(chunks.len(), rest, count, what, at)?;
    let mut entries = Vec::with_capacity(chunks.len());
    let mut next = 0;
    for bytes in chunks {
        let (entry, reserved) = read_entry(bytes).map_err(short(what, at))?;
        if reserved != 0 || entry.count == 0 || entry.end <= entry.first.0 {
            let rule = "an entry covers at least one record and its reserved field is zero";
            let fault = Fault::Rule { field: "directory entry", value: entry.count.into(), rule };
            return Err(what.fault(at, fault));
        }
        check_order(what, at, entry.first.0, next)?;
        next = entry.end;
        entries.push(entry);
    }
    Ok(entries)
}

fn read_entry(mut bytes: &[u8]) -> io::Result<(PageEntry, u32)> {
    let r = &mut bytes;
    let (first, end, count) = (r.read_u32::<Le>()?, r.read_u32::<Le>()?, r.read_u32::<Le>()?);
    let reserved = r.read_u32::<Le>()?;
    let entry = PageEntry {
        first: ChunkNo(first),
        end,
        count,
        offset: r.read_u64::<Le>()?,
        records_offset: r.read_u64::<Le>()?,
        digest: Digest::from_bytes(array(r)?),
    };
    Ok((entry, reserved))
}

fn check_count(found: usize, rest: &[u8], count: u32, what: Structure, at: u64) -> Result<()> {
    let found = found as u64;
    if rest.is_empty() && found == u64::from(count) && found <= PER_PAGE as u64 {
        return Ok(());
    }
    Err(what.fault(
        at,
        Fault::Value { field: "number of entries", value: found, expected: count.into() },
    ))
}

pub(crate) fn check_order(what: Structure, at: u64, first: u32, next: u32) -> Result<()> {
    if first >= next {
        return Ok(());
    }
    let rule = "records are sorted and do not overlap";
    Err(what.fault(at, Fault::Rule { field: "first chunk", value: first.into(), rule }))
}

/// Compares the entry that names a page with the one that its content gives.
fn check_page(entry: &PageEntry, found: Option<PageEntry>, what: Structure) -> Result<()> {
    let disagrees = what.fault(entry.offset, Fault::Disagrees(Structure::DirectoryPage));
    let Some(found) = found else { return Err(disagrees) };
    if found.digest != entry.digest {
        let fault = Fault::Digest { expected: entry.digest, found: found.digest };
        return Err(what.fault(entry.offset, fault));
    }
    if (found.first, found.end) != (entry.first, entry.end) {
        return Err(disagrees);
    }
    Ok(())
}

fn count_u32(n: usize) -> io::Result<u32> {
    u32::try_from(n).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// Where a writer keeps index pages until the records are all written: usually an unlinked file.
pub trait Spill: Read + Write + Seek {}
impl<T: Read + Write + Seek> Spill for T {}

/// Collects records in order and lays the index out once they are complete.
pub(crate) struct IndexBuilder<S> {
    spill: S,
    page: Vec<u8>,
    /// The page being filled; its `offset` is not known before [`IndexBuilder::finish`].
    open: Option<OpenPage>,
    done: Vec<PageEntry>,
    totals: Totals,
}

struct OpenPage {
    entry: PageEntry,
    hasher: blake3::Hasher,
}

impl<S: Spill> IndexBuilder<S> {
    pub(crate) fn new(spill: S) -> Self {
        let page = Vec::with_capacity(PER_PAGE * RECORD_LEN);
        Self { spill, page, open: None, done: Vec::new(), totals: Totals::default() }
    }

    /// The first chunk that no record so far covers or lies below.
    pub(crate) fn next_chunk(&self) -> u32 {
        let last = self.open.as_ref().map(|o| o.entry.end);
        last.or_else(|| self.done.last().map(|e| e.end)).unwrap_or(0)
    }

    pub(crate) const fn totals(&self) -> Totals {
        self.totals
    }

    /// Adds a record whose header stands at `header_offset`.
    pub(crate) fn push(&mut self, record: &Record, header_offset: u64) -> io::Result<()> {
        self.totals.add(record);
        let open = self.open.get_or_insert_with(|| OpenPage {
            entry: PageEntry {
                first: record.first,
                end: 0,
                count: 0,
                offset: 0,
                records_offset: header_offset,
                digest: Digest::default(),
            },
            hasher: blake3::Hasher::new(),
        });
        open.entry.end = record.end();
        open.entry.count += 1;
        record.hash_logical(&mut open.hasher);
        self.page.extend_from_slice(&record.encode());
        if open.entry.count as usize == PER_PAGE { self.close_page() } else { Ok(()) }
    }

    fn close_page(&mut self) -> io::Result<()> {
        if let Some(open) = self.open.take() {
            self.done.push(PageEntry { digest: finish(&open.hasher), ..open.entry });
            self.spill.write_all(&self.page)?;
            self.page.clear();
        }
        Ok(())
    }

    /// Hands out the payloads of all index and directory pages in file order, then the root's.
    ///
    /// `emit` writes one payload as a frame and says at which offset it stands.
    pub(crate) fn finish(
        mut self,
        mut emit: impl FnMut(crate::envelope::Kind, &[u8]) -> io::Result<u64>,
    ) -> io::Result<(IndexRoot, u64)> {
        use crate::envelope::Kind;
        self.close_page()?;
        self.spill.seek(SeekFrom::Start(0))?;
        for entry in &mut self.done {
            self.page.resize(entry.count as usize * RECORD_LEN, 0);
            self.spill.read_exact(&mut self.page)?;
            entry.offset = emit(Kind::IndexPage, &self.page)?;
        }
        let mut root = IndexRoot { totals: self.totals, pages: Vec::new() };
        for entries in self.done.chunks(PER_PAGE) {
            self.page.clear();
            for entry in entries {
                entry.encode(&mut self.page)?;
            }
            let offset = emit(Kind::DirectoryPage, &self.page)?;
            root.pages.extend(PageEntry::of_pages(entries, offset));
        }
        let offset = emit(Kind::IndexRoot, &root.encode()?)?;
        Ok((root, offset))
    }
}
