//! Superblocks of version 0.90 (`struct mdp_superblock_s`), in the byte order of the machine that
//! wrote them.

use snapfmt::ReadAt;

use super::{
    ALL, ArrayId, Level, MAGIC, MAX_BYTES, MdError, Role, RoleTable, Superblock, Version, fold,
};
use crate::md::SECTOR;

const LEN: usize = 4096;
/// The superblock is in the last whole 64 KiB of the device.
const RESERVED: u64 = 64 << 10;
/// Most members (`MD_SB_DISKS`).
const MOST_DISKS: u32 = 27;

/// Places in words of four bytes.
mod word {
    pub(super) const MAJOR: usize = 1;
    pub(super) const MINOR: usize = 2;
    pub(super) const UUID: [usize; 4] = [5, 13, 14, 15];
    pub(super) const CREATED: usize = 6;
    pub(super) const LEVEL: usize = 7;
    pub(super) const SIZE: usize = 8;
    pub(super) const RAID_DISKS: usize = 10;
    pub(super) const UPDATED: usize = 32;
    pub(super) const STATE: usize = 33;
    pub(super) const CHECKSUM: usize = 38;
    pub(super) const EVENTS: usize = 39;
    pub(super) const CHECKPOINT_EVENTS: usize = 41;
    pub(super) const CHECKPOINT: usize = 43;
    pub(super) const LAYOUT: usize = 64;
    pub(super) const CHUNK: usize = 65;
    /// The descriptor of this member: number, major, minor, place, state.
    pub(super) const THIS_DISK: usize = 992;
    pub(super) const DISKS: usize = 128;
    pub(super) const DISK_LEN: usize = 32;
}

struct Words {
    words: Vec<u32>,
    little: bool,
}

impl Words {
    fn get(&self, at: usize) -> u32 {
        self.words.get(at).copied().unwrap_or(0)
    }

    /// The words if they begin with the magic number in one byte order or the other.
    fn of(bytes: &[u8]) -> Option<Self> {
        let (chunks, _) = bytes.as_chunks::<4>();
        let first = chunks.first()?;
        let little = u32::from_le_bytes(*first) == MAGIC;
        if !little && u32::from_be_bytes(*first) != MAGIC {
            return None;
        }
        let word =
            |c: &[u8; 4]| if little { u32::from_le_bytes(*c) } else { u32::from_be_bytes(*c) };
        Some(Self { words: chunks.iter().map(word).collect(), little })
    }

    /// A number of two words, the lower of which comes first in little-endian order.
    fn wide(&self, at: usize) -> u64 {
        let (first, second) = (u64::from(self.get(at)), u64::from(self.get(at + 1)));
        if self.little { first | second << 32 } else { second | first << 32 }
    }
}

/// Looks for a superblock of this version; `None` if there is none. That of a device that was cut off
/// less than 60 KiB from its end is in the 64 KiB that are not whole.
pub(super) fn read(device: &dyn ReadAt) -> Result<Option<Superblock>, MdError> {
    let len = device.len();
    let partial = len - len % RESERVED;
    for offset in partial.checked_sub(RESERVED).into_iter().chain([partial]) {
        if len - offset < LEN as u64 {
            continue;
        }
        let mut bytes = vec![0; LEN];
        device
            .read_exact_at(&mut bytes, offset)
            .map_err(|source| MdError::Io { offset, source })?;
        // One of version 1 for another size of device: a device that has grown since.
        if let Some(words) = Words::of(&bytes).filter(|words| words.get(word::MAJOR) == 0) {
            return parse(&words, offset, len).map(Some);
        }
    }
    Ok(None)
}

fn parse(words: &Words, offset: u64, len: u64) -> Result<Superblock, MdError> {
    let bad = |field, found: u32| MdError::Field { offset, field, found: found.into() };
    let all = words.words.iter().enumerate().filter(|(n, _)| *n != word::CHECKSUM);
    let sum = all.map(|(_, word)| u64::from(*word)).sum();
    let (expected, found) = (words.get(word::CHECKSUM), fold(sum));
    if expected != found {
        return Err(MdError::Checksum { offset, expected, found });
    }
    let minor = words.get(word::MINOR);
    if !matches!(minor, 90 | 91) {
        return Err(bad("its minor version", minor));
    }
    let raid_disks = words.get(word::RAID_DISKS);
    if raid_disks == 0 || raid_disks > MOST_DISKS {
        return Err(bad("the number of members", raid_disks));
    }
    let level = Level::of(words.get(word::LEVEL).cast_signed());
    let mut array = [0; 16];
    for (to, from) in array.as_chunks_mut::<4>().0.iter_mut().zip(word::UUID) {
        *to = words.get(from).to_be_bytes();
    }
    let used = u64::from(words.get(word::SIZE)) * 1024;
    let data_size = if level == Level::Raid1 || level == Level::Raid10 { used } else { offset };
    if data_size > offset || used > MAX_BYTES {
        return Err(bad("the size used in KiB", words.get(word::SIZE)));
    }
    Ok(Superblock {
        version: Version::V090,
        offset,
        array: ArrayId(array),
        name: None,
        level,
        // Of raid0 it says nothing here, whatever it holds (`super_90_validate`).
        layout: if level == Level::Raid0 { 0 } else { words.get(word::LAYOUT) },
        chunk: u64::from(words.get(word::CHUNK)),
        raid_disks,
        used,
        device: None,
        number: words.get(word::THIS_DISK),
        role: role(words),
        table: table(words),
        replacement: false,
        data_offset: 0,
        data_size,
        recovered: if matches!(role(words), Role::Recovering(_)) { 0 } else { ALL },
        resynced: resynced(words),
        device_size: len,
        events: words.wide(word::EVENTS),
        created: words.get(word::CREATED).into(),
        updated: words.get(word::UPDATED).into(),
        reshaping: minor == 91,
        bad: Vec::new(),
    })
}

/// Up to which byte copies are equal (`super_90_validate`). Bit 0 of the state: the array was stopped,
/// or nothing was being written. A checkpoint counts only if nothing has happened since.
fn resynced(words: &Words) -> u64 {
    if words.get(word::STATE) & 1 != 0 {
        return ALL;
    }
    let is_newest = words.wide(word::EVENTS) == words.wide(word::CHECKPOINT_EVENTS);
    if is_newest { u64::from(words.get(word::CHECKPOINT)).saturating_mul(SECTOR) } else { 0 }
}

/// The places of all members that are in use.
fn table(words: &Words) -> RoleTable {
    const FAULTY: u32 = 1;
    const ACTIVE: u32 = 2;
    const REMOVED: u32 = 8;
    let entry = |number: usize| {
        let at = word::DISKS + number * word::DISK_LEN;
        let (place, state) = (words.get(at + 3), words.get(at + 4));
        (state & (FAULTY | ACTIVE | REMOVED) == ACTIVE).then_some(place)
    };
    RoleTable((0..MOST_DISKS as usize).map(entry).collect())
}

/// What the table of members says of the one that this is (`MD_DISK_FAULTY`, `_ACTIVE`, `_SYNC`).
fn role(words: &Words) -> Role {
    let number = words.get(word::THIS_DISK);
    let entry = match usize::try_from(number) {
        Ok(n) if number < MOST_DISKS => word::DISKS + n * word::DISK_LEN,
        _ => word::THIS_DISK,
    };
    let (place, state) = (words.get(entry + 3), words.get(entry + 4));
    match (state & 1 != 0, state & 2 != 0, state & 4 != 0) {
        (true, ..) => Role::Faulty,
        (false, true, true) => Role::Active(place),
        (false, true, false) => Role::Recovering(place),
        (false, false, _) => Role::Spare,
    }
}
