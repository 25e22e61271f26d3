//! `--offset`, `--length` and `--size`.

use std::path::Path;

use libtest_mimic::Trial;

use super::in_place::onto;
use crate::support::disk::{Disk, LOOP};
use crate::support::layout::Layout;
use crate::support::needs::{Need, trial};
use crate::support::noise::noise;
use crate::support::run::Call;
use crate::support::sample::{Sample, restore};
use crate::support::scratch::{len, read, set_len, write};
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure, tool};

pub(crate) fn trials() -> Vec<Trial> {
    let mkfs = |name| [Need::Tool(name)];
    vec![
        trial("a_range_to_a_new_file", &[], to_a_file),
        trial("a_range_to_a_pipe", &[], to_a_pipe),
        trial("a_range_of_a_file_in_place", &[], in_a_file),
        trial("a_range_of_a_device_in_place", &LOOP, in_a_device),
        trial("a_larger_target_is_zeros_behind", &[], larger),
        trial("a_grown_ext4_is_told_of", &mkfs("mkfs.ext4"), || grown("mkfs.ext4", "resize2fs")),
        trial("a_grown_xfs_is_told_of", &mkfs("mkfs.xfs"), || grown("mkfs.xfs", "xfs_growfs")),
        trial("ranges_that_cannot_be", &[], not_possible),
    ]
}

/// Ranges of a volume of 1,618,432 bytes: offset and, unless to its end, length.
pub(super) const RANGES: [(u64, Option<u64>); 6] = [
    (0, None),
    (0, Some(1)),
    (12_345, Some(300_001)),
    (65_536, Some(131_072)),
    (1_000_000, None),
    (1_618_431, Some(1)),
];

pub(super) fn with_range(call: Call, (offset, length): (u64, Option<u64>)) -> Call {
    let call = call.option("--offset", offset.to_string());
    match length {
        Some(length) => call.option("--length", length.to_string()),
        None => call,
    }
}

/// The volume's bytes of a range, and where they are.
pub(super) fn truth(
    stage: &Stage,
    (offset, length): (u64, Option<u64>),
) -> Outcome<(Vec<u8>, usize)> {
    let image = read(&stage.sample.logical)?;
    let start = usize::try_from(offset)?;
    let end = length.map_or(Ok(image.len()), |length| usize::try_from(offset + length))?;
    Ok((image[start..end].to_vec(), start))
}

fn to_a_file() -> Outcome {
    let stage = Stage::new()?;
    for range in RANGES {
        let call = with_range(stage.restore(), range).arg("--verify-target");
        let report = call.json()?;
        let (truth, start) = truth(&stage, range)?;
        ensure!(read(&stage.target())? == truth, "wrong bytes: {}", call.line());
        let expected = serde_json::json!([start, start + truth.len()]);
        ensure!(report["range"] == expected, "{report}");
        ensure!(report["target_size"] == truth.len(), "{report}");
        std::fs::remove_file(stage.target())?;
    }
    Ok(())
}

fn to_a_pipe() -> Outcome {
    let stage = Stage::new()?;
    for range in RANGES {
        let call = with_range(restore(&[&stage.sets], Path::new("-")), range);
        let ran = call.succeeds()?;
        let (truth, _) = truth(&stage, range)?;
        ensure!(ran.stdout == truth, "wrong bytes: {}", call.line());
    }
    let call = restore(&[&stage.sets], Path::new("-")).option("--size", "2M");
    let (mut truth, _) = truth(&stage, RANGES[0])?;
    truth.resize(2 << 20, 0);
    ensure!(call.succeeds()?.stdout == truth, "wrong bytes: {}", call.line());
    Ok(())
}

/// The target holds the range at its place, and what it held everywhere else.
fn in_its_place(stage: &Stage, target: &Path, old: &[u8], range: (u64, Option<u64>)) -> Outcome {
    let (truth, start) = truth(stage, range)?;
    let mut expected = old.to_vec();
    expected[start..start + truth.len()].copy_from_slice(&truth);
    let found = read(target)?;
    let differs = found.iter().zip(&expected).position(|(a, b)| a != b);
    ensure!(
        found.len() == expected.len() && differs.is_none(),
        "{range:?}: byte {differs:?} of {} is wrong",
        found.len()
    );
    Ok(())
}

fn in_a_file() -> Outcome {
    let stage = Stage::new()?;
    let old = noise(8, 1_700_000);
    for range in RANGES {
        for flags in [&["--verify-target"][..], &["--delta"]] {
            write(&stage.target(), &old)?;
            with_range(onto(&stage, &stage.target()), range).args(flags).succeeds()?;
            in_its_place(&stage, &stage.target(), &old, range)?;
        }
    }
    Ok(())
}

fn in_a_device() -> Outcome {
    let stage = Stage::new()?;
    for range in [(512, Some(1024)), (65_536, Some(131_072)), (1_000_448, None)] {
        let disk = Disk::dirty(&stage.scratch, 2 << 20)?;
        with_range(onto(&stage, disk.path()), range).succeeds()?;
        in_its_place(&stage, disk.path(), disk.old(), range)?;
    }
    Ok(())
}

fn larger() -> Outcome {
    let stage = Stage::new()?;
    for size in ["1618432", "1618433", "2M", "1T"] {
        let call = stage.restore().option("--size", size);
        let report = call.json()?;
        let found = len(&stage.target())?;
        ensure!(report["target_size"] == found, "{found} bytes: {report}");
        let expected = match size {
            "2M" => 2 << 20,
            "1T" => 1 << 40,
            bytes => bytes.parse()?,
        };
        ensure!(found == expected, "{found} bytes: {}", call.line());
        if expected <= 2 << 20 {
            let mut truth = read(&stage.sample.logical)?;
            truth.resize(usize::try_from(expected)?, 0);
            ensure!(read(&stage.target())? == truth, "wrong bytes: {}", call.line());
        } else {
            let stage_len = len(&stage.sample.logical)?;
            drop(set_len(&stage.target(), stage_len)?);
            tool::same_bytes(&stage.target(), &stage.sample.logical)?;
        }
        std::fs::remove_file(stage.target())?;
    }
    Ok(())
}

/// A larger target does not make the filesystem in it larger, which is said.
fn grown(mkfs: &str, hint: &str) -> Outcome {
    let scratch = crate::support::scratch::Scratch::new()?;
    let image = scratch.path("filesystem.img");
    let size = 320 << 20;
    drop(set_len(&image, size)?);
    tool::run(mkfs, [Path::new("-q"), &image])?;
    let layout = Layout::new().linear(size, ("vol-a", 0));
    let sample = Sample::with_file(&scratch.path("members"), layout, image)?;
    let sets = scratch.dir("sets")?;
    sample.capture(&sets, "dsnap-0a").succeeds()?;
    let target = scratch.path("volume.img");
    let ran = restore(&[&sets], &target).option("--size", "400M").succeeds()?;
    ensure!(ran.stderr.contains(hint), "no word of {hint}\n{}", ran.describe());
    ensure!(len(&target)? == 400 << 20, "{} bytes", len(&target)?);
    std::fs::remove_file(&target)?;
    let ran = restore(&[&sets], &target).succeeds()?;
    ensure!(!ran.stderr.contains(hint), "nothing is to be grown\n{}", ran.describe());
    Ok(())
}

fn not_possible() -> Outcome {
    let stage = Stage::new()?;
    for flags in [
        &["--size", "1618431"][..],
        &["--size", "0"],
        &["--offset", "1618433"],
        &["--offset", "1", "--length", "1618432"],
        &["--length", "18446744073709551615", "--offset", "1"],
        &["--size", "2M", "--offset", "1"],
        &["--size", "2M", "--length", "1"],
    ] {
        stage.refuses(stage.restore().args(flags), 2, &[])?;
    }
    stage.refuses(stage.restore().option("--size", "1M"), 2, &["1618432", "shrink"])
}
