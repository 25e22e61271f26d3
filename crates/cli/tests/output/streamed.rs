//! `restore -o -`: the volume on standard output, and what else there is to say somewhere else. And `--report`,
//! which says it in a file.

use std::path::Path;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::support::frames::{Anatomy, middle};
use crate::support::mapfile;
use crate::support::needs::{Need, trial};
use crate::support::run::{BINARY, Call};
use crate::support::sample::restore;
use crate::support::scratch::{flip_bit, mode, read, set_mode, write};
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure, tool};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("restore_to_standard_output", &[], to_standard_output),
        trial("restore_to_a_pipe_that_breaks_is_7", &[], broken_pipe),
        trial("restore_of_damage_to_standard_output", &[], damage),
        trial("restore_to_a_terminal_is_2", &[Need::Tool("script")], to_a_terminal),
        trial("report_in_a_file", &[], report_in_a_file),
        trial("report_map_and_image_are_three_files", &[], three_files),
    ]
}

fn pipe(stage: &Stage) -> Call {
    restore(&[&stage.sets], Path::new("-"))
}

fn to_standard_output() -> Outcome {
    let stage = Stage::new()?;
    stage.next_generation("dsnap-1a", 1)?;
    let truth = read(&stage.sample.logical)?;
    for jobs in ["1", "4"] {
        let call = pipe(&stage).option("--generation", "0").option("-j", jobs);
        let ran = call.succeeds()?;
        ensure!(ran.stdout == truth, "not the volume on stdout with -j {jobs}");
        ensure!(ran.stderr.contains("dsnap-0a"), "no report\n{}", ran.stderr);
    }
    ensure!(!Path::new("-").exists(), "a file called -");
    // The report cannot be there too, but in a file.
    let ran = pipe(&stage).arg("--json").exits(2)?;
    ensure!(ran.document()?["error"]["exit_code"] == 2, "{}", ran.describe());
    ensure!(ran.stderr.contains("--report"), "{}", ran.describe());
    let report = stage.out.join("report.json");
    let call = pipe(&stage).option("--generation", "0").arg("--json").option("--report", &report);
    let ran = call.succeeds()?;
    ensure!(ran.stdout == truth, "not the volume on stdout with --json");
    let said: Value = serde_json::from_slice(&read(&report)?)?;
    ensure!(said["set_id"] == "dsnap-0a" && said["logical_size"] == truth.len(), "{said}");
    Ok(())
}

fn broken_pipe() -> Outcome {
    let stage = Stage::new()?;
    let ran = pipe(&stage).within("exec >/dev/full; exec").exits(7)?;
    ensure!(ran.stderr.contains("standard output"), "{}", ran.describe());
    ensure!(!ran.stderr.contains("panicked"), "{}", ran.describe());
    // A reader that has read enough is no failure, as it is none of `read`.
    let call = pipe(&stage);
    let piped =
        call.within("exec 3>&1; { \"$@\"; echo $? >&3; } | head -c 1000 >/dev/null; exit; ");
    let ran = piped.succeeds()?;
    ensure!(ran.stdout == b"141\n" && ran.stderr.is_empty(), "{}", ran.describe());
    Ok(())
}

/// Bytes that fail their checks do not get there, nor do any after them, unless it is a rescue.
fn damage() -> Outcome {
    let stage = Stage::new()?;
    let truth = read(&stage.sample.logical)?;
    let file = stage.file("vol-b")?;
    let anatomy = Anatomy::of(&file)?;
    let frame = anatomy.data().nth(3).ok_or("no fourth chunk")?;
    flip_bit(&file, middle(frame))?;
    let ran = pipe(&stage).exits(4)?;
    ensure!(ran.stdout.len() < truth.len(), "all of the volume, and damaged");
    ensure!(truth.starts_with(&ran.stdout), "what came before the damage is not the volume");
    ensure!(ran.stderr.contains("1-vol-b.snap"), "{}", ran.stderr);

    let ran = pipe(&stage).arg("--salvage").exits(2)?;
    ensure!(ran.stdout.is_empty() && ran.stderr.contains("--map"), "{}", ran.stderr);
    let map = stage.out.join("volume.map");
    let call = pipe(&stage).arg("--salvage").option("--map", &map).option("--fill", "238");
    let ran = call.exits(3)?;
    let bad = stage.sample.layout.logical_ranges("vol-b", &frame.plain);
    let mut expected = truth;
    for range in &bad {
        expected[usize::try_from(range.start)?..usize::try_from(range.end)?].fill(238);
    }
    ensure!(ran.stdout == expected, "not the volume but for the damage");
    let mapped = mapfile::bad_ranges(&map, stage.sample.layout.logical_size())?;
    ensure!(mapped == bad, "the map says {mapped:?}, bad are {bad:?}");
    Ok(())
}

fn to_a_terminal() -> Outcome {
    let stage = Stage::new()?;
    let line = format!("{BINARY} restore {} -o - ; echo ended with $?", stage.sets.display());
    let said = tool::run("script", ["-qec", &line, "/dev/null"])?;
    ensure!(said.contains("terminal") && said.contains("ended with 2"), "{said:?}");
    Ok(())
}

fn report_in_a_file() -> Outcome {
    let stage = Stage::new()?;
    let report = stage.out.join("report.json");
    let call = stage.restore().option("--report", &report);
    let said = call.clone().within("umask 0; exec").json()?;
    let written: Value = serde_json::from_slice(&read(&report)?)?;
    ensure!(said == written, "{said}\n{written}");
    ensure!(mode(&report)? == 0o600, "mode {:o}", mode(&report)?);
    std::fs::remove_file(stage.target())?;
    stage.refuses(call.clone(), 5, &["report.json", "--force"])?;
    // Replaced, it is as private as a new one.
    set_mode(&report, 0o644)?;
    call.clone().arg("--force").succeeds()?;
    ensure!(mode(&report)? == 0o600, "mode {:o}", mode(&report)?);
    let replaced: Value = serde_json::from_slice(&read(&report)?)?;
    ensure!(replaced["content_id"] == written["content_id"], "{replaced}");
    // A source is no place for it.
    std::fs::remove_file(stage.target())?;
    let source = stage.file("vol-a")?;
    let call = stage.restore().arg("--force").option("--report", &source);
    stage.refuses(call, 5, &["0-vol-a.snap"])
}

fn three_files() -> Outcome {
    let stage = Stage::new()?;
    let target = stage.target();
    let again = stage.out.join("../out/volume.img");
    let other = stage.out.join("other");
    let salvage = || stage.restore().arg("--salvage");
    for call in [
        stage.restore().option("--report", &again),
        salvage().option("--map", &again),
        salvage().option("--map", &other).option("--report", &other),
        salvage().option("--report", stage.out.join("volume.img.map")),
    ] {
        stage.refuses(call.clone(), 2, &["two files"])?;
        write(&target, b"precious")?;
        stage.refuses(call.arg("--force"), 2, &["two files"])?;
        std::fs::remove_file(&target)?;
    }
    Ok(())
}
