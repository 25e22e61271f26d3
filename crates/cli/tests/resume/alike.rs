//! Targets that look like the one that an earlier run has written to, and sources that look like others after a
//! restart of the machine.

use std::path::Path;

use libtest_mimic::Trial;
use rustix::process::Signal;

use super::scene::{Kind, Target, goes_on, killed, slow, stage, stop_after_proof};
use crate::support::journal::Journal;
use crate::support::loopmount::{LoopDevice, LoopMount};
use crate::support::needs::{LOOP_DEVICE, LOOP_MOUNT, Need, trial};
use crate::support::run::Call;
use crate::support::scratch::set_len;
use crate::support::{Outcome, ensure, hash, tool};

pub(crate) fn trials() -> Vec<Trial> {
    let ext2 = [&LOOP_MOUNT[..], &[Need::Tool("mkfs.ext2")]].concat();
    vec![
        trial("another_part_of_the_same_file_is_refused", &LOOP_DEVICE, another_part),
        trial("a_file_of_the_same_number_is_refused", &ext2, same_number),
        trial("a_device_with_a_new_node_is_the_same_source", &LOOP_DEVICE, new_node),
        trial("interrupted_members", &[], interrupted_members),
    ]
}

/// Loop devices onto two halves of one file.
fn another_part() -> Outcome {
    let stage = stage(16)?;
    let (disk, half) = (stage.scratch.path("disk"), 32_u64 << 20);
    set_len(&disk, 2 * half)?;
    let attach = |offset: u64| {
        let [offset, size] = [offset, half].map(|n| n.to_string());
        LoopDevice::with_flags(&disk, &["--offset", &offset, "--sizelimit", &size])
    };
    let (first, second) = (attach(0)?, attach(half)?);
    let journal = stage.out.join("journal");
    let onto = |device: &LoopDevice| {
        let call = Call::new("restore").arg(&stage.sets).option("-o", device.path());
        call.arg("--in-place").option("--journal", &journal)
    };
    let said = killed(&onto(&first), &journal)?;
    stage.refuses(onto(&second), 5, &["journal of another restore"])?;
    goes_on(&onto(&first), &said, stage.sample.layout.logical_size())
}

/// Where files have no time of birth, a new one may get all that an old one was known by.
fn same_number() -> Outcome {
    let stage = stage(16)?;
    let image = stage.scratch.path("ext2.img");
    set_len(&image, 64 << 20)?;
    tool::run(
        "mkfs.ext2",
        ["-q", "-I", "128"].map(Path::new).into_iter().chain([image.as_path()]),
    )?;
    let mount = LoopMount::read_write(&image, &stage.scratch.path("ext2"))?;
    let (target, journal) = (mount.dir().join("target"), mount.dir().join(".target.journal"));
    let size = stage.sample.layout.logical_size();
    let call = Call::new("restore").arg(&stage.sets).option("-o", &target).arg("--in-place");
    set_len(&target, size)?;
    let said = killed(&call, &journal)?;
    goes_on(&call, &said, size)?;
    tool::same_bytes(&target, &stage.sample.logical)?;

    killed(&call, &journal)?;
    std::fs::remove_file(&target)?;
    set_len(&target, size)?;
    stage.refuses(call.clone(), 5, &["does not hold what the journal says of it"])?;
    goes_on(&call.arg("--restart"), &Journal::default(), size)?;
    tool::same_bytes(&target, &stage.sample.logical)?;
    mount.unmount()
}

/// The times of a device's node are of the last start of the machine.
fn new_node() -> Outcome {
    let stage = stage(16)?;
    let size = stage.sample.layout.logical_size();
    let disk = stage.scratch.path("disk");
    std::fs::copy(&stage.sample.logical, &disk)?;
    let size = size.next_multiple_of(4096);
    set_len(&disk, size)?;
    let device = LoopDevice::attach(&disk, true)?;
    let target = Target::make(Kind::NewImage, &stage)?;
    let call = Call::new("restore").arg("--raw").arg(device.path()).option("-o", &target.path);
    let said = killed(&call, &target.journal)?;
    tool::run("touch", [Path::new("--date=2001-01-01"), device.path()])?;
    goes_on(&call, &said, size)
}

/// A signal while one member is restored keeps what is done of all, and the same command goes on.
fn interrupted_members() -> Outcome {
    let stage = stage(16)?;
    let dir = stage.out.join("members");
    let call = Call::new("restore").arg(&stage.sets).option("--members", &dir);
    let partial = stage.out.join(".members.partial");
    for no in ["0-vol-a", "1-vol-b"] {
        let journal = partial.join(format!(".{no}.raw.journal"));
        let (ran, _) = stop_after_proof(&slow(call.clone(), "4M"), &journal, Signal::INT)?;
        ensure!(ran.status.code() == Some(130), "{}", ran.describe());
        ensure!(partial.is_dir() && !dir.exists(), "nothing is left to go on with");
    }
    let done = call.json()?;
    let resumed = |no: usize| done["members"][no]["bytes"]["resumed"].as_u64();
    ensure!(resumed(0) > Some(0) && resumed(1) > Some(0), "{done}");
    hash::same_sha256("vol-a", &dir.join("0-vol-a.raw"), &stage.sample.members["vol-a"])
}
