//! What the system says about a file or block device: who it is, its size, its sectors, and what it
//! lies on.

mod identity;
mod loop_device;
mod number;

use std::fs::{File, Metadata};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, StatxFlags, statx};

pub use identity::Identity;
pub use loop_device::LoopDevice;
pub use number::Number;

/// Size in bytes of a regular file or block device.
pub fn size(file: &File) -> io::Result<u64> {
    let meta = file.metadata()?;
    check_kind(&meta)?;
    if meta.is_file() {
        return Ok(meta.len());
    }
    // The end of a block device is where seeking to its end leads; its metadata says 0.
    (&*file).seek(SeekFrom::End(0))
}

/// Refuses whatever is neither a regular file nor a block device.
pub fn check_kind(meta: &Metadata) -> io::Result<()> {
    if meta.is_file() || meta.file_type().is_block_device() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a regular file nor a block device"))
}

/// Logical and physical sector size in bytes: the device's own, 512 for a file.
pub fn sectors(file: &File) -> io::Result<(u32, u32)> {
    let Some(number) = Number::of(&file.metadata()?) else { return Ok((512, 512)) };
    // A partition has no queue of its own; its disk has.
    let queue = number.disk().unwrap_or(number).sysfs().join("queue");
    let read = |name: &str| -> Option<u32> { attribute(&queue.join(name))?.parse().ok() };
    let logical = read("logical_block_size").unwrap_or(512);
    Ok((logical, read("physical_block_size").unwrap_or(logical).max(logical)))
}

/// A file by what it is, not by its name: a block device by its number, anything else by where its
/// inode is. Other names and hard links have the same id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Id {
    /// A block device.
    Device(Number),
    /// Anything else.
    File {
        /// Number of the device that its filesystem has.
        device: u64,
        /// Its inode there.
        inode: u64,
    },
}

impl Id {
    /// The one with this metadata.
    pub fn of(meta: &Metadata) -> Self {
        Number::of(meta)
            .map_or_else(|| Self::File { device: meta.dev(), inode: meta.ino() }, Self::Device)
    }

    /// The same of what is at a path, by what the kernel has at hand: the server of a network filesystem, or
    /// of FUSE, is not asked, for it may not answer.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        let wanted = StatxFlags::TYPE | StatxFlags::INO;
        let stat = statx(CWD, path, AtFlags::STATX_DONT_SYNC, wanted).ok()?;
        Some(if FileType::from_raw_mode(stat.stx_mode.into()) == FileType::BlockDevice {
            Self::Device(Number::new(stat.stx_rdev_major, stat.stx_rdev_minor))
        } else {
            let device = rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor);
            Self::File { device, inode: stat.stx_ino }
        })
    }
}

/// What a one-line file in sysfs says; `None` if there is none or it is empty.
pub fn attribute(path: &Path) -> Option<String> {
    let text = std::fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&text);
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}
