//! btrfs: `struct btrfs_super_block` at 64 KiB (`include/uapi/linux/btrfs_tree.h`), copies at 64 MiB
//! and 256 GiB.

use super::{Backup, Elsewhere, Facts, State};
use crate::signature::Probe;

const SUPERBLOCK: u64 = 64 << 10;
const COPY: u64 = 64 << 20;

pub(super) fn facts(probe: &Probe<'_>) -> Facts {
    let le64 = |at| probe.bytes(SUPERBLOCK + at).map(u64::from_le_bytes);
    // What this device has of it: `dev_item.total_bytes`.
    let size = le64(0xc9 + 8);
    let log_root = le64(0x60);
    let devices = le64(0x88).filter(|devices| *devices > 1);
    let fsid: Option<[u8; 16]> = probe.bytes(SUPERBLOCK + 0x20);
    let agrees = || {
        probe.has(COPY + 0x40, b"_BHRfS_M")
            && probe.bytes(COPY + 0x20) == fsid
            && probe.has(COPY + 0x30, &COPY.to_le_bytes())
    };
    Facts {
        size,
        block: probe.le32(SUPERBLOCK + 0x90).map(u64::from),
        // A log tree is what was synced and is not in the trees yet. There is no mark for unmounted:
        // the trees are whole at every instant.
        state: match log_root {
            Some(0) => State::Clean,
            Some(_) => State::NeedsReplay,
            None => State::Unknown,
        },
        devices,
        elsewhere: devices.map(|all| Elsewhere::Devices { all }),
        device_id: probe.bytes(SUPERBLOCK + 0xc9 + 0x42),
        backup: match size {
            Some(size) if size >= COPY + (4 << 10) => Backup::at(COPY, agrees()),
            _ => Backup::None,
        },
        ..Facts::default()
    }
}
