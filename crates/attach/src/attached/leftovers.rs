//! Taking down what a server made and is not there to take down itself: all of it when it was killed,
//! nothing when it ended as it should.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use crate::error::DetachError;
use crate::loop_device;
use crate::place::{Claim, Place};
use crate::state::{MountPoint, State};
use host::device;
use host::entry::Entry;
use host::mounts;

/// The kernel lets go of a file or device a moment after its last user did.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(10);

/// Clears the loop devices, unmounts the raw file and removes the directory. No other process uses them, and no
/// server is alive.
pub(crate) fn clear(claim: Claim, state: Option<&State>) -> Result<(), DetachError> {
    let place = claim.place();
    let directory = place.directory().to_owned();
    for device in loop_devices(place, state) {
        loop_device::clear(&device).map_err(|e| failed(&device, "clearing", e))?;
    }
    unmount_raw(place)?;
    claim.remove().map_err(|e| failed(&directory, "removing", e))
}

/// Those that are in the state, and those that are over the raw file although they are in none.
fn loop_devices(place: &Place, state: Option<&State>) -> Vec<PathBuf> {
    let raw = place.raw();
    let known = state.into_iter().flat_map(|state| &state.devices);
    let mut paths: Vec<PathBuf> =
        known.filter(|device| device.is_there()).map(|device| device.path.clone()).collect();
    let over = device::LoopDevice::all().filter(|device| device.backing == raw);
    paths.extend(over.map(|device| Path::new("/dev").join(device.name)));
    paths.sort();
    paths.dedup();
    paths
}

/// Unmounts a filesystem on one of the volume's devices that was mounted on this program's account. Says whether
/// it was mounted.
pub(super) fn unmount_filesystem(mount: &MountPoint, state: &State) -> Result<bool, DetachError> {
    let at = &mount.plan.at;
    let mut was_mounted = false;
    while is_ours(at, state) {
        // Another user may have put a link on the way meanwhile.
        let place = Entry::at(at).map_err(|e| failed(at, "unmounting", e))?;
        let own_path = place.directory().own_path().join(place.name());
        patiently(|| unmount(&own_path, UnmountFlags::NOFOLLOW))
            .map_err(|e| failed(at, "unmounting", e))?;
        was_mounted = true;
    }
    if mount.made {
        // What a user has put there stays.
        let _ = Entry::at(at).and_then(|place| place.remove_directory());
    }
    Ok(was_mounted)
}

/// Mounts again what was unmounted for a volume that then could not be detached. Where that fails, too, the first
/// error says more.
pub(super) fn mount_again(mount: &MountPoint) {
    let _ = mount.plan.directory(mount.made).and_then(|at| mount.plan.run(&at));
}

/// Whether what is mounted there is on one of the volume's devices.
fn is_ours(at: &Path, state: &State) -> bool {
    let devices = state.devices.iter().filter(|device| device.is_there());
    let numbers: Vec<_> = devices
        .filter_map(|device| device::Number::of(&std::fs::metadata(&device.path).ok()?))
        .collect();
    // The last mount at a place is the one that is seen.
    let mount = mounts::all().into_iter().rfind(|mount| mount.at == at);
    mount.is_some_and(|mount| mount.devices().iter().any(|number| numbers.contains(number)))
}

/// Lets the kernel give up all that waits for a server that is not there any more: what is waited for will
/// never come. A mount that is busy stays a mount.
pub(crate) fn give_up(place: &Place) {
    let _ = unmount(place.disk(), UnmountFlags::FORCE);
}

fn unmount_raw(place: &Place) -> Result<(), DetachError> {
    let disk = place.disk();
    while mounts::all().iter().any(|mount| mount.at == disk) {
        // The server is dead: to force means to give up what waits for it.
        let flags = UnmountFlags::FORCE | UnmountFlags::DETACH;
        match unmount(&disk, flags) {
            Ok(()) => {}
            Err(Errno::PERM) => by_helper(&disk).map_err(|e| failed(&disk, "unmounting", e))?,
            Err(e) => return Err(failed(&disk, "unmounting", e.into())),
        }
    }
    Ok(())
}

/// As `fusermount3(1)` does it for users without root.
fn by_helper(disk: &Path) -> io::Result<()> {
    let mut helper = Command::new("fusermount3");
    helper.args(["-u", "-z", "--"]).arg(disk);
    let status =
        helper.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("fusermount3 failed")) }
}

/// Tries again while the kernel is busy letting go.
fn patiently(mut attempt: impl FnMut() -> rustix::io::Result<()>) -> io::Result<()> {
    let started = Instant::now();
    loop {
        match attempt() {
            Err(Errno::BUSY) if started.elapsed() < PATIENCE => thread::sleep(PAUSE),
            done => return done.map_err(Into::into),
        }
    }
}

fn failed(path: &Path, action: &'static str, source: io::Error) -> DetachError {
    DetachError::System { path: path.to_owned(), action, source }
}
