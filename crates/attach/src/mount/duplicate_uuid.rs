//! Filesystems of this machine that have the id of one on a volume: a copy beside its original. Programs
//! that go by ids take one for the other.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use snapfmt::PreadFile;

use disk::filesystem::Filesystem;
use disk::signature::{Contents, Kind};
use host::device::{self, Number, attribute};
use host::mounts;

/// Another filesystem with the same id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DuplicateUuid {
    /// The device that it is on, as far as that is known.
    pub device: Option<PathBuf>,
    /// Whether the kernel would take the copy for a part of it, whatever the options: a btrfs that is
    /// mounted, or another device of the same btrfs.
    pub is_confused: bool,
}

impl DuplicateUuid {
    /// One of this machine, if there is one: a btrfs in use, a filesystem that is mounted, or one that udev
    /// knows by its id. For a btrfs that is to be mounted all block devices are looked at, as the kernel
    /// takes any of them.
    pub fn of(filesystem: &Filesystem, is_to_be_mounted: bool) -> Option<Self> {
        let uuid = filesystem.signature.uuid.as_deref()?;
        let kind = filesystem.signature.kind;
        // The text is from an image that may say anything.
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
        if is_to_be_mounted
            && kind == Kind::Btrfs
            && let Some(device) = other_device(filesystem)
        {
            return Some(Self { device: Some(device), is_confused: true });
        }
        let known = fs::canonicalize(Path::new("/dev/disk/by-uuid").join(uuid)).ok();
        let device = known.or_else(|| mounted(kind, uuid))?;
        Some(Self { device: Some(device), is_confused: false })
    }
}

/// A device of this machine that says it is another one of the same btrfs. The kernel puts devices together
/// by the filesystem's id, and none of these may get into what is mounted, or the other way round. A copy of
/// the very same device is none of these: that takes its place.
fn other_device(filesystem: &Filesystem) -> Option<PathBuf> {
    let uuid = filesystem.signature.uuid.as_deref()?;
    // The kernel never saw what is attached: udev is kept from it. What serves it may not answer.
    let served: Vec<PathBuf> = mounts::all()
        .into_iter()
        .filter(|mount| mount.source == Path::new(crate::place::FUSE_SOURCE))
        .map(|mount| mount.at)
        .collect();
    let is_served = |number: Number| {
        device::LoopDevice::numbered(number)
            .is_some_and(|device| served.iter().any(|at| device.backing.starts_with(at)))
    };
    let entries = fs::read_dir("/sys/class/block").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|e| attribute(&e.path().join("dev"))?.parse().ok());
    let devices = numbers.filter(|number| !is_served(*number)).filter_map(Number::node);
    let is_other = |path: &PathBuf| {
        let found = opened(path).map(|file| Filesystem::find(&file)).unwrap_or_default();
        found.iter().any(|other| {
            other.signature.kind == Kind::Btrfs
                && other.signature.uuid.as_deref() == Some(uuid)
                && other.facts.device_id != filesystem.facts.device_id
        })
    };
    devices.into_iter().find(is_other)
}

fn opened(path: &Path) -> std::io::Result<PreadFile> {
    let file = File::open(path)?;
    let size = device::size(&file)?;
    Ok(PreadFile::new(file, size))
}

/// The device of a mounted filesystem with this id. Those are read in any case; to read all disks would wake
/// some of them.
fn mounted(kind: Kind, uuid: &str) -> Option<PathBuf> {
    let mut numbers: Vec<Number> = mounts::all().iter().flat_map(mounts::Mount::devices).collect();
    numbers.sort();
    numbers.dedup();
    let devices = numbers.into_iter().filter_map(Number::node);
    let has_id = |path: &PathBuf| {
        let Ok(file) = opened(path) else { return false };
        let contents = Contents::of(&file);
        contents.signatures().iter().any(|s| s.kind == kind && s.uuid.as_deref() == Some(uuid))
    };
    devices.into_iter().find(has_id)
}
