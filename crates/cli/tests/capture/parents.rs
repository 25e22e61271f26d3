//! Which set a capture builds on.

use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use crate::support::frames::{Anatomy, middle};
use crate::support::needs::trial;
use crate::support::noise::noise;
use crate::support::run::Call;
use crate::support::sample::{Captured, SOURCE, Sample, restore};
use crate::support::scratch::{files_below, flip_bit, read};
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("parent_is_the_newest_set", &[], newest),
        trial("parent_is_before_the_generation_given", &[], before_the_generation),
        trial("parent_is_before_the_time_given", &[], before_the_time_given),
        trial("parent_of_the_volume_meant", &[], of_the_volume_meant),
        trial("parent_from_files_here_and_there", &[], here_and_there),
        trial("parent_with_another_chunk_size_is_2", &[], another_chunk_size),
        trial("parent_missing_or_damaged", &[], missing_or_damaged),
        trial("a_member_that_the_parent_lacks_is_said", &[], unknown_member),
        trial("increments_store_what_changed", &[], what_changed),
    ]
}

/// The parent's set id, the same for all members, as `inspect` has it.
fn parent_of(out: &Path, set_id: &str) -> Outcome<String> {
    let report = Call::new("inspect").arg(out).option("--set-id", set_id);
    let report = report.arg("--json").run()?.document()?;
    let files = report["files"].as_array().cloned().unwrap_or_default();
    let mut parents: Vec<_> =
        files.iter().map(|f| f["parent"]["set_id"].as_str().unwrap_or("none").to_owned()).collect();
    parents.dedup();
    ensure!(parents.len() == 1, "{parents:?}: {report}");
    Ok(parents.remove(0))
}

fn capture(stage: &Stage, set_id: &str) -> Call {
    stage.sample.capture(&stage.out, set_id).option("--parent", &stage.sets)
}

fn newest() -> Outcome {
    let stage = Stage::new()?;
    stage.next_generation("dsnap-1a", 1)?;
    stage.next_generation("dsnap-2a", 2)?;
    let report = capture(&stage, "dsnap-3a").json()?;
    ensure!(report["generation"] == 3, "{report}");
    ensure!(report["files"][0]["kind"] == "incremental", "{report}");
    let parent = parent_of(&stage.out, "dsnap-3a")?;
    ensure!(parent == "dsnap-2a", "{parent}");
    // With all its ancestors at hand it is the volume; without them it is not.
    stage.restores(&restore(&[&stage.out, &stage.sets], &stage.target()), &stage.sample)?;
    stage.refuses(restore(&[&stage.out], &stage.target()), 6, &["dsnap-2a"])
}

fn before_the_generation() -> Outcome {
    let stage = Stage::new()?;
    stage.next_generation("dsnap-1a", 1)?;
    for (generation, parent) in [(1, "dsnap-0a"), (2, "dsnap-1a"), (9, "dsnap-1a")] {
        let id = format!("dsnap-x{generation}");
        let call = capture(&stage, &id).option("--generation", generation.to_string());
        let report = call.json()?;
        ensure!(report["generation"] == generation, "{report}");
        let found = parent_of(&stage.out, &id)?;
        ensure!(found == parent, "generation {generation} builds on {found}");
    }
    // None is before the first.
    let call = capture(&stage, "dsnap-x0").option("--generation", "0");
    stage.refuses(call, 2, &["generation 0"])
}

/// A child is not older than what it builds on.
fn before_the_time_given() -> Outcome {
    let stage = Stage::new()?;
    let early = capture(&stage, "dsnap-1a").option("--time", "2001-01-01T00:00:00Z");
    stage.refuses(early, 2, &["--time"])?;
    // The very same instant is none too early.
    let set = Call::new("list").arg(&stage.sets).json()?["sets"][0].clone();
    let time = set["time"].as_str().unwrap_or_default();
    capture(&stage, "dsnap-1a").option("--time", time).succeeds().map(drop)
}

/// Another volume's sets do not count, whatever their generation.
fn of_the_volume_meant() -> Outcome {
    let stage = Stage::new()?;
    for (generation, id) in [("0", "dsnap-0f"), ("5", "dsnap-5f")] {
        let call = stage.sample.capture(&stage.sets, id).option("--source-volume", "dvol-other");
        call.option("--generation", generation).succeeds()?;
    }
    let ids = ["dvol-sample", "dvol-other"];
    stage.refuses(capture(&stage, "dsnap-1a"), 2, &ids)?;
    stage.refuses(capture(&stage, "dsnap-1a").option("--generation", "7"), 2, &ids)?;
    for generation in ["1", "7"] {
        let id = format!("dsnap-x{generation}");
        let call = capture(&stage, &id).option("--source-volume", SOURCE);
        call.option("--generation", generation).succeeds()?;
        let parent = parent_of(&stage.out, &id)?;
        ensure!(parent == "dsnap-0a", "generation {generation} builds on {parent}");
    }
    let call = capture(&stage, "dsnap-1a").option("--source-volume", "dvol-third");
    stage.refuses(call, 6, &["no snapshot set"])
}

fn here_and_there() -> Outcome {
    let stage = Stage::new()?;
    stage.next_generation("dsnap-1a", 1)?;
    let files: Vec<PathBuf> = files_below(&stage.sets)?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "snap"))
        .collect();
    // Several paths after one flag, and the flag several times.
    let once = stage.sample.capture(&stage.out, "dsnap-2a").arg("--parent").args(&files);
    once.succeeds()?;
    let mut often = stage.sample.capture(&stage.out, "dsnap-2b");
    for file in &files {
        often = often.option("--parent", file);
    }
    often.succeeds()?;
    for id in ["dsnap-2a", "dsnap-2b"] {
        let parent = parent_of(&stage.out, id)?;
        ensure!(parent == "dsnap-1a", "{id} builds on {parent}");
    }
    Ok(())
}

fn another_chunk_size() -> Outcome {
    let stage = Stage::new()?;
    let call = capture(&stage, "dsnap-1a").option("--chunk-size", "128K");
    stage.refuses(call, 2, &["chunk size", "65536", "131072"])?;
    capture(&stage, "dsnap-1a").option("--chunk-size", "64K").succeeds().map(drop)
}

fn missing_or_damaged() -> Outcome {
    let stage = Stage::new()?;
    let empty = stage.scratch.dir("empty")?;
    let call = stage.sample.capture(&stage.out, "dsnap-1a").option("--parent", &empty);
    stage.refuses(call, 6, &["no snapshot set"])?;
    let nowhere = stage.scratch.path("nowhere");
    let call = stage.sample.capture(&stage.out, "dsnap-1a").option("--parent", &nowhere);
    stage.refuses(call, 4, &["nowhere"])?;
    // The newest is meant even if it cannot be had, and so are its ancestors.
    let (_, newest) = stage.next_generation("dsnap-1a", 1)?;
    std::fs::remove_file(stage.file("vol-a")?)?;
    stage.refuses(capture(&stage, "dsnap-2a"), 6, &["dsnap-0a", "vol-a"])?;
    let file = &newest.file("vol-b")?.path;
    std::fs::remove_dir_all(&stage.set.directory)?;
    stage.refuses(capture(&stage, "dsnap-2a"), 6, &["dsnap-0a", "vol-b"])?;
    flip_bit(file, middle(Anatomy::of(file)?.footer()))?;
    for id in ["vol-a", "vol-c"] {
        std::fs::remove_file(&newest.file(id)?.path)?;
    }
    stage.refuses(capture(&stage, "dsnap-2a"), 6, &["vol-a", "vol-c"])
}

/// One chunk changed, one became zeros, one is a copy of another, one came back from a hole; all else is inherited.
fn what_changed() -> Outcome {
    let stage = Stage::new()?;
    let chunk = 64 << 10;
    let mut image = read(&stage.sample.logical)?;
    // Even chunks of the pair are vol-a's.
    image[0] ^= 1;
    image[2 * chunk..3 * chunk].fill(0);
    let copied = noise(99, chunk);
    image[4 * chunk..5 * chunk].copy_from_slice(&copied);
    image[6 * chunk..7 * chunk].copy_from_slice(&copied);
    let dir = stage.scratch.path("members-1");
    let changed = Sample::with_image(&dir, stage.sample.layout.clone(), &image)?;
    let call = changed.capture(&stage.sets, "dsnap-1a").option("--parent", &stage.sets);
    let set = Captured::of(&call)?;
    let counts = |id: &str| -> Outcome<Vec<u64>> {
        let chunks = set.file(id)?.chunks.clone();
        let count = |key: &str| chunks[key].as_u64().unwrap_or(u64::MAX);
        Ok(["data", "zero", "inherited", "reused"].map(count).to_vec())
    };
    ensure!(counts("vol-a")? == [2, 1, 4, 1], "{:?}", set.file("vol-a")?);
    ensure!(counts("vol-b")? == [0, 0, 8, 0], "{:?}", set.file("vol-b")?);
    ensure!(counts("vol-c")? == [0, 0, 5, 0], "{:?}", set.file("vol-c")?);
    stage.restores(&stage.restore(), &changed)?;
    // And back: zeros become data again, and data equal to the grandparent's is data all the same.
    let call = stage.sample.capture(&stage.sets, "dsnap-2a").option("--parent", &stage.sets);
    call.succeeds()?;
    stage.restores(&stage.restore(), &stage.sample)
}

/// Under another id a member is another one, and all of it is stored.
fn unknown_member() -> Outcome {
    let stage = Stage::new()?;
    let known = capture(&stage, "dsnap-1a").succeeds()?;
    ensure!(!known.stderr.contains("in full"), "{}", known.describe());
    let call = Call::new("capture").option("-o", &stage.out).option("--parent", &stage.sets);
    let call = call.option("--set-id", "dsnap-2a").option("--source-volume", SOURCE);
    let ran = call.member("vol-mistyped", &stage.sample.members["vol-a"]).succeeds()?;
    let said = ran.stderr.contains("vol-mistyped") && ran.stderr.contains("stored in full");
    ensure!(said, "{}", ran.describe());
    Ok(())
}
