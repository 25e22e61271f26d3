use super::Container;
use crate::signature::Contents;

/// A file of `len` bytes with these bytes at these places.
fn file(len: usize, parts: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; len];
    for (at, part) in parts {
        bytes[*at..at + part.len()].copy_from_slice(part);
    }
    bytes
}

fn noun(bytes: &[u8]) -> Option<&'static str> {
    Container::of(&bytes.to_vec()).map(|container| container.noun)
}

/// The footer of a VHD of this type for a disk of `size` bytes.
fn footer(kind: u32, size: u64) -> [u8; 512] {
    let mut footer = [0; 512];
    footer[..8].copy_from_slice(b"conectix");
    footer[48..56].copy_from_slice(&size.to_be_bytes());
    footer[60..64].copy_from_slice(&kind.to_be_bytes());
    let sum: u32 = footer.iter().copied().map(u32::from).sum();
    footer[64..68].copy_from_slice(&(!sum).to_be_bytes());
    footer
}

/// A header of tar with this magic number.
fn tar(magic: &[u8]) -> [u8; 512] {
    let mut header = [0; 512];
    header[..8].copy_from_slice(b"disk.raw");
    header[257..257 + magic.len()].copy_from_slice(magic);
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().copied().map(u32::from).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// Formats by a word of their names, and bytes that they begin with.
const HEADS: [(&str, &[u8]); 63] = [
    ("qcow2", b"QFI\xfb\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10"),
    ("qcow2", b"QFI\xfb\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x09"),
    ("qcow2 image of a form", b"QFI\xfb\0\0\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10"),
    ("qcow2 image of a form", b"QFI\xfb\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x1e"),
    ("QED", b"QED\0\0\0\x01\0\x04\0\0\0"),
    ("VMDK", b"KDMV\x01\0\0\0"),
    ("VMDK image of a form", b"KDMV\x04\0\0\0"),
    ("VMDK", b"COWD\x01\0\0\0"),
    ("VMDK", b"\xbe\xba\xfe\xca\0\0\0\0\x01\0\0\0\x02\0\0\0"),
    ("VMDK descriptor", b"# Disk DescriptorFile\n"),
    ("VMDK descriptor", b"# disk descriptorfile\r\n"),
    ("VMDK descriptor", b"\xef\xbb\xbf# Disk DescriptorFile\n"),
    ("VMDK descriptor", b"\n# Disk DescriptorFile\n"),
    ("VMDK descriptor", b"# made by hand\r\n# Disk DescriptorFile\r\n"),
    ("VHDX", b"vhdxfile"),
    ("Parallels", b"WithoutFreeSpace\x02\0\0\0"),
    ("Parallels", b"WithouFreSpacExt\x02\0\0\0"),
    ("encrypted DMG", b"encrcdsa"),
    ("EWF", b"EVF\x09\x0d\x0a\xff\0\x01\x01\0"),
    ("EWF", b"EVF2\x0d\x0a\x81\0"),
    ("EWF logical", b"LVF\x09\x0d\x0a\xff\0"),
    ("EWF logical", b"LEF2\x0d\x0a\x81\0"),
    ("AFF", b"AFF10\x0d\x0a\0"),
    (
        "AFF4",
        b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x15\0\0\0container.description",
    ),
    ("VMA", b"VMA\0\0\0\0\x01"),
    ("partclone", b"partclone-image\x000001"),
    ("partclone", b"partclone-image\x002.0"),
    ("ntfsclone", b"\0ntfsclone-image\x0a\0"),
    ("partimage", b"PaRtImAgE-VoLuMe"),
    ("RBD", b"rbd image v2\n"),
    ("RBD", b"rbd diff v1\n"),
    ("RBD", b"rbd diff v2\n"),
    ("Android", b"\x3a\xff\x26\xed\x01\0\0\0\x1c\0\x0c\0"),
    ("casync", b"\x30\0\0\0\0\0\0\0\xf9\x9f\x12\x7b\x9c\x4d\x82\x96"),
    ("Proxmox", &[47, 127, 65, 237, 145, 253, 15, 205]),
    ("Proxmox", &[28, 145, 78, 165, 25, 186, 179, 205]),
    ("Proxmox", &[66, 171, 56, 7, 190, 131, 112, 161]),
    ("Xen", b"LibxlFmt"),
    ("gzip", b"\x1f\x8b\x08\x08\x01\x02\x03\x04\x02\x03disk"),
    ("xz", b"\xfd7zXZ\0\0\x04"),
    ("zstd", b"\x28\xb5\x2f\xfd\xa4"),
    ("zstd", b"\x50\x2a\x4d\x18\x04\0\0\0abcd\x28\xb5\x2f\xfd\x04"),
    ("lz4", b"\x04\x22\x4d\x18\x64\x40\xa7"),
    ("lz4", b"\x02\x21\x4c\x18\x00\x10\0\0"),
    ("bzip2", b"BZh91AY&SY"),
    ("lzma", b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff\0"),
    ("lzip", b"LZIP\x01\x0c"),
    ("lzop", b"\x89LZO\0\x0d\x0a\x1a\x0a"),
    ("PGP", b"-----BEGIN PGP MESSAGE-----"),
    ("PGP", b"-----BEGIN PGP PUBLIC KEY"),
    ("openssl", b"Salted__"),
    ("openssl", b"U2FsdGVkX1"),
    ("age", b"-----BEGIN AGE ENCRYPTED FILE-----\n"),
    ("btrfs send", b"btrfs-stream\0"),
    ("ZFS send", b"\0\0\0\0\0\0\0\0\xac\xcb\xba\xf5\x02\0\0\0"),
    ("xfsdump", b"xFSdump0"),
    ("zip", b"PK\x03\x04\x14\0\0\0\x08\0"),
    ("7z", b"7z\xbc\xaf\x27\x1c\0\x04"),
    ("rar", b"Rar!\x1a\x07\x01\0"),
    ("ar archive", b"!<arch>\ndisk"),
    ("dar", b"\0\0\0\x7b0123456789NT"),
    ("WIM", b"MSWIM\0\0\0"),
    ("snaprestore", b"\x53\x2a\x4d\x18\0\0\0\0SNAPRST\x01"),
];

#[test]
fn every_format_by_its_first_bytes() {
    const LEN: usize = 1 << 20;
    let hex = b"0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000";
    let newc = [&b"070701"[..], hex, b"0000"].concat();
    let odc = [&b"070707"[..], &hex[..70]].concat();
    let bin = [0xc7, 0x71, 0, 0, 0, 0, 0xa4, 0x81, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0];
    let cpio = [("cpio", newc.as_slice()), ("cpio", &odc), ("cpio", &bin)];
    for (expected, head) in HEADS.into_iter().chain(cpio) {
        let found = noun(&file(LEN, &[(0, head)]));
        assert!(found.is_some_and(|noun| noun.contains(expected)), "{expected}: {found:?}");
        // Not if only a part of the magic number is there.
        for kept in [2, 3] {
            assert_eq!(noun(&file(LEN, &[(0, &head[..kept])])), None, "{expected}");
        }
        // A disk that has it left from an earlier use is one.
        let used = file(LEN, &[(0, head), (1080, b"\x53\xef"), (1024 + 0x5c, b"\x3c")]);
        let is_own = matches!(expected, "qcow2" | "QED" | "VMDK");
        assert_eq!(noun(&used).is_some(), is_own, "{expected}");
    }
    let vdi = file(LEN, &[(64, b"\x7f\x10\xda\xbe\x01\0\x01\0")]);
    assert_eq!(noun(&vdi), Some("VDI image"));
    for magic in [&b"ustar\x0000"[..], b"ustar  \0", b""] {
        assert_eq!(noun(&file(LEN, &[(0, &tar(magic))])), Some("tar archive"));
    }
    // The bytes of a name that is not ASCII count as negative numbers.
    let mut signed = tar(b"");
    signed[..2].copy_from_slice(b"\xc3\xbc");
    signed[148..156].fill(b' ');
    let sum: i32 = signed.iter().map(|byte| i32::from(byte.cast_signed())).sum();
    signed[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert_eq!(noun(&file(LEN, &[(0, &signed)])), Some("tar archive"));
    let mut other = tar(b"ustar\x0000");
    other[0] ^= 1;
    assert_eq!(noun(&file(LEN, &[(0, &other)])), None);
}

#[test]
fn what_ends_like_an_image() {
    const LEN: usize = 1 << 20;
    let disk = (446, &[0x80, 0, 2, 0, 0x83, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0][..]);
    let end = (510, &b"\x55\xaa"[..]);
    let at = LEN - 512;
    let size = u64::try_from(at).unwrap();
    let fixed = |footer: &[u8; 512]| noun(&file(LEN, &[disk, end, (at, footer)]));
    assert_eq!(fixed(&footer(2, size)), Some("VHD image"));
    assert_eq!(fixed(&footer(3, 1 << 40)), Some("VHD image"));
    // Of another size, or with another checksum, it is what a disk happens to hold.
    assert_eq!(fixed(&footer(2, size - 512)), None);
    let mut broken = footer(2, size);
    broken[70] ^= 1;
    assert_eq!(fixed(&broken), None);
    // What pads the file moves the footer away from its end.
    for padding in [512, 4096, (64 << 10) - 512] {
        let padded = |by: usize| {
            let (len, at) = (LEN + by, (at, &footer(2, size)[..]));
            noun(&file(len, &[disk, end, at]))
        };
        assert_eq!(padded(padding), Some("VHD image"), "{padding}");
        assert_eq!(padded(padding + 1), Some("VHD image").filter(|_| padding < 60 << 10));
    }
    let dynamic = footer(3, 1 << 40);
    assert_eq!(noun(&file(LEN, &[(0, &dynamic)])), Some("VHD image"));
    let dmg = file(LEN, &[disk, end, (at, b"koly\0\0\0\x04\0\0\x02\0")]);
    assert_eq!(noun(&dmg), Some("DMG image"));
}

#[test]
fn disks_are_no_containers() {
    const LEN: usize = 1 << 20;
    for head in [&b""[..], b"\xeb\x63\x90", b"\x1f\x8b\x08", b"BZh9", b"PK\x03\x04", b"QFI\xfb"] {
        assert_eq!(noun(&file(LEN, &[(0, head), (4096, b"data")])), None);
    }
    // What an earlier disk left at the end does not acquit.
    let qcow = b"QFI\xfb\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10";
    for head in [&qcow[..], b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03", b"vhdxfile"] {
        let left = file(LEN, &[(0, head), (LEN - 512, b"EFI PART")]);
        assert!(noun(&left).is_some(), "{head:?}");
    }
    let contents = Contents::of(&file(LEN, &[(0, b"vhdxfile")]));
    assert_eq!(contents.to_string(), "VHDX image");
}
