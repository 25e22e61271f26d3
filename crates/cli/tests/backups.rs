//! Other systems' backups in the place of snapshot files: dumps of EBS snapshots, as a real tool chain
//! left them.

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use serde_json::Value;

use support::attachment::{ATTACH, Attachment, attach};
use support::hash::{Census, sha256};
use support::needs::trial;
use support::run::Call;
use support::scratch::{Scratch, flip_bit, len, read, write};
use support::stacks::UNPACK;
use support::{Outcome, ensure, tool};

const VOLUME: &str = "vol-0d47afy0000000001";
/// The first member of generation 1, and one of its blocks.
const SNAPSHOT: &str = "snap-90a5b666e55ef4506";
const BLOCK: &str = "snap-90a5b666e55ef4506/blocks/00000011.bin";
/// One of the two disks of generation 0.
const LAYOUT: &str = r#"
    version = 1
    logical_size = "1GiB"
    [[segment]]
    start = 0
    length = "1GiB"
    kind = "linear"
    columns = [{ member = "vol-69a684375822c9c2c", offset = 0 }]
"#;
const GENERATION: [(&str, &str); 2] = [("--source-volume", VOLUME), ("--generation", "1")];

fn main() -> ExitCode {
    let of = |name: &str, run: fn() -> Outcome| -> Trial { trial(name, &UNPACK, run) };
    let trials = vec![
        of("list_shows_what_tags_tie_together", list),
        of("every_member_of_every_generation", members),
        of("the_logical_volume_of_every_generation", logical_volumes),
        of("one_snapshot_and_what_a_layout_says", volumes),
        of("a_missing_snapshot_is_6_and_named", missing_member),
        of("a_missing_page_is_6_and_named", missing_page),
        of("a_changed_byte_is_4_and_salvaged", changed_byte),
        of("a_lost_block_is_4_before_anything_is_written", lost_block),
        of("dumps_are_not_overwritten", evidence),
        of("captured_dumps_are_the_same_volumes", captured),
        of("a_restore_goes_on", goes_on),
        of("a_member_without_part_in_the_volume", spare_member),
        of("what_is_not_there_is_said", not_there),
        of("a_dump_of_flexible_snapshot_proxy_may_lack_its_end", proxy),
    ];
    let attach = [ATTACH.as_slice(), &UNPACK].concat();
    let attached = trial("attached_with_the_time_it_was_taken", &attach, attached);
    let trials = trials.into_iter().chain([attached]).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// The sample, unpacked.
struct Dumps {
    scratch: Scratch,
    path: PathBuf,
    manifest: Value,
}

impl Dumps {
    fn unpack() -> Outcome<Self> {
        let packed =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/ebs-direct/datafy-pairs");
        let scratch = Scratch::new()?;
        let path = scratch.dir("dumps")?;
        for entry in fs::read_dir(&packed)? {
            let from = entry?.path();
            if from.extension().is_some_and(|e| e == "json") {
                fs::copy(&from, path.join(from.file_name().unwrap_or_default()))?;
            }
        }
        let tar = scratch.path("snapshots.tar");
        let from = packed.join("snapshots.tar.zst");
        let args = [Path::new("-dq"), Path::new("--long=27"), &from, Path::new("-o"), &tar];
        tool::run("zstd", args)?;
        tool::run("tar", [Path::new("-xf"), &tar, Path::new("-C"), &path])?;
        let manifest = serde_json::from_slice(&read(&packed.join("manifest.json"))?)?;
        Ok(Self { scratch, path, manifest })
    }

    fn call(&self, command: &str) -> Call {
        Call::new(command).arg(&self.path)
    }

    /// Of generation 1.
    fn second(&self, command: &str) -> Call {
        GENERATION.iter().fold(self.call(command), |call, (name, value)| call.option(name, value))
    }

    fn target(&self) -> PathBuf {
        self.scratch.path("target.raw")
    }

    /// The SHA-256 of a snapshot's disk.
    fn sum_of(&self, snapshot: &str) -> Outcome<String> {
        let all = self.manifest["expected"].as_array().ok_or("a list")?;
        let disk = all.iter().find(|disk| disk["snapshot_id"] == snapshot).ok_or("no such disk")?;
        Ok(disk["sha256"].as_str().ok_or("a sum")?.to_owned())
    }

    fn remove(&self, name: &str) -> Outcome {
        let path = self.path.join(name);
        let removed =
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(|e| format!("{name}: {e}").into())
    }
}

fn list() -> Outcome {
    let dumps = Dumps::unpack()?;
    let listed = dumps.call("list").json()?;
    for (generation, members) in [(0, 2), (1, 4), (2, 4)] {
        let set = &listed["sets"][generation];
        ensure!(set["set_id"] == format!("dsnap-00000000000abc00{generation}"), "{set}");
        let id = format!("00000000-0000-0000-0000-00001111000{generation}");
        ensure!(set["generation"] == generation && set["generation_id"] == id, "{set}");
        ensure!(set["source_volume_id"] == VOLUME && set["state"] == "complete", "{set}");
        ensure!(set["members"].as_array().is_some_and(|m| m.len() == members), "{set}");
        let one = dumps.call("list").option("--generation", id).json()?;
        ensure!(one["sets"][0] == *set, "{one}");
    }
    let mut inspected = dumps.second("inspect").json()?;
    for member in inspected["set"]["members"].as_array_mut().ok_or("members")? {
        let contents = member.as_object_mut().and_then(|m| m.remove("contents"));
        let contents = contents.unwrap_or_default();
        ensure!(contents["holds"] == "LVM physical volume", "{member} {contents}");
    }
    ensure!(inspected["set"] == listed["sets"][1], "{inspected}");
    ensure!(inspected["groups"][0]["name"] == "datafy_vg", "{inspected}");
    Ok(())
}

fn members() -> Outcome {
    let dumps = Dumps::unpack()?;
    let before = Census::take(&[&dumps.path])?;
    for generation in ["0", "1", "2"] {
        let target = dumps.scratch.path(generation);
        let call = dumps.call("restore").option("--generation", generation);
        let done = call.option("--members", &target).json()?;
        ensure!(done["layout"].is_null(), "nothing says how they lie together: {done}");
        let set = dumps.call("list").option("--generation", generation).json()?;
        let members = set["sets"][0]["members"].as_array().ok_or("members")?.clone();
        ensure!(done["members"].as_array().is_some_and(|m| m.len() == members.len()), "{done}");
        for (no, member) in members.iter().enumerate() {
            let volume = member["volume_id"].as_str().ok_or("an id")?;
            let snapshot = member["snapshot_id"].as_str().ok_or("an id")?;
            let image = target.join(format!("{no}-{volume}.raw"));
            ensure!(sha256(&image)? == dumps.sum_of(snapshot)?, "{snapshot} is not what it was");
            let proof = &done["members"][no]["proof"];
            ensure!(proof["none"] == 0 && proof["digest"] != 0, "{done}");
        }
        dumps.call("verify").option("--generation", generation).succeeds()?;
    }
    before.unchanged("restoring all generations")
}

fn logical_volumes() -> Outcome {
    let dumps = Dumps::unpack()?;
    for generation in ["0", "1", "2"] {
        let call = dumps.call("restore").option("--source-volume", VOLUME).arg("--force");
        call.option("--generation", generation).option("-o", dumps.target()).succeeds()?;
        let name = format!("gen{generation}/datafy_vg/datafy_lv");
        let all = dumps.manifest["expected"].as_array().ok_or("a list")?;
        let volume = all.iter().find(|volume| volume["name"] == name).ok_or("no such volume")?;
        ensure!(volume["sha256"] == sha256(&dumps.target())?, "{name} is not what it was");
    }
    Ok(())
}

fn volumes() -> Outcome {
    let dumps = Dumps::unpack()?;
    let target = dumps.target();
    let one = dumps.call("restore").option("--set-id", SNAPSHOT).option("-o", &target);
    let done = one.clone().option("--hash", "sha256").arg("--verify-target").json()?;
    let sum = dumps.sum_of(SNAPSHOT)?;
    ensure!(done["hashes"]["sha256"] == sum && sha256(&target)? == sum, "{done}");
    let compared = dumps.call("verify").option("--set-id", SNAPSHOT).option("--target", &target);
    compared.succeeds()?;
    let bytes = dumps.scratch.path("bytes");
    let range = dumps.call("read").option("--set-id", SNAPSHOT).option("-o", &bytes);
    range.option("--offset", "5242880").option("--length", "2M").succeeds()?;
    let whole = read(&target)?;
    ensure!(read(&bytes)? == whole[5 << 20..7 << 20], "read gives other bytes than restore");
    // Two disks one after the other, or in turn.
    let pair = |how: &[&str]| {
        let call = dumps.call("restore").option("--generation", "0").args(how);
        call.arg("--force").option("-o", &target)
    };
    pair(&["--linear"]).succeeds()?;
    ensure!(len(&target)? == 2 << 30, "the size of {}", target.display());
    let part = dumps.scratch.path("part");
    for (snapshot, skip) in [("snap-72c89b87fef997e87", 0), ("snap-87d5c03266cb6380d", 1024)] {
        let (from, to) = (format!("if={}", target.display()), format!("of={}", part.display()));
        let skip = format!("skip={skip}");
        tool::run("dd", [&from, &to, &skip, "bs=1M", "count=1024", "status=none"])?;
        ensure!(sha256(&part)? == dumps.sum_of(snapshot)?, "{snapshot} is not where it should be");
    }
    pair(&["--stripe", "64K"]).succeeds()?;
    dumps.call("plan").option("--set-id", SNAPSHOT).option("-o", dumps.scratch.path("p")).json()?;
    Ok(())
}

fn missing_member() -> Outcome {
    let dumps = Dumps::unpack()?;
    dumps.remove(SNAPSHOT)?;
    let listed = dumps.call("list").json()?;
    let set = &listed["sets"][1];
    ensure!(set["state"] == "incomplete" && set["members"][0]["state"] == "missing", "{set}");
    ensure!(set["problems"].to_string().contains(SNAPSHOT), "{set}");
    for command in ["restore", "plan"] {
        let ran = dumps.second(command).option("-o", dumps.target()).exits(6)?;
        ensure!(ran.stderr.contains(SNAPSHOT), "{}", ran.describe());
    }
    let ran = dumps.second("restore").option("--members", dumps.scratch.path("m")).exits(6)?;
    ensure!(ran.stderr.contains(SNAPSHOT), "{}", ran.describe());
    ensure!(dumps.second("inspect").exits(6)?.stderr.contains(SNAPSHOT), "not named");
    ensure!(!dumps.target().exists(), "something was written");
    Ok(())
}

fn missing_page() -> Outcome {
    for page in ["list-snapshot-blocks.0000.json", "list-snapshot-blocks.0001.json"] {
        let dumps = Dumps::unpack()?;
        dumps.remove(&format!("{SNAPSHOT}/{page}"))?;
        let ran = dumps.call("restore").option("--set-id", SNAPSHOT).option("-o", dumps.target());
        let ran = ran.exits(6)?;
        ensure!(ran.stderr.contains("page") && ran.stderr.contains(SNAPSHOT), "{}", ran.describe());
    }
    Ok(())
}

fn changed_byte() -> Outcome {
    let dumps = Dumps::unpack()?;
    flip_bit(&dumps.path.join(BLOCK), 4096)?;
    let verified = dumps.second("verify").json_exits(4)?;
    ensure!(verified["damage"][0]["path"].to_string().contains(BLOCK), "{verified}");
    ensure!(verified["damage"].as_array().is_some_and(|d| d.len() == 1), "{verified}");
    dumps.second("verify").arg("--quick").succeeds()?;
    let restore =
        || dumps.call("restore").option("--set-id", SNAPSHOT).option("-o", dumps.target());
    let ran = restore().exits(4)?;
    ensure!(ran.stderr.contains(BLOCK), "{}", ran.describe());
    salvaged(&dumps, &restore().arg("--salvage"))
}

/// All but the one block comes back.
fn salvaged(dumps: &Dumps, restore: &Call) -> Outcome {
    let done = restore.json_exits(3)?;
    let lost = serde_json::json!([[11 << 19, 12 << 19]]);
    ensure!(done["damage"][0]["logical_ranges"] == lost, "{done}");
    let whole = Dumps::unpack()?;
    let image = whole.target();
    let call = whole.call("restore").option("--set-id", SNAPSHOT).option("-o", &image);
    call.succeeds()?;
    let (mut right, found) = (read(&image)?, read(&dumps.target())?);
    right[11 << 19..12 << 19].fill(0);
    ensure!(right == found, "more than the damaged block differs");
    Ok(())
}

fn lost_block() -> Outcome {
    let dumps = Dumps::unpack()?;
    dumps.remove(BLOCK)?;
    let listed = dumps.call("list").json_exits(4)?;
    ensure!(listed["sets"][1]["state"] == "damaged", "{listed}");
    for command in ["restore", "plan"] {
        let call = dumps.call(command).option("--set-id", SNAPSHOT).option("-o", dumps.target());
        let ran = call.exits(4)?;
        ensure!(ran.stderr.contains(BLOCK), "{}", ran.describe());
        ensure!(!dumps.target().exists(), "something was written");
    }
    let ran = dumps.second("verify").arg("--quick").exits(4)?;
    ensure!(ran.stderr.contains(BLOCK), "{}", ran.describe());
    dumps.second("verify").exits(4)?;
    dumps.second("inspect").exits(4)?;
    let restore = dumps.call("restore").option("--set-id", SNAPSHOT).option("-o", dumps.target());
    salvaged(&dumps, &restore.arg("--salvage"))
}

fn evidence() -> Outcome {
    let dumps = Dumps::unpack()?;
    let before = Census::take(&[&dumps.path])?;
    for name in [BLOCK, "describe-snapshots.json"] {
        for how in ["--force", "--in-place"] {
            let call = dumps.call("restore").option("--set-id", SNAPSHOT).arg(how);
            let ran = call.option("-o", dumps.path.join(name)).exits(5)?;
            ensure!(ran.stderr.contains("source"), "{}", ran.describe());
        }
    }
    // What says how they lie together is one of the sources.
    let layout = dumps.scratch.path("layout.toml");
    write(&layout, LAYOUT.as_bytes())?;
    let call = dumps.call("restore").option("--generation", "0").option("--layout", &layout);
    let ran = call.arg("--force").option("-o", &layout).exits(5)?;
    ensure!(ran.stderr.contains("source"), "{}", ran.describe());
    before.unchanged("being the target")
}

/// A volume on some of the members does not keep `verify` from reading all of them.
fn spare_member() -> Outcome {
    let dumps = Dumps::unpack()?;
    let (snapshot, volume) = ("snap-0000000000000000f", "vol-ffffffffffffffff0");
    let tag = |key: &str, value: &str| serde_json::json!({"Key": key, "Value": value});
    let described = serde_json::json!({"Snapshots": [{"SnapshotId": snapshot, "VolumeId": volume,
        "VolumeSize": 1, "StartTime": "2026-11-21T05:25:03Z", "State": "completed", "Tags": [
            tag("datafy:source-volume:id", VOLUME),
            tag("datafy:snapshot:id", "dsnap-00000000000abc000"),
            tag("datafy:snapshot:generation-id", "00000000-0000-0000-0000-000011110000")]}]});
    let dir = dumps.path.join(snapshot);
    fs::create_dir(&dir)?;
    write(&dir.join("describe-snapshots.json"), described.to_string().as_bytes())?;
    let blocks = serde_json::json!({"Blocks": [], "VolumeSize": 1, "BlockSize": 512 << 10});
    write(&dir.join("list-snapshot-blocks.0000.json"), blocks.to_string().as_bytes())?;
    let call = |command: &str| dumps.call(command).option("--generation", "0");
    let on = |command: &str, volume: &str| call(command).option("--lv", volume);
    let restored = on("restore", "datafy_vg/datafy_lv").option("-o", dumps.target());
    restored.succeeds()?;
    let verified = on("verify", "datafy_vg/datafy_lv").json()?;
    let read: Vec<_> = verified["members"].as_array().into_iter().flatten().collect();
    ensure!(read.len() == 3 && read[2]["volume_id"] == volume, "{verified}");
    on("inspect", "datafy_vg/datafy_lv").succeeds()?;
    for command in ["verify", "inspect"] {
        let ran = on(command, "datafy_vg/nothing").exits(6)?;
        ensure!(ran.stderr.contains("datafy_vg/datafy_lv"), "{}", ran.describe());
    }
    Ok(())
}

fn attached() -> Outcome {
    let dumps = Dumps::unpack()?;
    let listed = dumps.call("list").option("--set-id", SNAPSHOT).json()?;
    let attachment = Attachment::by(|name| attach(&dumps.path, name).option("--set-id", SNAPSHOT))?;
    let file = fs::metadata(attachment.file()?)?;
    let args = ["-u", "+%Y-%m-%dT%H:%M:%SZ", &format!("--date=@{}", file.mtime())];
    let time = tool::run("date", args)?;
    ensure!(listed["sets"][0]["time"] == time.trim(), "{time} {listed}");
    attachment.detach_cleanly()?;
    // A server leaves the directory that it was started in, and opens block files as they are read.
    let here = format!("cd '{}' && exec", dumps.path.display());
    let attachment = Attachment::by(|name| {
        attach(Path::new("."), name).option("--set-id", SNAPSHOT).within(&here)
    })?;
    ensure!(sha256(&attachment.file()?)? == dumps.sum_of(SNAPSHOT)?, "another disk is attached");
    attachment.detach_cleanly()
}

fn captured() -> Outcome {
    let dumps = Dumps::unpack()?;
    let sets = dumps.scratch.path("sets");
    let capture = |generation: &str| {
        let call = dumps.call("capture").option("--generation", generation).arg("--linear");
        call.option("-o", &sets)
    };
    let first = capture("0").json()?;
    ensure!(first["set_id"] == "dsnap-00000000000abc000" && first["generation"] == 0, "{first}");
    ensure!(first["time"] == "2026-11-21T05:25:02Z", "{first}");
    capture("1").option("--parent", &sets).succeeds()?;
    let id = "00000000-0000-0000-0000-000011110001";
    let target = dumps.scratch.path("members");
    let restore = Call::new("restore").arg(&sets).option("--generation", id);
    restore.option("--members", &target).succeeds()?;
    let image = target.join("0-vol-4b2ff060b7b63d5f5.raw");
    ensure!(sha256(&image)? == dumps.sum_of(SNAPSHOT)?, "the captured disk is another");
    // Snapshot files in the same tree are what counts, and know their layout.
    let call = Call::new("restore").arg(&sets).arg("--linear").option("-o", dumps.target());
    call.exits(2).map(drop)
}

fn goes_on() -> Outcome {
    let dumps = Dumps::unpack()?;
    let restore =
        || dumps.call("restore").option("--set-id", SNAPSHOT).option("-o", dumps.target());
    // Damage ends the first run in its middle; the file is mended then.
    flip_bit(&dumps.path.join(BLOCK), 4096)?;
    restore().option("--sync-every", "1M").exits(4)?;
    flip_bit(&dumps.path.join(BLOCK), 4096)?;
    restore().succeeds()?;
    ensure!(sha256(&dumps.target())? == dumps.sum_of(SNAPSHOT)?, "the disk is another");
    Ok(())
}

fn not_there() -> Outcome {
    let dumps = Dumps::unpack()?;
    let id = "1234567812345678";
    let call = dumps.second("verify").option("--expect-content-id", id);
    ensure!(call.exits(4)?.stderr.contains("content id"), "not said why");
    dumps.call("restore").option("--generation", "9").option("-o", dumps.target()).exits(6)?;
    let file = dumps.path.join("empty.json");
    write(&file, b"")?;
    let ran = dumps.call("list").json_exits(4)?;
    ensure!(ran["unreadable"][0]["path"].to_string().contains("empty.json"), "{ran}");
    Ok(())
}

fn proxy() -> Outcome {
    let dumps = Dumps::unpack()?;
    // As `movetos3` names what it writes; runs may have any length.
    let tree = dumps.scratch.dir("bucket")?;
    let directory = dumps.scratch.dir(&format!("bucket/{SNAPSHOT}.1"))?;
    for entry in fs::read_dir(dumps.path.join(SNAPSHOT).join("blocks"))? {
        let from = entry?.path();
        let number: u32 = from.file_stem().and_then(|n| n.to_str()).ok_or("a name")?.parse()?;
        let to = directory.join(format!("{number}.{}.1.zstd", url_safe(&sha256(&from)?)?));
        tool::run("zstd", [Path::new("-q1"), &from, Path::new("-o"), &to])?;
    }
    let said = |ran: &str| ran.contains("leave out the last run") && ran.contains(SNAPSHOT);
    let listed = Call::new("list").arg(&tree).succeeds()?.stdout;
    ensure!(said(&String::from_utf8_lossy(&listed)), "not said in the list");
    let ran = Call::new("restore").arg(&tree).option("-o", dumps.target()).succeeds()?;
    ensure!(said(&ran.stderr), "{}", ran.describe());
    ensure!(sha256(&dumps.target())? == dumps.sum_of(SNAPSHOT)?, "the disk is another");
    Ok(())
}

/// Hexadecimal digits of 32 bytes as base64 that may stand in an address (RFC 4648, section 5).
fn url_safe(hex: &str) -> Outcome<String> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // Three digits of hexadecimal are two of base64; at the end there is one byte too few.
    let digits = |part: &[u8]| -> Outcome<String> {
        let text = format!("{:0<3}", std::str::from_utf8(part)?);
        let number = usize::from_str_radix(&text, 16)?;
        Ok([number >> 6, number & 63].map(|digit| char::from(DIGITS[digit])).iter().collect())
    };
    let text: String = hex.as_bytes().chunks(3).map(digits).collect::<Outcome<_>>()?;
    Ok(format!("{}=", text.get(..43).ok_or("a sum of 32 bytes")?))
}
