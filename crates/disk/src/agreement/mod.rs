//! Whether what a filesystem says in two places of a volume agrees. Where members were copied at different
//! moments, each of them is sound by itself and their metadata is equal: the filesystem over them is not.
//!
//! Only what must hold at every instant counts, so that copies of one moment are never doubted, however much was
//! being written.

mod bounded;
mod ext;
mod xfs;

use std::fmt;

use crate::filesystem::{Backup, Filesystem};
use crate::partitions::Table;
use snapfmt::{Offset, ReadAt};

use bounded::Bounded;

/// Most reads of one check, and most bytes.
pub const MOST_READS: u32 = 512;
/// See [`MOST_READS`].
pub const MOST_BYTES: u64 = 16 << 20;
/// Sectors that tables of DOS count in.
const SECTOR: u32 = 512;
/// Most filesystems that are looked at, where there are partitions.
const MOST_FILESYSTEMS: usize = 8;

/// What of a filesystem does not agree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Disagreement {
    /// What the filesystem calls itself.
    pub filesystem: &'static str,
    /// What does not agree.
    pub what: What,
}

/// What does not agree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// It is larger than the volume.
    Size {
        /// Size of the filesystem in bytes.
        needed: u64,
        /// Size of what it is on.
        size: u64,
    },
    /// The copy of its superblock is not where it must be.
    Copy {
        /// Where that is, in bytes of the filesystem.
        offset: u64,
    },
    /// Bitmaps are not those that the group descriptors tell of, or inodes are in use that are free by them.
    Bitmaps {
        /// How many of them.
        differ: usize,
        /// How many were looked at.
        checked: usize,
    },
    /// An older round of the log goes on behind a newer one.
    Log {
        /// Where the older one is found, in bytes of the filesystem.
        old: u64,
        /// Where the newer one is found behind it.
        new: u64,
    },
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.filesystem;
        let order = "its members may be in another order, or laid out otherwise";
        let moments = "its members may be copies of different moments";
        match &self.what {
            What::Size { needed, size } => {
                write!(f, "the {name} has {needed} bytes, what it is on has {size}: {order}")
            }
            What::Copy { offset } => {
                let offset = Offset(*offset);
                write!(f, "the {name} has no copy of its superblock at {offset}: {order}")
            }
            What::Bitmaps { differ, checked } => write!(
                f,
                "{differ} of {checked} bitmaps and blocks of inodes of the {name} do not agree with what else it says \
                 of them: {moments}"
            ),
            What::Log { old, new } => {
                let (old, new) = (Offset(*old), Offset(*new));
                write!(
                    f,
                    "the log of the {name} is older at {old} than behind it, at {new}: {moments}"
                )
            }
        }
    }
}

/// What of the filesystems on a volume does not agree; what cannot be read, or is not known, speaks for nothing. Costs
/// no more than [`MOST_READS`] reads and [`MOST_BYTES`] bytes.
pub fn disagreement(volume: &dyn ReadAt) -> Option<Disagreement> {
    let all = Bounded::new(volume, MOST_READS, MOST_BYTES);
    match Table::read(&all, SECTOR) {
        Ok(Some(table)) => {
            let mut partitions = table.partitions.into_iter().take(MOST_FILESYSTEMS);
            partitions.find_map(|partition| of_filesystem(&all.part(partition.range)?))
        }
        _ => of_filesystem(&all),
    }
}

fn of_filesystem(bytes: &Bounded<'_>) -> Option<Disagreement> {
    let found = Filesystem::find(bytes);
    // Of several only one can be in use.
    let [found] = found.as_slice() else { return None };
    let what = if let Some(needed) = found.facts.size.filter(|needed| *needed > bytes.len()) {
        Some(What::Size { needed, size: bytes.len() })
    } else if let Backup::Differs { offset } = found.facts.backup {
        Some(What::Copy { offset })
    } else {
        ext::bitmaps(bytes, found.facts.state).or_else(|| xfs::log(bytes))
    };
    Some(Disagreement { filesystem: found.signature.kind.noun(), what: what? })
}
