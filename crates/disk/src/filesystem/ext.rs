//! ext2, ext3 and ext4: `struct ext4_super_block` at byte 1024
//! (`Documentation/filesystems/ext4/super.rst`).

use super::{Backup, Elsewhere, Facts, State, timestamp};
use crate::signature::Probe;

const SUPERBLOCK: u64 = 1024;
const LAST_MOUNTED: u64 = SUPERBLOCK + 0x88;
const COMPATIBLE_HAS_JOURNAL: u32 = 0x4;
const INCOMPATIBLE_RECOVER: u32 = 0x4;
const INCOMPATIBLE_64BIT: u32 = 0x80;
const STATE_VALID: u16 = 0x1;
const STATE_ERRORS: u16 = 0x2;

pub(super) fn facts(probe: &Probe<'_>) -> Facts {
    read(probe).unwrap_or_default()
}

fn read(probe: &Probe<'_>) -> Option<Facts> {
    let le32 = |at| probe.le32(SUPERBLOCK + at);
    let incompatible = le32(0x60)?;
    let block = 1024_u64.checked_shl(le32(0x18)?.min(64)).filter(|b| (1024..=65536).contains(b))?;
    let high = if incompatible & INCOMPATIBLE_64BIT == 0 { 0 } else { le32(0x150)? };
    let blocks = u64::from(le32(0x4)?) | u64::from(high) << 32;
    // The upper 8 bits of the times are behind the table of snapshots.
    let time = |low, high: u64| {
        let [high] = probe.bytes(SUPERBLOCK + high)?;
        timestamp(u64::from(le32(low)?) | u64::from(high) << 32)
    };
    Some(Facts {
        size: blocks.checked_mul(block),
        block: Some(block),
        state: state(incompatible, probe.bytes(SUPERBLOCK + 0x3a).map(u16::from_le_bytes)?),
        last_mounted_on: probe.text::<64>(LAST_MOUNTED),
        last_mounted: time(0x2c, 0x275),
        last_written: time(0x30, 0x274),
        devices: None,
        elsewhere: is_journal_elsewhere(probe).unwrap_or(false).then_some(Elsewhere::Journal),
        device_id: None,
        backup: backup(probe, block, blocks).unwrap_or_default(),
    })
}

/// The journal is a file, by its inode, or on a device, by its number. Mount options that the superblock
/// brings along (`s_mount_opts`) can name a device, too.
fn is_journal_elsewhere(probe: &Probe<'_>) -> Option<bool> {
    let le32 = |at| probe.le32(SUPERBLOCK + at);
    let has_journal = le32(0x5c)? & COMPATIBLE_HAS_JOURNAL != 0;
    let (inode, device) = (le32(0xe0)?, le32(0xe4)?);
    let options: [u8; 64] = probe.bytes(SUPERBLOCK + 0x200)?;
    let named = [&b"journal_dev"[..], b"journal_path"]
        .iter()
        .any(|option| options.windows(option.len()).any(|window| window == *option));
    Some(has_journal && (inode == 0 || device != 0 || named))
}

const fn state(incompatible: u32, state: u16) -> State {
    if state & STATE_ERRORS != 0 {
        State::HasErrors
    } else if incompatible & INCOMPATIBLE_RECOVER != 0 {
        State::NeedsReplay
    } else if state & STATE_VALID == 0 {
        State::NotUnmounted
    } else {
        State::Clean
    }
}

/// Group 1 begins with a copy of the superblock, whichever groups have one (`ext4_bg_has_super`),
/// unless the copies are where `sparse_super2` puts them.
fn backup(probe: &Probe<'_>, block: u64, blocks: u64) -> Option<Backup> {
    const COMPATIBLE_SPARSE_SUPER2: u32 = 0x200;
    let le32 = |at| probe.le32(SUPERBLOCK + at);
    let first = u64::from(le32(0x14)?) + u64::from(le32(0x20)?);
    if first >= blocks || le32(0x5c)? & COMPATIBLE_SPARSE_SUPER2 != 0 {
        return None;
    }
    let offset = first.checked_mul(block)?;
    let uuid: Option<[u8; 16]> = probe.bytes(SUPERBLOCK + 0x68);
    let agrees = probe.has(offset + 0x38, b"\x53\xef")
        && probe.bytes(offset + 0x68) == uuid
        && probe.has(offset + 0x5a, &[1, 0]);
    Some(Backup::at(offset, agrees))
}
