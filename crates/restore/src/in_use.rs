//! Who uses a file or block device right now, as the kernel tells it.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::device;

/// One use of a file or device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Use {
    /// A filesystem on it is mounted here.
    Mounted(PathBuf),
    /// It is swap space.
    Swap,
    /// A device is built on it (device-mapper, md, …): its name.
    Holder(String),
    /// A loop device that may write to it: its name.
    Loop(String),
    /// A process has it open for writing.
    OpenForWriting {
        /// The process.
        pid: u32,
        /// Its name.
        name: String,
    },
    /// A partition of it is used in one of these ways.
    Partition(String),
    /// The kernel has it for itself: one of several devices of a mounted filesystem, say.
    Claimed,
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mounted(at) => write!(f, "mounted at {}", at.display()),
            Self::Swap => f.write_str("in use as swap"),
            Self::Holder(name) => write!(f, "held by {name}"),
            Self::Loop(name) => write!(f, "behind the writable loop device {name}"),
            Self::OpenForWriting { pid, name } => {
                write!(f, "open for writing by process {pid} ({})", name.escape_debug())
            }
            Self::Partition(name) => write!(f, "in use by its partition {name}"),
            Self::Claimed => f.write_str("in use by the kernel"),
        }
    }
}

/// Everything that may change `path` while it is read. Processes of other users are seen only by
/// root.
pub fn writers(path: &Path) -> io::Result<Vec<Use>> {
    let meta = fs::metadata(path)?;
    let mut uses = Vec::new();
    if meta.file_type().is_block_device() {
        block_device(meta.rdev(), &mut uses);
        if uses.is_empty() && is_claimed(path) {
            uses.push(Use::Claimed);
        }
    } else {
        loops_over(|backing| same_file(backing, &meta), &mut uses);
    }
    open_for_writing(&meta, &mut uses);
    Ok(uses)
}

/// Mounts, swap and holders of a block device and of its partitions.
fn block_device(rdev: u64, uses: &mut Vec<Use>) {
    let sysfs = device::sysfs(rdev);
    held(rdev, uses);
    let Ok(entries) = fs::read_dir(&sysfs) else { return };
    for entry in entries.flatten().filter(|e| e.path().join("partition").exists()) {
        let number = fs::read_to_string(entry.path().join("dev")).unwrap_or_default();
        let parts = number
            .trim()
            .split_once(':')
            .and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        let Some((major, minor)) = parts else { continue };
        let mut below = Vec::new();
        held(rustix::fs::makedev(major, minor), &mut below);
        if !below.is_empty() {
            uses.push(Use::Partition(entry.file_name().to_string_lossy().into_owned()));
        }
    }
}

fn held(rdev: u64, uses: &mut Vec<Use>) {
    let is_it = |path: &str| {
        fs::metadata(path).is_ok_and(|m| m.file_type().is_block_device() && m.rdev() == rdev)
    };
    let number = format!("{}:{}", rustix::fs::major(rdev), rustix::fs::minor(rdev));
    // proc_pid_mountinfo(5): field 3 is the device number, 5 the mount point; after a lone "-" the
    // filesystem type and the source. btrfs has a number of its own, so the source counts too.
    for line in fs::read_to_string("/proc/self/mountinfo").unwrap_or_default().lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let source = fields.iter().position(|f| *f == "-").and_then(|at| fields.get(at + 2));
        if fields.get(2) == Some(&number.as_str()) || source.is_some_and(|s| is_it(s)) {
            let at = fields.get(4).map_or_else(PathBuf::new, |f| PathBuf::from(unescape(f)));
            uses.push(Use::Mounted(at));
        }
    }
    for line in fs::read_to_string("/proc/swaps").unwrap_or_default().lines().skip(1) {
        if line.split_whitespace().next().is_some_and(is_it) {
            uses.push(Use::Swap);
        }
    }
    for holder in fs::read_dir(device::sysfs(rdev).join("holders")).into_iter().flatten().flatten()
    {
        uses.push(Use::Holder(holder.file_name().to_string_lossy().into_owned()));
    }
    loops_over(|backing| backing.file_type().is_block_device() && backing.rdev() == rdev, uses);
}

/// Whether the kernel has a block device for itself alone. Only the first device of a mounted
/// filesystem is in the mount table, but all of them are claimed: "if the block device is in use by
/// the system (e.g., mounted), `open()` fails with the error EBUSY" (`open(2)`, `O_EXCL`).
fn is_claimed(path: &Path) -> bool {
    let flags = i32::try_from(OFlags::EXCL.bits()).unwrap_or(0);
    let opened = fs::OpenOptions::new().read(true).custom_flags(flags).open(path);
    opened.is_err_and(|e| e.kind() == io::ErrorKind::ResourceBusy)
}

/// The kernel writes blanks and backslashes in mount tables as octal escapes.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

/// Loop devices that may write to a file or block device. A device does not list them as holders.
fn loops_over(is_it: impl Fn(&fs::Metadata) -> bool, uses: &mut Vec<Use>) {
    for entry in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let sysfs = entry.path();
        let Ok(backing) = fs::read_to_string(sysfs.join("loop/backing_file")) else { continue };
        let same = fs::metadata(backing.trim_end()).is_ok_and(|m| is_it(&m));
        let writable = fs::read_to_string(sysfs.join("ro")).is_ok_and(|ro| ro.trim() == "0");
        if same && writable {
            uses.push(Use::Loop(entry.file_name().to_string_lossy().into_owned()));
        }
    }
}

fn same_file(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    if a.file_type().is_block_device() && b.file_type().is_block_device() {
        return a.rdev() == b.rdev();
    }
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

fn open_for_writing(meta: &fs::Metadata, uses: &mut Vec<Use>) {
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(pid) = process.file_name().to_string_lossy().parse::<u32>() else { continue };
        for fd in fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            let same = fs::metadata(fd.path()).is_ok_and(|m| same_file(&m, meta));
            if same && opened_writable(&process.path(), &fd.file_name()) {
                let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                uses.push(Use::OpenForWriting { pid, name: name.trim_end().to_owned() });
                break;
            }
        }
    }
}

/// `/proc/PID/fdinfo/FD` has the open flags in octal; the low two bits are the access mode
/// (`proc_pid_fdinfo(5)`, `open(2)`).
fn opened_writable(process: &Path, fd: &std::ffi::OsStr) -> bool {
    let text = fs::read_to_string(process.join("fdinfo").join(fd)).unwrap_or_default();
    let flags = text.lines().find_map(|l| l.strip_prefix("flags:"));
    flags.and_then(|f| u64::from_str_radix(f.trim(), 8).ok()).is_some_and(|f| f & 3 != 0)
}

#[cfg(test)]
mod tests {
    use super::{Use, writers};

    #[test]
    fn a_file_open_for_writing_is_seen_and_one_open_for_reading_is_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let own = |uses: &[Use]| {
            uses.iter()
                .any(|u| matches!(u, Use::OpenForWriting { pid, .. } if *pid == std::process::id()))
        };
        assert!(own(&writers(file.path()).unwrap()));
        let path = file.into_temp_path();
        let _reader = std::fs::File::open(&path).unwrap();
        assert!(!own(&writers(&path).unwrap()));
    }
}
