//! An attached set that is gone after the test, whatever became of it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::needs::Need;
use super::run::Call;
use super::{Outcome, ensure, tool};

/// What attaching with a loop device takes.
pub(crate) const ATTACH: [Need; 5] =
    [Need::Root, Need::Tool("losetup"), Need::LoopDevice, Need::Mount, Need::Fuse];

/// Programs that look at what is behind all loop devices, as `mkfs.btrfs` does, stumble over that of a server that
/// is dead.
static DEATH: RwLock<()> = RwLock::new(());

/// No server is dead and its device still there while this is held.
pub(crate) fn all_servers_live() -> RwLockReadGuard<'static, ()> {
    DEATH.read().unwrap_or_else(PoisonError::into_inner)
}

/// How long the system may take to let go of something.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Attachment {
    pub(crate) name: String,
    /// What `attach --json` said.
    pub(crate) document: Value,
}

/// A name that no other test has.
pub(crate) fn unused_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("test-{}-{number}", std::process::id())
}

/// `attach` of what is found at a path, under a name.
pub(crate) fn attach(sets: &Path, name: &str) -> Call {
    Call::new("attach").arg(sets).option("--name", name)
}

impl Attachment {
    /// Attaches what is found at a path.
    pub(crate) fn of(sets: &Path) -> Outcome<Self> {
        Self::by(|name| attach(sets, name))
    }

    /// Attaches by a call that is made for a name.
    pub(crate) fn by(call: impl FnOnce(&str) -> Call) -> Outcome<Self> {
        // From here on there may be something to clear away.
        let mut attachment = Self { name: unused_name(), document: Value::Null };
        attachment.document = call(&attachment.name).json()?;
        ensure!(attachment.document["name"] == attachment.name.as_str(), "{}", attachment.document);
        Ok(attachment)
    }

    fn path(&self, field: &str) -> Outcome<PathBuf> {
        let path = self.document[field].as_str();
        path.map(PathBuf::from).ok_or_else(|| format!("no {field}: {}", self.document).into())
    }

    /// The raw file.
    pub(crate) fn file(&self) -> Outcome<PathBuf> {
        self.path("file")
    }

    /// The loop device.
    pub(crate) fn device(&self) -> Outcome<PathBuf> {
        self.path("device")
    }

    pub(crate) fn pid(&self) -> Outcome<u32> {
        Ok(u32::try_from(self.document["pid"].as_u64().ok_or("no pid")?)?)
    }

    /// What `attached --json` says of it.
    pub(crate) fn listed(&self) -> Outcome<Value> {
        let listing = Call::new("attached").json()?;
        let all = listing["attached"].as_array().ok_or("not a list")?;
        let own = all.iter().find(|entry| entry["name"] == self.name.as_str());
        own.cloned().ok_or_else(|| format!("{} is not listed: {listing}", self.name).into())
    }

    pub(crate) fn detach(&self) -> Call {
        Call::new("detach").arg(&self.name)
    }

    /// Kills the server as nothing can be caught, and waits until it is gone. What is given back is to be kept
    /// until it is detached.
    pub(crate) fn kill_server(&self) -> Outcome<RwLockWriteGuard<'static, ()>> {
        let death = DEATH.write().unwrap_or_else(PoisonError::into_inner);
        let pid = self.pid()?;
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or("no pid")?;
        kill_process(raw, Signal::KILL).map_err(|e| format!("kill {pid}: {e}"))?;
        until("the server is dead", || Ok(!is_alive(pid)))?;
        Ok(death)
    }

    /// There is no trace of it: no directory, mount, loop device or process.
    pub(crate) fn is_gone(&self) -> Outcome {
        let directory = self.directory();
        ensure!(!directory.exists(), "{} is still there", directory.display());
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
        ensure!(!mounts.contains(&self.name), "still mounted:\n{mounts}");
        until("no loop device is left", || Ok(!loops()?.contains(&self.name)))?;
        let pid = self.pid()?;
        until("the server has ended", || Ok(!is_alive(pid)))
    }

    /// Detaches it, and nothing is left.
    pub(crate) fn detach_cleanly(self) -> Outcome {
        self.detach().succeeds()?;
        self.is_gone()
    }

    fn directory(&self) -> PathBuf {
        Path::new("/run/snaprestore").join(&self.name)
    }
}

/// The loop devices there are, with what is behind them.
fn loops() -> Outcome<String> {
    tool::run("losetup", ["--list", "--noheadings", "--output", "NAME,BACK-FILE"])
}

/// A server that nobody waits for stays a zombie where process 1 does not reap.
fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

pub(crate) fn until(what: &str, check: impl Fn() -> Outcome<bool>) -> Outcome {
    let started = Instant::now();
    while !check()? {
        ensure!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if !self.directory().exists() || self.detach().run().is_ok_and(|ran| ran.status.success()) {
            return;
        }
        // By all means: what the test was about may have failed.
        drop(self.kill_server());
        let all = loops().unwrap_or_default();
        for line in all.lines().filter(|line| line.contains(&self.name)) {
            let device = line.split_whitespace().next().unwrap_or_default();
            drop(tool::run("umount", ["-l", device]));
            drop(tool::run("losetup", ["--detach", device]));
        }
        drop(tool::run("umount", [Path::new("-l"), &self.directory().join("disk")]));
        drop(std::fs::remove_dir_all(self.directory()));
    }
}
