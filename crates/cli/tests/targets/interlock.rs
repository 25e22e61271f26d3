//! What must not be overwritten, each for its reason: refused with 5, and not a byte of it changed.

use std::path::Path;

use libtest_mimic::Trial;

use super::in_place::onto;
use crate::support::disk::{Disk, LOOP};
use crate::support::held::{Other, Partition, Swap, partition_refusal, swap_refusal};
use crate::support::loopmount::{LoopDevice, LoopMount, Mount};
use crate::support::needs::{LOOP_MOUNT, Need, trial};
use crate::support::run::Call;
use crate::support::sample::{SOURCE, restore};
use crate::support::scratch::{copy_tree, make_dir, new_sparse, write};
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure, hash, tool};

const MIB: u64 = 1 << 20;

pub(crate) fn trials() -> Vec<Trial> {
    let ext4 = [&LOOP_MOUNT[..], &[Need::Tool("mkfs.ext4")]].concat();
    let swap = [&LOOP[..], &[Need::Tool("swapon"), Need::Tried(swap_refusal)]].concat();
    let partitions =
        [ext4.as_slice(), &[Need::Tool("addpart"), Need::Tried(partition_refusal)]].concat();
    vec![
        trial("refused_mounted", &ext4, mounted),
        trial("refused_swap", &swap, swap_space),
        trial("refused_partition_or_disk_in_use", &partitions, partition_in_use),
        trial("refused_disk_that_holds_a_source", &partitions, disk_of_a_source),
        trial("refused_behind_a_loop_device", &LOOP, behind_a_loop_device),
        trial("refused_open_for_writing", &LOOP, open_for_writing),
        trial("refused_over_a_source", &LOOP, over_a_source),
        trial("refused_too_small", &LOOP, too_small),
        trial("refused_misaligned", &LOOP, misaligned),
        trial("refused_not_as_expected", &LOOP, not_as_expected),
        trial("refused_read_only", &LOOP, read_only),
        trial("refused_no_file_nor_device", &[Need::Tool("mkfifo")], no_file_nor_device),
        trial("refused_twice_at_a_time", &[], twice_at_a_time),
    ]
}

/// The call is refused with these words, and `target` keeps its bytes.
fn refused(stage: &Stage, call: Call, target: &Path, words: &[&str]) -> Outcome {
    let before = hash::sha256(target)?;
    let name = target.display().to_string();
    let words = [&[name.as_str()], words].concat();
    let line = call.line();
    stage.refuses(call, 5, &words)?;
    ensure!(hash::sha256(target)? == before, "it was written to: {line}");
    let journal = stage.scratch.path("journal");
    ensure!(!journal.exists(), "a journal was left by: {line}");
    Ok(())
}

/// An ext4 filesystem named `precious`.
fn precious(path: &Path) -> Outcome {
    let flags = ["-q", "-F", "-L", "precious"].map(Path::new);
    tool::run("mkfs.ext4", flags.into_iter().chain([path])).map(drop)
}

fn mounted() -> Outcome {
    let stage = Stage::new()?;
    let image = stage.scratch.path("precious.img");
    drop(new_sparse(&image, 8 * MIB)?);
    precious(&image)?;
    let at = stage.scratch.path("mounted");
    // The sets may well be on it.
    let mount = LoopMount::read_write(&image, &at)?;
    copy_tree(&stage.sets, &at.join("sets"))?;
    mount.unmount()?;
    // A filesystem that can be written to is written to by itself.
    let device = LoopDevice::attach(&image, false)?;
    let mut mount = Mount::of_device(device.path(), &at, "ro")?;
    let word = format!("is mounted at {}", at.display());
    let words =
        ["(7:", "8.0 MiB", "backed by", &word, "holds ext4 filesystem \"precious\"", "unmount"];
    for sets in [stage.sets.as_path(), &at.join("sets")] {
        for flag in ["--no-journal", "--delta", "--dry-run"] {
            let call = restore(&[sets], device.path()).args(["--in-place", flag]);
            refused(&stage, call, device.path(), &words)?;
        }
    }
    mount.unmount()
}

fn swap_space() -> Outcome {
    let stage = Stage::new()?;
    let disk = Disk::dirty(&stage.scratch, 2 * MIB)?;
    let _swap = Swap::on(disk.path())?;
    let words = ["(7:", "2.0 MiB", "is in use as swap", "it holds swap space (UUID"];
    refused(&stage, onto(&stage, disk.path()), disk.path(), &words)
}

fn partition_in_use() -> Outcome {
    let stage = Stage::new()?;
    let disk = Disk::with_flags(&stage.scratch, 16 * MIB, &["--partscan"])?;
    let one = Partition::add(disk.path(), 1, MIB, 8 * MIB)?;
    let two = Partition::add(disk.path(), 2, 10 * MIB, 4 * MIB)?;
    precious(one.path())?;
    let mut mount = Mount::of_device(one.path(), &stage.scratch.path("mounted"), "rw")?;
    let words = ["is in use by its partition loop", "p1: mounted at", "it holds unknown data"];
    refused(&stage, onto(&stage, disk.path()), disk.path(), &words)?;
    let words = ["partition 1, backed by", "is mounted at", "holds ext4 filesystem \"precious\""];
    refused(&stage, onto(&stage, one.path()), one.path(), &words)?;
    onto(&stage, two.path()).succeeds()?;
    mount.unmount()?;
    let above = LoopDevice::attach(disk.path(), true)?;
    let words = ["is part of the disk loop", "which is behind the loop device loop"];
    refused(&stage, onto(&stage, two.path()), two.path(), &words)?;
    drop(above);
    Ok(())
}

fn disk_of_a_source() -> Outcome {
    let stage = Stage::new()?;
    let disk = Disk::with_flags(&stage.scratch, 4 * MIB, &["--partscan"])?;
    let part = Partition::add(disk.path(), 1, MIB, MIB)?;
    let from = |source: &Path, target: &Path| {
        let call = Call::new("restore").member("vol-a", source).option("-o", target);
        call.args(["--in-place", "--no-journal"])
    };
    let call = from(part.path(), disk.path());
    refused(&stage, call, disk.path(), &["holds the source", "name another target"])?;
    let call = from(disk.path(), part.path());
    refused(&stage, call, part.path(), &["the source /dev/loop", "name another target"])
}

fn behind_a_loop_device() -> Outcome {
    let stage = Stage::new()?;
    let disk = Disk::dirty(&stage.scratch, 2 * MIB)?;
    let words = ["(a file)", "behind the writable loop device loop", "it holds unknown data"];
    refused(&stage, onto(&stage, disk.image()), disk.image(), &words)
}

fn open_for_writing() -> Outcome {
    let stage = Stage::new()?;
    let disk = Disk::dirty(&stage.scratch, 2 * MIB)?;
    write(&stage.target(), &vec![7; 2 << 20])?;
    for target in [disk.path(), &stage.target()] {
        let writer = Other::writer(target)?;
        let word = format!("is open for writing by process {} (sh)", writer.pid());
        refused(&stage, onto(&stage, target), target, &[&word, "it holds unknown data"])?;
    }
    Ok(())
}

fn over_a_source() -> Outcome {
    let stage = Stage::new()?;
    let source = stage.file("vol-a")?;
    let over = LoopDevice::attach(&source, false)?;
    refused(&stage, onto(&stage, over.path()), over.path(), &["lies on the source", "vol-a.snap"])?;
    drop(over);
    refused(&stage, onto(&stage, &source), &source, &["is the source", "name another target"])?;
    // A raw member and the layout are sources too.
    let mut call = Call::new("restore").option("--layout", &stage.sample.layout_file);
    for (id, path) in &stage.sample.members {
        call = call.member(id, path);
    }
    let call = call.args(["--in-place", "--no-journal"]);
    for source in [&stage.sample.members["vol-b"], &stage.sample.layout_file] {
        refused(&stage, call.clone().option("-o", source), source, &["is the source"])?;
    }
    Ok(())
}

fn too_small() -> Outcome {
    let stage = Stage::new()?;
    let disk = Disk::dirty(&stage.scratch, MIB)?;
    let words = ["has 1048576 bytes", "are needed", "it holds unknown data", "larger target"];
    refused(&stage, onto(&stage, disk.path()), disk.path(), &words)?;
    let call = onto(&stage, disk.path()).option("--offset", "1M").option("--length", "512");
    refused(&stage, call, disk.path(), &words)?;
    let call = onto(&stage, disk.path()).option("--size", "2M");
    refused(&stage, call, disk.path(), &words)
}

fn misaligned() -> Outcome {
    let stage = Stage::new()?;
    let disk = Disk::with_flags(&stage.scratch, 2 * MIB, &["--sector-size", "4096"])?;
    // The volume ends 512 bytes behind a multiple of 4096.
    let words = ["has sectors of 4096 bytes", "it holds unknown data", "whole sectors"];
    refused(&stage, onto(&stage, disk.path()), disk.path(), &words)?;
    let call = onto(&stage, disk.path()).option("--offset", "512").option("--length", "64K");
    refused(&stage, call, disk.path(), &words)?;
    onto(&stage, disk.path()).option("--size", "2M").succeeds().map(drop)
}

fn not_as_expected() -> Outcome {
    let stage = Stage::new()?;
    let disk = Disk::dirty(&stage.scratch, 2 * MIB)?;
    write(&stage.target(), &vec![7; 2 << 20])?;
    for target in [disk.path(), &stage.target()] {
        let call = onto(&stage, target).option("--expect-size", "4M");
        let words = ["has 2097152 bytes, expected 4194304", "it holds unknown data"];
        refused(&stage, call, target, &words)?;
        let call = onto(&stage, target).option("--expect-serial", "vol0123");
        let words = ["has no serial number, expected \"vol0123\"", "it holds unknown data"];
        refused(&stage, call, target, &words)?;
        onto(&stage, target).option("--expect-size", "2M").succeeds()?;
    }
    Ok(())
}

fn read_only() -> Outcome {
    let stage = Stage::new()?;
    let disk = Disk::with_flags(&stage.scratch, 2 * MIB, &["--read-only"])?;
    let words = ["is read-only", "it holds unknown data"];
    refused(&stage, onto(&stage, disk.path()), disk.path(), &words)
}

fn no_file_nor_device() -> Outcome {
    let stage = Stage::new()?;
    make_dir(&stage.target())?;
    tool::run("mkfifo", [stage.scratch.path("pipe")])?;
    for (target, kind) in [
        (stage.target(), "is a directory"),
        (stage.scratch.path("pipe"), "is a pipe"),
        ("/dev/null".into(), "is a character device"),
    ] {
        let call = onto(&stage, &target).within("exec timeout 60");
        let name = target.display().to_string();
        stage.refuses(call, 5, &[&name, kind, "name a regular file or block device"])?;
    }
    // Nothing there at all is no refusal but a failure.
    let missing = stage.out.join("missing");
    stage.refuses(onto(&stage, &missing), 7, &["missing", "needs a target that exists"])
}

/// A second restore to a target does not disturb the first.
fn twice_at_a_time() -> Outcome {
    let stage = Stage::new()?;
    write(&stage.target(), &vec![7; 2 << 20])?;
    // 1.3 MiB of data at 384 KiB a second.
    let slow = onto(&stage, &stage.target()).option("--limit-rate", "384K");
    let mut first = slow.start()?;
    first.await_handler_of(rustix::process::Signal::INT)?;
    let second = restore(&[&stage.sets], &stage.target()).args(["--in-place", "--no-journal"]);
    let second = second.option("--source-volume", SOURCE).exits(5)?;
    ensure!(!first.ended()?, "the first ended too early to show anything");
    ensure!(second.stderr.contains("is locked by process"), "{}", second.describe());
    let ran = first.wait()?;
    ensure!(ran.status.success(), "{}", ran.describe());
    super::in_place::holds(&stage, &stage.target(), &vec![7; (2 << 20) - 1_618_432])
}
