//! Ids, generation, time and consistency: as given, or by default.

use std::path::Path;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::support::needs::trial;
use crate::support::run::Call;
use crate::support::sample::restore;
use crate::support::scratch::{files_below, write};
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure, hash, tool};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("set_id_by_default", &[], set_id_by_default),
        trial("set_ids_of_odd_characters", &[], odd_set_ids),
        trial("volume_ids_of_odd_characters", &[], odd_volume_ids),
        trial("ids_that_are_none_are_2", &[], bad_ids),
        trial("source_volume_by_default", &[], source_volume_by_default),
        trial("generation_time_and_consistency", &[], what_is_said_of_the_set),
    ]
}

/// A capture of one small member.
fn one(stage: &Stage, out: &Path) -> Call {
    Call::new("capture").option("-o", out).member("vol-a", &stage.sample.members["vol-a"])
}

fn text<'r>(report: &'r Value, key: &str) -> &'r str {
    report[key].as_str().unwrap_or_default()
}

/// `dsnap-` and 17 hex digits, never the same twice.
fn set_id_by_default() -> Outcome {
    let stage = Stage::new()?;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let report = one(&stage, &stage.out).json()?;
        let id = text(&report, "set_id").to_owned();
        let digits = id.strip_prefix("dsnap-").unwrap_or_default();
        let lower_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        ensure!(digits.len() == 17 && digits.chars().all(lower_hex), "{report}");
        ensure!(Path::new(text(&report, "directory")) == stage.out.join(&id), "{report}");
        ensure!(!seen.contains(&id), "{id} twice");
        seen.push(id);
    }
    Ok(())
}

fn odd_set_ids() -> Outcome {
    let stage = Stage::new()?;
    let long = "l".repeat(255);
    for id in ["dsnap: ü * ?", "-dash", "\"quoted\" \\ $HOME", "\u{202e}txt", &long] {
        let out = stage.scratch.dir("odd-sets")?;
        let report = one(&stage, &out).arg(format!("--set-id={id}")).json()?;
        ensure!(report["set_id"] == id, "{id:?}: {report}");
        let directory = Path::new(text(&report, "directory"));
        ensure!(directory.parent() == Some(out.as_path()), "{id:?} leads elsewhere: {report}");
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        ensure!(plain, "{id:?} became the directory {name:?}");
        let call = restore(&[&out], &stage.target()).arg(format!("--set-id={id}"));
        call.succeeds()?;
        hash::same_sha256(id, &stage.target(), &stage.sample.members["vol-a"])?;
        std::fs::remove_file(stage.target())?;
        std::fs::remove_dir_all(&out)?;
    }
    Ok(())
}

/// Two ids that one file name would do for are two files.
fn odd_volume_ids() -> Outcome {
    let stage = Stage::new()?;
    let (a, c) = (&stage.sample.members["vol-a"], &stage.sample.members["vol-c"]);
    let (one, other) = ("vol/../ä \"x\"", "vol/../ö 'x'");
    let call = Call::new("capture").option("-o", &stage.out).arg("--linear");
    let report = call.member(one, a).member(other, c).json()?;
    ensure!(report["files"][0]["volume_id"] == one, "{report}");
    ensure!(report["files"][1]["volume_id"] == other, "{report}");
    let directory = Path::new(text(&report, "directory"));
    let files = files_below(directory)?;
    let inside = files.iter().all(|f| f.parent() == Some(directory));
    ensure!(files.len() == 4 && inside, "{files:?}");
    // The layout beside it names them in a way that is read back.
    let again = stage.scratch.dir("again")?;
    let call = Call::new("capture").option("-o", &again).member(one, a).member(other, c);
    let call = call.option("--layout", directory.join("layout.toml")).option("--set-id", "dsnap-2");
    call.succeeds()?;
    let inspect = Call::new("inspect").arg(&again).json()?;
    ensure!(inspect["set"]["layout"][1]["columns"][0]["member"] == other, "{inspect}");
    let mut expected = std::fs::read(a)?;
    expected.extend(std::fs::read(c)?);
    let truth = stage.scratch.path("truth.img");
    write(&truth, &expected)?;
    restore(&[&again], &stage.target()).succeeds()?;
    hash::same_sha256("odd volume ids", &stage.target(), &truth)
}

fn bad_ids() -> Outcome {
    let stage = Stage::new()?;
    let member = &stage.sample.members["vol-a"];
    let long = "l".repeat(256);
    for id in ["", "a\nb", "\u{1b}[2J", "\u{7f}", &long] {
        let call = one(&stage, &stage.out).arg(format!("--set-id={id}"));
        stage.refuses(call, 2, &["--set-id"])?;
        let call = one(&stage, &stage.out).arg(format!("--source-volume={id}"));
        stage.refuses(call, 2, &["--source-volume"])?;
        let call = Call::new("capture").option("-o", &stage.out).member(id, member);
        stage.refuses(call, 2, &["--member"])?;
    }
    for id in ["../escape", "a/b", ".", "..", ".hidden"] {
        let call = one(&stage, &stage.out).arg(format!("--set-id={id}"));
        stage.refuses(call, 2, &["--set-id"])?;
    }
    // The parent is another set.
    let call = one(&stage, &stage.out).option("--set-id", "dsnap-0a");
    stage.refuses(call.option("--parent", &stage.sets), 2, &["parent"])
}

fn source_volume_by_default() -> Outcome {
    let stage = Stage::new()?;
    let report = one(&stage, &stage.out).json()?;
    ensure!(report["source_volume_id"] == "vol-a", "a single member's own: {report}");
    let (a, c) = (&stage.sample.members["vol-a"], &stage.sample.members["vol-c"]);
    let new = || Call::new("capture").option("-o", &stage.out).arg("--linear");
    let made = new().member("vol-a", a).member("vol-c", c).json()?;
    let id = text(&made, "source_volume_id");
    ensure!(id.starts_with("vol-") && !["vol-a", "vol-c"].contains(&id), "{made}");
    // The same members are the same volume, whatever they hold; others are another.
    let same = new().member("vol-a", c).member("vol-c", a).json()?;
    ensure!(same["source_volume_id"] == id, "{made}\n{same}");
    let other = new().member("vol-a", a).member("vol-d", c).json()?;
    ensure!(other["source_volume_id"] != id, "{made}\n{other}");
    // A child is of its parent's volume.
    let call = stage.sample.capture(&stage.out, "dsnap-1a").option("--parent", &stage.sets);
    let child = call.json()?;
    ensure!(child["source_volume_id"] == "dvol-sample", "{child}");
    Ok(())
}

fn what_is_said_of_the_set() -> Outcome {
    let stage = Stage::new()?;
    // Texts of this form sort as the times do.
    let now = || tool::run("date", ["-u", "+%Y-%m-%dT%H:%M:%SZ"]).map(|t| t.trim().to_owned());
    let before = now()?;
    let report = one(&stage, &stage.out).option("--set-id", "dsnap-default").json()?;
    ensure!(report["generation"] == 0, "{report}");
    let (time, after) = (text(&report, "time").to_owned(), now()?);
    ensure!(before <= time && time <= after, "not from {before} to {after}: {report}");
    let listed = |id: &str| -> Outcome<Value> {
        let call = Call::new("list").arg(&stage.out).option("--set-id", id);
        Ok(call.json()?["sets"][0].clone())
    };
    let set = listed("dsnap-default")?;
    ensure!(set["consistency"] == "unknown" && set["time"] == time.as_str(), "{set}");
    for (nth, consistency) in ["quiesced", "crash", "unknown"].into_iter().enumerate() {
        let id = format!("dsnap-{nth}");
        let call = one(&stage, &stage.out).option("--set-id", &id);
        let call = call.option("--consistency", consistency);
        let generation = u64::MAX / (nth as u64 + 1);
        let call = call.option("--generation", generation.to_string());
        // Told in another part of the world, kept in UTC.
        let report = call.option("--time", "2024-03-01T01:30:00+02:00").json()?;
        ensure!(report["time"] == "2024-02-29T23:30:00Z", "{report}");
        ensure!(report["generation"] == generation, "{report}");
        let set = listed(&id)?;
        ensure!(set["consistency"] == consistency, "{set}");
        ensure!(set["time"] == "2024-02-29T23:30:00Z", "{set}");
        ensure!(set["generation"] == generation, "{set}");
    }
    Ok(())
}
