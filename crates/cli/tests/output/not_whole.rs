//! Sets that are not whole are shown as far as they go, with what is wrong.

use libtest_mimic::Trial;
use serde_json::Value;

use crate::support::frames::{Anatomy, middle};
use crate::support::needs::trial;
use crate::support::run::Call;
use crate::support::scratch::{flip_bit, set_len, write};
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_member_is_missing", &[], member_missing),
        trial("an_ancestor_is_missing", &[], ancestor_missing),
        trial("a_file_is_damaged", &[], file_damaged),
        trial("the_start_of_the_volume_is_damaged", &[], start_damaged),
        trial("only_scraps_are_left", &[], only_scraps),
        trial("passed_over_for_an_older_one_is_said", &[], passed_over),
    ]
}

/// What `list` and `inspect` say of the newest set: that they agree, and that text and document do.
fn shown(stage: &Stage, expected: &str, code: i32, word: &str) -> Outcome<Value> {
    let list = Call::new("list").arg(&stage.sets).json()?;
    let sets = list["sets"].as_array().cloned().unwrap_or_default();
    let listed = sets.last().ok_or_else(|| format!("no set: {list}"))?;
    let call = Call::new("inspect").arg(&stage.sets);
    let inspect = call.json_exits(code)?;
    for set in [listed, &inspect["set"]] {
        ensure!(set["state"] == expected, "not {expected}: {set}");
        let said = set["problems"].as_array().is_some_and(|problems| {
            problems.iter().any(|p| p.as_str().is_some_and(|p| p.contains(word)))
        });
        ensure!(said, "no problem mentions {word:?}: {set}");
    }
    ensure!(listed["members"] == inspect["set"]["members"], "{list}\n{inspect}");
    // Nothing is known of what lies in it, and why.
    let contents = &inspect["contents"];
    ensure!(contents["holds"] == "cannot be read", "{inspect}");
    ensure!(contents["problems"].to_string().contains(word), "{inspect}");
    for (call, code) in [(Call::new("list").arg(&stage.sets), 0), (call, code)] {
        let ran = call.exits(code)?;
        let text = String::from_utf8_lossy(&ran.stdout).into_owned();
        ensure!(text.contains(expected) && text.contains(word), "{}", ran.describe());
        // Incomplete is a finding, not a failure: the whole view is there, and one line about it.
        ensure!(ran.stderr.lines().count() == usize::from(code != 0), "{}", ran.describe());
    }
    Ok(inspect)
}

fn states(report: &Value) -> Vec<&str> {
    let members = report["set"]["members"].as_array();
    members.into_iter().flatten().filter_map(|m| m["state"].as_str()).collect()
}

fn member_missing() -> Outcome {
    let stage = Stage::new()?;
    std::fs::remove_file(stage.file("vol-b")?)?;
    let report = shown(&stage, "incomplete", 6, "vol-b")?;
    ensure!(states(&report) == ["present", "missing", "present"], "{report}");
    ensure!(report["set"]["members"][1]["path"].is_null(), "{report}");
    // Every file tells what the whole set is.
    ensure!(report["set"]["members"][1]["size"] == 512 << 10, "{report}");
    ensure!(report["set"]["layout"].as_array().map(Vec::len) == Some(3), "{report}");
    ensure!(report["set"]["content_id"] == stage.set.content_id.as_str(), "{report}");
    ensure!(report["files"].as_array().map(Vec::len) == Some(2), "{report}");
    // One file is enough for that.
    std::fs::remove_file(stage.file("vol-a")?)?;
    let report = shown(&stage, "incomplete", 6, "vol-a")?;
    ensure!(states(&report) == ["missing", "missing", "present"], "{report}");
    ensure!(report["set"]["layout"].as_array().map(Vec::len) == Some(3), "{report}");
    Ok(())
}

fn ancestor_missing() -> Outcome {
    let stage = Stage::new()?;
    stage.next_generation("dsnap-1a", 1)?;
    std::fs::remove_file(stage.file("vol-c")?)?;
    let report = shown(&stage, "incomplete", 6, "dsnap-0a")?;
    ensure!(states(&report) == ["present"; 3], "{report}");
    ensure!(report["files"][2]["parent"]["set_id"] == "dsnap-0a", "{report}");
    Ok(())
}

fn file_damaged() -> Outcome {
    let stage = Stage::new()?;
    let file = stage.file("vol-b")?;
    flip_bit(&file, middle(Anatomy::of(&file)?.footer()))?;
    // `list` says 4 too: there is a file that it could not read.
    let list = Call::new("list").arg(&stage.sets).json_exits(4)?;
    let unreadable = list["unreadable"][0]["path"].as_str().unwrap_or_default();
    ensure!(unreadable.ends_with("1-vol-b.snap"), "{list}");
    let inspect = Call::new("inspect").arg(&stage.sets).json_exits(4)?;
    ensure!(inspect["set"]["state"] == "damaged", "{inspect}");
    ensure!(states(&inspect) == ["present", "damaged", "present"], "{inspect}");
    ensure!(inspect["files"].as_array().map(Vec::len) == Some(2), "{inspect}");
    ensure!(list["sets"][0]["members"] == inspect["set"]["members"], "{list}\n{inspect}");
    let ran = Call::new("inspect").arg(&stage.sets).exits(4)?;
    ensure!(ran.stderr.contains("1-vol-b.snap"), "{}", ran.describe());
    Ok(())
}

/// A set whose data is damaged can be opened: what cannot be read of it is all that is not shown.
fn start_damaged() -> Outcome {
    let stage = Stage::new()?;
    let inspect = || Call::new("inspect").arg(&stage.sets).json();
    let whole = inspect()?;
    let file = stage.file("vol-a")?;
    let at = middle(Anatomy::of(&file)?.data().next().ok_or("no data")?);
    flip_bit(&file, at)?;
    let damaged = inspect()?;
    ensure!(whole["set"] == damaged["set"] && whole["files"] == damaged["files"], "{damaged}");
    ensure!(whole["contents"]["holds"] == "unknown data", "{whole}");
    ensure!(damaged["contents"]["holds"] == "data that cannot be read", "{damaged}");
    Ok(())
}

/// Nothing is left but the heads of files: what they say is shown, and that nothing is whole.
fn only_scraps() -> Outcome {
    let stage = Stage::new()?;
    for id in ["vol-a", "vol-b"] {
        let file = stage.file(id)?;
        let anatomy = Anatomy::of(&file)?;
        drop(set_len(&file, anatomy.data().next().ok_or("no data")?.stored.end)?);
    }
    std::fs::remove_file(stage.file("vol-c")?)?;
    let list = Call::new("list").arg(&stage.sets).json_exits(4)?;
    let set = &list["sets"][0];
    ensure!(set["set_id"] == "dsnap-0a" && set["state"] == "incomplete", "{list}");
    ensure!(set["content_id"].is_null(), "nothing says it: {list}");
    let inspect = Call::new("inspect").arg(&stage.sets).json_exits(6)?;
    ensure!(states(&inspect) == ["damaged", "damaged", "missing"], "{inspect}");
    ensure!(inspect["files"] == serde_json::json!([]), "{inspect}");
    let ran = Call::new("inspect").arg(&stage.sets).exits(6)?;
    ensure!(!ran.stdout.is_empty(), "nothing is shown\n{}", ran.describe());
    Ok(())
}

fn passed_over() -> Outcome {
    let stage = Stage::new()?;
    let (_, newest) = stage.next_generation("dsnap-1a", 1)?;
    std::fs::remove_file(&newest.file("vol-b")?.path)?;
    write(&stage.sets.join("scrap.snap"), b"what may have been the newest of all")?;
    let call = stage.restore().arg("--latest-complete");
    for quiet in [false, true] {
        let call = if quiet { call.clone().arg("-q").arg("--force") } else { call.clone() };
        let ran = call.succeeds()?;
        for word in ["dsnap-1a", "vol-b", "scrap.snap"] {
            ensure!(ran.stderr.contains(word), "{word} is not named\n{}", ran.describe());
        }
    }
    std::fs::remove_file(stage.target())?;
    stage.restores(&call, &stage.sample)
}
