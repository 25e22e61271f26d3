//! Mounts that are gone when the guard is: images through a loop device, and small tmpfs.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Outcome, scratch, tool};

/// Runs this test program again in a mount namespace of its own, where that is possible: a run that is
/// killed, and drops no guard, then takes its mounts and their loop devices with it. To be called first.
pub(crate) fn keep_mounts_private() {
    const DONE: &str = "SNAPRESTORE_TEST_PRIVATE_MOUNTS";
    let possible = std::env::var_os(DONE).is_none() && tool::run("unshare", ["-m", "true"]).is_ok();
    let (Some(unshare), Ok(program)) = (tool::find("unshare"), std::env::current_exe()) else {
        return;
    };
    if possible {
        // Comes back only if it failed; then the tests run where they are.
        let arguments = std::env::args_os().skip(1);
        drop(Command::new(unshare).arg("-m").arg(program).args(arguments).env(DONE, "1").exec());
    }
}

/// How long a mount may be busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// A mounted directory.
pub(crate) struct Mount {
    dir: PathBuf,
    mounted: bool,
}

/// An image, attached to a loop device and mounted.
pub(crate) struct LoopMount {
    mount: Mount,
    device: PathBuf,
}

/// A tmpfs of a given size.
pub(crate) struct Tmpfs {
    mount: Mount,
}

impl Mount {
    fn new(args: &[&str], what: &Path, dir: &Path) -> Outcome<Self> {
        let args = args.iter().map(Path::new).chain([what, dir]);
        tool::run("mount", args)?;
        Ok(Self { dir: dir.to_owned(), mounted: true })
    }

    /// A device that something else attached.
    pub(crate) fn of_device(device: &Path, dir: &Path, options: &str) -> Outcome<Self> {
        scratch::make_dir(dir)?;
        Self::new(&["-o", options], device, dir)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A child that another thread has just forked holds our open files until it is the program it is to
    /// be: for that moment a mount may be busy.
    pub(crate) fn unmount(&mut self) -> Outcome {
        let started = Instant::now();
        while let Err(error) = tool::run("umount", [&self.dir]) {
            let busy = error.message().is_some_and(|m| m.contains("target is busy"));
            if !busy || started.elapsed() > PATIENCE {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        self.mounted = false;
        Ok(())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.mounted && self.unmount().is_err() {
            // Something still holds it; it goes when that does.
            drop(tool::run("umount", [Path::new("-l"), &self.dir]));
        }
    }
}

impl LoopMount {
    pub(crate) fn read_write(image: &Path, dir: &Path) -> Outcome<Self> {
        Self::new(image, dir, "rw")
    }

    pub(crate) fn read_only(image: &Path, dir: &Path) -> Outcome<Self> {
        Self::new(image, dir, "ro")
    }

    fn new(image: &Path, dir: &Path, options: &str) -> Outcome<Self> {
        let device = LoopDevice::attach(image, options == "ro")?;
        let mount = Mount::of_device(device.path(), dir, options)?;
        // Detaching a device in use makes it go with its last user, so a killed test leaves none once the
        // mount is gone.
        let path = device.path().to_owned();
        drop(device);
        Ok(Self { mount, device: path })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.mount.dir
    }

    pub(crate) fn device(&self) -> &Path {
        &self.device
    }

    pub(crate) fn unmount(mut self) -> Outcome {
        self.mount.unmount()
    }
}

impl Tmpfs {
    pub(crate) fn mount(dir: &Path, bytes: u64) -> Outcome<Self> {
        let options = format!("size={bytes},mode=0755");
        let mount = Mount::new(&["-t", "tmpfs", "-o", &options], Path::new("tmpfs"), dir)?;
        Ok(Self { mount })
    }

    /// From here on nothing can be written to it.
    pub(crate) fn make_read_only(&self) -> Outcome {
        let flags = ["-o", "remount,ro"].map(Path::new);
        tool::run("mount", flags.into_iter().chain([self.mount.dir.as_path()])).map(drop)
    }

    pub(crate) fn unmount(mut self) -> Outcome {
        self.mount.unmount()
    }
}

/// An image attached to a loop device, detached when dropped.
pub(crate) struct LoopDevice {
    path: PathBuf,
}

impl LoopDevice {
    pub(crate) fn attach(image: &Path, read_only: bool) -> Outcome<Self> {
        Self::with_sectors(image, read_only, 512)
    }

    /// One with sectors of this many bytes.
    pub(crate) fn with_sectors(image: &Path, read_only: bool, sector: u32) -> Outcome<Self> {
        let sector = sector.to_string();
        let mut flags = vec!["--sector-size", &sector];
        if read_only {
            flags.push("--read-only");
        }
        Self::with_flags(image, &flags)
    }

    /// One that can have partitions.
    pub(crate) fn with_partitions(image: &Path) -> Outcome<Self> {
        Self::with_flags(image, &["--partscan"])
    }

    pub(crate) fn with_flags(image: &Path, flags: &[&str]) -> Outcome<Self> {
        let flags = ["--find", "--show"].iter().chain(flags);
        let device = tool::run("losetup", flags.map(Path::new).chain([image]))?;
        Ok(Self { path: PathBuf::from(device.trim()) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        drop(tool::run("losetup", [Path::new("--detach"), &self.path]));
    }
}
