//! Every volume of the samples comes back as it was, whatever it is read from.

use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use serde_json::Value;

use crate::support::attachment::{ATTACH, Attachment};
use crate::support::needs::trial;
use crate::support::run::Call;
use crate::support::scratch::{Scratch, len, write};
use crate::support::stacks::{Expected, Samples, UNPACK};
use crate::support::{Outcome, ensure, hash, tool};

const LVM2: [&str; 4] =
    ["lvm2/linear-3pv", "lvm2/mda-wrapped", "lvm2/striped-2x2", "lvm2/snapshot-thin"];
const MD: [&str; 4] =
    ["mdraid/linear-2x", "mdraid/raid0-2x-64k", "mdraid/raid0-3x-uneven", "mdraid/raid1-2x"];

pub(crate) fn trials() -> Vec<Trial> {
    let attached_needs = [&UNPACK[..], &ATTACH[..]].concat();
    vec![
        trial("attached_volumes_in_any_order", &attached_needs, attached),
        trial("raw_copies_in_any_order", &UNPACK, raw_copies),
        trial("snapshots_of_the_members", &UNPACK, snapshots),
        trial("a_captured_stack_stands_alone", &UNPACK, captured),
        trial("partitions_of_a_raw_copy_and_of_a_set", &[], partitions),
        trial("every_command_that_reads_a_volume", &UNPACK, every_command),
    ]
}

/// A restore of one volume of raw copies.
fn restore(disks: &[PathBuf], expected: &Expected, target: &Path) -> Call {
    let call = Call::new("restore").args(disks).option("-o", target);
    if expected.volume.is_empty() { call } else { call.option("--lv", &expected.volume) }
}

fn is_as_expected(target: &Path, expected: &Expected) -> Outcome {
    let Expected { state, volume, sha256, size } = expected;
    let found = hash::sha256(target)?;
    ensure!(found == *sha256, "{state}/{volume}: {found}, expected {sha256}");
    ensure!(len(target)? == *size, "{state}/{volume}: {} bytes", len(target)?);
    std::fs::remove_file(target)?;
    Ok(())
}

fn raw_copies() -> Outcome {
    let scratch = Scratch::new()?;
    let target = scratch.path("volume.img");
    for sample in LVM2.into_iter().chain(MD) {
        let samples = Samples::new(&scratch, sample)?;
        for expected in samples.expected()? {
            let mut disks = samples.disks(&expected.state)?;
            disks.rotate_left(1);
            let call = restore(&disks, &expected, &target);
            if expected.volume.ends_with("_snap") {
                let refused = call.exits(4)?;
                ensure!(refused.stderr.contains("copy-on-write"), "{}", refused.describe());
            } else {
                call.succeeds()?;
                is_as_expected(&target, &expected)?;
            }
        }
    }
    Ok(())
}

/// The members of each volume in a set of their own that says nothing of the volume.
fn snapshots() -> Outcome {
    let scratch = Scratch::new()?;
    let target = scratch.path("volume.img");
    for (sample, state, volume) in [
        ("lvm2/linear-3pv", "gen2", "vg_lin/data_renamed"),
        ("lvm2/striped-2x2", "gen1", "vg_str/vol"),
        ("lvm2/snapshot-thin", "gen1", "vg_x/t0"),
        ("mdraid/raid0-3x-uneven", "gen0", ""),
    ] {
        let samples = Samples::new(&scratch, sample)?;
        let expected = samples.volume(state, volume)?;
        let mut disks = samples.disks(state)?;
        disks.reverse();
        let sets = scratch.path(&format!("sets/{sample}"));
        Call::new("capture").args(&disks).arg("--linear").option("-o", &sets).succeeds()?;
        let call = Call::new("restore").arg(&sets).option("-o", &target);
        if volume.is_empty() {
            let id = "4434f89a:4a02fc9e:4ec33503:2794fc7b";
            call.option("--md", id).succeeds()?;
        } else {
            call.option("--lv", volume).succeeds()?;
        }
        is_as_expected(&target, &expected)?;
    }
    Ok(())
}

/// What was discovered is in the extent map: the set needs neither options nor metadata any more.
fn captured() -> Outcome {
    let scratch = Scratch::new()?;
    let target = scratch.path("volume.img");
    for (sample, state, volume) in [
        ("lvm2/linear-3pv", "gen2", "vg_lin/data_renamed"),
        ("lvm2/snapshot-thin", "gen1", "vg_x/t0_gen0"),
        ("mdraid/raid1-2x", "gen0", ""),
    ] {
        let samples = Samples::new(&scratch, sample)?;
        let expected = samples.volume(state, volume)?;
        let sets = scratch.path(&format!("sets/{sample}"));
        let capture = Call::new("capture").args(samples.disks(state)?).option("-o", &sets);
        let capture = if volume.is_empty() { capture } else { capture.option("--lv", volume) };
        capture.succeeds()?;
        Call::new("restore").arg(&sets).option("-o", &target).succeeds()?;
        is_as_expected(&target, &expected)?;
    }
    Ok(())
}

fn partitions() -> Outcome {
    let scratch = Scratch::new()?;
    let (disk, target) = (scratch.path("disk.raw"), scratch.path("part.img"));
    // Two partitions of 1 MiB, from 1 MiB on, in a table of DOS.
    let mut bytes = vec![0; 3 << 20];
    for (n, entry) in (1_u32..).zip(bytes[446..478].chunks_exact_mut(16)) {
        entry[4] = 0x83;
        entry[8..12].copy_from_slice(&(2048 * n).to_le_bytes());
        entry[12..16].copy_from_slice(&2048_u32.to_le_bytes());
    }
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes[1 << 20..2 << 20].fill(1);
    bytes[2 << 20..].fill(2);
    write(&disk, &bytes)?;
    let sets = scratch.path("sets");
    Call::new("capture").arg(&disk).option("-o", &sets).succeeds()?;
    let table = |inspected: &Value| inspected["partition_table"]["partitions"].clone();
    let raw = table(&Call::new("inspect").arg(&disk).json()?["members"][0]["contents"]);
    let set = table(&Call::new("inspect").arg(&sets).json()?["contents"]);
    ensure!(raw.as_array().is_some_and(|list| list.len() == 2) && raw == set, "{raw} {set}");
    for from in [&disk, &sets] {
        for (number, byte) in [("1", 1), ("2", 2)] {
            let call = Call::new("restore").arg(from).option("--partition", number);
            call.option("-o", &target).succeeds()?;
            let found = crate::support::scratch::read(&target)?;
            ensure!(found == vec![byte; 1 << 20], "partition {number} of {}", from.display());
            std::fs::remove_file(&target)?;
        }
        let call = Call::new("restore").arg(from).option("--partition", "3");
        call.option("-o", &target).exits(6)?;
        // Without the option it is the disk.
        Call::new("restore").arg(from).option("-o", &target).succeeds()?;
        tool::same_bytes(&disk, &target)?;
        std::fs::remove_file(&target)?;
    }
    Ok(())
}

/// The loop device over a volume that nobody restored.
fn attached() -> Outcome {
    let scratch = Scratch::new()?;
    for (sample, state, volume) in [
        ("lvm2/linear-3pv", "gen1", "vg_lin/data"),
        ("lvm2/snapshot-thin", "gen1", "vg_x/t0_gen0"),
        ("mdraid/raid0-3x-uneven", "gen0", ""),
    ] {
        let samples = Samples::new(&scratch, sample)?;
        let expected = samples.volume(state, volume)?;
        let mut disks = samples.disks(state)?;
        disks.rotate_left(1);
        let attachment = Attachment::by(|name| {
            let call = Call::new("attach").args(&disks).option("--name", name);
            if volume.is_empty() { call } else { call.option("--lv", volume) }
        })?;
        let found = hash::sha256(&attachment.device()?)?;
        ensure!(found == expected.sha256, "{sample} {volume}: {found}");
        attachment.detach().succeeds()?;
        attachment.is_gone()?;
    }
    Ok(())
}

fn every_command() -> Outcome {
    let scratch = Scratch::new()?;
    let samples = Samples::new(&scratch, "lvm2/linear-3pv")?;
    let expected = samples.volume("gen1", "vg_lin/data")?;
    let disks = samples.disks("gen1")?;
    let target = scratch.path("volume.img");
    let of = |command: &str| Call::new(command).args(&disks).option("--lv", "vg_lin/data");
    let plan = of("plan").option("-o", &target).json()?;
    ensure!(plan["logical_size"] == expected.size, "{plan}");
    of("read").option("-o", &target).succeeds()?;
    of("verify").option("--target", &target).succeeds()?;
    of("verify").succeeds()?;
    is_as_expected(&target, &expected)?;
    let shown = of("inspect").json()?;
    ensure!(shown["logical_size"] == expected.size, "{shown}");
    Ok(())
}
