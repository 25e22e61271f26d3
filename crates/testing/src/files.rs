//! Snapshot files on disk: opening them, damaging them, and files that cannot be read.

use std::fs::OpenOptions;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use repository::catalog::{Catalog, Lookup, OpenSet, Selection};
use restore::source::{Chain, NativeSource, PageCache, Source};
use snapfmt::{Content, HEADER_LEN, Limits, RECORD_BYTES, ReadAt, Snapshot, Stored};

/// Everything below `directory`.
pub fn catalog(directory: &Path) -> Catalog {
    let catalog = Catalog::open(&[directory.to_owned()], &Lookup::default());
    let bad: Vec<_> = catalog.bad().iter().map(|bad| bad.error.to_string()).collect();
    assert!(bad.is_empty(), "{bad:?}");
    catalog
}

/// How a set is named.
pub fn by_id(id: &str) -> Selection {
    Selection { set_id: Some(id.into()), ..Selection::default() }
}

/// A set that is whole.
pub fn open_set(catalog: &Catalog, id: &str) -> OpenSet {
    let selected = catalog.select(&by_id(id)).unwrap();
    catalog.open_set(selected.entry).unwrap()
}

/// A snapshot file.
pub fn open(path: &Path) -> Arc<Snapshot> {
    let bytes = std::fs::read(path).unwrap();
    Arc::new(Snapshot::open(Arc::new(bytes), &Limits::DEFAULT).unwrap())
}

/// Where the stored bytes of a data chunk are.
pub fn stored(path: &Path, chunk: u32) -> Stored {
    let snapshot = open(path);
    let record = snapshot.records().map(Result::unwrap).find(|r| r.first.0 == chunk);
    match record.map(|r| r.content) {
        Some(Content::Data { stored, .. }) => stored,
        other => panic!("chunk {chunk} of {} is {other:?}", path.display()),
    }
}

/// The bytes of the file that a structure takes.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// A data chunk's stored bytes.
    Chunk(u32),
    /// The header in front of them.
    RecordHeader(u32),
    /// The payload of an index page.
    IndexPage(usize),
    /// The payload of a page of the page directory.
    DirectoryPage(usize),
    /// The index root's payload.
    IndexRoot,
}

/// Where a structure stands in a file.
pub fn place(path: &Path, place: Place) -> Range<u64> {
    let header = HEADER_LEN as u64;
    let page =
        |offset: u64, records: u32| offset + header..offset + header + 64 * u64::from(records);
    match place {
        Place::Chunk(no) => {
            let Stored { offset, len, .. } = stored(path, no);
            offset..offset + u64::from(len)
        }
        Place::RecordHeader(no) => {
            let end = stored(path, no).offset;
            end - header - u64::from(RECORD_BYTES)..end
        }
        Place::IndexPage(n) => {
            let entry = open(path).page_entries().nth(n).unwrap().unwrap();
            page(entry.offset, entry.count)
        }
        Place::DirectoryPage(n) => {
            let entry = open(path).index().pages[n];
            page(entry.offset, entry.count)
        }
        Place::IndexRoot => {
            let at = open(path).footer().root + header;
            at..at + 40
        }
    }
}

/// Flips a bit in the middle of a structure.
pub fn flip(path: &Path, what: Place) {
    let range = place(path, what);
    let at = range.start.midpoint(range.end);
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

/// Makes a file end at `len`.
pub fn cut(path: &Path, len: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

/// Overwrites bytes of a file.
pub fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

/// A file of which some bytes cannot be read.
pub struct BadSectors {
    pub bytes: Vec<u8>,
    pub bad: Range<u64>,
}

impl ReadAt for BadSectors {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset + buf.len() as u64;
        if offset < self.bad.end && end > self.bad.start {
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error()));
        }
        self.bytes.as_slice().read_exact_at(buf, offset)
    }
}

/// A chain over opened snapshots, newest first.
pub fn chain(layers: &[(PathBuf, Arc<Snapshot>)]) -> Chain {
    let pages = Arc::new(PageCache::default());
    let layers = layers.iter().map(|(path, snapshot)| {
        let source = NativeSource::new(path, snapshot.clone(), pages.clone());
        (path.clone(), Box::new(source) as Box<dyn Source>)
    });
    Chain::new(layers.collect()).unwrap()
}
