//! Writing and making durable.

use std::io;
use std::ops::Range;
use std::sync::PoisonError;

use super::read::by_region;
use super::record::{Region, State};
use super::{BLOCK, MOST_DIRTY, Overlay, Places, REGION};
use restore::image::{Image, ImageError, WritableImage};
use restore::ranges::length;

/// A block of them.
static ZEROS: [u8; 4096] = [0; 4096];
const _: () = assert!(ZEROS.len() as u64 == BLOCK);

impl WritableImage for Overlay {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), ImageError> {
        let end = ImageError::check_range(offset, bytes.len() as u64, self.size())?;
        self.check(offset)?;
        let mut rest = bytes;
        for piece in by_region(&(offset..end)) {
            let (here, behind) = rest.split_at(to_len(length(&piece)));
            self.write_region(piece.start, here)?;
            rest = behind;
        }
        self.relieve()
    }

    fn zero_at(&self, range: Range<u64>) -> Result<(), ImageError> {
        let end = ImageError::check_range(range.start, length(&range), self.size())?;
        self.check(range.start)?;
        for piece in by_region(&(range.start..end)) {
            self.zero_region(&piece)?;
            self.relieve()?;
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), ImageError> {
        let _one = self.flushing.lock().unwrap_or_else(PoisonError::into_inner);
        self.check(0)?;
        // What the map says now was written before: the sync that follows makes all of it durable.
        let records = self.map().begin_flush();
        let result = self.sync().and_then(|()| {
            for (number, record) in &records {
                let written =
                    self.medium.write_all_at(&record.encode(*number), Places::record(*number));
                written.map_err(|e| self.error("cannot be written", 0, e))?;
            }
            if records.is_empty() { Ok(()) } else { self.sync() }
        });
        self.map().end_flush(result.is_ok());
        result
    }
}

impl Overlay {
    /// Writes bytes that are all of one region.
    fn write_region(&self, offset: u64, bytes: &[u8]) -> Result<(), ImageError> {
        let number = offset / REGION;
        let _turn = self.turn(number);
        let mut region = self.region(number)?;
        if region.place == 0 {
            region.place = self.new_place();
        }
        let end = offset + bytes.len() as u64;
        let blocks = to_len(offset % REGION / BLOCK)..to_len((end - 1) % REGION / BLOCK) + 1;
        let whole = self.bytes(number, &blocks);
        // Blocks of which only a part is written get the rest, unless the file has it already.
        let is_here = |block| region.state(block) == State::Data;
        let start = if is_here(blocks.start) { offset } else { whole.start };
        let stop = if is_here(blocks.end - 1) { end } else { whole.end };
        let place = self.place(&region, start).map_err(|e| self.error("has no room", offset, e))?;
        let written = if (start, stop) == (offset, end) {
            self.medium.write_all_at(bytes, place)
        } else {
            let mut buffer = vec![0; to_len(stop - start)];
            let (head, tail) = (to_len(offset - start), to_len(end - start));
            self.fill(&region, start, &mut buffer[..head])?;
            buffer[head..tail].copy_from_slice(bytes);
            self.fill(&region, end, &mut buffer[tail..])?;
            self.medium.write_all_at(&buffer, place)
        };
        written.map_err(|e| self.error("cannot be written", offset, e))?;
        // Only now: a block that could not be written is still what it was, and a place that the file
        // does not reach would be given away once more.
        let place = region.place;
        self.change(number, |region| {
            region.place = place;
            region.set(blocks, State::Data);
        })
    }

    /// What the rest of a block is that has no data in the file.
    fn fill(&self, region: &Region, at: u64, out: &mut [u8]) -> Result<(), ImageError> {
        if !out.is_empty() && self.run(region, at).0 == State::Lower {
            self.lower.read_at(at, out)?;
        }
        Ok(())
    }

    /// Makes bytes of one region zeros: whole blocks in the map alone.
    fn zero_region(&self, range: &Range<u64>) -> Result<(), ImageError> {
        let number = range.start / REGION;
        let first = to_len((range.start % REGION).div_ceil(BLOCK));
        let size = self.size();
        let last = match range.end {
            end if end == size || end % REGION == 0 => (end - number * REGION).div_ceil(BLOCK),
            end => end % REGION / BLOCK,
        };
        let blocks = first..to_len(last);
        if blocks.start >= blocks.end {
            return self.write_zeros(number, range);
        }
        let whole = self.bytes(number, &blocks);
        self.write_zeros(number, &(range.start..whole.start))?;
        self.write_zeros(number, &(whole.end..range.end))?;
        let _turn = self.turn(number);
        let region = self.region(number)?;
        let mut changed = region;
        let mut at = blocks.start;
        while at < blocks.end {
            let (state, run) = region.run(at, blocks.end);
            at = run.end;
            if state == State::Data || (state == State::Lower && !self.is_hole(number, &run)) {
                changed.set(run, State::Zero);
            }
        }
        self.change(number, |region| *region = changed)?;
        if region.place != 0
            && let Ok(place) = self.place(&region, whole.start)
        {
            self.medium.give_back(place..place + length(&whole));
        }
        Ok(())
    }

    /// Whether the lower image reads as zeros there anyway.
    fn is_hole(&self, region: u64, blocks: &Range<usize>) -> bool {
        let bytes = self.bytes(region, blocks);
        self.lower.run_at(bytes.start).is_ok_and(|run| !run.is_data && run.end >= bytes.end)
    }

    /// Zeros to parts of blocks: to two of them at most, before and behind a border.
    fn write_zeros(&self, number: u64, range: &Range<u64>) -> Result<(), ImageError> {
        let mut at = range.start;
        while at < range.end {
            let end = range.end.min((at / BLOCK + 1).saturating_mul(BLOCK));
            if self.run(&self.region(number)?, at).0 != State::Zero {
                self.write_region(at, &ZEROS[..to_len(end - at)])?;
            }
            at = end;
        }
        Ok(())
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut Region)) -> Result<(), ImageError> {
        let changed = self.map().update(number, change);
        changed.map_err(|e| self.error("cannot tell what was written", number * REGION, e))
    }

    /// Makes room for more changes of the map.
    fn relieve(&self) -> Result<(), ImageError> {
        if self.map().changed() < MOST_DIRTY {
            return Ok(());
        }
        self.flush()
    }

    fn sync(&self) -> Result<(), ImageError> {
        self.medium.sync().map_err(|e| {
            let _ = self.failed.set(e.kind());
            self.error("cannot be made durable", 0, e)
        })
    }

    /// Nothing is taken any more that could not be made durable.
    fn check(&self, offset: u64) -> Result<(), ImageError> {
        match self.failed.get() {
            Some(kind) => {
                let why = io::Error::from(*kind);
                Err(self.error("takes no more since it could not be made durable", offset, why))
            }
            None => Ok(()),
        }
    }
}

/// A length within a region.
fn to_len(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
