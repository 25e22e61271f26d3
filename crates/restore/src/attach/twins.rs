//! Filesystems of this machine that have the id of one on a volume: a copy beside its original. Programs
//! that go by ids take one for the other.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use snapfmt::PreadFile;

use crate::device::{self, Number};
use crate::filesystem::Filesystem;
use crate::mounts;
use crate::signature::{Contents, Kind};

/// Another filesystem with the same id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Twin {
    /// The device that it is on, as far as that is known.
    pub device: Option<PathBuf>,
    /// Whether the kernel would take the copy for a part of it, whatever the options: a btrfs that is mounted.
    pub is_confused: bool,
}

impl Twin {
    /// One of this machine, if there is one: a btrfs in use, a filesystem that is mounted, or one that udev
    /// knows by its id.
    pub fn of(filesystem: &Filesystem) -> Option<Self> {
        let uuid = filesystem.signature.uuid.as_deref()?;
        let kind = filesystem.signature.kind;
        // The text is from an image that nobody vouches for.
        if !uuid.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return None;
        }
        if kind == Kind::Btrfs && Path::new("/sys/fs/btrfs").join(uuid).exists() {
            let device = fs::read_dir(format!("/sys/fs/btrfs/{uuid}/devices"))
                .ok()
                .and_then(|mut devices| devices.next()?.ok())
                .map(|device| Path::new("/dev").join(device.file_name()));
            return Some(Self { device, is_confused: true });
        }
        let known = fs::canonicalize(Path::new("/dev/disk/by-uuid").join(uuid)).ok();
        let device = known.or_else(|| mounted(kind, uuid))?;
        Some(Self { device: Some(device), is_confused: false })
    }
}

/// The device of a mounted filesystem with this id. Those are read in any case; to read all disks would wake
/// some of them.
fn mounted(kind: Kind, uuid: &str) -> Option<PathBuf> {
    let mut numbers: Vec<Number> = mounts::all().iter().flat_map(mounts::Mount::devices).collect();
    numbers.sort();
    numbers.dedup();
    let devices = numbers.into_iter().filter_map(|n| Some(Path::new("/dev").join(n.name()?)));
    let has_id = |path: &PathBuf| {
        let opened = File::open(path).and_then(|file| Ok((device::size(&file)?, file)));
        let Ok((size, file)) = opened else { return false };
        let contents = Contents::of(&PreadFile::new(file, size));
        contents.signatures().iter().any(|s| s.kind == kind && s.uuid.as_deref() == Some(uuid))
    };
    devices.into_iter().find(has_id)
}
