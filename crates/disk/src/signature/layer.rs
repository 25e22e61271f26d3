//! What stands between a disk and its filesystem: encryption, volume managers, RAID.

use super::probe::{Probe, grouped};
use super::{Kind, Signature};

pub(super) fn find(probe: &Probe<'_>, found: &mut Vec<Signature>) {
    found
        .extend([luks, bitlocker, lvm, md, old_md, zfs].into_iter().filter_map(|find| find(probe)));
}

/// The headers of LUKS1 and LUKS2 (their on-disk format specifications, 2.2 and 2.1): magic number
/// and version at 0, UUID as text at 168, and a label at 24 in version 2.
fn luks(probe: &Probe<'_>) -> Option<Signature> {
    if !probe.has(0, b"LUKS\xba\xbe") {
        return None;
    }
    let label = if probe.has(6, &[0, 2]) { probe.text::<48>(24) } else { None };
    Some(Signature { kind: Kind::Luks, label, uuid: probe.text::<40>(168) })
}

/// A boot sector made for it (`libbde`, "`BitLocker` Drive Encryption (BDE) format"): its own OEM name, or
/// on removable disks that of FAT and a GUID. What looks like FAT in it is none.
pub(super) fn bitlocker(probe: &Probe<'_>) -> Option<Signature> {
    const TO_GO: [u8; 16] = *b"\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01";
    let is_it = probe.has(3, b"-FVE-FS-") || probe.has(424, &TO_GO);
    is_it.then_some(Signature::bare(Kind::BitLocker))
}

/// `struct label_header` in one of the first four sectors, `struct pv_header` where it says, the
/// UUID first (`lib/label/label.h` and `lib/format_text/layout.h` of LVM2).
fn lvm(probe: &Probe<'_>) -> Option<Signature> {
    let label = (0..4)
        .map(|sector| sector * 512)
        .find(|at| probe.has(*at, b"LABELONE") && probe.has(at + 24, b"LVM2 001"))?;
    let header = probe.le32(label + 20).map(|offset| label + u64::from(offset));
    let uuid = header.and_then(|header| probe.text::<32>(header));
    let uuid = uuid.and_then(|uuid| grouped(&uuid, &[6, 4, 4, 4, 4, 4, 6]));
    Some(Signature { kind: Kind::Lvm, label: None, uuid })
}

/// `struct mdp_superblock_1` (`include/uapi/linux/raid/md_p.h`): magic number, version 1, UUID at
/// 16 and name at 32. It is at the start, at 4 KiB, or 8 KiB to 12 KiB before the end, at a multiple
/// of 4 KiB (`super_1_load` in `drivers/md/md.c`).
fn md(probe: &Probe<'_>) -> Option<Signature> {
    let last = probe.len().checked_sub(8 << 10).map(|at| at & !0xfff);
    let at = [Some(4096), Some(0), last]
        .into_iter()
        .flatten()
        .find(|at| probe.has(*at, b"\xfc\x4e\x2b\xa9\x01\0\0\0"))?;
    Some(Signature { kind: Kind::Md, label: probe.text::<32>(at + 32), uuid: probe.uuid(at + 16) })
}

/// The superblock of version 0.90, in the byte order of its machine, is in the last whole 64 KiB
/// but one (`MD_NEW_SIZE_SECTORS` in `md_p.h`).
fn old_md(probe: &Probe<'_>) -> Option<Signature> {
    let at = (probe.len() & !0xffff).checked_sub(64 << 10)?;
    let is_old =
        probe.has(at, b"\xfc\x4e\x2b\xa9\0\0\0\0") || probe.has(at, b"\xa9\x2b\x4e\xfc\0\0\0\0");
    is_old.then_some(Signature::bare(Kind::Md))
}

/// The uberblocks of the first label, in the 128 KiB after its first 128, one each KiB at least
/// (`VDEV_UBERBLOCK_RING` and `UBERBLOCK_MAGIC` of `OpenZFS`), in the byte order of their machine.
fn zfs(probe: &Probe<'_>) -> Option<Signature> {
    let ring = probe.block(128 << 10, 128 << 10)?;
    let is_zfs = ring.chunks_exact(1024).any(|block| {
        block.starts_with(b"\x0c\xb1\xba\0\0\0\0\0") || block.starts_with(b"\0\0\0\0\0\xba\xb1\x0c")
    });
    is_zfs.then_some(Signature::bare(Kind::Zfs))
}

#[cfg(test)]
mod tests {
    use crate::signature::{Contents, Kind};

    fn only(len: usize, parts: &[(usize, &[u8])]) -> (Kind, String) {
        let mut bytes = vec![0; len];
        for (at, part) in parts {
            bytes[*at..at + part.len()].copy_from_slice(part);
        }
        let contents = Contents::of(&bytes);
        let [signature] = contents.signatures() else { panic!("{contents}") };
        (signature.kind, signature.to_string())
    }

    #[test]
    fn luks_of_both_versions() {
        let uuid = (168, &b"4f5c-text"[..]);
        let one = only(8192, &[(0, b"LUKS\xba\xbe\0\x01aes"), (24, b"no label"), uuid]);
        assert_eq!(one.1, "LUKS encrypted volume (UUID 4f5c-text)");
        let two = only(8192, &[(0, b"LUKS\xba\xbe\0\x02"), (24, b"safe"), uuid]);
        assert_eq!(two.1, "LUKS encrypted volume \"safe\" (UUID 4f5c-text)");
    }

    #[test]
    fn bitlocker_is_no_fat_although_its_boot_sector_looks_like_one() {
        let fat = [(82, &b"FAT32   "[..]), (510, b"\x55\xaa"), (16, b"\x02"), (14, b"\x20")];
        let guid = b"\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01";
        for own in [(3, &b"-FVE-FS-"[..]), (424, guid)] {
            let found = only(8192, &[&fat[..], &[own]].concat());
            assert_eq!(found, (Kind::BitLocker, "BitLocker encrypted volume".to_owned()));
        }
        assert_eq!(only(8192, &fat).0, Kind::Fat);
    }

    #[test]
    fn lvm_where_its_label_says() {
        let parts: [(usize, &[u8]); 4] = [
            (512, b"LABELONE"),
            (512 + 20, &[32, 0, 0, 0]),
            (512 + 24, b"LVM2 001"),
            (512 + 32, b"abcdefghijklmnopqrstuvwxyz012345"),
        ];
        let text = "LVM physical volume (UUID abcdef-ghij-klmn-opqr-stuv-wxyz-012345)";
        assert_eq!(only(8192, &parts).1, text);
    }

    #[test]
    fn raid_members_at_all_four_places() {
        const LEN: usize = (1 << 20) + 512;
        let last = (LEN - 8192) & !0xfff;
        for at in [0, 4096, last] {
            let parts: [(usize, &[u8]); 3] =
                [(at, b"\xfc\x4e\x2b\xa9\x01"), (at + 16, &[0x11; 16]), (at + 32, b"host:0")];
            let uuid = "11111111-1111-1111-1111-111111111111";
            let text = format!("member of a Linux RAID \"host:0\" (UUID {uuid})");
            assert_eq!(only(LEN, &parts).1, text, "{at}");
        }
        assert_eq!(only(LEN, &[((1 << 20) - 65_536, b"\xfc\x4e\x2b\xa9")]).0, Kind::Md);
    }

    #[test]
    fn a_zfs_uberblock() {
        let uberblock = (132 << 10, &b"\x0c\xb1\xba\0\0\0\0\0"[..]);
        assert_eq!(only(1 << 20, &[uberblock]).1, "member of a ZFS pool");
    }
}
