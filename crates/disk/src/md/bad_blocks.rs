//! Blocks that a member lists as bad: what is there is not what the array holds, and another copy counts.

use std::ops::Range;

use snapfmt::ReadAt;

use super::superblock::MAX_BYTES;
use super::{Array, MdError, Member, SECTOR, layout};
use crate::fields::{array, le16, le32, le64};

/// The kernel reads a page of them.
const MOST_SECTORS: u16 = 8;
const FEATURE: u32 = 8;

/// Some bytes that a member lists as bad, by their place on its device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bad {
    /// Which bytes.
    pub range: Range<u64>,
    /// The place of a member that holds a copy of them, and where on its device that begins.
    pub copy: Option<(usize, u64)>,
}

/// Where the list of a member is on its device, by its superblock at `offset`; `None` if it has none.
pub(super) fn place(superblock: &[u8], offset: u64) -> Result<Option<Range<u64>>, MdError> {
    let (features, sectors) =
        (le32(superblock, 8).unwrap_or(0), le16(superblock, 186).unwrap_or(0));
    if features & FEATURE == 0 || sectors == 0 {
        return Ok(None);
    }
    let bad = |field, found| MdError::Field { offset, field, found };
    if sectors > MOST_SECTORS {
        return Err(bad("the size of its list of bad blocks", sectors.into()));
    }
    let distance = le32(superblock, 188).unwrap_or(0);
    let start = beside(offset, distance);
    let start = start.ok_or_else(|| bad("where its list of bad blocks is", distance.into()))?;
    Ok(Some(start..start.saturating_add(u64::from(sectors) * SECTOR)))
}

/// So many sectors behind or, as a negative number, before `offset`.
pub(super) fn beside(offset: u64, sectors: u32) -> Option<u64> {
    offset.checked_add_signed(i64::from(sectors.cast_signed()) * SECTOR.cast_signed())
}

/// The bytes of the device that are listed as bad, in order.
pub(super) fn read(
    device: &dyn ReadAt,
    superblock: &[u8],
    offset: u64,
) -> Result<Vec<Range<u64>>, MdError> {
    let Some(place) = place(superblock, offset)? else { return Ok(Vec::new()) };
    let mut bytes = vec![0; usize::try_from(place.end - place.start).unwrap_or(0)];
    let read = device.read_exact_at(&mut bytes, place.start);
    read.map_err(|source| MdError::Io { offset: place.start, source })?;
    let [shift] = array(superblock, 185).unwrap_or_default();
    let mut ranges = Vec::new();
    for entry in bytes.chunks_exact(8).filter_map(|entry| le64(entry, 0)) {
        if entry == u64::MAX {
            break;
        }
        // The first sector, and in the lower ten bits how many.
        let in_bytes = |sectors: u64| {
            let unit = 1_u64.checked_shl(shift.into())?.checked_mul(SECTOR)?;
            sectors.checked_mul(unit).filter(|bytes| *bytes <= MAX_BYTES)
        };
        let (start, length) = (in_bytes(entry >> 10), in_bytes(entry & 0x3ff));
        let (Some(start), Some(length)) = (start, length) else {
            let field = "a bad block";
            return Err(MdError::Field { offset: place.start, field, found: entry });
        };
        ranges.push(start..start.saturating_add(length));
    }
    ranges.sort_unstable_by_key(|range| range.start);
    Ok(ranges)
}

impl Array {
    /// What the member in a place lists as bad of what counts of it, up to byte `reach` of its device.
    pub fn bad_of(&self, place: usize, reach: u64) -> Vec<Bad> {
        let Some(own) = self.members.get(place) else { return Vec::new() };
        let Some((start, _)) = own.data else { return Vec::new() };
        let end = start.saturating_add(own.good).min(reach);
        let copies = layout::copies(self).unwrap_or(1);
        let first = place - place % copies.max(1);
        let others: Vec<(usize, &Member)> = (first..first.saturating_add(copies))
            .zip(self.members.iter().skip(first))
            .filter(|(n, _)| *n != place)
            .collect();
        let mut found = Vec::new();
        let mut at = start;
        for bad in &own.bad {
            at = at.max(bad.start);
            while at < bad.end.min(end) {
                let runs = others
                    .iter()
                    .filter_map(|(n, other)| other.run(at - start).map(|run| (run, *n)));
                let (length, copy) =
                    match runs.max_by_key(|((length, is_good, _), _)| (*is_good, *length)) {
                        Some(((length, true, offset), n)) => (length, Some((n, offset))),
                        Some(((length, false, _), _)) => (length, None),
                        None => (u64::MAX, None),
                    };
                let range = at..at.saturating_add(length).min(bad.end).min(end);
                at = range.end;
                found.push(Bad { range, copy });
            }
        }
        found
    }
}

impl Member {
    /// From a byte of its data on: how many are all good or all bad, which of both, and where they are on its device.
    fn run(&self, byte: u64) -> Option<(u64, bool, u64)> {
        let (start, _) = self.data?;
        let left = self.good.checked_sub(byte).filter(|left| *left > 0)?;
        let at = start.checked_add(byte)?;
        let next = self.bad.iter().find(|bad| bad.end > at);
        Some(match next {
            Some(bad) if bad.start <= at => (left.min(bad.end - at), false, at),
            Some(bad) => (left.min(bad.start - at), true, at),
            None => (left, true, at),
        })
    }
}
