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
    let who = if let Some(serial) = &device.serial {
        format!("serial {}", serial.escape_debug())
    } else if let Some(wwid) = &device.wwid {
        format!("WWID {}", wwid.escape_debug())
    } else if let Some(mapping) = &device.mapping {
        format!("mapping {}", mapping.escape_debug())
    } else if let Some(backing) = &device.backing {
        format!("over {}", identity(backing).unwrap_or_else(|_| backing.display().to_string()))
    } else {
        path.display().to_string()
    };
    Ok(format!("device {who}{part} of {} bytes", device.size))
}
