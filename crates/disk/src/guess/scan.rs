//! Blocks that say where in the volume they belong are looked for on the members themselves, whatever
//! the order: what is found must be there in the right one.

use std::collections::BTreeMap;

use std::sync::Arc;

use snapfmt::ReadAt;

use super::parts::{Part, place};
use super::place::Place;

/// How much of each member is read around a place, in bytes.
const WINDOW: u64 = 8 << 20;
/// Around how many places.
const MOST: usize = 8;
/// Bytes read at once.
const STEP: u64 = 1 << 20;

/// The members, of which the volume begins at byte `start` of each.
pub(super) struct Scan<'m> {
    pub(super) members: &'m [Arc<dyn ReadAt>],
    pub(super) start: u64,
}

/// Blocks by their place in the volume, and what tells them.
#[derive(Default)]
pub(super) struct Blocks(BTreeMap<u64, Vec<Part>>);

impl Blocks {
    pub(super) fn add(&mut self, at: u64, parts: Vec<Part>) {
        self.0.insert(at, parts);
    }

    pub(super) fn into_places(self) -> impl Iterator<Item = Place> {
        self.0.into_iter().map(|(at, parts)| place(at, parts))
    }
}

impl Scan<'_> {
    /// Shows `see` the members' bytes in units of `unit`, around where these places of the volume are
    /// on each if it is striped.
    pub(super) fn around(&self, places: &[u64], unit: usize, mut see: impl FnMut(&[u8])) {
        let count = self.members.len() as u64;
        let widths =
            if count > 2 && count.is_multiple_of(2) { vec![count, 2] } else { vec![count] };
        for member in self.members {
            let mut done = 0;
            let mut starts: Vec<u64> = places
                .iter()
                .take(MOST)
                .flat_map(|at| widths.iter().map(move |width| at / width))
                .map(|at| self.start.saturating_add(at.saturating_sub(WINDOW / 4) / STEP * STEP))
                .collect();
            starts.sort_unstable();
            for start in starts {
                let end = start.saturating_add(WINDOW).min(member.len());
                let mut at = start.max(done);
                while at < end {
                    let step = STEP.min(end - at);
                    let mut bytes = vec![0; usize::try_from(step).unwrap_or(0)];
                    if member.read_exact_at(&mut bytes, at).is_ok() {
                        bytes.chunks_exact(unit).for_each(&mut see);
                    }
                    at += step;
                }
                done = done.max(end);
            }
        }
    }
}
