//! What is left of a file without a footer: its records, read from the headers in front of them.
//!
//! A scan follows the frames from the head of the file. Where one is damaged it looks for the next
//! header that carries this file's tag and its own offset, so that a `.snap` file stored *inside*
//! the volume is never taken for the file itself.

use crate::envelope::{Header, Kind, SKIPPABLE_MAGIC};
use crate::error::{Result, Structure};
use crate::extent_map::ExtentMap;
use crate::footer::Footer;
use crate::geometry::Geometry;
use crate::ids::FileTag;
use crate::input::FileAt;
use crate::limits::Limits;
use crate::manifest::CheckedManifest;
use crate::read_at::ReadAt;
use crate::reader::{find_manifest, read_footer, read_map};
use crate::record::{Record, RecordContext};
use crate::wire::{HEADER_BYTES, HEADER_LEN, RECORD_LEN};

/// Bytes looked at together when searching for the next header.
const SEARCH_WINDOW: usize = 64 << 10;
/// Bytes that are lost together when the medium fails: the largest common sector size.
const PIECE: u64 = 4096;

/// A walk over the records of a file that may be cut off or damaged.
pub struct Scan<'f> {
    file: &'f dyn ReadAt,
    limits: Limits,
    manifest: CheckedManifest,
    tag: FileTag,
    map_offset: u64,
    context: RecordContext,
    at: u64,
    next_chunk: u32,
    done: bool,
    search: Search,
}

/// What a scan comes across.
#[derive(Debug)]
pub enum Found {
    /// A record whose header is intact; its stored bytes have not been read.
    Record(Record),
    /// Bytes that are no frame of this file, up to the next header that is.
    Skipped {
        /// Where they start.
        from: u64,
        /// Where the next header stands, or the end of the file.
        to: u64,
    },
    /// The records end here, as the file's own index says.
    End,
}

impl<'f> Scan<'f> {
    /// Starts a scan. The manifest must be intact, at the head of the file or as its copy in the
    /// tail: without it nothing says which frames belong to the file.
    pub fn start(file: &'f dyn ReadAt, limits: &Limits) -> Result<Self> {
        let (manifest, tag, json) = find_manifest(file, limits)?;
        let map_offset = HEADER_BYTES.saturating_add(json.len() as u64);
        let context = RecordContext {
            geometry: manifest.geometry(),
            stream: manifest.stream,
            dedup: manifest.dedup,
            frames: (0, file.len()),
        };
        Ok(Self {
            file,
            limits: *limits,
            at: map_offset,
            manifest,
            tag,
            map_offset,
            context,
            next_chunk: 0,
            done: false,
            search: Search::default(),
        })
    }

    /// The file's manifest.
    pub const fn manifest(&self) -> &CheckedManifest {
        &self.manifest
    }

    /// The member's geometry.
    pub const fn geometry(&self) -> Geometry {
        self.manifest.geometry()
    }

    /// The extent map, from the head or from the copy in the tail.
    pub fn extent_map(&self) -> Result<ExtentMap> {
        let at = |offset| read_map(&mut self.input(offset), self.tag, &self.manifest, &self.limits);
        at(self.map_offset).or_else(|head| match self.footer() {
            Some(footer) if footer.extent_map_copy != 0 => at(footer.extent_map_copy),
            _ => Err(head),
        })
    }

    /// The footer at the end of the file, when that is intact.
    pub fn footer(&self) -> Option<Footer> {
        let (header, footer) = read_footer(self.file, &self.limits).ok()?;
        (header.tag == self.tag).then_some(footer)
    }

    fn input(&self, at: u64) -> FileAt<'f> {
        FileAt::new(self.file, at)
    }

    fn step(&mut self) -> Option<Found> {
        loop {
            if self.done || self.at >= self.file.len() {
                return None;
            }
            let header = Header::read(&mut self.input(self.at), Structure::RecordHeader).ok();
            let Some(header) = header.filter(|h| h.tag == self.tag) else {
                return Some(self.resync());
            };
            match header.kind {
                Kind::Record => match self.record(&header) {
                    Some(record) => return Some(Found::Record(record)),
                    None => return Some(self.resync()),
                },
                // Behind the head these stand only in the index and the tail.
                Kind::IndexPage
                | Kind::DirectoryPage
                | Kind::IndexRoot
                | Kind::Manifest
                | Kind::Seal
                | Kind::Footer => {
                    self.done = true;
                    return Some(Found::End);
                }
                Kind::ExtentMapRoot | Kind::SegmentPage | Kind::ColumnPage | Kind::Unknown(_) => {
                    self.at = header.end();
                }
            }
        }
    }

    fn record(&mut self, header: &Header) -> Option<Record> {
        let payload =
            header.payload(&mut self.input(header.payload_offset()), &self.limits).ok()?;
        let bytes = <&[u8; RECORD_LEN]>::try_from(payload.as_slice()).ok()?;
        let record = self.context.parse(bytes, header.payload_offset()).ok()?;
        if record.first.0 < self.next_chunk || !record.fits_header_at(header.offset) {
            return None;
        }
        self.next_chunk = record.end();
        self.at = record.own_frame().map_or(header.end(), |stored| stored.end());
        Some(record)
    }

    /// Moves on to the next header that is this file's own.
    fn resync(&mut self) -> Found {
        let from = self.at;
        let mut base = from.saturating_add(1);
        self.at = self.file.len();
        while base.saturating_add(HEADER_BYTES) <= self.file.len() {
            let window = self.search.window(self.file, base);
            if let Some(found) = own_header(window, base, self.tag) {
                self.at = found;
                break;
            }
            base += (window.len() as u64).saturating_sub(HEADER_BYTES - 1).max(1);
        }
        Found::Skipped { from, to: self.at }
    }
}

impl Iterator for Scan<'_> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        self.step()
    }
}

/// The first header in `window`, which stands at `base`, that is in its place and carries `tag`.
fn own_header(window: &[u8], base: u64, tag: FileTag) -> Option<u64> {
    let magic = SKIPPABLE_MAGIC.to_le_bytes();
    window.windows(HEADER_LEN).zip(base..).find_map(|(bytes, at)| {
        let bytes = <&[u8; HEADER_LEN]>::try_from(bytes).ok()?;
        let header = bytes
            .starts_with(&magic)
            .then(|| Header::parse(bytes, at, Structure::RecordHeader).ok())??;
        (header.tag == tag).then_some(at)
    })
}

/// The part of the file that is being searched. It is kept from one search to the next: a file made
/// of nothing but bad headers would otherwise have a window read for each of them.
#[derive(Default)]
struct Search {
    base: u64,
    bytes: Vec<u8>,
}

impl Search {
    /// The bytes from `at` on, [`HEADER_LEN`] of them at least; the file has that many there.
    fn window(&mut self, file: &dyn ReadAt, at: u64) -> &[u8] {
        let end = self.base.saturating_add(self.bytes.len() as u64);
        if at < self.base || at.saturating_add(HEADER_BYTES) > end {
            let len = file.len().saturating_sub(at).min(SEARCH_WINDOW as u64);
            self.base = at;
            self.bytes.resize(usize::try_from(len).unwrap_or(SEARCH_WINDOW), 0);
            if file.read_exact_at(&mut self.bytes, at).is_err() {
                self.read_pieces(file);
            }
        }
        let skip = usize::try_from(at.saturating_sub(self.base)).unwrap_or(0);
        self.bytes.get(skip..).unwrap_or(&[])
    }

    /// One bad sector must not hide the headers around it: what cannot be read is taken as zeros.
    fn read_pieces(&mut self, file: &dyn ReadAt) {
        let mut at = self.base;
        let mut rest = self.bytes.as_mut_slice();
        while !rest.is_empty() {
            let to_border = usize::try_from(PIECE - at % PIECE).unwrap_or(rest.len());
            let (piece, behind) = rest.split_at_mut(to_border.min(rest.len()));
            if file.read_exact_at(piece, at).is_err() {
                piece.fill(0);
            }
            at = at.saturating_add(piece.len() as u64);
            rest = behind;
        }
    }
}
