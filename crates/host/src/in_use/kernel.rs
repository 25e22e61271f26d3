//! What the kernel itself does with a file or block device.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use super::Use;
use crate::device::{Id, LoopDevice};
use crate::mounts::{self, unescape};

/// Mounts, swap, holders and loop devices of one file or device, its partitions and disk apart.
pub(super) fn uses_of(id: Id) -> Vec<Use> {
    let mut uses = Vec::new();
    if let Id::Device(number) = id {
        let here = mounts::all().into_iter().filter(|mount| mount.devices().contains(&number));
        uses.extend(here.map(|mount| Use::Mounted(mount.at)));
        let holders = fs::read_dir(number.sysfs().join("holders")).into_iter().flatten().flatten();
        uses.extend(holders.map(|h| Use::Holder(h.file_name().to_string_lossy().into_owned())));
    }
    if let Id::Device(number) = id
        && let Some(own) = LoopDevice::numbered(number)
    {
        let twins = LoopDevice::all().filter(|other| own.meets(other));
        uses.extend(twins.map(|d| Use::LoopOverSameBytes { name: d.name, read_only: d.read_only }));
    }
    // proc_swaps(5): a heading, then a line for each device or file, the path first.
    let swaps = fs::read("/proc/swaps").unwrap_or_default();
    let paths = swaps.split(|byte| *byte == b'\n').skip(1);
    let paths = paths.filter_map(|line| line.split(u8::is_ascii_whitespace).next());
    if paths.filter(|path| !path.is_empty()).any(|path| names(&unescape(path), id)) {
        uses.push(Use::Swap);
    }
    // A device does not list the loop devices on it as holders.
    let loops = LoopDevice::all().filter(|device| names(&device.backing, id));
    uses.extend(loops.map(|d| Use::Loop { name: d.name, read_only: d.read_only }));
    uses
}

fn names(path: &Path, id: Id) -> bool {
    fs::metadata(path).is_ok_and(|meta| Id::of(&meta) == id)
}

/// Whether the kernel has a block device for itself alone. Only the first device of a mounted
/// filesystem is in the mount table, but all of them are claimed.
pub fn is_claimed(path: &Path) -> bool {
    let flags = i32::try_from(CLAIM.bits()).unwrap_or(0);
    let opened = fs::OpenOptions::new().read(true).custom_flags(flags).open(path);
    opened.is_err_and(|e| e.kind() == io::ErrorKind::ResourceBusy)
}

/// How a block device is opened that nothing else has claimed, nor may claim while it is open: "if the
/// block device is in use by the system (e.g., mounted), `open()` fails with the error EBUSY"
/// (`open(2)`, `O_EXCL`).
pub(crate) const CLAIM: OFlags = OFlags::EXCL;
