//! What a device or image holds, told from the few bytes that filesystems, partition tables and
//! other formats put at fixed places. Reads only, believes nothing, never fails.

mod container;
mod filesystem;
mod layer;
mod probe;
mod table;

use std::fmt;

use snapfmt::ReadAt;

pub use container::Container;
pub(crate) use probe::{Probe, uuid};

/// Bytes from the start that are looked at: the superblock that begins last is btrfs's, 4 KiB at
/// 64 KiB.
pub const HEAD_LEN: usize = 68 << 10;

/// A format that can be recognised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// ext2.
    Ext2,
    /// ext3.
    Ext3,
    /// ext4.
    Ext4,
    /// The journal of an ext filesystem that is elsewhere.
    ExtJournal,
    /// XFS.
    Xfs,
    /// btrfs.
    Btrfs,
    /// NTFS.
    Ntfs,
    /// FAT12, FAT16 or FAT32.
    Fat,
    /// exFAT.
    ExFat,
    /// Swap space, or a hibernated system.
    Swap,
    /// An encrypted LUKS volume.
    Luks,
    /// A volume encrypted by `BitLocker`.
    BitLocker,
    /// A physical volume of LVM.
    Lvm,
    /// A part of a Linux software RAID.
    Md,
    /// A part of a ZFS pool.
    Zfs,
    /// A GUID partition table.
    Gpt,
    /// A partition table as DOS made it.
    Mbr,
}

impl Kind {
    /// What a person calls it.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Ext2 => "ext2 filesystem",
            Self::Ext3 => "ext3 filesystem",
            Self::Ext4 => "ext4 filesystem",
            Self::ExtJournal => "external journal of an ext filesystem",
            Self::Xfs => "XFS filesystem",
            Self::Btrfs => "btrfs filesystem",
            Self::Ntfs => "NTFS filesystem",
            Self::Fat => "FAT filesystem",
            Self::ExFat => "exFAT filesystem",
            Self::Swap => "swap space",
            Self::Luks => "LUKS encrypted volume",
            Self::BitLocker => "BitLocker encrypted volume",
            Self::Lvm => "LVM physical volume",
            Self::Md => "member of a Linux RAID",
            Self::Zfs => "member of a ZFS pool",
            Self::Gpt => "GPT partition table",
            Self::Mbr => "MBR partition table",
        }
    }

    /// How to make it use all of a larger device or image, if that can be said in a line; `TARGET`
    /// and `MOUNTPOINT` are for the reader to fill in. From `resize2fs(8)`, which wants a check
    /// before it, `xfs_growfs(8)` and `btrfs-filesystem(8)`.
    pub const fn grow_hint(self) -> Option<&'static str> {
        match self {
            Self::Ext2 | Self::Ext3 | Self::Ext4 => Some("e2fsck -f TARGET, then resize2fs TARGET"),
            Self::Xfs => Some("mount it, then xfs_growfs MOUNTPOINT"),
            Self::Btrfs => Some("mount it, then btrfs filesystem resize max MOUNTPOINT"),
            Self::ExtJournal
            | Self::Ntfs
            | Self::Fat
            | Self::ExFat
            | Self::Swap
            | Self::Luks
            | Self::BitLocker
            | Self::Lvm
            | Self::Md
            | Self::Zfs
            | Self::Gpt
            | Self::Mbr => None,
        }
    }
}

/// One thing found. Displays as `ext4 filesystem "data" (UUID …)`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signature {
    /// What it is.
    pub kind: Kind,
    /// The name it was given, as it is stored: untrusted text.
    pub label: Option<String>,
    /// Its id, in the form its own tools show it.
    pub uuid: Option<String>,
}

/// Where a header of a GPT is, whatever else there is.
pub(crate) fn gpt_header(disk: &dyn ReadAt) -> Option<u64> {
    Probe::new(disk).and_then(|probe| table::gpt_header(&probe))
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.noun())?;
        if let Some(label) = &self.label {
            write!(f, " \"{}\"", label.escape_debug())?;
        }
        match &self.uuid {
            Some(uuid) => write!(f, " (UUID {})", uuid.escape_debug()),
            None => Ok(()),
        }
    }
}

/// What a device or image holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Contents {
    /// These formats, at least one.
    Known(Vec<Signature>),
    /// No disk, but a file that holds one, or other files, in a form of its own.
    Container(&'static Container),
    /// Something, but nothing that is known here.
    Unknown,
    /// Zeros wherever it was looked at: the first [`HEAD_LEN`] bytes and the last 4 KiB.
    Blank,
    /// Its first bytes cannot be read.
    Unreadable,
}

impl Contents {
    /// Looks into `source`.
    pub fn of(source: &dyn ReadAt) -> Self {
        let Some(probe) = Probe::new(source) else { return Self::Unreadable };
        let found = signatures(&probe);
        if !found.is_empty() {
            Self::Known(found)
        } else if probe.is_blank() {
            Self::Blank
        } else {
            Container::of_unknown(&probe).map_or(Self::Unknown, Self::Container)
        }
    }

    /// What was recognised.
    pub fn signatures(&self) -> &[Signature] {
        match self {
            Self::Known(signatures) => signatures,
            Self::Container(_) | Self::Unknown | Self::Blank | Self::Unreadable => &[],
        }
    }
}

fn signatures(probe: &Probe<'_>) -> Vec<Signature> {
    let mut found = Vec::new();
    filesystem::find(probe, &mut found);
    layer::find(probe, &mut found);
    table::find(probe, &mut found);
    found
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(signatures) => {
                for (n, signature) in signatures.iter().enumerate() {
                    write!(f, "{}{signature}", if n == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
            Self::Container(container) => write!(f, "{container}"),
            Self::Unknown => f.write_str("unknown data"),
            Self::Blank => f.write_str("nothing (zeros at its start and end)"),
            Self::Unreadable => f.write_str("data that cannot be read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, proptest};

    use super::{Contents, HEAD_LEN};

    #[test]
    fn nothing_and_unknown() {
        for len in [0, 1, 511, 4096, HEAD_LEN, 3 * HEAD_LEN] {
            assert_eq!(Contents::of(&vec![0; len]), Contents::Blank, "{len}");
            let mut bytes = vec![0; len];
            let Some(last) = bytes.last_mut() else { continue };
            *last = 1;
            assert_eq!(Contents::of(&bytes), Contents::Unknown, "{len}");
        }
        assert_eq!(Contents::Unknown.signatures(), []);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(
            len in 0..300_000usize,
            places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..50),
            at in prop::sample::select(vec![0usize, 3, 54, 510, 512, 1024, 1080, 4086, 4096, 65_600]),
            magic in prop::sample::select(vec![
                &b"XFSB"[..], b"\x53\xef", b"_BHRfS_M", b"LABELONE", b"LUKS\xba\xbe\0\x02",
                b"EFI PART", b"\x55\xaa", b"SWAPSPACE2", b"NTFS    ", b"FAT16   ",
                b"\xfc\x4e\x2b\xa9\x01\0\0\0",
            ]),
        ) {
            let mut bytes = vec![0; len];
            for (place, byte) in places {
                if len > 0 {
                    bytes[place.index(len)] = byte;
                }
            }
            if let Some(place) = bytes.get_mut(at..at + magic.len()) {
                place.copy_from_slice(magic);
            }
            let contents = Contents::of(&bytes);
            assert!(!contents.to_string().chars().any(char::is_control), "{contents}");
        }
    }
}
