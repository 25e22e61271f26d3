//! Filesystems and swap space.

use super::probe::{Probe, grouped};
use super::{Kind, Signature};

pub(super) fn find(probe: &Probe<'_>, found: &mut Vec<Signature>) {
    found.extend([ext, xfs, btrfs, swap, ntfs, fat, exfat].into_iter().filter_map(|f| f(probe)));
}

/// `struct ext4_super_block` at byte 1024 (`Documentation/filesystems/ext4/super.rst`): magic number
/// at 0x38, features at 0x5C to 0x64, UUID and name after them. What is more than ext3 knows is
/// ext4, what has a journal is at least ext3 (`fs/ext4/ext4.h`, `EXT2_…_SUPP` and `EXT3_…_SUPP`).
fn ext(probe: &Probe<'_>) -> Option<Signature> {
    const SUPERBLOCK: u64 = 1024;
    const HAS_JOURNAL: u32 = 0x4;
    const JOURNAL_DEVICE: u32 = 0x8;
    const EXT3_INCOMPATIBLE: u32 = 0x2 | 0x4 | 0x10;
    const EXT3_READ_ONLY: u32 = 0x1 | 0x2 | 0x4;
    if !probe.has(SUPERBLOCK + 0x38, b"\x53\xef") {
        return None;
    }
    let compatible = probe.le32(SUPERBLOCK + 0x5c)?;
    let incompatible = probe.le32(SUPERBLOCK + 0x60)?;
    let read_only = probe.le32(SUPERBLOCK + 0x64)?;
    let kind = if incompatible & JOURNAL_DEVICE != 0 {
        Kind::ExtJournal
    } else if incompatible & !EXT3_INCOMPATIBLE != 0 || read_only & !EXT3_READ_ONLY != 0 {
        Kind::Ext4
    } else if compatible & HAS_JOURNAL != 0 {
        Kind::Ext3
    } else {
        Kind::Ext2
    };
    let (uuid, label) = (probe.uuid(SUPERBLOCK + 0x68), probe.text::<16>(SUPERBLOCK + 0x78));
    Some(Signature { kind, label, uuid })
}

/// `struct xfs_dsb` at byte 0 (`fs/xfs/libxfs/xfs_format.h`).
fn xfs(probe: &Probe<'_>) -> Option<Signature> {
    let (label, uuid) = (probe.text::<12>(108), probe.uuid(32));
    probe.has(0, b"XFSB").then_some(Signature { kind: Kind::Xfs, label, uuid })
}

/// `struct btrfs_super_block` at 64 KiB (`include/uapi/linux/btrfs_tree.h`): filesystem id at 0x20,
/// magic number at 0x40, label at 0x12B.
fn btrfs(probe: &Probe<'_>) -> Option<Signature> {
    const SUPERBLOCK: u64 = 64 << 10;
    let (label, uuid) = (probe.text::<256>(SUPERBLOCK + 0x12b), probe.uuid(SUPERBLOCK + 0x20));
    let magic = probe.has(SUPERBLOCK + 0x40, b"_BHRfS_M");
    magic.then_some(Signature { kind: Kind::Btrfs, label, uuid })
}

/// `union swap_header` (`include/linux/swap.h`): a magic number in the last ten bytes of the first
/// page, whose size depends on the machine; UUID and label behind the boot area of 1 KiB. A
/// hibernated system has another magic number there (`kernel/power/swap.c`).
fn swap(probe: &Probe<'_>) -> Option<Signature> {
    let is_swap = [4, 8, 16, 64].iter().any(|kib: &u64| {
        let at = (kib << 10) - 10;
        probe.has(at, b"SWAPSPACE2") || probe.has(at, b"SWAP-SPACE") || probe.has(at, b"S1SUSPEND")
    });
    let (label, uuid) = (probe.text::<16>(1052), probe.uuid(1036));
    is_swap.then_some(Signature { kind: Kind::Swap, label, uuid })
}

/// `struct NTFS_BOOT_SECTOR` (`fs/ntfs3/ntfs.h`): OEM name at 3, serial number at 0x48.
fn ntfs(probe: &Probe<'_>) -> Option<Signature> {
    let serial = probe.bytes(0x48).map(|bytes| format!("{:016X}", u64::from_le_bytes(bytes)));
    probe.has(3, b"NTFS    ").then_some(Signature { kind: Kind::Ntfs, label: None, uuid: serial })
}

/// `struct fat_boot_sector` (`include/uapi/linux/msdos_fs.h`): an extended boot record behind the
/// parameter block, at 36 for FAT12 and FAT16, at 64 for FAT32; serial number at 3 of it, label at
/// 7, type at 18.
fn fat(probe: &Probe<'_>) -> Option<Signature> {
    if super::layer::bitlocker(probe).is_some() {
        return None;
    }
    let record = [(36, b"FAT12   "), (36, b"FAT16   "), (64, b"FAT32   ")]
        .into_iter()
        .find_map(|(record, kind): (u64, _)| probe.has(record + 18, kind).then_some(record))?;
    let label = probe.text::<11>(record + 7).filter(|label| label != "NO NAME");
    let serial = probe.le32(record + 3).map(|serial| format!("{serial:08X}"));
    let uuid = serial.and_then(|serial| grouped(&serial, &[4, 4]));
    Some(Signature { kind: Kind::Fat, label, uuid })
}

/// `struct boot_sector` (`fs/exfat/exfat_raw.h`): name at 3, serial number at 100.
fn exfat(probe: &Probe<'_>) -> Option<Signature> {
    let serial = probe.le32(100).map(|serial| format!("{serial:08X}"));
    let uuid = serial.and_then(|serial| grouped(&serial, &[4, 4]));
    probe.has(3, b"EXFAT   ").then_some(Signature { kind: Kind::ExFat, label: None, uuid })
}

#[cfg(test)]
mod tests {
    use crate::signature::{Contents, HEAD_LEN, Kind};

    /// An image with these bytes at these places.
    fn image(parts: &[(usize, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; 2 * HEAD_LEN];
        for (at, part) in parts {
            bytes[*at..at + part.len()].copy_from_slice(part);
        }
        bytes
    }

    fn only(parts: &[(usize, &[u8])]) -> (Kind, String) {
        let contents = Contents::of(&image(parts));
        let [signature] = contents.signatures() else { panic!("{contents}") };
        (signature.kind, signature.to_string())
    }

    const UUID: &[u8; 16] = b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef";
    const TEXT: &str = "(UUID 01234567-89ab-cdef-0123-456789abcdef)";

    #[test]
    fn the_generations_of_ext() {
        let magic = (1080, &b"\x53\xef"[..]);
        for (features, kind) in [
            ([0x38, 0x2, 0x3], Kind::Ext2),
            ([0x3c, 0x6, 0x3], Kind::Ext3),
            ([0x3c, 0x2c2, 0x46b], Kind::Ext4),
            ([0x3c, 0x2, 0x10], Kind::Ext4),
            ([0, 0x8, 0], Kind::ExtJournal),
        ] {
            let features: Vec<u8> = features.iter().flat_map(|f: &u32| f.to_le_bytes()).collect();
            assert_eq!(only(&[magic, (1024 + 0x5c, &features)]).0, kind);
        }
        let named = [magic, (1024 + 0x60, b"\x40"), (1024 + 0x68, UUID), (1024 + 0x78, b"da\"ta")];
        assert_eq!(only(&named).1, format!("ext4 filesystem \"da\\\"ta\" {TEXT}"));
    }

    #[test]
    fn other_filesystems_and_swap() {
        let xfs = only(&[(0, b"XFSB"), (32, UUID), (108, b"twelve bytesX")]);
        assert_eq!(xfs.1, format!("XFS filesystem \"twelve bytes\" {TEXT}"));
        let at = 64 << 10;
        let btrfs = only(&[(at + 0x40, b"_BHRfS_M"), (at + 0x20, UUID), (at + 0x12b, b"pool")]);
        assert_eq!(btrfs.1, format!("btrfs filesystem \"pool\" {TEXT}"));
        for page in [4096, 65_536] {
            let swap = only(&[(page - 10, b"SWAPSPACE2"), (1036, UUID)]);
            assert_eq!(swap.1, format!("swap space {TEXT}"));
        }
    }

    #[test]
    fn filesystems_that_share_the_boot_sectors_magic_number() {
        let end = (510, &b"\x55\xaa"[..]);
        let ntfs = only(&[end, (3, b"NTFS    "), (0x48, &[8, 7, 6, 5, 4, 3, 2, 1])]);
        assert_eq!(ntfs.1, "NTFS filesystem (UUID 0102030405060708)");
        let fat = [end, (82, b"FAT32   "), (67, &[4, 3, 2, 1]), (71, b"STICK      ")];
        assert_eq!(only(&fat).1, "FAT filesystem \"STICK\" (UUID 0102-0304)");
        let fat = [end, (54, b"FAT16   "), (39, &[4, 3, 2, 1]), (43, b"NO NAME    ")];
        assert_eq!(only(&fat).1, "FAT filesystem (UUID 0102-0304)");
        assert_eq!(only(&[end, (3, b"EXFAT   ")]).0, Kind::ExFat);
    }
}
