//! What the system says about a file or block device: size and sectors.

use std::fs::{File, Metadata};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

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
pub(crate) fn check_kind(meta: &Metadata) -> io::Result<()> {
    if meta.is_file() || meta.file_type().is_block_device() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a regular file nor a block device"))
}

/// Logical and physical sector size in bytes: the device's own, 512 for a file.
pub fn sectors(file: &File) -> io::Result<(u32, u32)> {
    let meta = file.metadata()?;
    if !meta.file_type().is_block_device() {
        return Ok((512, 512));
    }
    let read = |name: &str| -> Option<u32> {
        let dir = sysfs(meta.rdev());
        // A partition has no queue of its own; its disk's is one level up.
        let own = std::fs::read_to_string(dir.join("queue").join(name));
        let text = own.or_else(|_| std::fs::read_to_string(dir.join("../queue").join(name)));
        text.ok()?.trim().parse().ok()
    };
    let logical = read("logical_block_size").unwrap_or(512);
    Ok((logical, read("physical_block_size").unwrap_or(logical).max(logical)))
}

/// The directory in sysfs of the block device with this number.
pub(crate) fn sysfs(rdev: u64) -> PathBuf {
    let (major, minor) = (rustix::fs::major(rdev), rustix::fs::minor(rdev));
    PathBuf::from(format!("/sys/dev/block/{major}:{minor}"))
}
