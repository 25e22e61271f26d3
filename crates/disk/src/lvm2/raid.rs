//! What the legs of a RAID of LVM2 say of themselves and each other: the superblocks of dm-raid
//! (`drivers/md/dm-raid.c`, `struct dm_raid_superblock`).

use snapfmt::ReadAt;

use super::SECTOR;
use super::leg_state::LegState;
use crate::fields::{le32, le64};

const MAGIC: u32 = 0x6452_6d44;
const LEN: usize = 512;
/// Members beyond the first 64 have their bits here.
const MORE_FAILED: usize = 120;
const MOST_LEGS: u32 = 253;

/// What the superblock of a leg says.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// Its place among the legs.
    pub place: u32,
    /// How much it has seen.
    pub events: u64,
    /// How many bytes of it are in sync, from the first on.
    pub good: u64,
    /// A bit for each leg that has failed.
    failed: [u64; 4],
}

impl Record {
    /// Reads the superblock of leg `place`; `None` if there is none.
    pub(super) fn read(meta: &dyn ReadAt, place: u32) -> Option<Self> {
        let mut bytes = [0; LEN];
        meta.read_exact_at(&mut bytes, 0).ok()?;
        if bytes == [0; LEN] {
            // It was never activated. The first leg is what others are to be copied from.
            let good = if place == 0 { u64::MAX } else { 0 };
            return Some(Self { place, events: 0, good, failed: [0; 4] });
        }
        if le32(&bytes, 0)? != MAGIC {
            return None;
        }
        let place = le32(&bytes, 12).filter(|place| *place < MOST_LEGS)?;
        let recovered = le64(&bytes, 32)?.saturating_mul(SECTOR);
        // Until all were in sync for the first time, the others are copied from the first.
        let resynced = le64(&bytes, 40)?.saturating_mul(SECTOR);
        let good = if place == 0 { recovered } else { recovered.min(resynced) };
        let more = |n: usize| le64(&bytes, MORE_FAILED + 8 * n).unwrap_or(0);
        let failed = [le64(&bytes, 24)?, more(0), more(1), more(2)];
        Some(Self { place, events: le64(&bytes, 16)?, good, failed })
    }

    /// Whether it says that a leg failed.
    fn gives_up(&self, place: u32) -> bool {
        let word = usize::try_from(place / 64).ok().and_then(|word| self.failed.get(word));
        word.is_some_and(|bits| bits >> (place % 64) & 1 == 1)
    }
}

/// Two legs that each say that the other failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Contradiction(pub u32, pub u32);

/// What is to be thought of the leg with the superblock `own`, beside all superblocks that are there, also those
/// of legs that are not. As the kernel has it, the newest says which legs failed.
pub(super) fn state(own: &Record, all: &[Record]) -> Result<LegState, Contradiction> {
    if own.gives_up(own.place) {
        return Ok(LegState::Failed);
    }
    let is_voice = |other: &&Record| other.place != own.place && !other.gives_up(other.place);
    // Superblocks are written one after the other: a difference of one is none.
    let as_new = all.iter().filter(is_voice).filter(|o| o.events.saturating_add(1) >= own.events);
    let against: Vec<&Record> = as_new.filter(|other| other.gives_up(own.place)).collect();
    if let Some(other) = against.first() {
        // A leg that counts on one of those that give it up was left behind by them. One that gives up all
        // of them went on without them: how much each has seen since then does not tell which is newer.
        let is_mutual = against.iter().all(|other| own.gives_up(other.place));
        let contradiction = Contradiction(own.place, other.place);
        return if is_mutual { Err(contradiction) } else { Ok(LegState::Failed) };
    }
    // One that lags was copied at an earlier moment, whatever the state of the leg that has seen more.
    let newest = all.iter().map(|record| record.events).max().unwrap_or(0);
    if own.events.saturating_add(1) < newest {
        return Ok(LegState::Older { events: own.events, newest });
    }
    Ok(if own.good == u64::MAX { LegState::Current } else { LegState::Syncing { good: own.good } })
}
