//! What a journal knows its target by.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use crate::device::Identity;

/// What tells a file or device from others, also after the machine was started again, in one line. A
/// device that says nothing of itself is known by its path and size alone.
pub fn identity(path: &Path) -> io::Result<String> {
    let meta = fs::metadata(path)?;
    let device = Identity::of(path, &File::open(path)?)?;
    if device.number.is_none() {
        // The number of an inode is given again when its file is gone; with the time of its birth it
        // is one file's only (statx(2)).
        let born = statx(CWD, path, AtFlags::empty(), StatxFlags::BTIME)?.stx_btime;
        return Ok(format!("inode {} born {}.{:09}", meta.ino(), born.tv_sec, born.tv_nsec));
    }
    let part = device.partition.map(|n| format!(" partition {n}")).unwrap_or_default();
    let who = match (&device.serial, &device.wwid, &device.backing) {
        (Some(serial), _, _) => format!("serial {serial}"),
        (None, Some(wwid), _) => format!("WWID {wwid}"),
        (None, None, Some(backing)) => {
            format!("over {}", identity(backing).unwrap_or_else(|_| backing.display().to_string()))
        }
        (None, None, None) => path.display().to_string(),
    };
    Ok(format!("device {who}{part} of {} bytes", device.size))
}
