//! Loop devices over an attached file: of the whole volume, and of partitions of it.
//!
//! **Quarantine.** udev takes a shared lock on a disk before it looks at it, and leaves it alone while
//! a process holds it exclusively (systemd, "Locking Block Device Access"). The device node is locked before
//! there is anything on the device and for as long as the server lives, so that no rule activates a volume
//! group, assembles an array or mounts what is found on it. There is no first moment without the lock, since
//! one ioctl makes the whole device.
//!
//! **Lifetime.** The device is one that clears itself with its last user (`LO_FLAGS_AUTOCLEAR`), and the
//! server is a user: when it is killed, what is left of the device goes with the filesystem mounted on it, or at
//! once. When a process ends, the kernel closes its files last to first. The device has to go after the
//! connection to FUSE: what the page cache still has for it would be written to a server that is gone, and
//! waited for. So it takes a descriptor that was set aside ([`Slot`]) before that connection was opened.

mod sys;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use loopdev::LoopControl;
use rustix::io::{DupFlags, Errno};

use crate::state::LoopState;
use host::device::attribute;
use host::lock;
use sys::Setup;

/// `LO_FLAGS_…` of `include/uapi/linux/loop.h`.
const READ_ONLY: u32 = 1;
const AUTOCLEAR: u32 = 4;
const PARTSCAN: u32 = 8;
const DIRECT_IO: u32 = 16;

/// How long other programs may be faster to take the device that was free. Between its lock and its file a
/// device is still free for the kernel.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(2);

/// What kind of loop device is wanted.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) partition: Option<u32>,
    pub(super) start: u64,
    pub(super) length: u64,
    pub(super) sector_size: u32,
    pub(super) writable: bool,
    pub(super) scan_partitions: bool,
}

/// A file descriptor set aside for a loop device.
#[derive(Debug)]
pub(super) struct Slot(OwnedFd);

impl Slot {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(File::open("/dev/null")?.into()))
    }

    /// Puts a file there.
    fn take(mut self, file: &File) -> io::Result<File> {
        rustix::io::dup3(file, &mut self.0, DupFlags::CLOEXEC)?;
        Ok(self.0.into())
    }
}

/// A loop device, locked, that is cleared when this is dropped and no other process uses it.
#[derive(Debug)]
pub(super) struct LoopDevice {
    state: LoopState,
    node: File,
}

impl LoopDevice {
    /// A new one over `file`, which was opened in the way that is wanted.
    pub(super) fn over(file: &File, wanted: &Wanted, slot: Slot) -> io::Result<Self> {
        let control = LoopControl::open()?;
        let started = Instant::now();
        loop {
            let path = control.next_free()?.path().ok_or(io::ErrorKind::NotFound)?;
            match Self::at(path, file, wanted) {
                Err(e)
                    if e.raw_os_error() == Some(Errno::BUSY.raw_os_error())
                        && started.elapsed() < PATIENCE =>
                {
                    thread::sleep(PAUSE);
                }
                made => {
                    let Self { state, node } = made?;
                    return Ok(Self { state, node: slot.take(&node)? });
                }
            }
        }
    }

    fn at(path: PathBuf, file: &File, wanted: &Wanted) -> io::Result<Self> {
        let node = OpenOptions::new().read(true).write(true).open(&path)?;
        // The process that has it keeps it, and must not find this one here.
        if !lock::lock_now(&node)? {
            return Err(Errno::BUSY.into());
        }
        let read_only = if wanted.writable { 0 } else { READ_ONLY };
        let scan = if wanted.scan_partitions { PARTSCAN } else { 0 };
        let setup = Setup {
            file,
            offset: wanted.start,
            length: wanted.length,
            sector_size: wanted.sector_size,
            flags: AUTOCLEAR | DIRECT_IO | read_only | scan,
        };
        sys::configure(&node, &setup)?;
        let state = LoopState {
            diskseq: diskseq(&path),
            path,
            partition: wanted.partition,
            start: wanted.start,
            length: wanted.length,
            sector_size: wanted.sector_size,
        };
        Ok(Self { state, node })
    }

    pub(super) const fn state(&self) -> &LoopState {
        &self.state
    }

    /// Whether the kernel, or a program that wanted it for itself, has claimed the device: a filesystem on it
    /// is mounted, say.
    pub(super) fn is_claimed(&self) -> bool {
        host::in_use::is_claimed(&self.state.path)
    }

    /// Sets one of the figures of its queue (`Documentation/ABI/stable/sysfs-block`).
    fn tune(&self, figure: &str, value: u64) -> io::Result<()> {
        fs::write(sysfs(&self.state.path).join("queue").join(figure), value.to_string())
    }

    /// How far to read ahead for programs that read in order through the page cache, in bytes.
    pub(super) fn set_read_ahead(&self, bytes: u64) -> io::Result<()> {
        self.tune("read_ahead_kb", bytes >> 10)
    }

    /// Keeps the kernel from joining requests: one for damaged bytes would fail with its neighbours.
    pub(super) fn keep_requests_apart(&self) -> io::Result<()> {
        self.tune("nomerges", 2)
    }

    /// Clears the device, now or, where a process uses it, when the last one closes it.
    pub(super) fn clear(self) -> io::Result<()> {
        let cleared = clear(&self.state.path);
        drop(self.node);
        cleared
    }
}

/// Clears a loop device, now or with its last user. One that is clear already is no error.
pub(super) fn clear(path: &Path) -> io::Result<()> {
    match loopdev::LoopDevice::open(path)?.detach() {
        Err(e) if e.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => Ok(()),
        cleared => cleared,
    }
}

impl LoopState {
    /// Whether this device is still there, rather than nothing or another one of that name.
    pub(super) fn is_there(&self) -> bool {
        sysfs(&self.path).join("loop/backing_file").exists() && diskseq(&self.path) == self.diskseq
    }
}

fn diskseq(path: &Path) -> Option<u64> {
    attribute(&sysfs(path).join("diskseq"))?.parse().ok()
}

fn sysfs(path: &Path) -> PathBuf {
    Path::new("/sys/block").join(path.file_name().unwrap_or_default())
}
