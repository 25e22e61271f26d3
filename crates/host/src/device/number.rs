//! The number of a block device.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;
use std::str::FromStr;

use super::attribute;

/// Major and minor number, by which the kernel knows a block device whatever its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Number(u64);

impl Number {
    /// From its two parts.
    pub fn new(major: u32, minor: u32) -> Self {
        Self(rustix::fs::makedev(major, minor))
    }

    /// The number of what `meta` describes, if that is a block device.
    pub fn of(meta: &Metadata) -> Option<Self> {
        meta.file_type().is_block_device().then(|| Self(meta.rdev()))
    }

    /// Itself, if a filesystem whose files name it is on one block device: major 0 is for those that
    /// are on none, or on several.
    pub(crate) fn filesystem(self) -> Option<Self> {
        (rustix::fs::major(self.0) != 0).then_some(self)
    }

    /// Its directory in sysfs (`Documentation/admin-guide/sysfs-rules.rst` of the kernel).
    pub(crate) fn sysfs(self) -> PathBuf {
        PathBuf::from(format!("/sys/dev/block/{self}"))
    }

    /// The kernel's name for it, such as `sda1`.
    pub(crate) fn name(self) -> Option<String> {
        let place = std::fs::canonicalize(self.sysfs()).ok()?;
        Some(place.file_name()?.to_string_lossy().into_owned())
    }

    /// Its node, as devtmpfs names it.
    pub fn node(self) -> Option<PathBuf> {
        Some(PathBuf::from("/dev").join(self.name()?))
    }

    /// Its number among the partitions of its disk, if it is one.
    pub(crate) fn partition(self) -> Option<u32> {
        attribute(&self.sysfs().join("partition"))?.parse().ok()
    }

    /// The whole disk it is a partition of.
    pub(crate) fn disk(self) -> Option<Self> {
        self.partition()?;
        attribute(&self.sysfs().join("../dev"))?.parse().ok()
    }

    /// Its partitions.
    pub fn partitions(self) -> Vec<Self> {
        let entries = std::fs::read_dir(self.sysfs()).into_iter().flatten().flatten();
        let partitions = entries.map(|e| e.path()).filter(|p| p.join("partition").exists());
        partitions.filter_map(|p| attribute(&p.join("dev"))?.parse().ok()).collect()
    }

    /// Whether one is the other, or a partition of it.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        self == other || self.disk() == Some(other) || other.disk() == Some(self)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", rustix::fs::major(self.0), rustix::fs::minor(self.0))
    }
}

/// Text that is no device number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a device number: MAJOR:MINOR")]
pub struct NotANumber;

impl FromStr for Number {
    type Err = NotANumber;

    fn from_str(text: &str) -> Result<Self, NotANumber> {
        let (major, minor) = text.split_once(':').ok_or(NotANumber)?;
        let parse = |text: &str| text.parse().map_err(|_| NotANumber);
        Ok(Self::new(parse(major)?, parse(minor)?))
    }
}
