//! 0: done and verified, with the JSON of the contract. And 1: the one failure that is nobody's fault.

use libtest_mimic::Trial;
use serde_json::Value;

use crate::support::frames::Anatomy;
use crate::support::needs::trial;
use crate::support::run::Call;
use crate::support::sample::restore;
use crate::support::scratch::{copy, make_dir, mode, read, set_len, write};
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("code_0_help_and_version", &[], help_and_version),
        trial("code_0_capture_json", &[], capture_json),
        trial("code_0_list_json", &[], list_json),
        trial("code_0_inspect_json", &[], inspect_json),
        trial("code_0_verify_json", &[], verify_json),
        trial("code_0_restore_json", &[], restore_json),
        trial("code_0_without_json_is_text", &[], text),
        trial("code_0_quiet_says_nothing", &[], quiet),
        trial("code_0_force_replaces_a_file", &[], force_replaces_a_file),
        trial("code_0_rebuild_of_a_lost_index", &[], rebuild_of_a_lost_index),
        trial("code_0_tags_are_kept", &[], tags_are_kept),
        trial("code_1_stdout_is_full", &[], stdout_is_full),
    ]
}

/// Each key is there; a dot goes into an object, and an array is looked into at its first element.
fn has_keys(document: &Value, keys: &[&str]) -> Outcome {
    for key in keys {
        let found = key.split('.').try_fold(document, |value, part| {
            let value = value.as_array().map_or(Some(value), |a| a.first())?;
            value.get(part)
        });
        ensure!(found.is_some(), "no {key} in {document}");
    }
    Ok(())
}

fn help_and_version() -> Outcome {
    for call in ["--help", "--version", "help"] {
        let ran = Call::new(call).succeeds()?;
        ensure!(!ran.stdout.is_empty(), "nothing on stdout\n{}", ran.describe());
    }
    for command in ["capture", "list", "inspect", "verify", "restore", "rebuild"] {
        let ran = Call::new(command).arg("--help").succeeds()?;
        ensure!(!ran.stdout.is_empty(), "nothing on stdout\n{}", ran.describe());
    }
    Ok(())
}

fn capture_json() -> Outcome {
    let stage = Stage::new()?;
    let out = stage.scratch.dir("other")?;
    let call = stage.sample.capture(&out, "dsnap-0b").option("--source-volume", "dvol-x");
    let report = call.option("--time", "2024-02-29T23:59:59Z").json()?;
    has_keys(
        &report,
        &[
            "set_id",
            "source_volume_id",
            "generation",
            "time",
            "content_id",
            "directory",
            "files.path",
            "files.volume_id",
            "files.kind",
            "files.snapshot_id",
            "files.state_id",
            "files.stream",
            "files.chunks.data",
            "files.chunks.zero",
            "files.chunks.inherited",
            "files.chunks.reused",
            "files.plain_bytes",
            "files.stored_bytes",
        ],
    )?;
    ensure!(report["set_id"] == "dsnap-0b", "{report}");
    ensure!(report["source_volume_id"] == "dvol-x", "{report}");
    ensure!(report["generation"] == 0, "{report}");
    ensure!(report["time"] == "2024-02-29T23:59:59Z", "{report}");
    let directory = out.join("dsnap-0b");
    for name in ["0-vol-a.snap", "1-vol-b.snap", "2-vol-c.snap", "layout.toml", "README.txt"] {
        ensure!(directory.join(name).is_file(), "no {name} in {}", directory.display());
    }
    let entries = std::fs::read_dir(&out)?.count();
    ensure!(entries == 1, "{entries} entries beside the set in {}", out.display());
    Ok(())
}

fn list_json() -> Outcome {
    let stage = Stage::new()?;
    let report = Call::new("list").arg(&stage.sets).json()?;
    has_keys(&report, &["sets", "unreadable", "sets.problems", "sets.consistency", "sets.time"])?;
    let set = &report["sets"][0];
    ensure!(report["sets"].as_array().map(Vec::len) == Some(1), "{report}");
    ensure!(set["set_id"] == "dsnap-0a" && set["state"] == "complete", "{report}");
    ensure!(set["source_volume_id"] == "dvol-sample" && set["generation"] == 0, "{report}");
    ensure!(set["content_id"] == stage.set.content_id.as_str(), "{report}");
    ensure!(set["logical_size"] == stage.sample.layout.logical_size(), "{report}");
    for (index, (id, size)) in stage.sample.layout.member_sizes().into_iter().enumerate() {
        let member = &set["members"][index];
        ensure!(member["index"] == index && member["volume_id"] == id.as_str(), "{report}");
        ensure!(member["size"] == size && member["kind"] == "full", "{report}");
        ensure!(member["state"] == "present" && member["path"].is_string(), "{report}");
    }
    Ok(())
}

fn inspect_json() -> Outcome {
    let stage = Stage::new()?;
    let report = Call::new("inspect").arg(&stage.sets).json()?;
    has_keys(
        &report,
        &[
            "set.set_id",
            "set.chunk_size",
            "set.tags",
            "set.tool",
            "set.layout.start",
            "set.layout.length",
            "set.layout.kind",
            "set.layout.columns.member",
            "set.layout.columns.offset",
            "files.path",
            "files.volume_id",
            "files.stream",
            "files.snapshot_id",
            "files.state_id",
            "files.parent",
            "files.records.data",
            "files.records.zero",
            "files.records.hole",
        ],
    )?;
    ensure!(report["set"]["chunk_size"] == 65536, "{report}");
    for (segment, given) in stage.sample.layout.segments.iter().enumerate() {
        let shown = &report["set"]["layout"][segment];
        ensure!(shown["start"] == given.start && shown["length"] == given.length, "{report}");
    }
    Ok(())
}

fn verify_json() -> Outcome {
    let stage = Stage::new()?;
    for quick in [false, true] {
        let call = Call::new("verify").arg(&stage.sets);
        let call = if quick { call.arg("--quick") } else { call };
        let report = call.json()?;
        let keys = ["seconds", "files.path", "files.set_id", "files.volume_id", "files.chunks"];
        has_keys(&report, &keys)?;
        has_keys(&report, &["files.stored_bytes"])?;
        ensure!(report["set_id"] == "dsnap-0a", "{report}");
        ensure!(report["content_id"] == stage.set.content_id.as_str(), "{report}");
        ensure!(report["mode"] == if quick { "quick" } else { "full" }, "{report}");
        ensure!(report["damage"].as_array().is_some_and(Vec::is_empty), "{report}");
        ensure!(report["files"].as_array().map(Vec::len) == Some(3), "{report}");
    }
    Ok(())
}

fn restore_json() -> Outcome {
    let stage = Stage::new()?;
    let report = stage.restore().json()?;
    has_keys(&report, &["seconds", "target", "proof.crc", "proof.none", "stored_bytes"])?;
    let size = stage.sample.layout.logical_size();
    ensure!(report["set_id"] == "dsnap-0a" && report["logical_size"] == size, "{report}");
    ensure!(report["content_id"] == stage.set.content_id.as_str(), "{report}");
    ensure!(report["bytes"]["unmapped"] == 256 << 10, "{report}");
    let bytes = &report["bytes"];
    let sum: u64 =
        ["data", "zero", "hole", "unmapped"].iter().filter_map(|k| bytes[k].as_u64()).sum();
    ensure!(sum == size, "bytes add up to {sum}, not {size}: {report}");
    ensure!(report["proof"]["digest"].as_u64().is_some_and(|n| n > 0), "{report}");
    ensure!(report["damage"].as_array().is_some_and(Vec::is_empty), "{report}");
    stage.restores(&stage.restore().arg("--force"), &stage.sample)
}

fn text() -> Outcome {
    let stage = Stage::new()?;
    for command in ["list", "inspect", "verify"] {
        let ran = Call::new(command).arg(&stage.sets).succeeds()?;
        let stdout = String::from_utf8(ran.stdout.clone())?;
        ensure!(stdout.contains("dsnap-0a"), "the set is not named\n{}", ran.describe());
        ensure!(!stdout.trim_start().starts_with('{'), "JSON unasked\n{}", ran.describe());
    }
    stage.restores(&stage.restore(), &stage.sample)
}

fn quiet() -> Outcome {
    let stage = Stage::new()?;
    for call in [stage.restore(), Call::new("verify").arg(&stage.sets)] {
        let ran = call.arg("-q").succeeds()?;
        ensure!(ran.stderr.is_empty(), "not quiet\n{}", ran.describe());
    }
    Ok(())
}

fn force_replaces_a_file() -> Outcome {
    let stage = Stage::new()?;
    write(&stage.target(), b"something older, and longer than nothing")?;
    stage.restores(&stage.restore().arg("--force"), &stage.sample)?;
    // The old file may be longer than the volume, and open to all.
    drop(set_len(&stage.target(), 8 << 20)?);
    stage.restore().arg("--force").succeeds()?;
    ensure!(mode(&stage.target())? == 0o600, "mode {:o}", mode(&stage.target())?);
    stage.restores(&stage.restore().arg("--force"), &stage.sample)
}

/// All after the last data frame is cut off; the headers and the siblings give it back.
fn rebuild_of_a_lost_index() -> Outcome {
    let stage = Stage::new()?;
    let whole = stage.file("vol-b")?;
    let pieces = stage.scratch.dir("pieces")?;
    let cut = pieces.join("cut.snap");
    copy(&whole, &cut)?;
    let end = Anatomy::of(&whole)?.index().stored.start;
    drop(set_len(&cut, end)?);
    let rebuilt = stage.scratch.dir("rebuilt")?.join("vol-b.snap");
    let call = Call::new("rebuild").arg(&cut).option("-o", &rebuilt);
    call.option("--sibling", stage.file("vol-a")?)
        .option("--sibling", stage.file("vol-c")?)
        .succeeds()?;
    let paths = [stage.file("vol-a")?, rebuilt.clone(), stage.file("vol-c")?];
    Call::new("verify").args(&paths).succeeds()?;
    stage.restores(&restore(&paths, &stage.target()), &stage.sample)?;
    let same = read(&rebuilt)? == read(&whole)?;
    ensure!(same, "the rebuilt file is not the one that was cut");
    Ok(())
}

fn tags_are_kept() -> Outcome {
    let stage = Stage::new()?;
    let out = stage.scratch.path("tagged");
    make_dir(&out)?;
    let call = stage.sample.capture(&out, "dsnap-0c").option("--source-volume", "dvol-tags");
    call.option("--tag", "Name=über = all").option("--tag", "empty=").succeeds()?;
    let tags = Call::new("inspect").arg(&out).json()?["set"]["tags"].clone();
    for (key, value) in [
        ("Name", "über = all"),
        ("empty", ""),
        ("Managed-By", "snaprestore"),
        ("datafy:source-volume:id", "dvol-tags"),
        ("datafy:snapshot:id", "dsnap-0c"),
        ("datafy:snapshot:generation-id", "0"),
    ] {
        ensure!(tags[key] == value, "tag {key} should be {value:?}: {tags}");
    }
    Ok(())
}

/// A report that could not be written is not a success.
fn stdout_is_full() -> Outcome {
    let stage = Stage::new()?;
    for command in ["list", "inspect", "verify"] {
        for json in [false, true] {
            let call = Call::new(command).arg(&stage.sets).within("exec >/dev/full; exec");
            let call = if json { call.arg("--json") } else { call };
            let ran = call.exits(1)?;
            ensure!(!ran.stderr.contains("panicked"), "a panic\n{}", ran.describe());
        }
    }
    Ok(())
}
