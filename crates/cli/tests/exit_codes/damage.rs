//! 4: the source is damaged, unreadable, or not what was expected.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use crate::support::frames::{Anatomy, Frame, frames, middle};
use crate::support::hash::same_sha256;
use crate::support::mapfile;
use crate::support::needs::{Need, trial};
use crate::support::noise::noise;
use crate::support::run::Call;
use crate::support::sample::{Captured, restore};
use crate::support::scratch::{Scratch, copy, flip_bit, len, read, set_len, write};
use crate::support::stage::Stage;
use crate::support::unfinished::{goes_on, is_left};
use crate::support::{Outcome, ensure, tool};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("code_4_flipped_bit_in_data", &[], || {
            flipped(|anatomy| anatomy.data().nth(2).cloned())
        }),
        trial("code_4_goes_on_when_repaired", &[], goes_on_when_repaired),
        trial("code_4_a_target_that_differs", &[], target_that_differs),
        trial("code_4_flipped_bit_in_the_manifest", &[], || {
            flipped(|anatomy| Some(anatomy.manifest().clone()))
        }),
        trial("code_4_flipped_bit_in_the_index", &[], || {
            flipped(|anatomy| Some(anatomy.index().clone()))
        }),
        trial("code_4_flipped_bit_in_the_footer", &[], || {
            flipped(|anatomy| Some(anatomy.footer().clone()))
        }),
        trial("code_4_flipped_bit_in_a_chunk_header", &[], flipped_chunk_header),
        trial("code_4_truncated", &[], truncated),
        trial("code_4_something_after_the_end", &[], something_after_the_end),
        trial("code_4_not_a_snapshot", &[], not_a_snapshot),
        trial("code_4_cannot_be_opened", &[], cannot_be_opened),
        trial("code_4_more_damage_than_is_listed", &[], more_than_is_listed),
        trial("code_4_another_content_id", &[], another_content_id),
        trial("the_tests_frame_walk_agrees_with_zstd", &[Need::Tool("zstd")], frame_walk),
    ]
}

/// The stage with one file of the set damaged, which `work` does to a copy that takes its place.
fn with_damage(volume_id: &str, work: impl FnOnce(&Path) -> Outcome) -> Outcome<(Stage, PathBuf)> {
    let stage = Stage::new()?;
    let file = stage.file(volume_id)?;
    work(&file)?;
    Ok((stage, file))
}

fn verify_refuses(stage: &Stage, name: &str) -> Outcome {
    let call = Call::new("verify").arg(&stage.sets);
    let ran = call.exits(4)?;
    let said = format!("{}{}", ran.stderr, String::from_utf8_lossy(&ran.stdout));
    ensure!(said.contains(name), "{name} is not named\n{}", ran.describe());
    ensure!(!ran.stderr.contains("panicked"), "a panic\n{}", ran.describe());
    // Damage that is found is verify's answer; a file it cannot read at all is its failure.
    let document = call.json_exits(4)?;
    let damage = document["damage"].as_array().is_some_and(|d| !d.is_empty());
    ensure!(damage || document["error"].is_object(), "neither damage nor error: {document}");
    Ok(())
}

/// `--quick` reads every stored byte and structure too.
fn quick_verify_refuses(stage: &Stage, name: &str) -> Outcome {
    let document = Call::new("verify").arg(&stage.sets).arg("--quick").json_exits(4)?;
    if document["error"].is_null() {
        ensure!(document["mode"] == "quick", "{document}");
        let path = document["damage"][0]["path"].as_str().unwrap_or_default();
        ensure!(path.ends_with(name), "{name} is not named: {document}");
    }
    Ok(())
}

fn flipped(part: impl FnOnce(&Anatomy) -> Option<Frame>) -> Outcome {
    let (stage, file) = with_damage("vol-b", |file| {
        let frame = part(&Anatomy::of(file)?).ok_or("no such frame")?;
        flip_bit(file, middle(&frame))
    })?;
    verify_refuses(&stage, "1-vol-b.snap")?;
    quick_verify_refuses(&stage, "1-vol-b.snap")?;
    // Without a journal nothing stays at all.
    stage.refuses(stage.restore().arg("--no-journal"), 4, &["1-vol-b.snap"])?;
    // By name instead of by directory, and over an existing target, it is no better.
    let paths = [stage.file("vol-a")?, file, stage.file("vol-c")?];
    write(&stage.target(), b"precious")?;
    let call = restore(&paths, &stage.target()).arg("--force").arg("--no-journal");
    stage.refuses(call, 4, &["1-vol-b.snap"])
}

/// What was proved before the damage is not done again once the file is whole.
fn goes_on_when_repaired() -> Outcome {
    let stage = Stage::new()?;
    let file = stage.file("vol-c")?;
    let last = Anatomy::of(&file)?.data().last().cloned().ok_or("no data")?;
    flip_bit(&file, middle(&last))?;
    let before = ["bystander".into()].into();
    let call = stage.restore();
    let ran = call.exits(4)?;
    ensure!(ran.stderr.contains("2-vol-c.snap"), "which file?\n{}", ran.describe());
    ensure!(!stage.target().exists(), "a half image under the final name");
    // How far it got by then is a matter of chance.
    let left = is_left(&stage.out, &before)?;
    flip_bit(&file, middle(&last))?;
    goes_on(&call, &stage.target(), &stage.sample.logical, left)
}

/// `verify --target` says where, and `--delta` writes no more than that.
fn target_that_differs() -> Outcome {
    let stage = Stage::new()?;
    stage.restore().succeeds()?;
    let against = Call::new("verify").arg(&stage.sets).option("--target", stage.target());
    against.succeeds()?;
    flip_bit(&stage.target(), 300_000)?;
    let whole = len(&stage.target())?;
    drop(set_len(&stage.target(), whole - 10)?);
    let document = against.json_exits(4)?;
    let differs = document["differs"].as_array().cloned().unwrap_or_default();
    let has = |byte: u64| {
        differs.iter().any(|r| r[0].as_u64() <= Some(byte) && Some(byte) < r[1].as_u64())
    };
    ensure!(has(300_000) && has(whole - 10) && !has(0), "{document}");
    let ran = against.exits(4)?;
    ensure!(ran.stderr.contains("--delta"), "what now?\n{}", ran.describe());
    let repair = stage.restore().arg("--in-place").arg("--delta").json()?;
    let kept = repair["bytes"]["kept"].as_u64().unwrap_or_default();
    ensure!(0 < kept && kept < whole, "{repair}");
    same_sha256("repaired", &stage.target(), &stage.sample.logical)?;
    against.succeeds()?;
    std::fs::remove_file(stage.target())?;
    against.exits(7).map(drop)
}

/// A restore goes by the index, so only `verify` must find this.
fn flipped_chunk_header() -> Outcome {
    let (stage, _) = with_damage("vol-b", |file| {
        let anatomy = Anatomy::of(file)?;
        let data = anatomy.frames.iter().position(|f| !f.skippable).unwrap_or_default();
        let header = anatomy.frames.get(data.wrapping_sub(1)).ok_or("no header before the data")?;
        flip_bit(file, middle(header))
    })?;
    quick_verify_refuses(&stage, "1-vol-b.snap")?;
    verify_refuses(&stage, "1-vol-b.snap")
}

fn truncated() -> Outcome {
    let stage = Stage::new()?;
    let file = stage.file("vol-c")?;
    let anatomy = Anatomy::of(&file)?;
    let whole = len(&file)?;
    let kept = stage.scratch.path("whole.snap");
    copy(&file, &kept)?;
    let ends = [
        whole - 1,
        anatomy.footer().stored.start,
        anatomy.index().stored.start,
        whole / 2,
        anatomy.manifest().stored.end,
        10,
        0,
    ];
    for end in ends {
        drop(set_len(&file, end)?);
        // What says nothing of itself any more could be of the newest set, and counts as unreadable.
        let refused = stage.refuses(stage.restore(), 4, &["2-vol-c.snap"]);
        refused.map_err(|e| {
            format!("cut to {end} of {whole} bytes: {}", e.message().unwrap_or_default())
        })?;
        verify_refuses(&stage, "2-vol-c.snap")?;
        copy(&kept, &file)?;
    }
    stage.restores(&stage.restore(), &stage.sample)
}

/// The footer is the last thing in a file, or the file is not what was written.
fn something_after_the_end() -> Outcome {
    let (stage, _) = with_damage("vol-a", |file| {
        let whole = len(file)?;
        set_len(file, whole + 100).map(drop)
    })?;
    verify_refuses(&stage, "0-vol-a.snap")?;
    stage.refuses(stage.restore(), 4, &["0-vol-a.snap"])
}

fn not_a_snapshot() -> Outcome {
    let stage = Stage::new()?;
    let file = stage.scratch.path("holiday.snap");
    for content in [&b"not a snapshot at all, but long enough to hold one's header"[..], b"", b"PK"]
    {
        write(&file, content)?;
        let call = restore(&[&file], &stage.target());
        stage.refuses(call, 4, &["holiday.snap"])?;
        let report = Call::new("list").arg(&file).json_exits(4)?;
        let unreadable = &report["unreadable"][0];
        let path = unreadable["path"].as_str().unwrap_or_default();
        ensure!(path.ends_with("holiday.snap") && unreadable["error"].is_string(), "{report}");
    }
    Ok(())
}

/// A link that leads back to itself: there is something of that name, and it cannot be opened.
fn cannot_be_opened() -> Outcome {
    let stage = Stage::new()?;
    let endless = stage.sets.join("endless.snap");
    symlink(&endless, &endless)?;
    stage.refuses(stage.restore(), 4, &["endless.snap"])?;
    let report = Call::new("list").arg(&stage.sets).json_exits(4)?;
    ensure!(report["sets"][0]["state"] == "complete", "{report}");
    let path = report["unreadable"][0]["path"].as_str().unwrap_or_default();
    ensure!(path.ends_with("endless.snap"), "{report}");
    // The set that is named is whole without it.
    stage.restores(&stage.restore().option("--set-id", "dsnap-0a"), &stage.sample)
}

fn another_content_id() -> Outcome {
    let stage = Stage::new()?;
    let right = &stage.set.content_id;
    stage.restores(&stage.restore().option("--expect-content-id", right), &stage.sample)?;
    let first = if right.starts_with('0') { '1' } else { '0' };
    let wrong = format!("{first}{}", &right[1..]);
    let call = stage.restore().option("--expect-content-id", &wrong);
    stage.refuses(call, 4, &[wrong.as_str(), right.as_str()])?;
    let call = Call::new("verify").arg(&stage.sets).option("--expect-content-id", &wrong);
    call.exits(4).map(drop)
}

/// The tests' own ground: frames of many sizes and kinds, one after the other, a skippable one between.
fn frame_walk() -> Outcome {
    let scratch = Scratch::new()?;
    let plain = scratch.path("plain");
    let stored = scratch.path("plain.zst");
    let mut all = Vec::new();
    let mut sizes = Vec::new();
    for len in [1_usize, 200, 255, 256, 70_000, 300_000, 5 << 20] {
        for bytes in [noise(len as u64, len), vec![0; len]] {
            write(&plain, &bytes)?;
            tool::run("zstd", [Path::new("-fq"), &plain, Path::new("-o"), &stored])?;
            all.extend(read(&stored)?);
            sizes.push(len as u64);
        }
        all.extend([0x5A, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3]);
        sizes.push(0);
    }
    write(&stored, &all)?;
    let found = frames(&stored)?;
    let walked: Vec<u64> = found.iter().map(|f| f.plain.end - f.plain.start).collect();
    ensure!(walked == sizes, "walked {walked:?}, expected {sizes:?}");
    ensure!(found.last().map(|f| f.stored.end) == Some(all.len() as u64), "not to the end");
    tool::run("zstd", [Path::new("-tq"), &stored]).map(drop)
}

/// The first thousand places are listed, the others counted by where they are; a report has every one of them.
fn more_than_is_listed() -> Outcome {
    let scratch = Scratch::new()?;
    let (raw, sets) = (scratch.path("raw"), scratch.path("sets"));
    write(&raw, &noise(1, 6 << 20))?;
    let capture = Call::new("capture").member("vol", &raw).option("-o", &sets);
    let set = Captured::of(&capture.option("--chunk-size", "4K"))?;
    let file = &set.file("vol")?.path;
    let data: Vec<Frame> = Anatomy::of(file)?.data().cloned().collect();
    for frame in &data {
        flip_bit(file, middle(frame))?;
    }
    let report = scratch.path("report");
    let verify = Call::new("verify").arg(&sets).arg("--json").option("-j", "100000");
    let ran = verify.option("--report", &report).exits(4)?;
    ensure!(ran.stderr.contains("-j 100000"), "{}", ran.describe());
    let document: serde_json::Value = serde_json::from_slice(&ran.stdout)?;
    let listed = document["damage"].as_array().map_or(0, Vec::len);
    let more = document["more_damage"].as_array().into_iter().flatten();
    let more: u64 = more.filter_map(|more| more["count"].as_u64()).sum();
    ensure!(listed == 1000, "{listed} are listed");
    ensure!(listed as u64 + more == data.len() as u64, "{more} more of {}", data.len());
    let lines = String::from_utf8(read(&report)?)?;
    ensure!(lines.lines().count() == data.len(), "{} lines", lines.lines().count());
    let out = scratch.path("out");
    let salvage = restore(&[&sets], &out).arg("--salvage").json_exits(3)?;
    let listed = salvage["damage"].as_array().map_or(0, Vec::len) as u64;
    let more = salvage["more_damage"].as_u64().unwrap_or(0);
    ensure!(listed == 1000 && listed + more == data.len() as u64, "{listed} and {more}");
    let lost = mapfile::bad_ranges(&scratch.path("out.map"), 6 << 20)?;
    ensure!(lost == std::iter::once(0..6 << 20).collect::<Vec<_>>(), "the map: {lost:?}");
    Ok(())
}
