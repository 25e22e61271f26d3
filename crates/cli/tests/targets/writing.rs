//! How a target is written: allocated, past the page cache or through it.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use libtest_mimic::Trial;
use rustix::fs::{SeekFrom, seek};

use super::in_place::{holds, onto};
use crate::support::image::Filesystem;
use crate::support::layout::Layout;
use crate::support::loopmount::{LoopMount, Tmpfs};
use crate::support::needs::{LOOP_MOUNT, trial};
use crate::support::run::Ran;
use crate::support::sample::{Sample, restore};
use crate::support::scratch::{Scratch, len, write};
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure, hash};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("preallocated_without_holes", &[], preallocated),
        trial("written_on_ext4", &Filesystem::Ext4.needs(), on_ext4),
        trial("written_on_tmpfs", &LOOP_MOUNT, on_tmpfs),
    ]
}

/// A stage with 4 MiB of zeros and 4 MiB of nothing in its volume.
fn sparse() -> Outcome<Stage> {
    let layout = Layout::new().linear(6 << 20, ("vol-a", 0)).unmapped(4 << 20);
    let scratch = Scratch::new()?;
    let mut image = vec![0; 10 << 20];
    image[..1 << 20].copy_from_slice(&crate::support::noise::noise(4, 1 << 20));
    image[5 << 20..6 << 20].copy_from_slice(&crate::support::noise::noise(5, 1 << 20));
    let sample = Sample::with_image(&scratch.path("members"), layout, &image)?;
    let sets = scratch.dir("sets")?;
    let set = sample.captured(&sets, "dsnap-0a")?;
    let out = scratch.dir("out")?;
    Ok(Stage { sample, set, sets, out, scratch })
}

/// Whether all of a file is allocated.
fn is_allocated(path: &Path) -> Outcome<bool> {
    let file = File::open(path)?;
    let meta = file.metadata()?;
    // Allocated but never written reads as a hole on some filesystems: blocks are what counts.
    Ok(meta.blocks() * 512 >= meta.len())
}

fn preallocated() -> Outcome {
    let stage = sparse()?;
    stage.restore().succeeds()?;
    let hole = seek(&File::open(stage.target())?, SeekFrom::Hole(0))?;
    ensure!(!is_allocated(&stage.target())?, "the volume is not sparse to begin with");
    ensure!(hole < len(&stage.target())?, "no hole before {hole}");
    std::fs::remove_file(stage.target())?;

    for flags in [&[][..], &["--size", "12M"], &["--io", "buffered"]] {
        stage.restore().arg("--preallocate").args(flags).succeeds()?;
        ensure!(is_allocated(&stage.target())?, "holes with {flags:?}");
        std::fs::remove_file(stage.target())?;
    }
    stage.restores(&stage.restore().arg("--preallocate"), &stage.sample)?;
    // What is overwritten keeps its space, or gives it back.
    for (flag, allocated) in [("--preallocate", true), ("--verify-target", false)] {
        write(&stage.target(), &vec![7; 10 << 20])?;
        onto(&stage, &stage.target()).arg(flag).succeeds()?;
        holds(&stage, &stage.target(), &[])?;
        ensure!(is_allocated(&stage.target())? == allocated, "wrong with {flag}");
    }
    Ok(())
}

/// Restores to `dir` with this `--io`, and says how.
fn written(stage: &Stage, dir: &Path, io: &str) -> Outcome<Ran> {
    let target = dir.join("volume.img");
    let call = restore(&[&stage.sets], &target).option("--io", io).arg("-v");
    let ran = call.run()?;
    if ran.status.success() {
        hash::same_sha256(&call.line(), &target, &stage.sample.logical)?;
        std::fs::remove_file(&target)?;
    }
    let left = std::fs::read_dir(dir)?.filter_map(Result::ok);
    let left: Vec<_> = left.map(|e| e.file_name()).filter(|n| n != "lost+found").collect();
    ensure!(left.is_empty(), "{left:?} was left\n{}", ran.describe());
    Ok(ran)
}

fn by(ran: &Ran, method: &str) -> Outcome {
    let said = ran.stderr.contains(&format!("written by {method} I/O"));
    ensure!(ran.status.success() && said, "expected {method}\n{}", ran.describe());
    Ok(())
}

fn on_ext4() -> Outcome {
    // Its size is no multiple of what a direct write must be.
    let stage = Stage::new()?;
    let image = stage.scratch.path("ext4.img");
    let empty = stage.scratch.dir("empty")?;
    Filesystem::Ext4.make(&image, 32 << 20, &empty, &stage.scratch.path("made"))?;
    let mount = LoopMount::read_write(&image, &stage.scratch.path("mounted"))?;
    for (io, method) in [("auto", "direct"), ("direct", "direct"), ("buffered", "buffered")] {
        by(&written(&stage, mount.dir(), io)?, method)?;
    }
    mount.unmount()
}

/// Whether there are direct writes there depends on the kernel.
fn on_tmpfs() -> Outcome {
    let stage = Stage::new()?;
    let tmpfs = Tmpfs::mount(&stage.scratch.dir("tmpfs")?, 32 << 20)?;
    let dir = stage.scratch.path("tmpfs");
    by(&written(&stage, &dir, "buffered")?, "buffered")?;
    let direct = written(&stage, &dir, "direct")?;
    if direct.status.success() {
        by(&direct, "direct")?;
    } else {
        ensure!(direct.status.code() == Some(7), "{}", direct.describe());
    }
    let auto = written(&stage, &dir, "auto")?;
    let method = if direct.status.success() { "direct" } else { "buffered" };
    by(&auto, method)?;
    tmpfs.unmount()
}
