//! Who uses a file or block device right now, as the kernel tells it.

mod kernel;
mod process;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) use kernel::CLAIM;
pub use kernel::is_claimed;
pub use process::Process;
pub(crate) use process::{Opener, lockers};

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
    LoopOverSameBytes {
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
            Self::LoopOverSameBytes { name, .. } => {
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
    let id = Id::of(&meta);
    let mut uses = by_kernel(id);
    uses.retain(Use::may_write);
    if uses.is_empty() && matches!(id, Id::Device(_)) && kernel::is_claimed(path) {
        uses.push(Use::Claimed);
    }
    uses.extend(by_writers(id, |_| true));
    Ok(uses)
}

/// All uses of a file or device by the kernel that it says something of: mounts, swap, holders and
/// loop devices.
pub fn by_kernel(id: Id) -> Vec<Use> {
    let places = places(id).into_iter();
    places
        .flat_map(|(id, place)| kernel::uses_of(id).into_iter().map(move |used| place.of(used)))
        .collect()
}

/// All uses of a file or device by processes that have it open for writing and that `counts`.
pub(crate) fn by_writers(id: Id, counts: impl Fn(&Opener) -> bool) -> Vec<Use> {
    let places = places(id);
    let ids: Vec<Id> = places.iter().map(|(id, _)| *id).collect();
    let writers: Vec<Opener> = process::writing(&ids).filter(counts).collect();
    let at = |(id, place): &(Id, Place)| {
        let here = writers.iter().filter(|opener| opener.id == *id);
        here.map(|opener| place.of(Use::OpenForWriting(opener.process.clone()))).collect::<Vec<_>>()
    };
    places.iter().flat_map(at).collect()
}

/// The processes that have a file or device, one of its partitions or its disk open in any way.
pub fn openers(id: Id) -> Vec<Process> {
    let ids: Vec<Id> = places(id).into_iter().map(|(id, _)| id).collect();
    process::openers(&ids).map(|opener| opener.process).collect()
}

/// Where else something is used when one of these is.
enum Place {
    Itself,
    Partition(String),
    Disk(String),
}

impl Place {
    fn of(&self, used: Use) -> Use {
        match self {
            Self::Itself => used,
            Self::Partition(name) => Use::Partition { name: name.clone(), used: Box::new(used) },
            Self::Disk(name) => Use::Disk { name: name.clone(), used: Box::new(used) },
        }
    }
}

/// A file or device, its partitions, and the disk that it is one of.
fn places(id: Id) -> Vec<(Id, Place)> {
    let mut places = vec![(id, Place::Itself)];
    if let Id::Device(number) = id {
        let name = |number: Number| number.name().unwrap_or_else(|| number.to_string());
        let partitions = number.partitions().into_iter();
        places.extend(partitions.map(|p| (Id::Device(p), Place::Partition(name(p)))));
        places.extend(number.disk().map(|disk| (Id::Device(disk), Place::Disk(name(disk)))));
    }
    places
}

impl Use {
    /// Whether it is one of those that programs make of a device only to look at it.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::OpenForWriting(_) | Self::Claimed => true,
            Self::Partition { used, .. } | Self::Disk { used, .. } => used.may_pass(),
            Self::Mounted(_)
            | Self::Swap
            | Self::Holder(_)
            | Self::Loop { .. }
            | Self::LoopOverSameBytes { .. } => false,
        }
    }

    fn may_write(&self) -> bool {
        match self {
            Self::Loop { read_only, .. } | Self::LoopOverSameBytes { read_only, .. } => !read_only,
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
