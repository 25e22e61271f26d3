//! Copies that are there and not current: refused by name, salvaged only as far as metadata proves them,
//! and what is known of a mirror is said by every command.

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use serde_json::Value;

use crate::support::needs::trial;
use crate::support::run::Call;
use crate::support::scratch::{Scratch, read, set_len};
use crate::support::stacks::{Samples, UNPACK, fault};
use crate::support::{Outcome, ensure, hash};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("legs_of_mirrors_that_are_not_in_sync", &UNPACK, unsynced),
        trial("a_leg_that_was_split_off", &UNPACK, split),
        trial("halves_of_an_array_that_contradict_each_other", &UNPACK, halves),
        trial("members_of_arrays_that_are_cut_off", &UNPACK, cut_off),
        trial("what_is_known_of_a_mirror_is_said_by_every_command", &UNPACK, said),
    ]
}

fn restore(disks: &[&PathBuf], volume: &str, target: &Path) -> Call {
    Call::new("restore").args(disks).option("--lv", volume).option("-o", target)
}

fn is(target: &Path, sha256: &str) -> Outcome {
    let found = hash::sha256(target)?;
    ensure!(found.starts_with(sha256), "{found}, not {sha256}");
    Ok(fs::remove_file(target)?)
}

fn unsynced() -> Outcome {
    let scratch = Scratch::new()?;
    let [a, b, c] = &fault(&scratch, "lvm-mirror-unsynced-leg")?[..] else {
        return Err("not three disks".into());
    };
    let target = scratch.path("target");
    for (volume, sha256) in [("vg/m", "a3a93352"), ("vg/mc", "adb8469e"), ("vg/r", "449c975c")] {
        restore(&[a, b, c], volume, &target).succeeds()?;
        is(&target, sha256)?;
    }
    let whole = {
        restore(&[a], "vg/m", &target).succeeds()?;
        let bytes = read(&target)?;
        is(&target, "a3a93352")?;
        bytes
    };
    for (volume, log) in [("vg/m", "as the log on disk says"), ("vg/mc", "no log on disk")] {
        let ran = restore(&[b, c], volume, &target).exits(6)?;
        for words in ["leg 0 is missing", log, "physical volume pv0"] {
            ensure!(ran.stderr.contains(words), "{words}: {}", ran.describe());
        }
        ensure!(!target.exists(), "{volume} was written");
    }
    // The log has two of five regions of 2 MiB in sync.
    restore(&[b, c], "vg/m", &target).arg("--salvage").exits(3)?;
    let found = read(&target)?;
    let proved = 4 << 20;
    ensure!(found[..proved] == whole[..proved], "what is in sync is not there");
    ensure!(found[proved..].iter().all(|byte| *byte == 0), "what is not in sync is there");
    let map = fs::read_to_string(scratch.path("target.map"))?;
    ensure!(map.contains("0x00400000  0x00600000  -"), "{map}");
    // Without the log nothing of it is proved.
    fs::remove_file(&target)?;
    fs::remove_file(scratch.path("target.map"))?;
    let report = restore(&[b], "vg/m", &target).arg("--salvage").json_exits(3)?;
    ensure!(report["bytes"]["data"] == 0 || read(&target)?.iter().all(|b| *b == 0), "{report}");
    Ok(())
}

fn split() -> Outcome {
    let scratch = Scratch::new()?;
    let disks = fault(&scratch, "lvm-raid1-tracked-split-leg")?;
    let target = scratch.path("target");
    let ran = restore(&[&disks[1]], "vg/r", &target).exits(6)?;
    ensure!(ran.stderr.contains("leg 1 was split off"), "{}", ran.describe());
    restore(&[&disks[0]], "vg/r", &target).succeeds()?;
    is(&target, "e6c56f76")
}

fn halves() -> Outcome {
    let scratch = Scratch::new()?;
    let disks = fault(&scratch, "md-raid10-split-brain")?;
    let target = scratch.path("target");
    let call = |disks: &[&PathBuf]| Call::new("restore").args(disks).option("-o", &target);
    for command in ["restore", "plan", "capture"] {
        let call = Call::new(command).args(&disks).option("-o", &target);
        let ran = call.exits(4)?;
        for words in ["0 and 3 against 1 and 2", "a.img", "b.img", "c.img", "d.img", "one half"] {
            ensure!(ran.stderr.contains(words), "{words}: {}", ran.describe());
        }
    }
    call(&[&disks[0], &disks[1]]).arg("--salvage").exits(4)?;
    for (half, sha256) in [([0, 3], "63a70129"), ([1, 2], "0851648f")] {
        call(&half.map(|n: usize| &disks[n])).succeeds()?;
        is(&target, sha256)?;
    }
    Ok(())
}

fn cut_off() -> Outcome {
    let scratch = Scratch::new()?;
    let disks = fault(&scratch, "md-raid0-5x-uneven")?;
    let target = scratch.path("target");
    let call = || Call::new("restore").args(&disks).option("-o", &target);
    call().succeeds()?;
    let whole = read(&target)?;
    fs::remove_file(&target)?;
    let last = &disks[4];
    set_len(last, fs::metadata(last)?.len() - 4096)?;
    let ran = call().exits(4)?;
    for words in ["member 4 of the array", "is cut off", "e.img"] {
        ensure!(ran.stderr.contains(words), "{words}: {}", ran.describe());
    }
    call().arg("--salvage").exits(3)?;
    let found = read(&target)?;
    let kept = whole.len() - 4096;
    ensure!(found.len() == whole.len() && found[..kept] == whole[..kept], "more is lost");
    Ok(())
}

fn said() -> Outcome {
    let scratch = Scratch::new()?;
    let disks = Samples::new(&scratch, "mdraid/raid1-2x")?.disks("gen0")?;
    let words = "member 1 of 2 is missing; whether what is there is the newest cannot be proved";
    let one = &disks[..1];
    for command in ["restore", "plan", "read"] {
        let call = Call::new(command).args(one).option("-o", scratch.path(command));
        let ran = call.arg("--json").succeeds()?;
        ensure!(ran.stderr.contains(words), "{command}: {}", ran.describe());
        let report: Value = serde_json::from_slice(&ran.stdout)?;
        let said = report["warnings"].as_array().ok_or("no warnings")?;
        let is_there = said.iter().any(|text| text.as_str().is_some_and(|t| t.contains(words)));
        ensure!(is_there, "{report}");
    }
    let call = Call::new("capture").args(one).option("-o", scratch.path("sets"));
    let array = &Call::new("inspect").args(one).json()?["arrays"][0];
    let uuid = array["uuid"].as_str().ok_or("no uuid")?;
    let ran = call.option("--md", uuid).succeeds()?;
    ensure!(ran.stderr.contains(words), "{}", ran.describe());
    let ran = Call::new("verify").args(one).arg("--json").succeeds()?;
    ensure!(ran.stderr.contains(words), "{}", ran.describe());
    // Both are there: nothing is to be said.
    let report = Call::new("plan").args(&disks).option("-o", scratch.path("x")).json()?;
    ensure!(report["warnings"] == serde_json::json!([]), "{report}");
    Ok(())
}
