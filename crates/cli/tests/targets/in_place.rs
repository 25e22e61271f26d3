//! Files and devices that are full of something else, overwritten themselves.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use libtest_mimic::Trial;

use crate::support::disk::{Disk, LOOP};
use crate::support::needs::trial;
use crate::support::noise::noise;
use crate::support::run::Call;
use crate::support::scratch::{len, read, write};
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_dirty_file", &[], dirty_file),
        trial("a_file_that_is_too_short_grows", &[], short_file),
        trial("a_dirty_device", &LOOP, dirty_device),
        trial("a_dirty_device_through_the_page_cache", &LOOP, through_the_page_cache),
        trial("a_dirty_device_in_parts", &LOOP, in_parts),
        trial("not_without_in_place", &[], not_without),
        trial("messages_that_nobody_can_read", &[], unread_messages),
    ]
}

/// A restore of everything in the stage's sets onto an existing target.
pub(crate) fn onto(stage: &Stage, target: &Path) -> Call {
    let call = crate::support::sample::restore(&[&stage.sets], target).arg("--in-place");
    // By default a device's journal is in a directory of the whole system.
    call.option("--journal", stage.scratch.path("journal"))
}

/// The target begins with the volume and goes on with `behind`.
pub(crate) fn holds(stage: &Stage, target: &Path, behind: &[u8]) -> Outcome {
    let (found, truth) = (read(target)?, read(&stage.sample.logical)?);
    let size = truth.len();
    ensure!(found.len() == size + behind.len(), "the target has {} bytes", found.len());
    let differs = found.iter().zip(truth.iter().chain(behind)).position(|(a, b)| a != b);
    ensure!(differs.is_none(), "byte {differs:?} is wrong; the volume has {size}");
    let journal = stage.scratch.path("journal");
    ensure!(!journal.exists(), "the journal of a finished restore was left");
    Ok(())
}

fn dirty_file() -> Outcome {
    let stage = Stage::new()?;
    let (target, size) = (stage.target(), len(&stage.sample.logical)?);
    let old = noise(5, usize::try_from(size)? + 100_003);
    write(&target, &old)?;
    let inode = std::fs::metadata(&target)?.ino();

    let ran = onto(&stage, &target).succeeds()?;
    holds(&stage, &target, &old[usize::try_from(size)?..])?;
    ensure!(
        ran.stderr.contains("overwriting") && ran.stderr.contains("it holds unknown data"),
        "it is not said what is lost\n{}",
        ran.describe()
    );

    write(&target, &old)?;
    let whole = old.len().to_string();
    onto(&stage, &target).option("--size", &whole).succeeds()?;
    holds(&stage, &target, &vec![0; 100_003])?;
    ensure!(std::fs::metadata(&target)?.ino() == inode, "the file was replaced");
    Ok(())
}

fn short_file() -> Outcome {
    let stage = Stage::new()?;
    for old in [&b""[..], &noise(6, 300_001)] {
        write(&stage.target(), old)?;
        onto(&stage, &stage.target()).succeeds()?;
        holds(&stage, &stage.target(), &[])?;
    }
    Ok(())
}

fn dirty_device() -> Outcome {
    let stage = Stage::new()?;
    let size = usize::try_from(len(&stage.sample.logical)?)?;
    for io in ["auto", "buffered", "direct"] {
        let disk = Disk::dirty(&stage.scratch, 2 << 20)?;
        onto(&stage, disk.path()).option("--io", io).succeeds()?;
        holds(&stage, disk.path(), &disk.old()[size..])?;
    }
    let disk = Disk::dirty(&stage.scratch, 2 << 20)?;
    onto(&stage, disk.path()).option("--size", "2M").arg("--verify-target").succeeds()?;
    holds(&stage, disk.path(), &vec![0; (2 << 20) - size])
}

/// Zeros beside pages that are on their way to the device.
fn through_the_page_cache() -> Outcome {
    let stage = Stage::new()?;
    let mut image = noise(3, 96 << 20);
    for chunk in image.chunks_mut(256 << 10).skip(1).step_by(2) {
        chunk[4096..].fill(0);
    }
    let (member, sets) = (stage.scratch.path("member"), stage.scratch.path("half-empty"));
    write(&member, &image)?;
    let capture = Call::new("capture").arg("-o").arg(&sets).arg("--member");
    capture.arg(format!("vol-h={}", member.display())).arg("--chunk-size").arg("64K").succeeds()?;
    let disk = Disk::dirty(&stage.scratch, image.len() as u64)?;
    for _ in 0..4 {
        write(disk.path(), disk.old())?;
        let call = crate::support::sample::restore(&[&sets], disk.path()).arg("--in-place");
        call.arg("--io").arg("buffered").arg("--no-journal").succeeds()?;
        ensure!(read(disk.path())? == image, "the device has other bytes");
    }
    Ok(())
}

/// Each part by a process of its own, two of them at a time.
fn in_parts() -> Outcome {
    let stage = Stage::new()?;
    let size = usize::try_from(len(&stage.sample.logical)?)?;
    let disk = Disk::dirty(&stage.scratch, 2 << 20)?;
    let part = |n: u32| {
        let call = crate::support::sample::restore(&[&stage.sets], disk.path());
        let call = call.arg("--in-place").option("--shard", format!("{n}/3"));
        call.option("--journal", stage.scratch.path(&format!("journal-{n}")))
    };
    let first = part(2).start()?;
    part(1).succeeds()?;
    let ran = first.wait()?;
    ensure!(ran.status.success(), "a part failed\n{}", ran.describe());
    part(3).succeeds()?;
    holds(&stage, disk.path(), &disk.old()[size..])
}

/// That standard error is gone stops nothing, and changes no exit code.
fn unread_messages() -> Outcome {
    let stage = Stage::new()?;
    let nobody = "2>/dev/full exec";
    write(&stage.target(), &noise(5, 4096))?;
    onto(&stage, &stage.target()).arg("-v").within(nobody).succeeds()?;
    holds(&stage, &stage.target(), &[])?;
    stage.restore().within(nobody).exits(5)?;
    stage.restore().arg("--delta").within(nobody).exits(2)?;
    Ok(())
}

/// What is only for existing targets is not passed over for others.
fn not_without() -> Outcome {
    let stage = Stage::new()?;
    let flags = ["--delta", "--expect-size=2M", "--expect-serial=vol0123", "--shard=1/2"];
    for flag in flags {
        for call in [stage.restore(), stage.restore().arg("--force")] {
            let (name, _) = flag.split_once('=').unwrap_or((flag, ""));
            stage.refuses(call.arg(flag), 2, &[name])?;
        }
    }
    Ok(())
}
