//! Images of disks.

use super::{Format, Probe, magic, own};

/// How much padding may stand behind what stands at the end, in bytes.
const TAIL: u64 = 64 << 10;
const QEMU: &str = "qemu-img convert -O raw makes a raw copy of it";
const VDI: &[u8; 4] = b"\x7f\x10\xda\xbe";
const EWF: &str = "ewfexport -f raw, or ewfmount, gives the disk in it";
const PARTCLONE: &str = "partclone.restore -C -s FILE -o RAW gives the volume in it";

pub(super) const FORMATS: &[Format] = &[
    own("qcow2 image", QEMU, qcow),
    own("QED image", QEMU, qed),
    own("VMDK image", QEMU, vmdk),
    magic("VMDK descriptor, which only names files", QEMU, vmdk_descriptor),
    own("VHD image", QEMU, vhd),
    magic("VHDX image", QEMU, |p| p.has(0, b"vhdxfile")),
    own("VDI image", QEMU, vdi),
    // Versions to come, and fields that nothing here knows.
    magic("qcow2 image of a form that is not known", QEMU, |p| {
        p.has(0, b"QFI\xfb") && p.be32(4).is_some_and(|version| version > 0)
    }),
    magic("VMDK image of a form that is not known", QEMU, |p| {
        (p.has(0, b"KDMV") || p.has(0, b"COWD")) && p.le32(4).is_some_and(|version| version > 0)
    }),
    magic("VDI image of a form that is not known", QEMU, |p| {
        p.has(64, VDI) && p.le32(68).is_some_and(|version| version > 0)
    }),
    magic("Parallels image", QEMU, parallels),
    magic("Bochs image", QEMU, |p| p.has(0, b"Bochs Virtual HD Image")),
    own("DMG image", "dmg2img gives the disk in it", dmg),
    magic("encrypted DMG image", "hdiutil convert on macOS gives the disk in it", |p| {
        p.has(0, b"encrcdsa") || p.len().checked_sub(8).is_some_and(|at| p.has(at, b"cdsaencr"))
    }),
    magic("sparse DMG image", "hdiutil convert on macOS gives the disk in it", |p| {
        p.has(0, b"sprs\0\0\0\x03")
    }),
    magic("EWF evidence file (E01, S01)", EWF, |p| p.has(0, b"EVF\x09\x0d\x0a\xff\0")),
    magic("EWF evidence file (Ex01)", EWF, |p| p.has(0, b"EVF2\x0d\x0a\x81\0")),
    magic("EWF logical evidence file (L01)", EWF, |p| p.has(0, b"LVF\x09\x0d\x0a\xff\0")),
    magic("EWF logical evidence file (Lx01)", EWF, |p| p.has(0, b"LEF2\x0d\x0a\x81\0")),
    magic("AFF evidence file", "affconvert -r gives the disk in it", |p| {
        p.has(0, b"AFF10\x0d\x0a\0")
    }),
    magic("Proxmox VMA archive", "vma extract gives the disks in it", |p| {
        p.has(0, b"VMA\0\0\0\0\x01")
    }),
    magic("partclone image", PARTCLONE, |p| p.has(0, b"partclone-image")),
    magic("ntfsclone image", "ntfsclone --restore-image gives the volume in it", |p| {
        p.has(0, b"\0ntfsclone-image")
    }),
    magic("partimage image", "partimage restore gives the volume in it", |p| {
        p.has(0, b"PaRtImAgE-VoLuMe")
    }),
    magic("export of a Ceph RBD image", "rbd import --export-format 2 takes it", |p| {
        p.has(0, b"rbd image v2\n")
    }),
    magic("difference of a Ceph RBD image", "rbd import-diff takes it", |p| {
        p.has(0, b"rbd diff v1\n") || p.has(0, b"rbd diff v2\n")
    }),
    magic("Android sparse image", "simg2img makes a raw copy of it", |p| {
        p.has(0, b"\x3a\xff\x26\xed\x01\0") && p.has(8, b"\x1c\0\x0c\0")
    }),
    magic("cloop image", "extract_compressed_fs gives the volume in it", |p| {
        p.has(0, b"#!/bin/sh\n#V2.0 Format\n")
    }),
    magic("casync index, which only names chunks", "casync extract gives what it names", casync),
    magic("index of a Proxmox backup, which only names chunks", PBS, |p| {
        [FIXED_INDEX, DYNAMIC_INDEX].iter().any(|magic| p.has(0, magic))
    }),
    magic("blob of a Proxmox backup", PBS, |p| BLOBS.iter().any(|magic| p.has(0, magic))),
    magic("saved state of a Xen guest", "the guest's disks are elsewhere", |p| {
        p.has(0, b"LibxlFmt") || p.has(0, b"LinuxGuestRecord")
    }),
];

const PBS: &str = "proxmox-backup-client restore gives the disk";
/// `pbs-datastore/src/file_formats.rs` of Proxmox Backup: the first bytes of SHA-256 over a name.
const FIXED_INDEX: [u8; 8] = [47, 127, 65, 237, 145, 253, 15, 205];
const DYNAMIC_INDEX: [u8; 8] = [28, 145, 78, 165, 25, 186, 179, 205];
const BLOBS: [[u8; 8]; 4] = [
    [66, 171, 56, 7, 190, 131, 112, 161],
    [49, 185, 88, 66, 111, 182, 163, 127],
    [123, 103, 133, 190, 34, 45, 76, 240],
    [230, 89, 27, 191, 11, 191, 216, 11],
];

/// `docs/interop/qcow2.txt` of QEMU: version, size of clusters as a power of two from 512 bytes to
/// 2 MiB, size of the disk, and from version 2 on where the first table is. Version 1 is big-endian,
/// too, with the size at 24 (`block/qcow.c`).
fn qcow(probe: &Probe<'_>) -> bool {
    if !probe.has(0, b"QFI\xfb") {
        return false;
    }
    match probe.be32(4) {
        Some(1) => probe.bytes(32).is_some_and(|[bits]: [u8; 1]| (9..=16).contains(&bits)),
        Some(2 | 3) => probe.be32(20).is_some_and(|bits| (9..=21).contains(&bits)),
        _ => false,
    }
}

/// `docs/interop/qed_spec.txt` of QEMU: sizes of clusters and of tables, powers of two.
fn qed(probe: &Probe<'_>) -> bool {
    let is_power = |at| probe.le32(at).is_some_and(u32::is_power_of_two);
    probe.has(0, b"QED\0") && is_power(4) && is_power(8)
}

/// The headers of sparse extents: of hosted products, of ESX up to 5, and of its later space-efficient
/// ones (`block/vmdk.c` of QEMU, `vmdk.c` of libvmdk).
fn vmdk(probe: &Probe<'_>) -> bool {
    let version = |at, most| probe.le32(at).is_some_and(|version| (1..=most).contains(&version));
    (probe.has(0, b"KDMV") && version(4, 3))
        || (probe.has(0, b"COWD") && version(4, 1))
        || probe.has(0, b"\xbe\xba\xfe\xca\0\0\0\0\x01\0\0\0\x02\0\0\0")
}

/// A text with this line in it, which others may stand before.
fn vmdk_descriptor(probe: &Probe<'_>) -> bool {
    const LINE: &[u8] = b"# Disk DescriptorFile";
    let len = usize::try_from(probe.len().min(512)).unwrap_or(0);
    let Some(head) = probe.block(0, len) else { return false };
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head);
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let is_comment = |line: &&[u8]| line.is_empty() || line.starts_with(b"#");
    let mut before = lines.take_while(is_comment);
    before.any(|line| line.eq_ignore_ascii_case(LINE))
}

/// A footer, which those that grow have at the beginning, too: with its own checksum, the complement
/// of the sum of its other bytes (Virtual Hard Disk Image Format Specification, 1.0). The raw disk in
/// front of a footer says all that a disk says. Some old footers have a byte less, and what copies a file in
/// large blocks may pad it behind its footer.
fn vhd(probe: &Probe<'_>) -> bool {
    const FOOTER: usize = 512;
    const FIXED: u32 = 2;
    let kind = |at: u64, len: usize| {
        let mut footer = probe.block(at, len).filter(|footer| footer.starts_with(b"conectix"))?;
        footer.get_mut(64..68)?.fill(0);
        let sum: u32 = footer.iter().copied().map(u32::from).sum();
        (probe.be32(at + 64)? == !sum).then_some(probe.be32(at + 60)?)
    };
    let at_end = |len: usize| {
        let at = probe.len().checked_sub(len as u64)?;
        let size = probe.bytes(at + 48).map(u64::from_be_bytes)?;
        // Where a fixed one was written onto a larger device, its footer is not at the end.
        kind(at, len).filter(|kind| *kind != FIXED || size == at)
    };
    let is_padded = |at: u64| {
        let size = probe.bytes(at + 48).map(u64::from_be_bytes);
        size == Some(at) && kind(at, FOOTER) == Some(FIXED)
    };
    kind(0, FOOTER).is_some_and(|kind| kind != FIXED)
        || at_end(FOOTER).is_some()
        || at_end(FOOTER - 1).is_some()
        || in_tail(probe, b"conectix").any(is_padded)
}

/// The sectors near the end that begin like this.
fn in_tail(probe: &Probe<'_>, magic: &'static [u8]) -> impl Iterator<Item = u64> {
    const SECTOR: usize = 512;
    let from = probe.len().saturating_sub(TAIL).next_multiple_of(SECTOR as u64);
    let len = usize::try_from(probe.len().saturating_sub(from)).unwrap_or(0);
    let tail = probe.block(from, len).unwrap_or_default();
    let sectors = tail.chunks_exact(SECTOR).enumerate();
    let found: Vec<u64> = sectors
        .filter(|(_, sector)| sector.starts_with(magic))
        .map(|(number, _)| from + (number * SECTOR) as u64)
        .collect();
    found.into_iter()
}

/// `block/vdi.c` of QEMU: a text, then signature and version.
fn vdi(probe: &Probe<'_>) -> bool {
    probe.has(64, VDI) && probe.bytes(70).map(u16::from_le_bytes) == Some(1)
}

/// `docs/interop/parallels.txt` of QEMU: one of two magic numbers and version 2.
fn parallels(probe: &Probe<'_>) -> bool {
    (probe.has(0, b"WithoutFreeSpace") || probe.has(0, b"WithouFreSpacExt"))
        && probe.le32(16) == Some(2)
}

/// A trailer of 512 bytes that gives its own length, version 4 (`block/dmg.c` of QEMU).
fn dmg(probe: &Probe<'_>) -> bool {
    let at = probe.len().checked_sub(512);
    at.is_some_and(|at| probe.has(at, b"koly\0\0\0\x04\0\0\x02\0"))
}

/// `src/caformat.h` of casync: the length of a first element and what it is, an index or an entry.
fn casync(probe: &Probe<'_>) -> bool {
    const INDEX: u64 = 0x9682_4d9c_7b12_9ff9;
    const ENTRY: u64 = 0x1396_fabc_ea5b_bb51;
    let word = |at| probe.bytes(at).map(u64::from_le_bytes);
    matches!((word(0), word(8)), (Some(48), Some(INDEX)) | (Some(64), Some(ENTRY)))
}
