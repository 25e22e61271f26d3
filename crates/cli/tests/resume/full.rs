//! 7: no room, found before anything is written or on the way, and a medium that fails. With room made, the
//! same command goes on.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use super::scene::{Kind, Target, await_proof, dirty, goes_on, slow, stage};
use crate::support::failure::Refusal;
use crate::support::journal::Journal;
use crate::support::loopmount::{LoopDevice, LoopMount, Tmpfs};
use crate::support::needs::{LOOP_DEVICE, LOOP_MOUNT, Need, trial};
use crate::support::run::{Call, Ran};
use crate::support::sample::restore;
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure, scratch, tool};

pub(crate) fn trials() -> Vec<Trial> {
    let mut ext4 = LOOP_MOUNT.to_vec();
    ext4.extend([Need::Filesystem("ext4"), Need::Tool("mkfs.ext4")]);
    let mut chattr = ext4.clone();
    chattr.push(Need::Tool("chattr"));
    let mut tight = LOOP_DEVICE.to_vec();
    tight.push(Need::Tool("prlimit"));
    vec![
        trial("new_image_on_a_tmpfs_that_fills", &LOOP_MOUNT, new_image_on_tmpfs),
        trial("new_image_on_an_ext4_that_fills", &ext4, new_image_on_ext4),
        trial("room_for_a_new_image_is_asked_for_first", &ext4, || room_is_asked_for_first(false)),
        trial("room_in_a_sparse_file_is_asked_for_first", &ext4, || room_is_asked_for_first(true)),
        trial("device_over_a_tmpfs_that_fills", &LOOP_MOUNT, device_over_tmpfs),
        trial("journal_that_cannot_grow", &tight, journal_that_cannot_grow),
        trial("no_room_is_found_before_writing", &LOOP_MOUNT, refused_before),
        trial("device_that_fails", &chattr, failing_device),
    ]
}

/// Takes all the room there is, until dropped.
struct Filler {
    path: PathBuf,
}

impl Filler {
    fn fill(dir: &Path) -> Outcome<Self> {
        let filler = Self { path: dir.join("filler") };
        let mut file = File::create(&filler.path)?;
        // Smaller and smaller, for the last block must be taken too.
        for size in [1 << 20, 64 << 10, 4096, 512] {
            let bytes = vec![1; size];
            loop {
                match file.write_all(&bytes).and_then(|()| file.sync_data()) {
                    Ok(()) => {}
                    Err(e) if e.kind() == ErrorKind::StorageFull => break,
                    Err(e) => return Err(format!("{}: {e}", filler.path.display()).into()),
                }
            }
        }
        Ok(filler)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.path));
    }
}

/// Runs the call, makes its target fail once something is durable, and demands that it fails and says how to
/// go on.
fn fails_on_the_way<G>(
    call: &Call,
    journal: &Path,
    spoil: impl FnOnce() -> Outcome<G>,
) -> Outcome<(Ran, G)> {
    let mut running = slow(call.clone(), "8M").start()?;
    await_proof(&mut running, journal)?;
    let spoiled = spoil()?;
    let ran = running.wait()?;
    ensure!(ran.status.code() == Some(7), "expected exit code 7\n{}", ran.describe());
    let hint = "make space or mend the medium, then run the command again: it goes on";
    ensure!(ran.stderr.contains(hint), "stderr does not say {hint:?}\n{}", ran.describe());
    Ok((ran, spoiled))
}

fn new_image(stage: &Stage, dir: &Path) -> Outcome {
    let target = dir.join("volume.img");
    let journal = dir.join(".volume.img.journal");
    // Written past the page cache it would have its room from the beginning.
    let call = restore(&[&stage.sets], &target).option("--io", "buffered");
    let (ran, filler) = fails_on_the_way(&call, &journal, || Filler::fill(dir))?;
    ensure!(ran.stderr.contains("No space left on device"), "not why\n{}", ran.describe());
    ensure!(!target.exists(), "a half image under the final name");
    // Still none: the same again, and nothing is lost by it.
    let said = Journal::read(&journal)?;
    let again = call.exits(7)?;
    ensure!(again.stderr.contains("needed"), "not the check for room\n{}", again.describe());
    ensure!(Journal::read(&journal)? == said, "what was durable is forgotten");
    drop(filler);
    goes_on(&call, &said, stage.sample.layout.logical_size())?;
    tool::same_bytes(&target, &stage.sample.logical)?;
    let left = std::fs::read_dir(dir)?.filter_map(Result::ok);
    let left: Vec<_> = left.map(|e| e.file_name()).filter(|n| n != "lost+found").collect();
    ensure!(left == ["volume.img"], "left beside the image: {left:?}");
    Ok(())
}

fn new_image_on_tmpfs() -> Outcome {
    let stage = stage(24)?;
    let dir = stage.scratch.dir("small")?;
    let tmpfs = Tmpfs::mount(&dir, 32 << 20)?;
    new_image(&stage, &dir)?;
    tmpfs.unmount()
}

/// A new ext4, mounted.
fn ext4(stage: &Stage, megabytes: u64) -> Outcome<LoopMount> {
    let image = stage.scratch.path("ext4.img");
    drop(scratch::new_sparse(&image, megabytes << 20)?);
    tool::run("mkfs.ext4", ["-q", "-F", "-m", "0"].map(Path::new).into_iter().chain([&*image]))?;
    LoopMount::read_write(&image, &stage.scratch.path("mounted"))
}

fn new_image_on_ext4() -> Outcome {
    let stage = stage(24)?;
    let mount = ext4(&stage, 48)?;
    new_image(&stage, mount.dir())?;
    mount.unmount()
}

fn room_is_asked_for_first(in_place: bool) -> Outcome {
    let stage = stage(24)?;
    let mount = ext4(&stage, 48)?;
    let target = mount.dir().join("volume.img");
    let mut call = restore(&[&stage.sets], &target).option("--io", "direct");
    if in_place {
        drop(scratch::new_sparse(&target, stage.sample.layout.logical_size())?);
        call = call.arg("--in-place");
    }
    let mut running = slow(call, "8M").start()?;
    await_proof(&mut running, &mount.dir().join(".volume.img.journal"))?;
    let filler = Filler::fill(mount.dir())?;
    let ran = running.wait()?;
    ensure!(ran.status.success(), "no room\n{}", ran.describe());
    tool::same_bytes(&target, &stage.sample.logical)?;
    // For the data alone.
    let (meta, layout) = (std::fs::metadata(&target)?, &stage.sample.layout);
    ensure!(meta.blocks() * 512 < layout.logical_size(), "{} blocks", meta.blocks());
    drop(filler);
    mount.unmount()
}

/// The device has its size whether or not there is room below it.
fn device_over_tmpfs() -> Outcome {
    let stage = stage(24)?;
    let size = stage.sample.layout.logical_size();
    let dir = stage.scratch.dir("small")?;
    let tmpfs = Tmpfs::mount(&dir, 32 << 20)?;
    let backing = dir.join("backing");
    drop(scratch::new_sparse(&backing, size)?);
    {
        let device = LoopDevice::attach(&backing, false)?;
        let journal = stage.out.join("journal");
        let call =
            restore(&[&stage.sets], device.path()).arg("--in-place").option("--journal", &journal);
        let (_, filler) = fails_on_the_way(&call, &journal, || Filler::fill(&dir))?;
        drop(filler);
        goes_on(&call, &Journal::read(&journal)?, size)?;
        tool::same_bytes(device.path(), &stage.sample.logical)?;
        ensure!(!journal.exists(), "the journal is left");
    }
    tmpfs.unmount()
}

/// No file may have more than 400 bytes, but a device is no file. The journal is full some lines on, with one
/// cut off in the middle.
fn journal_that_cannot_grow() -> Outcome {
    let stage = stage(40)?;
    let target = Target::make(Kind::Device, &stage)?;
    let call = target.restore(&stage);
    let tight = call.clone().option("-j", "1").within("trap '' XFSZ; exec prlimit --fsize=400");
    let ran = slow(tight, "16M").exits(7)?;
    for word in ["the journal cannot be used", "run the command again: it goes on from here"] {
        ensure!(ran.stderr.contains(word), "stderr does not say {word:?}\n{}", ran.describe());
    }
    let said = Journal::read(&target.journal)?;
    ensure!(said.bytes() > 0, "nothing durable\n{}", ran.describe());
    goes_on(&call, &said, stage.sample.layout.logical_size())?;
    target.is_finished(&stage.sample.logical)
}

fn refused_before() -> Outcome {
    let stage = stage(16)?;
    let dir = stage.scratch.dir("small")?;
    let tmpfs = Tmpfs::mount(&dir, 4 << 20)?;
    let target = dir.join("volume.img");
    let untouched: [&Path; 2] = [&stage.sets, &dir];
    let refused = |call: Call| {
        let mentions = ["volume.img", "needed", "nothing was written"];
        Refusal { call, code: 7, mentions: &mentions, untouched: &untouched }.check()
    };
    let call = restore(&[&stage.sets], &target);
    refused(call.clone())?;
    // The gap alone fits, unless its room is to be taken as well.
    let gap = ["--offset", "13M", "--length", "1M"];
    scratch::write(&dir.join("other"), &vec![1; 3_600_000])?;
    refused(call.clone().args(gap).arg("--preallocate"))?;
    drop(scratch::new_sparse(&target, stage.sample.layout.logical_size())?);
    refused(call.clone().arg("--in-place"))?;
    std::fs::remove_file(&target)?;
    call.args(gap).succeeds()?;
    tmpfs.unmount()
}

/// A loop device whose file has become immutable answers writes with EIO.
fn failing_device() -> Outcome {
    let stage = stage(24)?;
    let size = stage.sample.layout.logical_size();
    let mount = ext4(&stage, 48)?;
    let backing = mount.dir().join("backing");
    dirty(&backing, size)?;
    let chattr = |flag: &str| tool::run("chattr", [Path::new(flag), &backing]);
    {
        let device = LoopDevice::attach(&backing, false)?;
        let journal = stage.out.join("journal");
        let call =
            restore(&[&stage.sets], device.path()).arg("--in-place").option("--journal", &journal);
        let failed = fails_on_the_way(&call, &journal, || chattr("+i"));
        chattr("-i")?;
        let (ran, _) = failed?;
        ensure!(ran.stderr.contains("Input/output error"), "not why\n{}", ran.describe());
        goes_on(&call, &Journal::read(&journal)?, size)?;
        tool::same_bytes(device.path(), &stage.sample.logical)?;
    }
    mount.unmount()
}
