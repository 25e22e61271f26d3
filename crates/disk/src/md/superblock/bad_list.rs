//! The list of bad blocks that lies beside a superblock.

use std::ops::Range;

use snapfmt::ReadAt;

use super::{MAX_BYTES, MdError};
use crate::fields::{array, le16, le32, le64};
use crate::md::SECTOR;

/// The kernel reads a page of them.
const MOST_SECTORS: u16 = 8;
const FEATURE: u32 = 8;

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
