//! Loop devices, and what is behind them.

use std::ffi::OsString;
use std::fs;
use std::ops::Range;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::{Id, Number, attribute};

/// A loop device that is in use.
#[derive(Debug)]
pub struct LoopDevice {
    /// Its name, such as `loop0`.
    pub name: String,
    /// The file or device its bytes are in, by the name it had when it was attached.
    pub backing: PathBuf,
    /// Whether nothing can be written through it.
    pub(crate) read_only: bool,
    /// Which bytes of it.
    range: Range<u64>,
}

impl LoopDevice {
    /// All there are.
    pub fn all() -> impl Iterator<Item = Self> {
        let entries = fs::read_dir("/sys/block").into_iter().flatten().flatten();
        entries.filter_map(|entry| Self::read(&entry.path()))
    }

    /// The one with this number.
    pub fn numbered(number: Number) -> Option<Self> {
        Self::read(&number.sysfs())
    }

    /// Which bytes of the backing file or device it has.
    pub(crate) const fn range(&self) -> &Range<u64> {
        &self.range
    }

    /// Whether `other` is another device over some of the same bytes of the same file or device.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        let id = |path| fs::metadata(path).ok().map(|meta| Id::of(&meta));
        self.name != other.name
            && self.range.start < other.range.end
            && other.range.start < self.range.end
            && id(&self.backing).is_some_and(|own| id(&other.backing) == Some(own))
    }

    /// The one with this directory in sysfs (`Documentation/ABI/testing/sysfs-block-loop`).
    fn read(sysfs: &Path) -> Option<Self> {
        let mut backing = fs::read(sysfs.join("loop/backing_file")).ok()?;
        if backing.last() == Some(&b'\n') {
            backing.pop();
        }
        let name = fs::canonicalize(sysfs).ok()?.file_name()?.to_string_lossy().into_owned();
        let read_only = attribute(&sysfs.join("ro")).is_some_and(|ro| ro == "1");
        let number = |name: &str| attribute(&sysfs.join(name))?.parse::<u64>().ok();
        let start = number("loop/offset").unwrap_or(0);
        let end = match number("loop/sizelimit") {
            None | Some(0) => u64::MAX,
            Some(length) => start.saturating_add(length),
        };
        let backing = PathBuf::from(OsString::from_vec(backing));
        Some(Self { name, backing, read_only, range: start..end })
    }
}
