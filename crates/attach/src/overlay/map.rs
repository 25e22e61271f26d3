//! The map: what each block is. Records are read when they are needed, and those that changed wait
//! for a flush.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;

use super::record::{self, Record, Region};
use super::{Medium, Places};

/// Unchanged records that are kept: 4 MiB.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(8192).unwrap();

/// The map of an overlay.
pub(super) struct Map {
    medium: Arc<dyn Medium>,
    places: Places,
    kept: LruCache<u64, Record>,
    changed: BTreeMap<u64, Record>,
    /// Those that a flush is at.
    flushing: BTreeMap<u64, Record>,
}

impl Map {
    pub(super) fn new(medium: Arc<dyn Medium>, places: Places) -> Self {
        let (changed, flushing) = (BTreeMap::new(), BTreeMap::new());
        Self { medium, places, kept: LruCache::new(CAPACITY), changed, flushing }
    }

    /// What a region holds.
    pub(super) fn region(&mut self, region: u64) -> io::Result<Region> {
        let (number, within) = split(region);
        Ok(self.record(number)?.regions[within])
    }

    /// Changes what a region holds.
    pub(super) fn update(
        &mut self,
        region: u64,
        change: impl FnOnce(&mut Region),
    ) -> io::Result<()> {
        let (number, within) = split(region);
        let mut record = self.record(number)?.clone();
        change(&mut record.regions[within]);
        if record != *self.record(number)? {
            self.kept.pop(&number);
            self.changed.insert(number, record);
        }
        Ok(())
    }

    /// The first region from `region` on whose record may not be blank; past the end if there is none.
    /// In the middle of a record that is `region` itself.
    pub(super) fn next_used(&self, region: u64) -> io::Result<u64> {
        let (from, within) = split(region);
        let end = self.places.records();
        if within > 0 {
            return Ok(region);
        }
        if from >= end {
            return Ok(u64::MAX);
        }
        let there = self.medium.next_data(Places::record(from), Places::record(end))?;
        let there = (there - Places::record(0)) / record::LEN;
        let here = [&self.changed, &self.flushing].map(|m| m.range(from..).next());
        let here = here.into_iter().flatten().map(|(number, _)| *number).min();
        let next = here.map_or(there, |here| here.min(there)).max(from);
        Ok(if next >= end { u64::MAX } else { next * record::REGIONS as u64 })
    }

    /// How many records a flush would write.
    pub(super) fn changed(&self) -> usize {
        self.changed.len()
    }

    /// What a flush is to write: the map as it is now. All data that it speaks of has been written.
    pub(super) fn begin_flush(&mut self) -> Vec<(u64, Record)> {
        self.flushing = std::mem::take(&mut self.changed);
        self.flushing.iter().map(|(number, record)| (*number, record.clone())).collect()
    }

    /// The flush is over. What it could not write waits for the next one.
    pub(super) fn end_flush(&mut self, is_written: bool) {
        for (number, record) in std::mem::take(&mut self.flushing) {
            if self.changed.contains_key(&number) {
                continue;
            }
            if is_written {
                self.kept.put(number, record);
            } else {
                self.changed.insert(number, record);
            }
        }
    }

    fn record(&mut self, number: u64) -> io::Result<&Record> {
        if let Some(record) = self.changed.get(&number).or_else(|| self.flushing.get(&number)) {
            return Ok(record);
        }
        let Self { medium, places, kept, .. } = self;
        kept.try_get_or_insert(number, || {
            let mut sector = [0; record::SECTOR];
            medium.read_exact_at(&mut sector, Places::record(number))?;
            // A place that the map speaks of has been written to.
            let taken = places.taken(medium.len()?);
            let damaged = || io::Error::new(io::ErrorKind::InvalidData, Damaged(number));
            Record::decode(&sector, number, taken).ok_or_else(damaged)
        })
    }
}

/// A record fails its check: what its blocks are is not known.
#[derive(Debug, thiserror::Error)]
#[error("record {0} of the overlay's map is damaged")]
struct Damaged(u64);

/// A region as its record and its place in that.
fn split(region: u64) -> (u64, usize) {
    let regions = record::REGIONS as u64;
    (region / regions, usize::try_from(region % regions).unwrap_or(0))
}
