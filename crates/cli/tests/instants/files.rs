//! Files that a program writes while the instant is taken.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::attached::Attached;
use super::live::Live;
use crate::support::{Outcome, ensure, hash, scratch, tool};

const SIZE: u64 = 256 << 20;

pub(crate) fn written_at_the_instant() -> Outcome {
    let live = Live::new(SIZE)?;
    // What was synced before the instant must be there after it.
    let synced = live.dir().join("synced");
    let mut file = File::create(&synced)?;
    file.write_all(&vec![0x5A; 3 << 20])?;
    file.sync_all()?;
    File::open(live.dir())?.sync_all()?;
    let sum = hash::sha256(&synced)?;
    let writer = Writer::start(live.dir())?;
    thread::sleep(Duration::from_secs(2));
    let instant = live.instant()?;
    drop(writer);
    let captured = live.capture(&instant)?;

    let mnt = live.scratch().path("mnt");
    scratch::make_dir(&mnt)?;
    looked_at_as_it_is(&captured.sets, &mnt)?;
    captured.is_untouched()?;

    let overlay = live.scratch().path("overlay");
    replayed(&captured.sets, &overlay, &mnt, &sum)?;
    captured.is_untouched()?;
    kept(&captured.sets, &overlay, &mnt)?;
    restored(&live, &captured.sets, &overlay)?;
    captured.is_untouched()
}

/// fio writes and syncs all over the filesystem until it is killed.
struct Writer(Child);

impl Writer {
    fn start(dir: &Path) -> Outcome<Self> {
        let fio = tool::find("fio").ok_or("no fio")?;
        let child = Command::new(fio)
            .args(["--name=w", "--rw=randwrite", "--bs=4k-64k", "--size=16M", "--nrfiles=8"])
            .args(["--fsync=8", "--numjobs=2", "--time_based", "--runtime=60"])
            .arg(format!("--directory={}", dir.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self(child))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // fio has children of its own, which end with it when it is asked.
        drop(tool::run("kill", ["-INT", &self.0.id().to_string()]));
        drop(self.0.wait());
    }
}

/// Read-only: the journal stays as it is, and that is said.
fn looked_at_as_it_is(sets: &Path, mnt: &Path) -> Outcome {
    let (attached, said) =
        Attached::new("instant-ro", sets, ["--mount".as_ref(), mnt.as_os_str()])?;
    ensure!(said.contains("journal"), "nothing is said of the journal: {said}");
    fs::read_dir(mnt)?.try_for_each(|entry| entry.map(drop))?;
    ensure!(File::create(mnt.join("new")).is_err(), "it can be written to");
    attached.detach()
}

/// Over an overlay: the journal is replayed as after a crash.
fn replayed(sets: &Path, overlay: &Path, mnt: &Path, sum: &str) -> Outcome {
    let args = ["--overlay".as_ref(), overlay.as_os_str(), "--mount".as_ref(), mnt.as_os_str()];
    let (attached, _) = Attached::new("instant-rw", sets, args)?;
    ensure!(hash::sha256(&mnt.join("synced"))? == sum, "what was synced is not there");
    let mut file = File::create(mnt.join("made-over-it"))?;
    file.write_all(b"kept")?;
    file.sync_all()?;
    drop(file);
    tool::run("umount", [mnt])?;
    let check = tool::run("e2fsck", [Path::new("-fn"), attached.device()]);
    check.map_err(|e| format!("not clean: {}", e.message().unwrap_or_default()))?;
    attached.detach()
}

/// The next time the overlay has what was written, and needs no replay.
fn kept(sets: &Path, overlay: &Path, mnt: &Path) -> Outcome {
    let args = ["--overlay".as_ref(), overlay.as_os_str(), "--mount".as_ref(), mnt.as_os_str()];
    let (attached, said) = Attached::new("instant-rw", sets, args)?;
    ensure!(!said.contains("journal"), "there is a journal to be replayed again: {said}");
    ensure!(scratch::read(&mnt.join("made-over-it"))? == b"kept", "what was written is lost");
    attached.detach()
}

/// Set and overlay as one new image.
fn restored(live: &Live, sets: &Path, overlay: &Path) -> Outcome {
    let image = live.scratch().path("restored.raw");
    let call = crate::support::run::Call::new("restore").arg(sets).option("-o", &image);
    call.option("--overlay", overlay).succeeds()?;
    tool::run("e2fsck", [Path::new("-fn"), &image]).map(drop)
}
