//! Several restores to one target, and who else is kept away.

use std::fs::File;
use std::path::Path;
use std::thread;
use std::time::Duration;

use host::interlock::{Needs, Refused, Why};
use libtest_mimic::Trial;
use rustix::fs::{FlockOperation, flock};

use crate::support::held::Other;
use crate::support::loopmount::{LoopDevice, LoopMount};
use crate::support::needs::{LOOP_MOUNT, Need, trial};
use crate::support::scratch::{self, Scratch};
use crate::support::{LOOP, MIB, Outcome, accepted, device, ensure, ext4, needs_of, refused, tool};

pub(crate) fn trials() -> Vec<Trial> {
    let ext4 = [LOOP_MOUNT.as_slice(), &[Need::Tool("mkfs.ext4")]].concat();
    let locks = [&LOOP[..], &[Need::Tool("flock")]].concat();
    vec![
        trial("two_claims_within_a_process", &LOOP, two_claims),
        trial("claims_of_other_processes", &locks, other_processes),
        trial("a_writer_who_does_not_share", &LOOP, writer_without_lock),
        trial("a_claimed_device_cannot_be_mounted", &ext4, no_mount),
        trial("a_lock_that_passes", &LOOP, passing_lock),
    ]
}

fn shared() -> Needs {
    Needs { shared: true, ..needs_of(MIB) }
}

fn two_claims() -> Outcome {
    let scratch = Scratch::new()?;
    let file = scratch.path("file");
    drop(scratch::new_sparse(&file, MIB)?);
    let device = device(&scratch, "disk", MIB)?;
    for target in [file.as_path(), device.path()] {
        let alone = accepted(target, &needs_of(MIB))?;
        let why = refused(target, &needs_of(MIB), &["is locked by process "])?;
        ensure!(matches!(why, Refused::Unsafe { why: Why::Locked(_), .. }), "{why:?}");
        refused(target, &shared(), &["is locked by"])?;
        drop(alone);
        let one = accepted(target, &shared())?;
        let two = accepted(target, &shared())?;
        refused(target, &needs_of(MIB), &["is locked by"])?;
        drop(one);
        refused(target, &needs_of(MIB), &["is locked by"])?;
        drop(two);
        drop(accepted(target, &needs_of(MIB))?);
    }
    Ok(())
}

fn other_processes() -> Outcome {
    let scratch = Scratch::new()?;
    let file = scratch.path("file");
    drop(scratch::new_sparse(&file, MIB)?);
    let device = device(&scratch, "disk", MIB)?;
    for target in [file.as_path(), device.path()] {
        let sharing = Other::run(r#"exec 3<>"$1" && flock -s 3"#, target)?;
        drop(accepted(target, &shared())?);
        let words = format!("is locked by process {} (sh)", sharing.pid());
        refused(target, &needs_of(MIB), &[&words])?;
        drop(sharing);
        let alone = Other::run(r#"exec 3<>"$1" && flock 3"#, target)?;
        let words = format!("is locked by process {} (sh)", alone.pid());
        refused(target, &shared(), &[&words])?;
    }
    Ok(())
}

fn writer_without_lock() -> Outcome {
    let scratch = Scratch::new()?;
    let device = device(&scratch, "disk", MIB)?;
    let _writer = Other::writer(device.path())?;
    refused(device.path(), &shared(), &["is open for writing by process"]).map(drop)
}

fn no_mount() -> Outcome {
    let scratch = Scratch::new()?;
    let image = scratch.path("image");
    ext4(&image, 8 * MIB, "data")?;
    let device = LoopDevice::attach(&image, false)?;
    let at = scratch.dir("mount")?;
    let held = accepted(device.path(), &needs_of(MIB))?;
    let refused = tool::run("mount", [device.path(), &at]);
    if refused.is_ok() {
        tool::run("umount", [&at])?;
    }
    let text = refused.err().and_then(|e| e.message().map(str::to_owned)).unwrap_or_default();
    ensure!(text.contains("already mounted or mount point busy"), "mounted: {text}");
    drop(held);
    drop(device);
    LoopMount::read_write(&image, &at)?.unmount()
}

/// udev locks a device that was written to, shared, while it looks at what it holds.
fn passing_lock() -> Outcome {
    let scratch = Scratch::new()?;
    let device = device(&scratch, "disk", MIB)?;
    let lock = lock_shared(device.path())?;
    let passing = thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        drop(lock);
    });
    let held = accepted(device.path(), &needs_of(MIB));
    passing.join().map_err(|_| "the other thread failed")?;
    held.map(drop)
}

fn lock_shared(path: &Path) -> Outcome<File> {
    let file = File::open(path)?;
    flock(&file, FlockOperation::NonBlockingLockShared)?;
    Ok(file)
}
