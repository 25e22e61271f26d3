//! The deep check of one file: every byte is covered by a check, and the index is proved to be what
//! the headers in front of the chunks say.
//!
//! The check is cut in [`Unit`]s that do not depend on each other, so that a caller with threads can
//! share them out; this crate has none.

use std::ops::Range;

use crate::codec::Decoder;
use crate::coverage::Coverage;
use crate::envelope::Kind;
use crate::error::{Fault, FormatError, Result, Structure};
use crate::footer::{MAX_MAP_COPY, in_place, read_footers};
use crate::index::{PER_PAGE, PageEntry};
use crate::input::Input;
use crate::reader::{Snapshot, read_manifest, read_map};
use crate::record::{Content, Record};
use crate::wire::{FOOTER_BYTES, HEADER_BYTES, RECORD_BYTES};
use crate::zero_frame;

/// Stored bytes in one unit, about.
const UNIT_BYTES: u64 = 1 << 20;
/// A record's header frame: envelope and record.
const RECORD_FRAME: u64 = HEADER_BYTES + RECORD_BYTES as u64;

/// How deep to look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Depth {
    /// Structures and the CRC-32 of all stored bytes.
    Quick,
    /// That, and every chunk decompressed and compared with its BLAKE3, every zero frame compared
    /// with the canonical one.
    Full,
}

/// A piece of the records' part of a file: some records of one index page and where their headers
/// and frames stand.
#[derive(Debug)]
pub struct Unit {
    records: Vec<Record>,
    bytes: Range<u64>,
}

impl Unit {
    /// Bytes of the file that this unit covers.
    pub const fn bytes(&self) -> u64 {
        self.bytes.end.saturating_sub(self.bytes.start)
    }

    /// Chunks whose records are checked.
    pub fn chunks(&self) -> u64 {
        self.records.iter().map(|r| u64::from(r.count)).sum()
    }
}

/// Checks what stands before and after the records: manifest, extent map and their copies, index
/// pages, directory, seal, footers, and frames of kinds this version does not know.
///
/// Ends early, with nothing found, once `is_over`: an index may have millions of pages.
pub fn check_structure(snapshot: &Snapshot, is_over: impl Fn() -> bool) -> Result<()> {
    let footer = snapshot.footer();
    snapshot.extent_map()?;
    let mut at = footer.index;
    let mut before = None;
    for entry in snapshot.page_entries() {
        if is_over() {
            return Ok(());
        }
        let entry = entry?;
        at = page_at(snapshot, at, &entry, Kind::IndexPage, before.replace(entry))?;
    }
    before = None;
    for entry in &snapshot.index().pages {
        at = page_at(snapshot, at, entry, Kind::DirectoryPage, before.replace(*entry))?;
    }
    at = frame_at(snapshot, at, footer.root, Kind::IndexRoot)?;
    let (_, tag, json) =
        read_manifest(&mut snapshot.input(footer.manifest_copy), snapshot.limits())?;
    if tag != snapshot.tag() {
        return Err(Structure::Manifest.fault(footer.manifest_copy, Fault::ForeignTag));
    }
    at =
        in_place(Structure::Manifest, at, footer.manifest_copy)? + HEADER_BYTES + json.len() as u64;
    let map_bytes = footer.records.saturating_sub(HEADER_BYTES + json.len() as u64);
    if (footer.extent_map_copy != 0) != (map_bytes <= MAX_MAP_COPY) {
        let rule = "an extent map of up to 1 MiB is repeated in the tail, no other";
        let fault = Fault::Rule { field: "extent map length", value: map_bytes, rule };
        return Err(Structure::Footer.fault(footer_offset(snapshot), fault));
    }
    if footer.extent_map_copy != 0 {
        in_place(Structure::ExtentMapRoot, at, footer.extent_map_copy)?;
        let mut input = snapshot.input(at);
        read_map(&mut input, tag, snapshot.manifest(), snapshot.limits())?;
        at = input.at();
    }
    at = frame_at(snapshot, at, footer.seal, Kind::Seal)?;
    read_footers(&mut snapshot.input(at), snapshot.tag(), snapshot.limits()).map(drop)
}

/// Where the footer stands that the file was opened by.
fn footer_offset(snapshot: &Snapshot) -> u64 {
    snapshot.file().len().saturating_sub(FOOTER_BYTES)
}

/// The units of the records' part, in order. A page that cannot be read is an error in its place,
/// and the units after it still come.
pub fn units(snapshot: &Snapshot) -> impl Iterator<Item = Result<Unit>> + '_ {
    let end = snapshot.footer().index;
    let mut entries = snapshot.page_entries();
    // Where the records of the next page must start; unknown behind a page that cannot be read.
    let mut at = Some(snapshot.footer().records);
    let mut ready = Vec::new().into_iter();
    std::iter::from_fn(move || {
        loop {
            if let Some(unit) = ready.next() {
                return Some(unit);
            }
            let Some(page) = entries.next() else {
                let fault = Fault::Disagrees(Structure::IndexRoot);
                let at = at.take().filter(|at| *at != end)?;
                return Some(Err(Structure::RecordHeader.fault(at, fault)));
            };
            let expected = at.take();
            ready = match page.and_then(|entry| Ok((entry, page_units(snapshot, &entry)?))) {
                Ok((entry, units)) => {
                    at = units.last().map(|unit| unit.bytes.end);
                    let place = expected.and_then(|at| {
                        in_place(Structure::IndexPage, at, entry.records_offset).err()
                    });
                    place.map(Err).into_iter().chain(units.into_iter().map(Ok)).collect::<Vec<_>>()
                }
                Err(error) => vec![Err(error)],
            }
            .into_iter();
        }
    })
}

/// Cuts one page's part of the file where a record starts. Headers and frames follow each other
/// without a gap, so the records alone say where each stands.
fn page_units(snapshot: &Snapshot, entry: &PageEntry) -> Result<Vec<Unit>> {
    let mut units = Vec::new();
    let mut at = entry.records_offset;
    let mut unit = Unit { records: Vec::new(), bytes: at..at };
    for record in snapshot.read_page(entry)? {
        if unit.bytes() >= UNIT_BYTES {
            units.push(std::mem::replace(&mut unit, Unit { records: Vec::new(), bytes: at..at }));
        }
        at = behind(&record, at);
        unit.bytes.end = at;
        unit.records.push(record);
    }
    units.push(unit);
    Ok(units)
}

/// The first byte after the header at `at` and the record's own frame.
///
/// `at` may be a wild claim of the file.
fn behind(record: &Record, at: u64) -> u64 {
    let frame = record.own_frame().map_or(0, |stored| u64::from(stored.len));
    at.saturating_add(RECORD_FRAME).saturating_add(frame)
}

/// Checks one unit, handing every finding to `found`. `plain` is a buffer that keeps its capacity.
pub fn check_unit(
    snapshot: &Snapshot,
    unit: &Unit,
    depth: Depth,
    decoder: &mut Decoder,
    plain: &mut Vec<u8>,
    found: &mut dyn FnMut(FormatError),
) {
    let mut at = unit.bytes.start;
    for record in &unit.records {
        // Where a header is damaged the index still says where its frame and the next header are.
        if let Err(error) = check_header(snapshot, record, at) {
            found(error);
        }
        if let Err(error) = check_chunk(snapshot, record, depth, decoder, plain) {
            found(error);
        }
        at = behind(record, at);
    }
}

/// The header at `at` must say exactly what the index does, and its frame must follow it.
fn check_header(snapshot: &Snapshot, record: &Record, at: u64) -> Result<()> {
    let what = Structure::Record(record.first);
    // The frame alone does not know whose header it is.
    let (_, payload) = snapshot.frame(at, Kind::Record).map_err(|e| FormatError { what, ..e })?;
    if payload != record.encode() {
        return Err(what.fault(at, Fault::Disagrees(Structure::IndexPage)));
    }
    record.check_place(at)
}

fn check_chunk(
    snapshot: &Snapshot,
    record: &Record,
    depth: Depth,
    decoder: &mut Decoder,
    plain: &mut Vec<u8>,
) -> Result<()> {
    let what = record.stored_structure();
    let file = &**snapshot.file();
    let len = {
        let bytes = snapshot.geometry().bytes(record.first, record.count);
        bytes.end - bytes.start
    };
    match (record.content, depth) {
        (Content::Data { stored, digest, .. }, Depth::Full) => {
            let len = usize::try_from(len).unwrap_or(0);
            decoder.prove(file, &stored, &digest, what, plain, len)
        }
        (Content::Data { stored, reference: false, .. }, Depth::Quick) => {
            decoder.check_stored(file, &stored, what)
        }
        (Content::Zero { stored: Some(stored) } | Content::Hole { stored: Some(stored) }, _) => {
            zero_frame::encode(len, plain);
            decoder.check_zero_frame(file, &stored, what, len, plain)
        }
        // A run without a frame; or a reference, whose frame is checked where it stands.
        _ => Ok(()),
    }
}

/// For a full snapshot: the totals and the state id that its records give must be the ones stored.
/// An incremental snapshot's state depends on its chain; its totals are checked all the same.
///
/// Ends early, with nothing found, once `is_over`.
pub fn check_state(snapshot: &Snapshot, is_over: impl Fn() -> bool) -> Result<()> {
    let footer = snapshot.footer();
    let mut coverage = Coverage::new(snapshot.record_context(), snapshot.is_incremental());
    for record in snapshot.records() {
        if is_over() {
            return Ok(());
        }
        coverage.add(&record?, footer.root)?;
    }
    if coverage.totals() != snapshot.index().totals {
        return Err(Structure::IndexRoot.fault(footer.root, Fault::Disagrees(Structure::IndexPage)));
    }
    if snapshot.is_incremental() {
        return Ok(());
    }
    coverage.check_state(footer, footer_offset(snapshot))
}

/// Checks the frame of an index or directory page; returns where the next one stands.
fn page_at(
    snapshot: &Snapshot,
    at: u64,
    entry: &PageEntry,
    kind: Kind,
    before: Option<PageEntry>,
) -> Result<u64> {
    if let Some(count) = before.map(|b| b.count).filter(|count| *count as usize != PER_PAGE) {
        let (value, expected) = (count.into(), PER_PAGE as u64);
        let fault = Fault::Value { field: "entries of the page before", value, expected };
        return Err(kind.structure().fault(at, fault));
    }
    frame_at(snapshot, at, entry.offset, kind)
}

fn frame_at(snapshot: &Snapshot, at: u64, named: u64, kind: Kind) -> Result<u64> {
    in_place(kind.structure(), at, named)?;
    let (header, _) = snapshot.frame(at, kind)?;
    Ok(header.end())
}
