//! The filesystems of DOS and Windows, by their boot sectors.

use super::{Backup, Facts, State};
use crate::signature::Probe;

fn le16(probe: &Probe<'_>, at: u64) -> Option<u64> {
    probe.bytes(at).map(|bytes| u16::from_le_bytes(bytes).into())
}

/// `struct NTFS_BOOT_SECTOR` (`fs/ntfs3/ntfs.h`): the number of sectors at 0x28 does not count the
/// last one, which holds a copy of the first. Whether it is dirty is noted in `$Volume`.
pub(super) fn ntfs(probe: &Probe<'_>) -> Facts {
    let read = || {
        let sector = le16(probe, 0x0b).filter(|s| (256..=4096).contains(s))?;
        let sectors = probe.bytes(0x28).map(u64::from_le_bytes)?;
        let last = sectors.checked_mul(sector)?;
        let serial: Option<[u8; 8]> = probe.bytes(0x48);
        let copy = last.checked_add(0x48).and_then(|at| probe.bytes(at));
        let [per_cluster] = probe.bytes(0x0d)?;
        // Above 128 it is the negative exponent of a power of two.
        let cluster = if per_cluster > 0x80 {
            1_u64.checked_shl(256 - u32::from(per_cluster))
        } else {
            Some(u64::from(per_cluster))
        };
        Some(Facts {
            size: last.checked_add(sector),
            block: cluster.and_then(|c| c.checked_mul(sector)),
            backup: Backup::at(last, copy.is_some() && copy == serial),
            ..Facts::default()
        })
    };
    read().unwrap_or_default()
}

/// `struct fat_boot_sector` (`include/uapi/linux/msdos_fs.h`): the number of sectors at 19 or, if
/// that is 0, at 32; in the state byte, at 37 or for FAT32 at 65, bit 0 means not unmounted.
pub(super) fn fat(probe: &Probe<'_>) -> Facts {
    let read = || {
        let sector = le16(probe, 11).filter(|s| (512..=4096).contains(s))?;
        let few = le16(probe, 19)?;
        let sectors = if few == 0 { u64::from(probe.le32(32)?) } else { few };
        let [per_cluster] = probe.bytes(13)?;
        let is_fat32 = le16(probe, 22)? == 0;
        let [state] = probe.bytes(if is_fat32 { 65 } else { 37 })?;
        let copy = le16(probe, 50).filter(|_| is_fat32).map(|at| at * sector);
        let serial: Option<[u8; 4]> = probe.bytes(67);
        // Its number is 0 or 0xffff where there is none.
        let copy = copy.filter(|at| *at > 0 && *at != 0xffff * sector);
        let backup = copy.map(|at| {
            Backup::at(at, probe.bytes(at + 67) == serial && probe.has(at + 82, b"FAT32   "))
        });
        Some(Facts {
            size: sectors.checked_mul(sector),
            block: Some(u64::from(per_cluster) * sector),
            state: if state & 1 == 0 { State::Clean } else { State::NotUnmounted },
            backup: backup.unwrap_or_default(),
            ..Facts::default()
        })
    };
    read().unwrap_or_default()
}

/// `struct boot_sector` (`fs/exfat/exfat_raw.h`): length in sectors at 72, flags at 106 with bit 1
/// for not unmounted, exponents of the sizes of sector and cluster at 108. The boot region of twelve
/// sectors is there twice.
pub(super) fn exfat(probe: &Probe<'_>) -> Facts {
    let read = || {
        let sectors = probe.bytes(72).map(u64::from_le_bytes)?;
        let [sector_bits, cluster_bits] = probe.bytes(108)?;
        let sector_bits = u32::from(sector_bits).clamp(9, 12);
        let copy = 12_u64 << sector_bits;
        let serial: Option<[u8; 4]> = probe.bytes(100);
        Some(Facts {
            size: sectors.checked_mul(1 << sector_bits),
            block: 1_u64.checked_shl(sector_bits + u32::from(cluster_bits)),
            state: if le16(probe, 106)? & 2 == 0 { State::Clean } else { State::NotUnmounted },
            backup: Backup::at(copy, probe.bytes(copy + 100) == serial),
            ..Facts::default()
        })
    };
    read().unwrap_or_default()
}
