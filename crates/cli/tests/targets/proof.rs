//! Hashes taken meanwhile, and targets that are read again.

use std::path::Path;

use libtest_mimic::Trial;
use serde_json::Value;

use super::in_place::onto;
use crate::support::blake3::blake3;
use crate::support::disk::{Disk, LOOP};
use crate::support::hash::same_sha256;
use crate::support::loopmount::Tmpfs;
use crate::support::needs::{LOOP_MOUNT, Need, trial};
use crate::support::run::Call;
use crate::support::sample::restore;
use crate::support::scratch::{flip_bit, read, set_len, write};
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure, tool};

const SUMS: [(&str, &str); 3] = [("sha256", "sha256sum"), ("md5", "md5sum"), ("sha1", "sha1sum")];

pub(crate) fn trials() -> Vec<Trial> {
    let sums = SUMS.map(|(_, tool)| Need::Tool(tool));
    vec![
        trial("the_tests_own_blake3", &[], own_blake3),
        trial("hashes_are_those_of_stock_tools", &sums, hashes),
        trial("a_report_that_cannot_be_written", &LOOP_MOUNT, report_lost),
        trial("verified_against_a_file", &[], against_a_file),
        trial("verified_against_a_device", &LOOP, against_a_device),
    ]
}

/// Of the test vectors that come with BLAKE3: bytes that count up to 250 and begin again.
fn own_blake3() -> Outcome {
    for (len, expected) in [
        (0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
        (1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"),
        (1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444"),
        (8193, "bab6c09cb8ce8cf459261398d2e7aef35700bf488116ceb94a36d0f5f1b7bc3b"),
    ] {
        let input: Vec<u8> = (0..=250).cycle().take(len).collect();
        let found = blake3(&input);
        ensure!(found == expected, "{len} bytes: {found}");
    }
    Ok(())
}

/// The report's hashes are those of `bytes`.
fn are_of(report: &Value, bytes: &[u8], stage: &Stage) -> Outcome {
    let plain = stage.scratch.path("plain");
    write(&plain, bytes)?;
    for (name, tool) in SUMS {
        let sum = tool::run(tool, [&plain])?;
        let sum = sum.split_whitespace().next().unwrap_or_default();
        ensure!(report["hashes"][name] == sum, "{tool} says {sum}: {report}");
    }
    let sum = blake3(bytes);
    ensure!(report["hashes"]["blake3"] == sum.as_str(), "BLAKE3 {sum}: {report}");
    Ok(())
}

fn hashes() -> Outcome {
    let stage = Stage::new()?;
    let truth = read(&stage.sample.logical)?;
    let all = ["--hash", "sha256,md5,sha1,blake3"];
    for (range, flags) in [
        (0..truth.len(), &[][..]),
        (0..truth.len(), &["-j", "1"]),
        // What is behind the volume is not of it.
        (0..truth.len(), &["--size=2M"]),
        (12_345..312_346, &["--offset", "12345", "--length", "300001"]),
        (1_618_431..truth.len(), &["--offset", "1618431"]),
    ] {
        let bytes = &truth[range];
        let call = stage.restore().args(all).args(flags);
        are_of(&call.json()?, bytes, &stage)?;
        // What is right already is hashed as well.
        let call = onto(&stage, &stage.target()).args(all).arg("--delta");
        if flags.len() < 4 {
            are_of(&call.json()?, &truth, &stage)?;
        }
        std::fs::remove_file(stage.target())?;
        // The report of a pipe goes elsewhere.
        let report = stage.scratch.path("report.json");
        let call = restore(&[&stage.sets], Path::new("-")).args(all).args(flags);
        let ran = call.option("--report", &report).succeeds()?;
        ensure!(ran.stdout.starts_with(bytes), "wrong bytes in the pipe");
        are_of(&serde_json::from_slice(&read(&report)?)?, bytes, &stage)?;
        std::fs::remove_file(&report)?;
    }
    stage.refuses(stage.restore().option("--hash", "sha512"), 2, &["sha512"])
}

/// Where that can be known it is, before anything is done; elsewhere the work is done nevertheless.
fn report_lost() -> Outcome {
    let stage = Stage::new()?;
    let missing = stage.out.join("missing/report.json");
    let salvage = stage.restore().arg("--salvage").option("--map", &missing);
    for call in [stage.restore().option("--report", &missing), salvage] {
        stage.refuses(call, 7, &["missing"])?;
    }
    let full = stage.scratch.dir("full")?;
    let tmpfs = Tmpfs::mount(&full, 64 << 10)?;
    write(&full.join("all"), &vec![7; 64 << 10])?;
    let members = Call::new("restore").arg(&stage.sets);
    let members = members.option("--members", stage.out.join("members"));
    for call in [stage.restore(), members] {
        let ran = call.option("--report", full.join("report.json")).exits(1)?;
        let said = ran.stderr.contains("only its report is lost");
        ensure!(said, "{}", ran.describe());
        ensure!(!full.join("report.json").exists(), "half a report\n{}", ran.describe());
    }
    same_sha256("without a report", &stage.target(), &stage.sample.logical)?;
    tmpfs.unmount()
}

fn against(stage: &Stage, target: &Path) -> Call {
    Call::new("verify").arg(&stage.sets).option("--target", target)
}

/// An equal target is proved to be, and one with a bit turned round anywhere is not.
fn proves(stage: &Stage, target: &Path) -> Outcome {
    let size = stage.sample.layout.logical_size();
    let report = against(stage, target).json()?;
    ensure!(report["differs"] == serde_json::json!([]), "{report}");
    // Within data, zeros, what is in no member, and the last byte.
    for place in [0, 5 * 4096 + 7, 100_000, (1 << 20) + 5, size - 1] {
        flip_bit(target, place)?;
        let ran = against(stage, target).exits(4)?;
        ensure!(
            String::from_utf8_lossy(&ran.stdout).contains("differs: bytes"),
            "{}",
            ran.describe()
        );
        flip_bit(target, place)?;
    }
    against(stage, target).succeeds().map(drop)
}

fn against_a_file() -> Outcome {
    let stage = Stage::new()?;
    let report = stage.restore().arg("--verify-target").json()?;
    ensure!(report["target_verified"] == true, "{report}");
    proves(&stage, &stage.target())?;
    // More may be behind the volume, less may not.
    let size = stage.sample.layout.logical_size();
    drop(set_len(&stage.target(), size + 4096)?);
    against(&stage, &stage.target()).succeeds()?;
    drop(set_len(&stage.target(), size - 1)?);
    against(&stage, &stage.target()).exits(4)?;
    for nothing in [stage.out.join("missing"), stage.out.clone()] {
        stage.refuses(
            against(&stage, &nothing),
            7,
            &["out", "an image or device that is there"],
        )?;
    }
    Ok(())
}

fn against_a_device() -> Outcome {
    let stage = Stage::new()?;
    let disk = Disk::dirty(&stage.scratch, 2 << 20)?;
    against(&stage, disk.path()).exits(4)?;
    let report = onto(&stage, disk.path()).arg("--verify-target").json()?;
    ensure!(report["target_verified"] == true, "{report}");
    proves(&stage, disk.path())
}
