//! 6: a member or an ancestor is missing, and nothing is written.

use libtest_mimic::Trial;

use crate::support::needs::trial;
use crate::support::run::Call;
use crate::support::sample::{SOURCE, Sample};
use crate::support::scratch::write;
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("code_6_member_removed", &[], member_removed),
        trial("code_6_nothing_written_over_an_old_target", &[], over_an_old_target),
        trial("code_6_parent_removed", &[], parent_removed),
        trial("code_6_one_file_of_the_parent_removed", &[], one_file_of_the_parent_removed),
        trial("code_6_grandparent_removed", &[], grandparent_removed),
        trial("code_6_capture_against_half_a_parent", &[], capture_against_half_a_parent),
        trial("another_parent_than_named", &[], another_parent_than_named),
    ]
}

/// The message says which member it is, by its volume id and its index.
fn names_member(stage: &Stage, call: &Call, index: usize) -> Outcome {
    let ran = call.exits(6)?;
    let named = ran.stderr.contains(&format!("member {index} "));
    ensure!(named, "the index {index} is not named\n{}", ran.describe());
    ensure!(!stage.target().exists(), "a target was made\n{}", ran.describe());
    Ok(())
}

fn member_removed() -> Outcome {
    for (index, id) in ["vol-a", "vol-b", "vol-c"].into_iter().enumerate() {
        let stage = Stage::new()?;
        std::fs::remove_file(stage.file(id)?)?;
        stage.refuses(stage.restore(), 6, &[id, "dsnap-0a"])?;
        names_member(&stage, &stage.restore(), index)?;
        stage.refuses(Call::new("verify").arg(&stage.sets), 6, &[id])?;
        // `list` shows it, and that is a success.
        let list = Call::new("list").arg(&stage.sets).json()?;
        let set = &list["sets"][0];
        ensure!(set["state"] == "incomplete", "{list}");
        ensure!(set["members"][index]["state"] == "missing", "{list}");
        ensure!(set["problems"].as_array().is_some_and(|p| !p.is_empty()), "{list}");
    }
    Ok(())
}

fn over_an_old_target() -> Outcome {
    let stage = Stage::new()?;
    std::fs::remove_file(stage.file("vol-b")?)?;
    write(&stage.target(), b"precious")?;
    stage.refuses(stage.restore().arg("--force"), 6, &["vol-b"])?;
    // 6 goes before 5: that the target exists is the lesser trouble.
    stage.refuses(stage.restore(), 6, &["vol-b"])
}

fn parent_removed() -> Outcome {
    let stage = Stage::new()?;
    let (_, child) = stage.next_generation("dsnap-1a", 1)?;
    std::fs::remove_dir_all(&stage.set.directory)?;
    stage.refuses(stage.restore(), 6, &["dsnap-0a"])?;
    stage.refuses(Call::new("verify").arg(&child.directory), 6, &["dsnap-0a"])
}

fn one_file_of_the_parent_removed() -> Outcome {
    let stage = Stage::new()?;
    stage.next_generation("dsnap-1a", 1)?;
    std::fs::remove_file(stage.file("vol-c")?)?;
    stage.refuses(stage.restore(), 6, &["dsnap-0a", "vol-c"])
}

fn grandparent_removed() -> Outcome {
    let stage = Stage::new()?;
    stage.next_generation("dsnap-1a", 1)?;
    stage.next_generation("dsnap-2a", 2)?;
    std::fs::remove_dir_all(&stage.set.directory)?;
    stage.refuses(stage.restore(), 6, &["dsnap-0a"])
}

fn capture_against_half_a_parent() -> Outcome {
    let stage = Stage::new()?;
    std::fs::remove_file(stage.file("vol-c")?)?;
    let call = stage.sample.capture(&stage.out, "dsnap-1a").option("--parent", &stage.sets);
    stage.refuses(call.option("--source-volume", "dvol-sample"), 6, &["vol-c"])
}

/// A set that calls itself the parent but holds something else is no parent, and nothing is missing.
fn another_parent_than_named() -> Outcome {
    let stage = Stage::new()?;
    stage.next_generation("dsnap-1a", 1)?;
    std::fs::remove_dir_all(&stage.set.directory)?;
    let dir = stage.scratch.path("impostor");
    let impostor = Sample::make(&dir, stage.sample.layout.clone(), 43)?;
    // Older than its child whatever the clock does meanwhile: only the content is another.
    let capture = impostor.capture(&stage.sets, "dsnap-0a").option("--source-volume", SOURCE);
    capture.option("--chunk-size", "64K").option("--time", "2001-01-01T00:00:00Z").succeeds()?;
    stage.refuses(stage.restore(), 4, &["dsnap-0a", "0-vol-a.snap"])
}
