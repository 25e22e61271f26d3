//! What `inspect` shows is what lvm2 and mdadm show.

use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use serde_json::Value;

use crate::support::loopmount::LoopDevice;
use crate::support::needs::{Need, trial};
use crate::support::run::Call;
use crate::support::scratch::Scratch;
use crate::support::stacks::{LVM2, Samples, UNPACK, lvm2};
use crate::support::{Outcome, ensure, tool};

pub(crate) fn trials() -> Vec<Trial> {
    let [tar, zstd] = UNPACK;
    let with_lvm2: Vec<Need> = UNPACK.into_iter().chain(LVM2).collect();
    vec![
        trial("as_lvm2_shows_it", &with_lvm2, as_lvm2),
        trial("as_mdadm_shows_it", &[tar, zstd, Need::Tool("mdadm")], as_mdadm),
        trial("the_whole_stack", &UNPACK, the_whole_stack),
        trial("a_captured_set_shows_what_its_members_did", &UNPACK, captured),
    ]
}

/// What a command of lvm2 reports.
fn report(command: &str, devices: &[LoopDevice], fields: &str) -> Outcome<Value> {
    let args = ["--readonly", "--reportformat", "json", "--units", "b", "--nosuffix", "-o", fields];
    let text = lvm2(command, devices, args)?;
    let report: Value = serde_json::from_str(&text)?;
    Ok(report["report"][0].clone())
}

fn number(value: &Value) -> Outcome<u64> {
    let text = value.as_str().ok_or_else(|| format!("{value} is no text"))?;
    Ok(text.parse()?)
}

fn as_lvm2() -> Outcome {
    let scratch = Scratch::new()?;
    for (sample, state) in
        [("lvm2/linear-3pv", "gen2"), ("lvm2/mda-wrapped", "gen0"), ("lvm2/striped-2x2", "gen2")]
    {
        let disks = Samples::new(&scratch, sample)?.disks(state)?;
        let attach = |disk: &PathBuf| LoopDevice::attach(disk, true);
        let devices: Vec<LoopDevice> = disks.iter().map(attach).collect::<Outcome<_>>()?;
        let paths: Vec<&Path> = devices.iter().map(LoopDevice::path).collect();
        let shown = Call::new("inspect").args(&paths).json()?;
        let group = &shown["groups"][0];
        let vg = &report("vgs", &devices, "vg_name,vg_uuid,vg_seqno,vg_extent_size")?["vg"][0];
        ensure!(group["name"] == vg["vg_name"] && group["id"] == vg["vg_uuid"], "{vg} {group}");
        ensure!(group["seqno"] == number(&vg["vg_seqno"])?, "{vg} {group}");
        ensure!(group["extent_size"] == number(&vg["vg_extent_size"])?, "{vg} {group}");

        let pvs = report("pvs", &devices, "pv_name,pv_uuid,dev_size,pe_start")?;
        let pvs = pvs["pv"].as_array().ok_or("no list")?;
        let listed = group["physical_volumes"].as_array().ok_or("no list")?;
        ensure!(pvs.len() == listed.len(), "{pvs:?} {listed:?}");
        for pv in pvs {
            let own = listed.iter().find(|own| own["id"] == pv["pv_uuid"]).ok_or("no such PV")?;
            let name = Path::new(pv["pv_name"].as_str().unwrap_or_default());
            let name = name.file_name().unwrap_or_default().to_string_lossy();
            ensure!(own["device"] == format!("member {name}"), "{own} {pv}");
            ensure!(own["size"] == number(&pv["dev_size"])?, "{own} {pv}");
        }
        segments_as_lvm2(&shown, &devices, pvs)?;
    }
    Ok(())
}

/// The layout of the only volume, segment by segment.
fn segments_as_lvm2(shown: &Value, devices: &[LoopDevice], pvs: &[Value]) -> Outcome {
    let fields = "seg_start,seg_size,stripe_size,seg_pe_ranges,vg_extent_size";
    let segments = report("lvs", devices, fields)?;
    let segments = segments["seg"].as_array().or(segments["lv"].as_array()).ok_or("no list")?;
    let layout = shown["layout"].as_array().ok_or("no layout")?;
    ensure!(layout.len() == segments.len(), "{layout:?} {segments:?}");
    for (own, segment) in layout.iter().zip(segments) {
        ensure!(own["start"] == number(&segment["seg_start"])?, "{own} {segment}");
        ensure!(own["length"] == number(&segment["seg_size"])?, "{own} {segment}");
        let extent = number(&segment["vg_extent_size"])?;
        let ranges = segment["seg_pe_ranges"].as_str().unwrap_or_default().split(' ');
        let columns = own["columns"].as_array().ok_or("no columns")?;
        for (column, range) in columns.iter().zip(ranges) {
            let (device, extents) = range.split_once(':').ok_or("no range")?;
            let first: u64 = extents.split('-').next().unwrap_or_default().parse()?;
            let pv = pvs.iter().find(|pv| pv["pv_name"] == device).ok_or("no such PV")?;
            let offset = number(&pv["pe_start"])? + first * extent;
            ensure!(column["offset"] == offset, "{column} {range}");
            ensure!(device.ends_with(column["member"].as_str().unwrap_or("?")), "{column} {range}");
        }
    }
    Ok(())
}

fn as_mdadm() -> Outcome {
    let scratch = Scratch::new()?;
    for sample in ["linear-2x", "raid0-2x-64k", "raid0-3x-uneven", "raid1-2x"] {
        let disks = Samples::new(&scratch, &format!("mdraid/{sample}"))?.disks("gen0")?;
        let shown = Call::new("inspect").args(&disks).json()?;
        let array = &shown["arrays"][0];
        for (place, disk) in disks.iter().enumerate() {
            let args = [Path::new("--examine"), Path::new("--export"), disk];
            let text = tool::run("mdadm", args)?;
            let said = |key: &str| {
                let prefix = format!("{key}=");
                text.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_default()
            };
            ensure!(array["uuid"] == said("MD_UUID"), "{text} {array}");
            ensure!(array["name"] == said("MD_NAME"), "{text} {array}");
            ensure!(array["level"] == said("MD_LEVEL"), "{text} {array}");
            let events: u64 = said("MD_EVENTS").parse()?;
            ensure!(array["events"] == events, "{text} {array}");
            let members = array["members"].as_array().ok_or("no members")?;
            ensure!(members.len().to_string() == said("MD_DEVICES"), "{text} {array}");
            let name = disk.file_name().unwrap_or_default().to_string_lossy();
            ensure!(members[place]["device"] == format!("member {name}"), "{array}");
        }
    }
    Ok(())
}

fn the_whole_stack() -> Outcome {
    let scratch = Scratch::new()?;
    let samples = Samples::new(&scratch, "lvm2/snapshot-thin")?;
    let disks = samples.disks("gen1")?;
    let shown = Call::new("inspect").args(&disks).json()?;
    let volumes = shown["groups"][0]["logical_volumes"].as_array().ok_or("no list")?;
    let volume = |name: &str| {
        volumes
            .iter()
            .find(|lv| lv["name"] == name)
            .ok_or_else(|| format!("no {name}: {volumes:?}"))
    };
    for name in ["lin", "t0", "t0_gen0"] {
        let contents = &volume(name)?["contents"];
        let filesystem = &contents["filesystems"][0];
        ensure!(filesystem["kind"] == "ext4 filesystem", "{contents}");
        ensure!(filesystem["label"] == "gen-mini", "{contents}");
        ensure!(filesystem["state"] == "clean", "{contents}");
        ensure!(filesystem["backup"] == "agrees", "{contents}");
        ensure!(contents["problems"] == serde_json::json!([]), "{contents}");
    }
    let snapshot = &volume("lin_snap")?["contents"]["problems"][0];
    let said = snapshot.as_str().unwrap_or_default();
    ensure!(said.contains("copy-on-write"), "{volumes:?}");
    let text = Call::new("inspect").args(&disks).succeeds()?;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    for words in ["volume group vg_x", "logical volume t0", "ext4 filesystem \"gen-mini\"", "clean"]
    {
        ensure!(text.contains(words), "{words}: {text}");
    }
    Ok(())
}

fn captured() -> Outcome {
    let scratch = Scratch::new()?;
    for (sample, state, how) in [
        ("lvm2/linear-3pv", "gen1", "--linear"),
        ("mdraid/raid0-2x-64k", "gen0", "--compact-zeros"),
    ] {
        let disks = Samples::new(&scratch, sample)?.disks(state)?;
        let sets = scratch.path(&format!("sets/{sample}"));
        Call::new("capture").args(&disks).option("-o", &sets).arg(how).succeeds()?;
        let (raw, set) =
            (Call::new("inspect").args(&disks).json()?, Call::new("inspect").arg(&sets).json()?);
        for what in ["arrays", "groups"] {
            ensure!(raw[what] == set[what], "{what}: {raw}\n{set}");
        }
    }
    // Of a logical volume the set is the volume.
    let disks = Samples::new(&scratch, "lvm2/linear-3pv")?.disks("gen1")?;
    let sets = scratch.path("sets/data");
    let capture = Call::new("capture").args(&disks).option("--lv", "vg_lin/data");
    capture.option("-o", &sets).succeeds()?;
    let set = Call::new("inspect").arg(&sets).json()?;
    let filesystem = &set["contents"]["filesystems"][0];
    ensure!(filesystem["kind"] == "ext4 filesystem", "{set}");
    let volumes = set["groups"][0]["logical_volumes"].as_array().ok_or("no list")?;
    let data = volumes.iter().find(|lv| lv["name"] == "data").ok_or("no data")?;
    ensure!(data["contents"]["filesystems"][0] == *filesystem, "{set}");
    let ran = Call::new("inspect").arg(&sets).succeeds()?;
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    for words in ["\nvolume\n  ext4 filesystem", "volume group vg_lin", "logical volume data"] {
        ensure!(text.contains(words), "{words}: {text}");
    }
    Ok(())
}
