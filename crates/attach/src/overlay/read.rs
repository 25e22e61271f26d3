//! Reading: each block from where the map says it is.

use std::ops::Range;

use super::record::{BLOCKS, Region, State};
use super::{BLOCK, Overlay, REGION};
use restore::image::{Image, ImageError, Run};
use restore::ranges::steps;
use restore::ranges::{clip, length};

/// How many regions are looked at for the end of a run.
const STEPS: usize = 4096;

impl Image for Overlay {
    fn size(&self) -> u64 {
        self.places.size
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), ImageError> {
        let end = ImageError::check_range(offset, out.len() as u64, self.size())?;
        let (mut at, mut rest) = (offset, out);
        while at < end {
            let region = self.region(at / REGION)?;
            let (state, run) = self.run(&region, at);
            let run = clip(&run, &(at..end));
            let len = usize::try_from(length(&run)).unwrap_or(usize::MAX);
            let (piece, behind) = std::mem::take(&mut rest).split_at_mut(len);
            match state {
                State::Lower => self.lower.read_at(at, piece)?,
                State::Data => {
                    let place = self.place(&region, at);
                    let read = place.and_then(|place| self.medium.read_exact_at(piece, place));
                    read.map_err(|e| self.error("cannot be read", at, e))?;
                }
                State::Zero => piece.fill(0),
            }
            at = run.end;
            rest = behind;
        }
        Ok(())
    }

    fn run_at(&self, offset: u64) -> Result<Run, ImageError> {
        ImageError::check_range(offset, 1, self.size())?;
        let region = self.region(offset / REGION)?;
        let (state, run) = self.run(&region, offset);
        match state {
            State::Data => Ok(Run { end: run.end, is_data: true }),
            State::Zero => Ok(Run { end: run.end, is_data: false }),
            State::Lower => {
                let lower = self.lower.run_at(offset)?;
                let end = if lower.end <= run.end { lower.end } else { self.untouched(run.end) };
                Ok(Run { end: end.min(lower.end), ..lower })
            }
        }
    }
}

impl Overlay {
    pub(super) fn region(&self, region: u64) -> Result<Region, ImageError> {
        let found = self.map().region(region);
        found.map_err(|e| self.error("cannot tell what was written", region * REGION, e))
    }

    /// The run of blocks that byte `at` lies in, as bytes from there on.
    pub(super) fn run(&self, region: &Region, at: u64) -> (State, Range<u64>) {
        let block = usize::try_from(at % REGION / BLOCK).unwrap_or(0);
        let (state, run) = region.run(block, BLOCKS);
        (state, at..self.bytes(at / REGION, &run).end)
    }

    /// Where byte `at` of a region that has a place is in the file.
    pub(super) fn place(&self, region: &Region, at: u64) -> std::io::Result<u64> {
        let place = self.places.place(region.place).ok_or(std::io::ErrorKind::InvalidData)?;
        Ok(place + at % REGION)
    }

    /// How far the lower image goes on from `at`, where nothing was written up to there. What the map
    /// cannot tell is another run's matter.
    fn untouched(&self, at: u64) -> u64 {
        if !at.is_multiple_of(REGION) || at >= self.size() {
            return at;
        }
        let regions = self.size().div_ceil(REGION);
        let (mut map, mut region) = (self.map(), at / REGION);
        for _ in 0..STEPS {
            if region >= regions {
                break;
            }
            match map.next_used(region) {
                Ok(used) if used > region => region = used.min(regions),
                Ok(_) if map.region(region).is_ok_and(|r| r == Region::default()) => region += 1,
                _ => break,
            }
        }
        region.saturating_mul(REGION).min(self.size())
    }
}

/// A range of the image region by region.
pub(super) fn by_region(range: &Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
    let Range { start, end } = range.clone();
    let first = start..end.min((start / REGION + 1).saturating_mul(REGION));
    let rest = first.end..end;
    std::iter::once(first).filter(|r| !r.is_empty()).chain(steps(&rest, REGION))
}
