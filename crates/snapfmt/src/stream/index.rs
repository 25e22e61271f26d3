//! The index of a stream, proved without a look back: the records before it say what it must be, to
//! the byte.

use crate::envelope::{Kind, read_frame};
use crate::error::{Fault, Result, Structure};
use crate::ids::{Digest, FileTag, finish};
use crate::index::{
    IndexRoot, PER_PAGE, PageEntry, Totals, parse_directory_entries, parse_records,
};
use crate::input::Input;
use crate::limits::Limits;
use crate::record::{Record, RecordContext};

/// The index root and where it stands.
pub(super) struct Root {
    pub(super) root: IndexRoot,
    pub(super) at: u64,
}

/// Reads index pages, directory pages and root. `headers` is BLAKE3 of the records as their headers
/// had them, `totals` what they cover.
///
/// Of the pages only digests are kept: of all records and of all entries, once as they must be and
/// once as they are there.
pub(super) fn read_index(
    input: &mut dyn Input,
    tag: FileTag,
    limits: &Limits,
    context: &RecordContext,
    totals: Totals,
    headers: Digest,
) -> Result<Root> {
    let index_at = input.at();
    let (mut records, mut expected) = (blake3::Hasher::new(), blake3::Hasher::new());
    let mut bytes = Vec::new();
    let mut pages = 0;
    for count in page_counts(totals.records) {
        let (header, payload) = read_frame(input, Kind::IndexPage, tag, limits)?;
        records.update(&payload);
        let entry = index_entry(&payload, count, header.offset, context)?;
        bytes.clear();
        let encoded = entry.encode(&mut bytes);
        encoded.map_err(|e| Structure::IndexPage.fault(header.offset, Fault::Io(e)))?;
        expected.update(&bytes);
        pages += 1;
    }
    if finish(&records) != headers {
        let fault = Fault::Disagrees(Structure::RecordHeader);
        return Err(Structure::IndexPage.fault(index_at, fault));
    }
    let directory_at = input.at();
    let mut found = blake3::Hasher::new();
    let mut root = IndexRoot { totals, pages: Vec::new() };
    for count in page_counts(pages) {
        let (header, payload) = read_frame(input, Kind::DirectoryPage, tag, limits)?;
        found.update(&payload);
        let entries = parse_directory_entries(&payload, count, header.offset)?;
        root.pages.extend(PageEntry::of_pages(&entries, header.offset));
    }
    if finish(&found) != finish(&expected) {
        let fault = Fault::Disagrees(Structure::IndexPage);
        return Err(Structure::DirectoryPage.fault(directory_at, fault));
    }
    let (header, payload) = read_frame(input, Kind::IndexRoot, tag, limits)?;
    let parsed = IndexRoot::parse(&payload, header.payload_offset())?;
    let other =
        if parsed.totals == totals { Structure::DirectoryPage } else { Structure::IndexPage };
    if parsed != root {
        return Err(Structure::IndexRoot.fault(header.offset, Fault::Disagrees(other)));
    }
    Ok(Root { root, at: header.offset })
}

/// How many items each page holds: all but the last are full.
fn page_counts(items: u64) -> impl Iterator<Item = u32> {
    let full = PER_PAGE as u64;
    (0..items.div_ceil(full)).map(move |n| {
        let left = items.saturating_sub(n.saturating_mul(full)).min(full);
        u32::try_from(left).unwrap_or(u32::MAX)
    })
}

/// The entry that the directory must have for an index page.
fn index_entry(payload: &[u8], count: u32, at: u64, context: &RecordContext) -> Result<PageEntry> {
    let records = parse_records(payload, count, at, context)?;
    let header = records.first().and_then(Record::header_offset);
    header
        .and_then(|header| PageEntry::of_records(&records, at, header))
        .ok_or_else(|| Structure::IndexPage.fault(at, Fault::Disagrees(Structure::RecordHeader)))
}
