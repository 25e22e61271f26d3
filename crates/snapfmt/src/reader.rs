//! An opened snapshot file: footer, manifest, roots and seal checked; pages and chunks on demand.

use std::sync::Arc;

use crate::codec::Decoder;
use crate::coverage::missing_record;
use crate::envelope::{Header, Kind, PROJECT_MAGIC, expect, read_frame};
use crate::error::{Fault, FormatError, Result, Structure};
use crate::extent_map::{ExtentMap, ExtentMapParser, ExtentMapRoot};
use crate::footer::{Footer, parse_seal};
use crate::geometry::{ChunkNo, Geometry};
use crate::ids::{Digest, FileTag, SetContentId, SnapshotId};
use crate::index::{IndexRoot, PageEntry, parse_directory, parse_page};
use crate::input::{FileAt, Input};
use crate::limits::Limits;
use crate::manifest::CheckedManifest;
use crate::read_at::ReadAt;
use crate::record::{Record, RecordContext, Stored};
use crate::wire::{FOOTER_BYTES, HEADER_BYTES};

/// A whole snapshot file.
///
/// Opening reads a few kilobytes whatever the size of the member. What was read is checked; pages
/// of the index and of the extent map are checked when they are first read, chunks when decoded.
#[derive(Clone)]
pub struct Snapshot {
    file: Arc<dyn ReadAt>,
    limits: Limits,
    manifest: CheckedManifest,
    tag: FileTag,
    footer: Footer,
    seal: Vec<SnapshotId>,
    map_offset: u64,
    root: IndexRoot,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
            .field("manifest", &*self.manifest)
            .field("footer", &self.footer)
            .finish_non_exhaustive()
    }
}

impl Snapshot {
    /// Opens a snapshot file.
    ///
    /// # Errors
    ///
    /// The first structure that is missing, damaged or beyond `limits`. Nothing is searched for: a
    /// file without a valid footer at its end is damaged, and [`crate::scan`] is the way to what
    /// is left of it.
    pub fn open(file: Arc<dyn ReadAt>, limits: &Limits) -> Result<Self> {
        let (footer_header, footer) = read_footer(&*file, limits)
            .map_err(|e| if is_foreign(&*file) { not_a_snapshot(&*file) } else { e })?;
        let (manifest, tag, json) = read_manifest(&mut FileAt::new(&*file, 0), limits)?;
        if footer_header.tag != tag {
            return Err(Structure::Footer.fault(footer_header.offset, Fault::ForeignTag));
        }
        let map_offset = HEADER_BYTES + json.len() as u64;
        let map_root = read_map_root(&mut FileAt::new(&*file, map_offset), tag, &manifest, limits)?;
        let map_end = map_end(&map_root, map_offset, &manifest);
        if map_end != footer.records {
            let fault = Fault::Value {
                field: "offset of records",
                value: footer.records,
                expected: map_end,
            };
            return Err(Structure::Footer.fault(footer_header.offset, fault));
        }
        let root = read_root(&*file, &footer, tag, &manifest, limits)?;
        check_snapshot_id(&root, &json, &manifest, &footer)?;
        let seal = read_seal(&*file, &footer, tag, &manifest, limits)?;
        Ok(Self { file, limits: *limits, manifest, tag, footer, seal, map_offset, root })
    }

    /// The manifest.
    pub const fn manifest(&self) -> &CheckedManifest {
        &self.manifest
    }

    /// The footer.
    pub const fn footer(&self) -> &Footer {
        &self.footer
    }

    /// Size and chunk size of the member.
    pub const fn geometry(&self) -> Geometry {
        self.manifest.geometry()
    }

    /// The snapshot ids of all members of the set, in roster order.
    pub fn seal(&self) -> &[SnapshotId] {
        &self.seal
    }

    /// What the index covers, and its directory.
    pub const fn index(&self) -> &IndexRoot {
        &self.root
    }

    /// The file.
    pub const fn file(&self) -> &Arc<dyn ReadAt> {
        &self.file
    }

    pub(crate) const fn tag(&self) -> FileTag {
        self.tag
    }

    /// The bytes of the file from `at` on.
    pub(crate) fn input(&self, at: u64) -> FileAt<'_> {
        FileAt::new(&*self.file, at)
    }

    pub(crate) const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether the snapshot builds on a parent; chunks without a record are then the parent's.
    pub fn is_incremental(&self) -> bool {
        self.manifest.own().parent.is_some()
    }

    /// What records of this file are checked against.
    pub fn record_context(&self) -> RecordContext {
        RecordContext {
            geometry: self.geometry(),
            stream: self.manifest.stream,
            dedup: self.manifest.dedup,
            frames: (self.footer.records, self.footer.index),
        }
    }

    /// Reads and checks the extent map, which may hold as much as the limits allow.
    pub fn extent_map(&self) -> Result<ExtentMap> {
        let mut input = self.input(self.map_offset);
        read_map(&mut input, self.tag, &self.manifest, &self.limits)
    }

    /// Reads the frame at `offset`, which must be of `kind`.
    pub(crate) fn frame(&self, offset: u64, kind: Kind) -> Result<(Header, Vec<u8>)> {
        read_frame(&mut self.input(offset), kind, self.tag, &self.limits)
    }

    /// Reads a page of the directory: the entries of its index pages.
    pub fn read_directory(&self, entry: &PageEntry) -> Result<Vec<PageEntry>> {
        let (_, payload) = self.frame(entry.offset, Kind::DirectoryPage)?;
        parse_directory(&payload, entry)
    }

    /// Reads a page of the index: its records.
    pub fn read_page(&self, entry: &PageEntry) -> Result<Vec<Record>> {
        let (_, payload) = self.frame(entry.offset, Kind::IndexPage)?;
        parse_page(&payload, entry, &self.record_context())
    }

    /// All entries of index pages, in order, a directory page in memory at a time.
    pub fn page_entries(&self) -> impl Iterator<Item = Result<PageEntry>> + '_ {
        self.root.pages.iter().flat_map(|entry| flatten(self.read_directory(entry)))
    }

    /// All records, in order, a page in memory at a time.
    pub fn records(&self) -> impl Iterator<Item = Result<Record>> + '_ {
        self.page_entries().flat_map(|entry| flatten(entry.and_then(|e| self.read_page(&e))))
    }

    /// Decodes chunk `no` into `out`, which has exactly its length, with every check.
    pub fn decode(
        &self,
        decoder: &mut Decoder,
        no: ChunkNo,
        stored: &Stored,
        digest: &Digest,
        out: &mut [u8],
    ) -> Result<()> {
        decoder.decode(&*self.file, stored, digest, Structure::Chunk(no), out)
    }

    /// The error for a chunk that a full snapshot has no record of.
    pub fn missing_record(&self, no: ChunkNo) -> FormatError {
        missing_record(no, self.footer.root)
    }
}

/// The items of a page, or the one error that reading it gave.
fn flatten<T>(page: Result<Vec<T>>) -> impl Iterator<Item = Result<T>> {
    let (items, error) = match page {
        Ok(items) => (items, None),
        Err(error) => (Vec::new(), Some(Err(error))),
    };
    items.into_iter().map(Ok).chain(error)
}

/// What a file says it is, for a file that cannot be opened: the manifest at its head or, when that
/// is gone, the copy that a valid footer points to. Proves nothing about the rest.
pub fn identify(file: &dyn ReadAt, limits: &Limits) -> Option<CheckedManifest> {
    find_manifest(file, limits).ok().map(|(manifest, ..)| manifest)
}

/// The manifest at the head of the file or, when that is damaged, its copy in the tail.
pub(crate) fn find_manifest(
    file: &dyn ReadAt,
    limits: &Limits,
) -> Result<(CheckedManifest, FileTag, Vec<u8>)> {
    read_manifest(&mut FileAt::new(file, 0), limits).or_else(|head| {
        let copy = read_footer(file, limits).ok().and_then(|(header, footer)| {
            let mut input = FileAt::new(file, footer.manifest_copy);
            let copy = read_manifest(&mut input, limits).ok()?;
            (copy.1 == header.tag).then_some(copy)
        });
        copy.ok_or(head)
    })
}

/// Whether the file does not even begin like one of ours.
fn is_foreign(file: &dyn ReadAt) -> bool {
    let mut magic = [0; 8];
    file.read_exact_at(&mut magic, 8).is_err() || magic != PROJECT_MAGIC
}

fn not_a_snapshot(file: &dyn ReadAt) -> FormatError {
    match file.read_exact_at(&mut [0; 8], 0) {
        Err(e) if e.kind() != std::io::ErrorKind::UnexpectedEof => {
            Structure::File.fault(0, Fault::Io(e))
        }
        _ => Structure::File.fault(0, Fault::NotASnapshot),
    }
}

pub(crate) fn read_footer(file: &dyn ReadAt, limits: &Limits) -> Result<(Header, Footer)> {
    let Some(at) = file.len().checked_sub(FOOTER_BYTES) else {
        let fault = Fault::Truncated { need: FOOTER_BYTES, have: file.len() };
        return Err(Structure::Footer.fault(0, fault));
    };
    let mut input = FileAt::new(file, at);
    let header = Header::read(&mut input, Structure::Footer)?;
    expect(&header, Kind::Footer, header.tag)?;
    let payload = header.payload(&mut input, limits)?;
    Ok((header, Footer::parse(&payload, at)?))
}

/// Reads the manifest frame: the manifest, the tag of its file and the JSON itself.
pub(crate) fn read_manifest(
    input: &mut dyn Input,
    limits: &Limits,
) -> Result<(CheckedManifest, FileTag, Vec<u8>)> {
    let header = Header::read(input, Structure::Manifest)?;
    let json = match header.kind {
        Kind::Manifest => header.payload(input, limits)?,
        _ => Vec::new(),
    };
    let tag = FileTag::of_manifest(&json);
    expect(&header, Kind::Manifest, tag)?;
    Ok((CheckedManifest::parse(&json, header.payload_offset(), limits)?, tag, json))
}

/// Reads the root of an extent map and checks it against the manifest.
pub(crate) fn read_map_root(
    input: &mut dyn Input,
    tag: FileTag,
    manifest: &CheckedManifest,
    limits: &Limits,
) -> Result<ExtentMapRoot> {
    let what = Structure::ExtentMapRoot;
    let at = input.at();
    let (header, payload) = read_frame(input, Kind::ExtentMapRoot, tag, limits)?;
    let expected = manifest.set.extent_map.digest;
    let found = Digest::of(&payload);
    if found != expected {
        return Err(what.fault(at, Fault::Digest { expected, found }));
    }
    let root = ExtentMapRoot::parse(&payload, header.payload_offset(), limits)?;
    if root.size != manifest.set.logical_size
        || payload.len() as u64 != u64::from(manifest.set.extent_map.root_bytes)
    {
        return Err(what.fault(at, Fault::Disagrees(Structure::Manifest)));
    }
    Ok(root)
}

/// Reads an extent map, root and pages, and checks the layout.
pub(crate) fn read_map(
    input: &mut dyn Input,
    tag: FileTag,
    manifest: &CheckedManifest,
    limits: &Limits,
) -> Result<ExtentMap> {
    let root_offset = input.at();
    let root = read_map_root(input, tag, manifest, limits)?;
    let mut parser = ExtentMapParser::new(root.clone());
    for n in 0..root.pages() {
        let (what, _) = root.page(n);
        let kind = match what {
            Structure::SegmentPage(_) => Kind::SegmentPage,
            _ => Kind::ColumnPage,
        };
        // The frame itself does not know which page it is.
        let (header, payload) =
            read_frame(input, kind, tag, limits).map_err(|e| FormatError { what, ..e })?;
        root.check_page(n, &payload, header.payload_offset())?;
        parser.page(n, &payload, header.payload_offset())?;
    }
    let sizes: Vec<u64> = manifest.set.members.iter().map(|m| m.size).collect();
    parser.finish(&sizes, limits, root_offset)
}

fn first_page(root_offset: u64, manifest: &CheckedManifest) -> u64 {
    let root_bytes = u64::from(manifest.set.extent_map.root_bytes);
    root_offset.saturating_add(HEADER_BYTES).saturating_add(root_bytes)
}

/// Where an extent map whose root stands at `root_offset` ends.
pub(crate) fn map_end(root: &ExtentMapRoot, root_offset: u64, manifest: &CheckedManifest) -> u64 {
    (0..root.pages())
        .map(|n| HEADER_BYTES + root.page(n).1)
        .fold(first_page(root_offset, manifest), u64::saturating_add)
}

fn read_root(
    file: &dyn ReadAt,
    footer: &Footer,
    tag: FileTag,
    manifest: &CheckedManifest,
    limits: &Limits,
) -> Result<IndexRoot> {
    let what = Structure::IndexRoot;
    let (header, payload) =
        read_frame(&mut FileAt::new(file, footer.root), Kind::IndexRoot, tag, limits)?;
    let root = IndexRoot::parse(&payload, header.payload_offset())?;
    let chunks = u64::from(manifest.geometry().chunks());
    let incremental = manifest.own().parent.is_some();
    let found = root.totals.chunks();
    if found > chunks || (found < chunks && !incremental) {
        let fault = Fault::Value { field: "number of chunks", value: found, expected: chunks };
        return Err(what.fault(footer.root, fault));
    }
    Ok(root)
}

fn read_seal(
    file: &dyn ReadAt,
    footer: &Footer,
    tag: FileTag,
    manifest: &CheckedManifest,
    limits: &Limits,
) -> Result<Vec<SnapshotId>> {
    let (header, payload) =
        read_frame(&mut FileAt::new(file, footer.seal), Kind::Seal, tag, limits)?;
    let seal = parse_seal(&payload, manifest.set.members.len(), header.payload_offset())?;
    check_seal(&seal, footer, manifest)?;
    Ok(seal)
}

/// Manifest, extent map and index must be those of the snapshot that the footer names.
pub(crate) fn check_snapshot_id(
    root: &IndexRoot,
    json: &[u8],
    manifest: &CheckedManifest,
    footer: &Footer,
) -> Result<()> {
    let found = root.snapshot_id(json, manifest.set.extent_map.digest);
    if found == footer.snapshot {
        return Ok(());
    }
    let fault = Fault::Digest { expected: footer.snapshot.0, found: found.0 };
    Err(Structure::IndexRoot.fault(footer.root, fault))
}

/// The seal must be the one that the footer names, with the file's own id in its place.
pub(crate) fn check_seal(
    seal: &[SnapshotId],
    footer: &Footer,
    manifest: &CheckedManifest,
) -> Result<()> {
    let content = SetContentId::of(seal);
    if content != footer.set_content {
        let fault = Fault::Digest { expected: footer.set_content.0, found: content.0 };
        return Err(Structure::Seal.fault(footer.seal, fault));
    }
    if seal.get(manifest.member.index()) != Some(&footer.snapshot) {
        return Err(Structure::Seal.fault(footer.seal, Fault::Disagrees(Structure::Footer)));
    }
    Ok(())
}
