//! A writable image: what is written goes to an overlay file, what is not comes from the image below,
//! which is never changed.
//!
//! `docs/OVERLAY.md` describes the file and why it is sound. In short: a map says of each block of
//! 4 KiB whether it is the lower image's, zeros, or in the file. A flush makes the data durable, then
//! writes the map, then makes that durable: the map never speaks of data that is not there. The unit
//! of the map is a record of one sector, which a disk writes as a whole or not at all.

mod error;
mod header;
mod map;
mod medium;
mod open;
mod read;
mod record;
mod write;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use map::Map;
use restore::image::{Image, ImageError};

pub use error::OverlayError;
pub use medium::Medium;

/// What is lower, zero or written as a whole, in bytes.
pub const BLOCK: u64 = 4096;
/// What gets a place in the file as a whole, in bytes of the image.
pub(crate) const REGION: u64 = 1 << 20;

/// Writers to regions of one number, modulo this, take turns.
const TURNS: usize = 64;
/// Records that may wait for a flush; at so many one is made.
const MOST_DIRTY: usize = 4096;

/// An image that is written to, over one that is not.
///
/// Reads and writes of any number of threads go on at the same time; writers to the same MiB take
/// turns. What overlapping writes at the same time leave is one of them for each sector.
pub struct Overlay {
    medium: Arc<dyn Medium>,
    /// For messages.
    path: PathBuf,
    lower: Arc<dyn Image>,
    places: Places,
    map: Mutex<Map>,
    /// The number of the next place for a region.
    next: AtomicU64,
    turns: Vec<Mutex<()>>,
    /// Held while a flush goes on.
    flushing: Mutex<()>,
    /// Why nothing can be made durable any more: after a failed sync it is not known what is (`fsync(2)`).
    failed: OnceLock<std::io::ErrorKind>,
}

/// Where things are in the file of an image of some size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    size: u64,
    /// The first byte after the map, where regions begin.
    data: u64,
}

impl Places {
    /// Of an image of `size` bytes; `None` for sizes that no file can hold.
    pub(crate) fn new(size: u64) -> Option<Self> {
        let records = size.div_ceil(REGION).div_ceil(record::REGIONS as u64);
        let map_end = header::LEN.checked_add(records.checked_mul(record::LEN)?)?;
        let data = map_end.checked_next_multiple_of(REGION)?;
        let end = data.checked_add(size.checked_next_multiple_of(REGION)?)?;
        i64::try_from(end).is_ok().then_some(Self { size, data })
    }

    /// The first byte after the map.
    pub(crate) const fn data(&self) -> u64 {
        self.data
    }

    /// How many records the map has.
    fn records(&self) -> u64 {
        self.size.div_ceil(REGION).div_ceil(record::REGIONS as u64)
    }

    /// Where a record is.
    const fn record(number: u64) -> u64 {
        header::LEN + number * record::LEN
    }

    /// Where place `number` of a region begins; the first one is 1.
    fn place(&self, number: u64) -> Option<u64> {
        number.checked_sub(1)?.checked_mul(REGION)?.checked_add(self.data)
    }

    /// How many places a file of `len` bytes may have in use.
    const fn taken(&self, len: u64) -> u64 {
        len.saturating_sub(self.data).div_ceil(REGION)
    }
}

impl Overlay {
    /// Takes a medium that has a header of this overlay, as [`Overlay::format`] writes it; `path` is for
    /// messages.
    ///
    /// # Errors
    ///
    /// When it is something else, or over another image: `content` is that image's content in a word.
    pub fn on(
        medium: Arc<dyn Medium>,
        path: &Path,
        content: &str,
        lower: Arc<dyn Image>,
    ) -> Result<Self, OverlayError> {
        let places = header::check(&*medium, path, content, lower.size())?;
        let len = medium.len().map_err(|e| OverlayError::io(path, e))?;
        let taken = places.taken(len);
        Ok(Self {
            map: Mutex::new(Map::new(Arc::clone(&medium), places)),
            medium,
            path: path.to_owned(),
            lower,
            places,
            next: AtomicU64::new(taken + 1),
            turns: (0..TURNS).map(|_| Mutex::default()).collect(),
            flushing: Mutex::default(),
            failed: OnceLock::new(),
        })
    }

    /// Makes an empty medium that of an overlay over an image of `size` bytes, durably.
    pub fn format(
        medium: &dyn Medium,
        path: &Path,
        content: &str,
        size: u64,
    ) -> Result<(), OverlayError> {
        header::write(medium, path, content, size)
    }

    /// The overlay file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn map(&self) -> MutexGuard<'_, Map> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn of a writer to a region.
    fn turn(&self, region: u64) -> MutexGuard<'_, ()> {
        let number = usize::try_from(region % TURNS as u64).unwrap_or(0);
        self.turns[number].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_place(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Blocks `blocks` of a region as bytes of the image; the last block may be short.
    fn bytes(&self, region: u64, blocks: &Range<usize>) -> Range<u64> {
        let at = |block: usize| (region * REGION + block as u64 * BLOCK).min(self.places.size);
        at(blocks.start)..at(blocks.end)
    }

    fn error(&self, action: &'static str, offset: u64, source: std::io::Error) -> ImageError {
        ImageError::Local { path: self.path.clone(), action, offset, source: Arc::new(source) }
    }
}

impl std::fmt::Debug for Overlay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Overlay").field("path", &self.path).finish_non_exhaustive()
    }
}
