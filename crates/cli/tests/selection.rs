//! Which set is meant: the newest unless said otherwise, never an older one silently, never a mixture.

#[path = "selection/doubles.rs"]
mod doubles;
#[path = "selection/formats.rs"]
mod formats;
#[path = "selection/gaps.rs"]
mod gaps;
#[path = "selection/lineage.rs"]
mod lineage;
#[path = "selection/none.rs"]
mod none;
#[path = "selection/proofs.rs"]
mod proofs;
mod support;

use std::process::ExitCode;

use libtest_mimic::Arguments;

use lineage::Lineage;
use support::frames::{Anatomy, middle};
use support::needs::trial;
use support::run::Call;
use support::sample::{SOURCE, Sample, restore};
use support::scratch::{copy_tree, flip_bit};
use support::{Outcome, ensure};

fn main() -> ExitCode {
    let mut trials = vec![
        trial("newest_by_default", &[], newest_by_default),
        trial("newest_by_generation_but_not_by_time_is_2", &[], newest_is_not_the_latest),
        trial("newest_incomplete_is_6", &[], newest_incomplete),
        trial("newest_damaged_is_4", &[], newest_damaged),
        trial("set_id_prefix", &[], set_id_prefix),
        trial("generation", &[], generation),
        trial("at_a_time", &[], at_a_time),
        trial("source_volume", &[], source_volume),
        trial("no_such_set", &[], no_such_set),
        trial("inspect_and_verify_select_alike", &[], inspect_and_verify),
        trial("an_empty_directory_has_no_set", &[], empty_directory),
    ];
    trials.extend(doubles::trials());
    trials.extend(gaps::trials());
    trials.extend(formats::trials());
    trials.extend(none::trials());
    trials.extend(proofs::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn newest_by_default() -> Outcome {
    let lineage = Lineage::of(3)?;
    lineage.gives(&lineage.restore(), 2)?;
    let list = Call::new("list").arg(&lineage.sets).json()?;
    ensure!(list["sets"].as_array().map(Vec::len) == Some(3), "{list}");
    Ok(())
}

/// A clock that went backwards between two full captures: which one is the newest is not guessed.
fn newest_is_not_the_latest() -> Outcome {
    let lineage = Lineage::with_times(&["2030-01-01T00:00:00Z"])?;
    let call = lineage.generations[0].0.capture(&lineage.sets, &lineage.id(1));
    let call = call.option("--source-volume", SOURCE).option("--generation", "1");
    call.option("--time", "2024-01-01T00:00:00Z").succeeds()?;
    lineage.refuses(lineage.restore(), 2, &[&lineage.id(0), &lineage.id(1)])?;
    lineage.gives(&lineage.restore().option("--generation", "0"), 0)?;
    let call = lineage.restore().option("--at", "2029-01-01");
    let report = call.json()?;
    ensure!(report["set_id"] == lineage.id(1).as_str(), "{report}");
    Ok(())
}

fn newest_incomplete() -> Outcome {
    let lineage = Lineage::of(3)?;
    std::fs::remove_file(lineage.file(2, "vol-b")?)?;
    lineage.refuses(lineage.restore(), 6, &[&lineage.id(2), "vol-b"])?;
    lineage.refuses(Call::new("verify").arg(&lineage.sets), 6, &[&lineage.id(2)])?;
    lineage.gives(&lineage.restore().arg("--latest-complete"), 1)?;
    lineage.gives(&lineage.restore().option("--generation", "1"), 1)?;
    // Named outright it is as incomplete as before.
    let call = lineage.restore().option("--set-id", lineage.id(2));
    lineage.refuses(call, 6, &[&lineage.id(2), "vol-b"])?;
    // Without its whole parent, generation 1 is no candidate either.
    std::fs::remove_file(lineage.file(0, "vol-a")?)?;
    lineage.refuses(lineage.restore().arg("--latest-complete"), 6, &[])
}

fn newest_damaged() -> Outcome {
    for in_manifest in [true, false] {
        let lineage = Lineage::of(2)?;
        let file = lineage.file(1, "vol-a")?;
        let anatomy = Anatomy::of(&file)?;
        let part = if in_manifest { anatomy.manifest() } else { anatomy.footer() };
        flip_bit(&file, middle(part))?;
        lineage.refuses(lineage.restore(), 4, &["0-vol-a.snap"])?;
        lineage.gives(&lineage.restore().arg("--latest-complete"), 0)?;
        lineage.gives(&lineage.restore().option("--generation", "0"), 0)?;
    }
    Ok(())
}

fn set_id_prefix() -> Outcome {
    let lineage = Lineage::of(3)?;
    for number in 0..3 {
        lineage.gives(&lineage.restore().option("--set-id", lineage.id(number)), number)?;
    }
    // The ids are dsnap-00a…, dsnap-01a…, dsnap-02a….
    lineage.gives(&lineage.restore().option("--set-id", "dsnap-01"), 1)?;
    let ambiguous = lineage.restore().option("--set-id", "dsnap-0");
    lineage.refuses(ambiguous, 2, &[&lineage.id(0), &lineage.id(1), &lineage.id(2)])
}

fn generation() -> Outcome {
    let lineage = Lineage::of(3)?;
    for number in 0..3 {
        let call = lineage.restore().option("--generation", number.to_string());
        lineage.gives(&call, number)?;
    }
    Ok(())
}

fn at_a_time() -> Outcome {
    let times = ["2024-01-01T12:00:00Z", "2024-01-02T12:00:00Z", "2024-01-03T12:00:00Z"];
    let lineage = Lineage::with_times(&times)?;
    for (at, number) in [
        ("2024-01-01T12:00:00Z", 0),
        ("2024-01-02T11:59:59Z", 0),
        ("2024-01-02T12:00:00Z", 1),
        // The same instant, told elsewhere in the world.
        ("2024-01-02T14:00:00+02:00", 1),
        ("2024-01-02T13:59:59+02:00", 0),
        ("2024-01-03T00:00:00Z", 1),
        ("2099-01-01T00:00:00Z", 2),
    ] {
        let call = lineage.restore().option("--at", at);
        let given = lineage.gives(&call, number);
        given.map_err(|e| format!("--at {at}: {}", e.message().unwrap_or_default()))?;
    }
    let before_all = lineage.restore().option("--at", "2023-12-31T00:00:00Z");
    lineage.refuses(before_all, 6, &["list"])
}

fn source_volume() -> Outcome {
    let lineage = Lineage::of(2)?;
    let layout = support::layout::Layout::new().linear(20_480, ("vol-x", 0));
    let other = Sample::make(&lineage.scratch.path("other"), layout, 8)?;
    other
        .capture(&lineage.sets, "dsnap-ff")
        .option("--source-volume", "dvol-other")
        .option("--time", "2030-01-01T00:00:00Z")
        .succeeds()?;
    lineage.refuses(lineage.restore(), 2, &[SOURCE, "dvol-other"])?;
    // A generation does not say whose.
    let call = lineage.restore().option("--generation", "0");
    lineage.refuses(call, 2, &[SOURCE, "dvol-other"])?;
    lineage.gives(&lineage.restore().option("--source-volume", SOURCE), 1)?;
    lineage.gives(&lineage.restore().option("--set-id", "dsnap-00"), 0)?;
    let call = lineage.restore().option("--source-volume", SOURCE).option("--generation", "0");
    lineage.gives(&call, 0)?;
    let target = lineage.target();
    let call = lineage.restore().option("--source-volume", "dvol-other");
    call.succeeds()?;
    support::hash::same_sha256(&call.line(), &target, &other.logical)
}

fn no_such_set() -> Outcome {
    let lineage = Lineage::of(2)?;
    for (option, value) in
        [("--set-id", "dsnap-ee"), ("--generation", "7"), ("--source-volume", "dvol-unheard-of")]
    {
        lineage.refuses(lineage.restore().option(option, value), 6, &["selection", "list"])?;
    }
    // Two that contradict each other.
    let call = lineage.restore().option("--set-id", lineage.id(0)).option("--generation", "1");
    lineage.refuses(call, 6, &["selection"])
}

fn inspect_and_verify() -> Outcome {
    let lineage = Lineage::of(3)?;
    for (flags, number) in [
        (vec![], 2),
        (vec!["--generation", "1"], 1),
        (vec!["--set-id", "dsnap-00"], 0),
        (vec!["--at", "2024-01-02T23:00:00Z"], 1),
        (vec!["--source-volume", SOURCE], 2),
        (vec!["--latest-complete"], 2),
    ] {
        let inspect = Call::new("inspect").arg(&lineage.sets).args(&flags).json()?;
        ensure!(inspect["set"]["set_id"] == lineage.id(number).as_str(), "{flags:?}: {inspect}");
        let verify = Call::new("verify").arg(&lineage.sets).args(&flags).json()?;
        ensure!(verify["set_id"] == lineage.id(number).as_str(), "{flags:?}: {verify}");
        let list = Call::new("list").arg(&lineage.sets).args(&flags).json()?;
        let listed = list["sets"].as_array().cloned().unwrap_or_default();
        let found = listed.iter().any(|set| set["set_id"] == lineage.id(number).as_str());
        ensure!(found, "{flags:?}: {list}");
    }
    Ok(())
}

fn empty_directory() -> Outcome {
    let lineage = Lineage::of(1)?;
    let empty = lineage.scratch.dir("empty")?;
    let list = Call::new("list").arg(&empty).json()?;
    ensure!(list["sets"].as_array().is_some_and(Vec::is_empty), "{list}");
    let call = restore(&[&empty], &lineage.target());
    lineage.refuses(call, 6, &["*.snap"])?;
    // Nor does one that is not there.
    let call = restore(&[lineage.scratch.path("nowhere")], &lineage.target());
    lineage.refuses(call, 4, &["nowhere"])?;
    let list = Call::new("list").arg(lineage.scratch.path("nowhere")).json_exits(4)?;
    ensure!(list["unreadable"][0]["path"].is_string(), "{list}");
    // Unfinished captures are not looked into.
    let partial = lineage.scratch.path("only-partial");
    support::scratch::make_dir(&partial)?;
    copy_tree(&lineage.sets.join(lineage.id(0)), &partial.join(".dsnap-00a0.partial"))?;
    let list = Call::new("list").arg(&partial).json()?;
    let complete = list["sets"][0]["state"] == "complete";
    ensure!(!complete, "an unfinished capture is listed as complete: {list}");
    Ok(())
}
