//! Partition tables.

use super::probe::{Probe, uuid};
use super::{Kind, Signature};

pub(super) fn find(probe: &Probe<'_>, found: &mut Vec<Signature>) {
    // The boot sectors of some filesystems end as an MBR does. A GPT is preceded by an MBR that protects it; one beside
    // an MBR that does not is left over from before, as the kernel and libblkid have it.
    let is_boot_sector = found.iter().any(|s| has_boot_sector(s.kind));
    let gpt = gpt(probe).filter(|_| is_boot_sector || !has_partitions_of_its_own(probe));
    let mbr = if gpt.is_some() || is_boot_sector { None } else { mbr(probe) };
    found.extend(gpt.or(mbr));
}

/// Whether there is an MBR with partitions that protects no GPT.
fn has_partitions_of_its_own(probe: &Probe<'_>) -> bool {
    const PROTECTIVE: u8 = 0xee;
    let Some(table) = probe.bytes::<64>(446).filter(|_| mbr(probe).is_some()) else { return false };
    let (entries, _) = table.as_chunks::<16>();
    let is_real = |entry: &[u8; 16]| entry[4] != 0 && entry[12..] != [0; 4];
    entries.iter().all(|entry| entry[4] != PROTECTIVE) && entries.iter().any(is_real)
}

const fn has_boot_sector(kind: Kind) -> bool {
    matches!(kind, Kind::Ntfs | Kind::Fat | Kind::ExFat | Kind::BitLocker)
}

/// Where a header of a GPT is.
pub(super) fn gpt_header(probe: &Probe<'_>) -> Option<u64> {
    let copies = [512, 4096].map(|sector| probe.len().checked_sub(sector));
    let places = [Some(512), Some(4096)].into_iter().chain(copies).flatten();
    places.into_iter().find(|at| probe.has(*at, b"EFI PART"))
}

/// The header is in the second sector, a copy of it in the last one, the disk's GUID at 56 (UEFI
/// specification, 5.3.2). The first three parts of a GUID are little-endian (appendix A).
fn gpt(probe: &Probe<'_>) -> Option<Signature> {
    let at = gpt_header(probe)?;
    let guid = probe.bytes(at + 56).and_then(|mut bytes: [u8; 16]| {
        for part in [0..4, 4..6, 6..8] {
            bytes[part].reverse();
        }
        uuid(bytes)
    });
    Some(Signature { kind: Kind::Gpt, label: None, uuid: guid })
}

/// The first sector ends in 55 AA; before that are four entries of 16 bytes, the status at 0 (0 or
/// 0x80), the type at 4, 0 where there is none (UEFI specification, 5.2.1). At 440 is the disk's id.
fn mbr(probe: &Probe<'_>) -> Option<Signature> {
    let table: [u8; 64] = probe.bytes(446)?;
    let (entries, _) = table.as_chunks::<16>();
    let plausible = entries.iter().all(|[status, ..]| matches!(status, 0 | 0x80));
    let any = entries.iter().any(|[_, _, _, _, kind, ..]| *kind != 0);
    let id = probe.le32(440).filter(|id| *id != 0).map(|id| format!("{id:08x}"));
    (plausible && any && probe.has(510, b"\x55\xaa")).then_some(Signature {
        kind: Kind::Mbr,
        label: None,
        uuid: id,
    })
}

#[cfg(test)]
mod tests {
    use crate::signature::{Contents, Kind};

    fn kinds(parts: &[(usize, &[u8])]) -> (Vec<Kind>, String) {
        let mut bytes = vec![0; 1 << 20];
        for (at, part) in parts {
            bytes[*at..at + part.len()].copy_from_slice(part);
        }
        let contents = Contents::of(&bytes);
        (contents.signatures().iter().map(|s| s.kind).collect(), contents.to_string())
    }

    const MBR: [(usize, &[u8]); 2] = [(446, &[0x80, 0, 2, 0, 0x83, 0, 0, 0]), (510, &[0x55, 0xaa])];

    #[test]
    fn a_dos_table_and_what_only_looks_like_one() {
        let id = (440, &[4, 3, 2, 1][..]);
        assert_eq!(kinds(&[MBR[0], MBR[1], id]).1, "MBR partition table (UUID 01020304)");
        assert!(kinds(&[MBR[1]]).0.is_empty(), "no entries");
        assert!(kinds(&[MBR[0], MBR[1], (446, &[7])]).0.is_empty(), "boot code, no entries");
    }

    #[test]
    fn a_gpt_by_either_header_hides_its_protective_mbr() {
        let guid = [0x33, 0x22, 0x11, 0, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0, 0, 0, 0, 0, 1];
        for at in [512, 4096, (1 << 20) - 512] {
            let protective = (446, &[0, 0, 2, 0, 0xee, 0, 0, 0, 1][..]);
            let (found, text) = kinds(&[protective, MBR[1], (at, b"EFI PART"), (at + 56, &guid)]);
            assert_eq!(found, [Kind::Gpt]);
            assert_eq!(text, "GPT partition table (UUID 00112233-4455-6677-8899-000000000001)");
        }
    }

    #[test]
    fn a_gpt_beside_an_mbr_that_does_not_protect_it() {
        let partition = (446, &[0, 0, 2, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0][..]);
        let hybrid = (462, &[0, 0, 2, 0, 0xee, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0][..]);
        let unused = (446, &[0, 0, 2, 0, 0x83][..]);
        for at in [512, 4096, (1 << 20) - 512] {
            let gpt = (at, &b"EFI PART"[..]);
            assert_eq!(kinds(&[partition, MBR[1], gpt]).0, [Kind::Mbr]);
            assert_eq!(kinds(&[partition, hybrid, MBR[1], gpt]).0, [Kind::Gpt]);
            assert_eq!(kinds(&[unused, MBR[1], gpt]).0, [Kind::Gpt]);
            assert_eq!(kinds(&[gpt]).0, [Kind::Gpt]);
        }
    }

    #[test]
    fn a_filesystem_beside_a_table() {
        let (found, text) = kinds(&[MBR[0], MBR[1], (1080, b"\x53\xef")]);
        assert_eq!(found, [Kind::Ext2, Kind::Mbr]);
        assert_eq!(text, "ext2 filesystem, MBR partition table");
    }
}
