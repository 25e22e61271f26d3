//! Who uses a file or block device right now, as the kernel tells it.

mod kernel;
mod process;

use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

pub(crate) use kernel::claim_flags;
pub use process::Process;
pub(crate) use process::{lockers, writing};

use crate::device::{Id, Number};

/// One use of a file or device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Use {
    /// A filesystem on it is mounted here.
    Mounted(PathBuf),
    /// It is swap space.
    Swap,
    /// A device is built on it (device-mapper, md, …): its name.
    Holder(String),
    /// A loop device on it.
    Loop {
        /// The loop device's name.
        name: String,
        /// Whether it can only be read.
        read_only: bool,
    },
    /// It is a loop device, and this is another one over the same bytes.
    Twin {
        /// The other loop device's name.
        name: String,
        /// Whether that can only be read.
        read_only: bool,
    },
    /// A process has it open for writing.
    OpenForWriting(Process),
    /// A partition of it is used in some way.
    Partition {
        /// The partition's name.
        name: String,
        /// How that is used.
        used: Box<Use>,
    },
    /// The disk that it is a partition of is used as a whole in some way.
    Disk {
        /// The disk's name.
        name: String,
        /// How that is used.
        used: Box<Use>,
    },
    /// The kernel has it for itself: one of several devices of a mounted filesystem, say, or one
    /// mounted where this process does not see it.
    Claimed,
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mounted(at) => write!(f, "mounted at {}", at.display()),
            Self::Swap => f.write_str("in use as swap"),
            Self::Holder(name) => write!(f, "held by {name}"),
            Self::Loop { name, read_only: false } => {
                write!(f, "behind the writable loop device {name}")
            }
            Self::Loop { name, read_only: true } => write!(f, "behind the loop device {name}"),
            Self::Twin { name, .. } => {
                write!(f, "a loop device over the same bytes as the loop device {name}")
            }
            Self::OpenForWriting(process) => write!(f, "open for writing by {process}"),
            Self::Partition { name, used } => write!(f, "in use by its partition {name}: {used}"),
            Self::Disk { name, used } => write!(f, "part of the disk {name}, which is {used}"),
            Self::Claimed => f.write_str("in use by the kernel"),
        }
    }
}

/// Everything that may change `path` while it is read. Processes of other users are seen only by
/// root.
pub fn writers(path: &Path) -> io::Result<Vec<Use>> {
    let meta = fs::metadata(path)?;
    let mut uses = kernel_uses(&meta);
    uses.retain(Use::may_write);
    if uses.is_empty() && Number::of(&meta).is_some() && kernel::is_claimed(path) {
        uses.push(Use::Claimed);
    }
    uses.extend(writing(Id::of(&meta)).into_iter().map(|w| Use::OpenForWriting(w.process)));
    Ok(uses)
}

/// All uses of a file or device by the kernel that it says something of: mounts, swap, holders and
/// loop devices; those of a disk's partitions and of a partition's disk as well.
pub(crate) fn kernel_uses(meta: &Metadata) -> Vec<Use> {
    let id = Id::of(meta);
    let mut uses = kernel::uses_of(id);
    let Id::Device(number) = id else { return uses };
    for part in number.partitions() {
        let name = part.name().unwrap_or_else(|| part.to_string());
        let partition = |used| Use::Partition { name: name.clone(), used: Box::new(used) };
        uses.extend(kernel::uses_of(Id::Device(part)).into_iter().map(partition));
    }
    if let Some(disk) = number.disk() {
        let name = disk.name().unwrap_or_else(|| disk.to_string());
        let whole = |used| Use::Disk { name: name.clone(), used: Box::new(used) };
        uses.extend(kernel::uses_of(Id::Device(disk)).into_iter().map(whole));
    }
    uses
}

impl Use {
    fn may_write(&self) -> bool {
        match self {
            Self::Loop { read_only, .. } | Self::Twin { read_only, .. } => !read_only,
            Self::Partition { used, .. } | Self::Disk { used, .. } => used.may_write(),
            Self::Mounted(_)
            | Self::Swap
            | Self::Holder(_)
            | Self::OpenForWriting(_)
            | Self::Claimed => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Use, writers};

    #[test]
    fn a_file_open_for_writing_is_seen_and_one_open_for_reading_is_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let own = |uses: &[Use]| {
            uses.iter().any(|u| matches!(u, Use::OpenForWriting(p) if p.pid == std::process::id()))
        };
        assert!(own(&writers(file.path()).unwrap()));
        let path = file.into_temp_path();
        let _reader = std::fs::File::open(&path).unwrap();
        assert!(!own(&writers(&path).unwrap()));
    }
}
