//! `--delta`: what the target holds already is read, and only what differs is written.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use libtest_mimic::Trial;
use serde_json::Value;

use super::in_place::{holds, onto};
use crate::support::disk::{Disk, LOOP};
use crate::support::layout::Layout;
use crate::support::needs::trial;
use crate::support::noise::noise;
use crate::support::scratch::{copy, flip_bit, read};
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure};

/// As the stage captures.
const CHUNK: u64 = 64 << 10;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("an_equal_file_is_not_written", &[], equal_file),
        trial("an_equal_device_is_not_written", &LOOP, equal_device),
        trial("only_what_differs_is_written", &LOOP, few_differences),
        trial("a_stale_target_is_written_whole", &LOOP, all_differs),
    ]
}

/// 8 MiB in a pair, 2 MiB nowhere, and a tail.
fn stage() -> Outcome<Stage> {
    let layout = Layout::new()
        .striped(8 << 20, CHUNK, &[("vol-a", 0), ("vol-b", 0)])
        .unmapped(2 << 20)
        .linear((1 << 20) + 512, ("vol-c", 0));
    Stage::with_layout(layout)
}

fn kept(report: &Value) -> Outcome<u64> {
    Ok(report["bytes"]["kept"].as_u64().ok_or("no bytes.kept")?)
}

fn size(stage: &Stage) -> u64 {
    stage.sample.layout.logical_size()
}

/// A device that holds the volume already.
fn equal_disk(stage: &Stage) -> Outcome<Disk> {
    let disk = Disk::dirty(&stage.scratch, 12 << 20)?;
    let device = File::options().write(true).open(disk.path())?;
    device.write_all_at(&read(&stage.sample.logical)?, 0)?;
    device.sync_all()?;
    Ok(disk)
}

fn equal_file() -> Outcome {
    let stage = stage()?;
    copy(&stage.sample.logical, &stage.target())?;
    let times = |path: &Path| -> Outcome<_> {
        let meta = std::fs::metadata(path)?;
        Ok((meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()))
    };
    let before = times(&stage.target())?;
    let report = onto(&stage, &stage.target()).arg("--delta").json()?;
    ensure!(times(&stage.target())? == before, "an equal file was written to: {report}");
    ensure!(kept(&report)? == size(&stage), "{report}");
    holds(&stage, &stage.target(), &[])
}

fn equal_device() -> Outcome {
    let stage = stage()?;
    let disk = equal_disk(&stage)?;
    let before = disk.written()?;
    let report = onto(&stage, disk.path()).args(["--delta", "--verify-target"]).json()?;
    let written = disk.written()? - before;
    ensure!(written == 0, "{written} bytes were written to an equal device: {report}");
    ensure!(kept(&report)? == size(&stage), "{report}");
    // Without it everything is.
    let report = onto(&stage, disk.path()).json()?;
    let written = disk.written()? - before;
    ensure!(kept(&report)? == 0 && written >= 8 << 20, "{written} bytes written: {report}");
    Ok(())
}

fn few_differences() -> Outcome {
    let stage = stage()?;
    let disk = equal_disk(&stage)?;
    // Within data, in what is in no member, and in the very last bytes.
    for places in [&[0][..], &[70_000, 5 << 20], &[3 << 20, 9 << 20, (11 << 20) + 511]] {
        for place in places {
            flip_bit(disk.path(), *place)?;
        }
        File::open(disk.path())?.sync_all()?;
        let before = disk.written()?;
        let report = onto(&stage, disk.path()).arg("--delta").json()?;
        let written = disk.written()? - before;
        let rewritten = size(&stage) - kept(&report)?;
        let differing = places.len() as u64;
        // Zeros are looked at in larger pieces than a chunk.
        let most = differing * CHUNK + (2 << 20);
        ensure!((differing..=most).contains(&rewritten), "{rewritten} rewritten: {report}");
        ensure!(written > 0 && written <= most, "{written} bytes written: {report}");
        let behind = &disk.old()[usize::try_from(size(&stage))?..];
        holds(&stage, disk.path(), behind)?;
    }
    Ok(())
}

fn all_differs() -> Outcome {
    let stage = stage()?;
    let disk = Disk::dirty(&stage.scratch, 12 << 20)?;
    let report = onto(&stage, disk.path()).args(["--delta", "--size", "12M"]).json()?;
    ensure!(kept(&report)? == 0, "nothing of it was right: {report}");
    let behind = (12 << 20) - size(&stage);
    holds(&stage, disk.path(), &vec![0; usize::try_from(behind)?])?;
    // Stale bytes only behind the volume.
    let device = File::options().write(true).open(disk.path())?;
    device.write_all_at(&noise(3, 4096), size(&stage) + 512)?;
    drop(device);
    onto(&stage, disk.path()).args(["--delta", "--size", "12M"]).succeeds()?;
    holds(&stage, disk.path(), &vec![0; usize::try_from(behind)?])
}
