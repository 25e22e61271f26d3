//! What a filesystem's own superblock says of it: how large it is, whether it was unmounted cleanly,
//! when it was last used. Reads only, believes nothing, never fails.

mod boot_sector;
mod btrfs;
mod ext;
mod swap;
mod xfs;

use std::fmt;

use jiff::Timestamp;
use snapfmt::ReadAt;

use crate::signature::{Contents, Kind, Probe, Signature};

/// A filesystem, or what takes the place of one: swap space, an encrypted volume, a pool member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filesystem {
    /// What it is, its label and its id.
    pub signature: Signature,
    /// The rest of what its superblock says.
    pub facts: Facts,
}

/// What a superblock says besides name and id. Empty where the format does not say it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// Size of the filesystem in bytes; what holds it has that many at least.
    pub size: Option<u64>,
    /// Size of its blocks or clusters in bytes.
    pub block: Option<u64>,
    /// Whether it was left in order.
    pub state: State,
    /// Where it was mounted last, as it is stored: untrusted text.
    pub last_mounted_on: Option<String>,
    /// When it was mounted last.
    pub last_mounted: Option<Timestamp>,
    /// When its superblock was written last.
    pub last_written: Option<Timestamp>,
    /// Of how many devices it is made, where that is more than one.
    pub devices: Option<u64>,
    /// What of it is on another device, by the superblock, so that this one alone is not all of it.
    pub elsewhere: Option<Elsewhere>,
    /// Which of the filesystem's devices this is: the device's own id (btrfs).
    pub device_id: Option<[u8; 16]>,
    /// Whether a copy of the superblock elsewhere says the same.
    pub backup: Backup,
}

/// What a filesystem can have on another device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Elsewhere {
    /// The journal of an ext filesystem, on a device that the superblock names by number or path.
    Journal,
    /// The log of an XFS.
    Log,
    /// The realtime section of an XFS.
    Realtime,
    /// The other devices of a btrfs, which the kernel finds by the filesystem's id.
    Devices {
        /// Of how many devices the filesystem is made.
        all: u64,
    },
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal => f.write_str("its journal is on another device"),
            Self::Log => f.write_str("its log is on another device"),
            Self::Realtime => f.write_str("it has a realtime section on another device"),
            Self::Devices { all } => write!(f, "it is made of {all} devices, and this is one"),
        }
    }
}

/// In which state a filesystem was left.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum State {
    /// Unmounted, with nothing left to do.
    Clean,
    /// Its journal holds changes that are not in place yet, as after a crash.
    NeedsReplay,
    /// It was not unmounted, and there is no journal to make it whole: it wants a check.
    NotUnmounted,
    /// It noted errors itself.
    HasErrors,
    /// The format does not say, or not where it was looked.
    #[default]
    Unknown,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clean => "clean",
            Self::NeedsReplay => "journal to be replayed",
            Self::NotUnmounted => "not unmounted cleanly",
            Self::HasErrors => "has errors",
            Self::Unknown => "not known",
        })
    }
}

/// What a second copy of the superblock, at the place that the first one gives, says of it. Where
/// members were laid together in a wrong way, the copy is seldom there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Backup {
    /// It is there and of the same filesystem.
    Agrees,
    /// Something else is there.
    Differs {
        /// Where it should be, in bytes.
        offset: u64,
    },
    /// The filesystem has none, or its place is not known.
    #[default]
    None,
}

impl Filesystem {
    /// The filesystems that are found at the start of `source`: none, one or, where an old one was
    /// not wiped, several. Partition tables, LVM and RAID are not among them.
    pub fn find(source: &dyn ReadAt) -> Vec<Self> {
        let contents = Contents::of(source);
        let Some(probe) = Probe::new(source) else { return Vec::new() };
        contents
            .signatures()
            .iter()
            .filter_map(|signature| {
                let facts = facts(signature.kind, &probe)?;
                Some(Self { signature: signature.clone(), facts })
            })
            .collect()
    }

    /// Whether more bytes belong to it than `size`; `None` where it does not say how many.
    pub fn is_cut_at(&self, size: u64) -> Option<bool> {
        self.facts.size.map(|needed| needed > size)
    }
}

/// `None` for what holds no files.
fn facts(kind: Kind, probe: &Probe<'_>) -> Option<Facts> {
    Some(match kind {
        Kind::Ext2 | Kind::Ext3 | Kind::Ext4 => ext::facts(probe),
        Kind::Xfs => xfs::facts(probe),
        Kind::Btrfs => btrfs::facts(probe),
        Kind::Ntfs => boot_sector::ntfs(probe),
        Kind::Fat => boot_sector::fat(probe),
        Kind::ExFat => boot_sector::exfat(probe),
        Kind::Swap => swap::facts(probe),
        Kind::ExtJournal | Kind::Luks | Kind::BitLocker | Kind::Zfs => Facts::default(),
        Kind::Lvm | Kind::Md | Kind::Gpt | Kind::Mbr => return None,
    })
}

/// Seconds since 1970 as superblocks have them; 0 stands for never.
fn timestamp(seconds: u64) -> Option<Timestamp> {
    let seconds = i64::try_from(seconds).ok().filter(|seconds| *seconds > 0)?;
    Timestamp::from_second(seconds).ok()
}

impl Backup {
    fn at(offset: u64, agrees: bool) -> Self {
        if agrees { Self::Agrees } else { Self::Differs { offset } }
    }
}
