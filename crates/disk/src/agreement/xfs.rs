//! XFS: its log is written round by round, and each sector of it begins with the number of its round
//! (`fs/xfs/xfs_log.c`, `xlog_pack_data`). At every instant the newest round comes first in it, and what is left
//! of the one before follows.

use snapfmt::ReadAt;

use super::What;
use crate::fields::array;
use crate::guess::xfs::Superblock;

const SECTOR: u64 = 512;
/// Most sectors that are looked at.
const MOST: u64 = 256;
/// What may be on its way at once, in any order: eight records of 256 KiB (`XLOG_TOTAL_REC_SHIFT`).
const UNORDERED: u64 = 8 * (256 << 10);
/// Where a record begins, the number comes behind this one.
const RECORD: u32 = 0xfeed_babe;

/// An older round that goes on behind a newer one, further than what is written at once.
pub(super) fn log(volume: &dyn ReadAt) -> Option<What> {
    let log = Superblock::read(volume, 0)?.log()?;
    let sectors = (log.end - log.start) / SECTOR;
    let apart = sectors.div_ceil(MOST).max(1);
    let mut seen: Vec<(u64, u32)> = Vec::new();
    for (number, first) in (0..).zip((0..sectors).step_by(usize::try_from(apart).ok()?)) {
        let sector = (first + stray(number, apart)).min(sectors - 1);
        let place = log.start + sector * SECTOR;
        let Some(round) = round(volume, place) else { continue };
        let is_older = |(at, old): &&(u64, u32)| *old < round && place - at > UNORDERED;
        if let Some((old, _)) = seen.iter().find(is_older) {
            return Some(What::Log { old: *old, new: place });
        }
        seen.push((place, round));
    }
    None
}

/// Numbers below `most` without a pattern: steps of one length may meet one member only.
const fn stray(number: u64, most: u64) -> u64 {
    /// 2^64 divided by the golden ratio.
    const TURN: u64 = 0x9e37_79b9_7f4a_7c15;
    ((number.wrapping_mul(TURN) as u128 * most as u128) >> 64) as u64
}

fn round(volume: &dyn ReadAt, place: u64) -> Option<u32> {
    let mut bytes = [0; 8];
    volume.read_exact_at(&mut bytes, place).ok()?;
    let number = |at| array(&bytes, at).map(u32::from_be_bytes);
    number(0).and_then(|first| if first == RECORD { number(4) } else { Some(first) })
}
