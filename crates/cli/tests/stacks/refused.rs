//! What is missing, doubled or of another moment is refused by name, and salvaged only when asked for.

use std::path::PathBuf;

use libtest_mimic::Trial;

use crate::support::needs::trial;
use crate::support::run::Call;
use crate::support::scratch::{Scratch, copy, read};
use crate::support::stacks::{Samples, UNPACK};
use crate::support::{Outcome, ensure};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("physical_volumes_that_do_not_belong", &UNPACK, physical_volumes),
        trial("members_of_arrays_that_do_not_belong", &UNPACK, array_members),
        trial("what_is_there_is_salvaged", &UNPACK, salvage),
        trial("several_volumes_and_none", &UNPACK, choices),
    ]
}

fn physical_volumes() -> Outcome {
    let scratch = Scratch::new()?;
    let samples = Samples::new(&scratch, "lvm2/linear-3pv")?;
    let (new, old) = (samples.disks("gen1")?, samples.disks("gen0")?);
    let again = scratch.path("again.img");
    copy(&new[1], &again)?;
    let target = scratch.path("volume.img");
    let cases: [(Vec<&PathBuf>, i32, &[&str]); 3] = [
        (vec![&new[0], &new[2]], 6, &["pv1", "OH8Fy7-s1U6-toVb-GTZT-Iat7-HAP7-fnuHT5", "missing"]),
        (vec![&new[2], &old[1], &new[0]], 4, &["pv1", "earlier moment", "pv1.img"]),
        (vec![&new[0], &new[1], &new[2], &again], 4, &["pv1", "2 times", "pv1.img", "again.img"]),
    ];
    for (disks, code, words) in cases {
        for command in ["restore", "plan", "capture"] {
            let call = Call::new(command).args(&disks).option("--lv", "vg_lin/data");
            let ran = call.option("-o", &target).exits(code)?;
            let said = &ran.stderr;
            ensure!(words.iter().all(|word| said.contains(word)), "{words:?}: {}", ran.describe());
            ensure!(!target.exists(), "{command} wrote something");
        }
        // A volume that is not on it is not concerned.
        let other = Call::new("restore").args(&disks).option("--lv", "vg_lin/other");
        other.option("-o", &target).succeeds()?;
        std::fs::remove_file(&target)?;
        Call::new("inspect").args(&disks).option("--lv", "vg_lin/data").exits(code)?;
    }
    Ok(())
}

fn array_members() -> Outcome {
    let scratch = Scratch::new()?;
    let samples = Samples::new(&scratch, "mdraid/raid0-2x-64k")?;
    let disks = samples.disks("gen0")?;
    let (again, target) = (scratch.path("again.img"), scratch.path("volume.img"));
    copy(&disks[1], &again)?;
    let call = |disks: &[&PathBuf]| Call::new("restore").args(disks).option("-o", &target);
    let ran = call(&[&disks[1]]).exits(6)?;
    let words = ["member 0 of the array", "is missing"];
    ensure!(words.iter().all(|word| ran.stderr.contains(word)), "{}", ran.describe());
    let ran = call(&[&disks[0], &disks[1], &again]).exits(4)?;
    ensure!(ran.stderr.contains("is there 2 times"), "{}", ran.describe());
    ensure!(ran.stderr.contains("again.img"), "{}", ran.describe());
    Ok(())
}

fn salvage() -> Outcome {
    let scratch = Scratch::new()?;
    let samples = Samples::new(&scratch, "lvm2/striped-2x2")?;
    let disks = samples.disks("gen1")?;
    let (whole, part) = (scratch.path("whole.img"), scratch.path("part.img"));
    Call::new("restore").args(&disks).option("-o", &whole).succeeds()?;
    let rest = [&disks[0], &disks[2], &disks[3]];
    let call = Call::new("restore").args(rest).arg("--salvage").option("--fill", "85");
    let report = call.option("-o", &part).json_exits(3)?;
    let (whole, part) = (read(&whole)?, read(&part)?);
    ensure!(whole.len() == part.len(), "{} bytes of {}", part.len(), whole.len());
    // The first 24 MiB are striped over two, of which one is missing.
    for (n, (was, is)) in whole.chunks(65536).zip(part.chunks(65536)).enumerate() {
        let is_lost = n < 384 && n % 2 == 1;
        let good = if is_lost { is.iter().all(|byte| *byte == 85) } else { was == is };
        ensure!(good, "stripe {n} is wrong");
    }
    // One member, one damage, whatever the stripes.
    let [damage] = report["damage"].as_array().map_or(&[][..], Vec::as_slice) else {
        return Err(format!("not one damage: {report}").into());
    };
    let said = damage["message"].as_str().unwrap_or_default();
    ensure!(said.starts_with("missing-") && said.ends_with("is not there"), "{report}");
    let range = damage["member_range"].as_array().ok_or("no range")?;
    ensure!(range[1].as_u64() == range[0].as_u64().map(|start| start + (12 << 20)), "{report}");
    ensure!(damage["logical_ranges"].as_array().is_some_and(|list| list.len() == 192), "{report}");
    Ok(())
}

fn choices() -> Outcome {
    let scratch = Scratch::new()?;
    let samples = Samples::new(&scratch, "lvm2/linear-3pv")?;
    let disks = samples.disks("gen1")?;
    let target = scratch.path("volume.img");
    let call = || Call::new("restore").args(&disks).option("-o", &target);
    let ran = call().exits(2)?;
    let names = ["vg_lin/data", "vg_lin/other", "--lv"];
    ensure!(names.iter().all(|name| ran.stderr.contains(name)), "{}", ran.describe());
    let ran = call().option("--lv", "vg_lin/nothing").exits(6)?;
    ensure!(ran.stderr.contains("vg_lin/data"), "{}", ran.describe());
    call().option("--md", "0:0:0:0").exits(6)?;
    // The same of a set of them, which has no volume of the kind, but whose members have.
    let sets = scratch.path("sets");
    Call::new("capture").args(&disks).arg("--linear").option("-o", &sets).succeeds()?;
    for command in ["inspect", "verify"] {
        let of = |volume: &str| Call::new(command).arg(&sets).option("--lv", volume);
        of("vg_lin/data").succeeds()?;
        let ran = of("vg_lin/nothing").exits(6)?;
        ensure!(ran.stderr.contains("vg_lin/data"), "{}", ran.describe());
    }
    for bad in ["vg", "/lv", "vg/"] {
        call().option("--lv", bad).exits(2)?;
    }
    call().option("--lv", "a/b").option("--md", "x").exits(2)?;
    call().option("--lv", "a/b").arg("--linear").exits(2)?;
    call().option("--partition", "1,2").exits(2)?;
    // A snapshot, by its name, and raw copies are not one set.
    let text = scratch.path("notes.snap");
    std::fs::write(&text, "nothing")?;
    call().arg(&text).exits(2)?;
    Ok(())
}
