//! The options about how and from where, each at least once.

use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use crate::support::loopmount::LoopDevice;
use crate::support::needs::{Need, trial};
use crate::support::run::Call;
use crate::support::sample::{Captured, restore};
use crate::support::scratch::{copy, len, write};
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure, hash, tool};

const LOOP_DEVICE: [Need; 2] = [Need::Root, Need::LoopDevice];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("level", &[Need::Tool("zstd")], level),
        trial("chunk_size", &[], chunk_size),
        trial("sector_size", &[], sector_size),
        trial("a_block_device_as_member", &LOOP_DEVICE, block_device),
        trial("members_that_cannot_be_read_are_4", &[], unreadable_members),
        trial("members_that_are_empty_are_4", &[], empty_member),
        trial("relative_paths", &[], relative_paths),
        trial("where_no_directory_can_be_made_is_7", &[], no_directory),
        trial("where_renames_may_replace", &[Need::Extra("strace")], renames_may_replace),
    ]
}

/// A member of text, which levels make a difference to.
fn text_member(stage: &Stage) -> Outcome<PathBuf> {
    let path = stage.scratch.path("text.raw");
    let mut text = Vec::new();
    for line in 0..60_000_u64 {
        let noise = line.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        text.extend(format!("{line} {noise} the quick brown fox {}\n", noise % 97).bytes());
    }
    write(&path, &text)?;
    Ok(path)
}

fn level() -> Outcome {
    let stage = Stage::new()?;
    let member = text_member(&stage)?;
    let mut sizes = Vec::new();
    for level in ["-7", "3", "19"] {
        let out = stage.scratch.dir(&format!("level{level}"))?;
        let call = Call::new("capture").option("-o", &out).member("vol-a", &member);
        let set = Captured::of(&call.arg(format!("--level={level}")))?;
        let file = &set.file("vol-a")?.path;
        sizes.push(len(file)?);
        let raw = stage.scratch.path("by-hand.raw");
        tool::run("zstd", [Path::new("-dqf"), file, Path::new("-o"), &raw])?;
        tool::same_bytes(&raw, &member)?;
        restore(&[&out], &stage.target()).arg("--force").succeeds()?;
        hash::same_sha256(&format!("level {level}"), &stage.target(), &member)?;
    }
    ensure!(sizes.is_sorted_by(|a, b| a > b), "a higher level should store less: {sizes:?}");
    for level in ["-8", "20", "fast", "3.5"] {
        let call = Call::new("capture").option("-o", &stage.out).member("vol-a", &member);
        stage.refuses(call.arg(format!("--level={level}")), 2, &["--level"])?;
    }
    Ok(())
}

fn chunk_size() -> Outcome {
    let stage = Stage::new()?;
    for (given, bytes) in [
        (None, 512_u64 << 10),
        (Some("4096"), 4 << 10),
        (Some("8K"), 8 << 10),
        (Some("256KiB"), 256 << 10),
        (Some("16M"), 16 << 20),
    ] {
        let out = stage.scratch.dir(&format!("chunk-{bytes}"))?;
        let call = stage.sample.capture(&out, "dsnap-0");
        let set = Captured::of(&match given {
            Some(size) => call.option("--chunk-size", size),
            None => call,
        })?;
        for file in &set.files {
            let chunks = stage.sample.layout.member_sizes()[&file.volume_id].div_ceil(bytes);
            let counted = ["data", "zero"].map(|k| file.chunks[k].as_u64().unwrap_or_default());
            ensure!(counted.iter().sum::<u64>() == chunks, "{given:?}: {chunks} chunks: {file:?}");
        }
        let inspect = Call::new("inspect").arg(&out).json()?;
        ensure!(inspect["set"]["chunk_size"] == bytes, "{given:?}: {inspect}");
        stage.restores(&restore(&[&out], &stage.target()), &stage.sample)?;
    }
    Ok(())
}

fn sector_size() -> Outcome {
    let stage = Stage::new()?;
    let sectors = |out: &Path| -> Outcome<Vec<u64>> {
        let report = Call::new("inspect").arg(out).json()?;
        let members = report["set"]["members"].as_array().cloned().unwrap_or_default();
        let both = members.iter().flat_map(|m| [&m["logical_sector"], &m["physical_sector"]]);
        Ok(both.filter_map(serde_json::Value::as_u64).collect())
    };
    for (given, expected) in [(None, 512), (Some("512"), 512), (Some("4096"), 4096)] {
        let out = stage.scratch.dir(&format!("sectors-{given:?}"))?;
        let call = stage.sample.capture(&out, "dsnap-0");
        match given {
            Some(size) => call.option("--sector-size", size).succeeds()?,
            None => call.succeeds()?,
        };
        let found = sectors(&out)?;
        ensure!(found == [expected; 6], "{given:?}: {found:?}");
    }
    for size in ["0", "100", "513", "4K", "2097152", "-512"] {
        let call = stage.sample.capture(&stage.out, "dsnap-0");
        stage.refuses(call.arg(format!("--sector-size={size}")), 2, &["sector"])?;
    }
    Ok(())
}

/// A device says its own size and sectors, and is read like a file.
fn block_device() -> Outcome {
    let stage = Stage::new()?;
    let image = stage.scratch.path("disk.img");
    write(&image, &crate::support::noise::noise(7, 3 << 20))?;
    let device = LoopDevice::with_sectors(&image, true, 4096)?;
    let before = hash::sha256(&image)?;
    let call = Call::new("capture")
        .option("-o", &stage.out)
        .member("vol-a", device.path())
        .option("--consistency", "quiesced")
        // About files; a device knows better.
        .option("--sector-size", "512");
    call.succeeds()?;
    let report = Call::new("inspect").arg(&stage.out).json()?;
    let member = &report["set"]["members"][0];
    ensure!(member["size"] == 3 << 20 && member["logical_sector"] == 4096, "{report}");
    restore(&[&stage.out], &stage.target()).succeeds()?;
    hash::same_sha256("of a device", &stage.target(), &image)?;
    drop(device);
    ensure!(hash::sha256(&image)? == before, "the device was written to");
    Ok(())
}

fn unreadable_members() -> Outcome {
    let stage = Stage::new()?;
    let nowhere = stage.scratch.path("nowhere.raw");
    let endless = stage.scratch.path("endless.raw");
    std::os::unix::fs::symlink(&endless, &endless)?;
    for member in [nowhere, endless, stage.scratch.path("members"), PathBuf::from("/dev/null")] {
        let call = Call::new("capture").option("-o", &stage.out).member("vol-a", &member);
        let name = member.to_string_lossy().into_owned();
        stage.refuses(call.clone(), 4, &[name.as_str()])?;
    }
    // Nothing can be claimed of what is not there either.
    let call = Call::new("capture").option("-o", &stage.out).option("--consistency", "crash");
    let call = call.member("vol-a", &stage.scratch.path("nowhere.raw"));
    stage.refuses(call, 4, &["nowhere.raw"])
}

fn empty_member() -> Outcome {
    let stage = Stage::new()?;
    let empty = stage.scratch.path("empty.raw");
    write(&empty, b"")?;
    let call = || Call::new("capture").option("-o", &stage.out).member("vol-none", &empty);
    // Nothing was ever captured of an empty disk: what was to be copied did not arrive.
    stage.refuses(call(), 4, &["empty.raw", "0 bytes"])?;
    let two = call().member("vol-a", &stage.sample.members["vol-a"]);
    stage.refuses(two.arg("--linear"), 4, &["empty.raw", "0 bytes"])
}

fn relative_paths() -> Outcome {
    let stage = Stage::new()?;
    let here = stage.scratch.dir("here")?;
    copy(&stage.sample.members["vol-a"], &here.join("a.raw"))?;
    let within = |call: Call| call.within(&format!("cd '{}' && exec", here.display())).succeeds();
    within(
        Call::new("capture")
            .option("-o", ".")
            .option("--member", "vol-a=a.raw")
            .option("--set-id", "dsnap-0"),
    )?;
    within(
        Call::new("capture")
            .option("-o", "deep/sets")
            .option("--member", "vol-a=./a.raw")
            .option("--set-id", "dsnap-1"),
    )?;
    within(Call::new("list").arg("."))?;
    within(Call::new("restore").arg("dsnap-0").option("-o", "volume.img"))?;
    within(Call::new("restore").arg("deep").option("-o", "deep/../again.img"))?;
    within(Call::new("rebuild").arg("dsnap-0/0-vol-a.snap").option("-o", "rebuilt.snap"))?;
    for name in ["volume.img", "again.img"] {
        hash::same_sha256(name, &here.join(name), &here.join("a.raw"))?;
    }
    tool::same_bytes(&here.join("rebuilt.snap"), &here.join("dsnap-0/0-vol-a.snap"))
}

fn no_directory() -> Outcome {
    let stage = Stage::new()?;
    // Something else has the name of a directory on the way.
    let call = stage.sample.capture(&stage.out.join("bystander/sets"), "dsnap-0");
    stage.refuses(call, 7, &["bystander"])?;
    let call = restore(&[&stage.sets], &stage.out.join("nowhere/volume.img"));
    stage.refuses(call, 7, &["nowhere"])?;
    let call = restore(&[&stage.sets], &stage.out.join("bystander/volume.img"));
    stage.refuses(call, 7, &["bystander"])
}

/// NFS and FUSE may know no `RENAME_NOREPLACE`: the set gets its name all the same, and replaces none.
fn renames_may_replace() -> Outcome {
    let stage = Stage::new()?;
    let sets = stage.scratch.dir("elsewhere")?;
    for error in ["EINVAL", "ENOSYS", "EOPNOTSUPP"] {
        let trace = format!(
            "exec strace -f -qq -o /dev/null -e trace=renameat2 -e inject=renameat2:error={error}"
        );
        let call = stage.sample.capture(&sets, error).within(&trace);
        call.succeeds()?;
        call.exits(5)?;
        restore(&[&sets.join(error)], &stage.target()).succeeds()?;
        hash::same_sha256(error, &stage.target(), &stage.sample.logical)?;
        std::fs::remove_file(stage.target())?;
    }
    let left: Vec<_> = std::fs::read_dir(&sets)?.collect::<Result<_, _>>()?;
    ensure!(left.len() == 3, "something else is left: {left:?}");
    Ok(())
}
