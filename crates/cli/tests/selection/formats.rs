//! Snapshot files and dumps in one tree: one catalogue, from which nothing is forgotten.

use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::lineage::Lineage;
use crate::support::frames::{Anatomy, middle};
use crate::support::hash::sha256;
use crate::support::needs::trial;
use crate::support::noise::noise;
use crate::support::run::Call;
use crate::support::sample::SOURCE;
use crate::support::scratch::{flip_bit, make_dir, read, write};
use crate::support::{Outcome, ensure};

const BLOCK: usize = 512 << 10;
const SNAPSHOT: &str = "snap-0123456789abcdef0";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("dumps_and_snapshot_files_are_listed_together", &[], together),
        trial("a_dump_of_the_same_volume_is_the_newest", &[], newest_is_a_dump),
        trial("a_damaged_snapshot_file_counts_beside_dumps", &[], damaged_beside_dumps),
        trial("a_damaged_list_counts_beside_snapshot_files", &[], damaged_list),
        trial("a_set_in_two_formats_is_not_chosen", &[], twice),
        trial("a_dump_of_unknown_time_may_be_meant", &[], timeless),
        trial("latest_sound_reads_dumps_too", &[], sound_dump),
        trial("files_that_may_be_snapshots_are_named", &[], strange_names),
        trial("renamed_snapshot_files_are_snapshot_files", &[], renamed_snapshots),
    ]
}

/// A dump of one block of 1 GiB, of `set` of `volume` at `time`.
pub(crate) fn dump(tree: &Path, snapshot: &str, of: [&str; 3]) -> Outcome<PathBuf> {
    let [set, volume, time] = of;
    let directory = tree.join(snapshot);
    make_dir(&directory)?;
    let tag = |key: &str, value: &str| json!({"Key": key, "Value": value});
    let mut described = json!({"SnapshotId": snapshot, "VolumeId": "vol-0123456789abcdef0",
        "VolumeSize": 1, "State": "completed", "Tags": [
            tag("datafy:source-volume:id", volume), tag("datafy:snapshot:id", set),
            tag("datafy:snapshot:generation-id", &format!("generation-{time}"))]});
    if !time.is_empty() {
        described["StartTime"] = Value::from(time);
    }
    let described = json!({"Snapshots": [described]});
    write(&directory.join("describe-snapshots.json"), described.to_string().as_bytes())?;
    let block = noise(snapshot.len() as u64, BLOCK);
    write(&directory.join("0.bin"), &block)?;
    let sum = base64(&sha256(&directory.join("0.bin"))?)?;
    let blocks = json!({"Blocks": [{"BlockIndex": 0, "BlockToken": "AAAB"}], "VolumeSize": 1,
        "BlockSize": BLOCK});
    write(&directory.join("list-snapshot-blocks.json"), blocks.to_string().as_bytes())?;
    let answer = json!({"DataLength": BLOCK, "Checksum": sum, "ChecksumAlgorithm": "SHA256"});
    write(&directory.join("0.bin.json"), answer.to_string().as_bytes())?;
    Ok(directory)
}

/// Hexadecimal digits of 32 bytes as base64.
fn base64(hex: &str) -> Outcome<String> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for part in hex.as_bytes().chunks(3) {
        let number = usize::from_str_radix(&format!("{:0<3}", std::str::from_utf8(part)?), 16)?;
        text.extend([number >> 6, number & 63].map(|digit| char::from(DIGITS[digit])));
    }
    Ok(format!("{}=", text.get(..43).ok_or("a sum of 32 bytes")?))
}

fn listed(lineage: &Lineage) -> Outcome<Vec<String>> {
    let list = Call::new("list").arg(&lineage.sets).json()?;
    let sets = list["sets"].as_array().ok_or("sets")?;
    Ok(sets.iter().map(|set| set["set_id"].as_str().unwrap_or_default().to_owned()).collect())
}

fn together() -> Outcome {
    let lineage = Lineage::of(2)?;
    dump(&lineage.sets, SNAPSHOT, ["dsnap-d", "dvol-dumped", "2024-06-01T00:00:00Z"])?;
    ensure!(
        listed(&lineage)? == ["dsnap-d", "dsnap-00a0", "dsnap-01a0"],
        "{:?}",
        listed(&lineage)?
    );
    lineage.refuses(lineage.restore(), 2, &[SOURCE, "dvol-dumped"])?;
    lineage.gives(&lineage.restore().option("--source-volume", SOURCE), 1)?;
    let dumped = [("--source-volume", "dvol-dumped"), ("--set-id", "dsnap-d")];
    for (option, value) in dumped.into_iter().chain([("--set-id", SNAPSHOT)]) {
        let call = lineage.restore().option(option, value).arg("--force");
        call.succeeds()?;
        let block = read(&lineage.sets.join(SNAPSHOT).join("0.bin"))?;
        ensure!(read(&lineage.target())?[..BLOCK] == block, "{option} {value}");
        for command in ["inspect", "verify"] {
            Call::new(command).arg(&lineage.sets).option(option, value).succeeds()?;
        }
    }
    std::fs::remove_file(lineage.target())?;
    // A layout is for the dump, and no snapshot file takes it.
    let call = lineage.restore().option("--set-id", "dsnap-01").arg("--linear");
    lineage.refuses(call, 2, &["lie together"])
}

/// Whatever is newer, it is not stepped over because of its format.
fn newest_is_a_dump() -> Outcome {
    let lineage = Lineage::of(1)?;
    let dumped = dump(&lineage.sets, SNAPSHOT, ["dsnap-d", SOURCE, "2024-06-01T00:00:00Z"])?;
    // Generations of dumps are counted: this one has the same, and so neither is taken.
    lineage.refuses(lineage.restore(), 2, &["dsnap-d", &lineage.id(0)])?;
    lineage.gives(&lineage.restore().option("--at", "2024-02-01"), 0)?;
    std::fs::remove_file(dumped.join("0.bin"))?;
    lineage.refuses(lineage.restore(), 2, &["dsnap-d", &lineage.id(0)])
}

fn damaged_beside_dumps() -> Outcome {
    let lineage = Lineage::of(1)?;
    let tree = lineage.scratch.dir("tree")?;
    dump(&tree, SNAPSHOT, ["dsnap-d", SOURCE, "2023-06-01T00:00:00Z"])?;
    let file = tree.join("newest.snap");
    std::fs::copy(lineage.file(0, "vol-a")?, &file)?;
    let anatomy = Anatomy::of(&file)?;
    flip_bit(&file, middle(anatomy.footer()))?;
    flip_bit(&file, middle(anatomy.manifest()))?;
    let call =
        |flags: &[&str]| Call::new("restore").arg(&tree).option("-o", lineage.target()).args(flags);
    lineage.refuses(call(&[]), 4, &["newest.snap"])?;
    let list = Call::new("list").arg(&tree).json_exits(4)?;
    ensure!(list["unreadable"].to_string().contains("newest.snap"), "{list}");
    ensure!(list["sets"][0]["set_id"] == "dsnap-d", "{list}");
    let said = call(&["--latest-complete"]).succeeds()?.stderr;
    ensure!(said.contains("passed over") && said.contains("newest.snap"), "{said}");
    call(&["--set-id", "dsnap-d", "--force"]).succeeds()?;
    Ok(())
}

fn damaged_list() -> Outcome {
    let lineage = Lineage::of(1)?;
    let text = r#"{"Blocks": [{"BlockIndex": 0, "BlockToken": "AAAB"}, {"BlockInd"#;
    write(&lineage.sets.join("list-snapshot-blocks.json"), text.as_bytes())?;
    lineage.refuses(lineage.restore(), 4, &["list-snapshot-blocks.json"])?;
    lineage.gives(&lineage.restore().arg("--latest-complete"), 0)?;
    lineage.gives(&lineage.restore().option("--generation", "0"), 0)
}

/// A dump, and what was captured of it: nothing proves that they hold the same.
fn twice() -> Outcome {
    let lineage = Lineage::of(1)?;
    let tree = lineage.scratch.dir("tree")?;
    let dumped = dump(&tree, SNAPSHOT, ["dsnap-d", "dvol-dumped", "2023-06-01T00:00:00Z"])?;
    let call = Call::new("capture").arg(&tree).option("-o", &tree);
    let content = call.json()?["content_id"].as_str().ok_or("an id")?.to_owned();
    let restore = || Call::new("restore").arg(&tree).option("-o", lineage.target());
    for call in
        [restore(), restore().arg("--latest-complete"), restore().option("--set-id", "dsnap-d")]
    {
        lineage.refuses(call, 2, &["dsnap-d", SNAPSHOT, ".snap"])?;
    }
    restore().option("--expect-content-id", &content).succeeds()?;
    // One that cannot be used makes the other no less clear where an older one would do, too.
    std::fs::remove_file(dumped.join("0.bin"))?;
    restore().arg("--force").arg("--latest-complete").succeeds()?;
    lineage
        .refuses(restore().arg("--force"), 2, &["dsnap-d"])
        .or_else(|_| restore().arg("--force").exits(2).map(drop))
}

fn timeless() -> Outcome {
    let lineage = Lineage::of(1)?;
    dump(&lineage.sets, SNAPSHOT, ["dsnap-d", SOURCE, ""])?;
    for call in [lineage.restore(), lineage.restore().option("--at", "2024-06-01")] {
        lineage.refuses(call, 2, &["dsnap-d"])?;
    }
    lineage.gives(&lineage.restore().option("--set-id", "dsnap-00"), 0)
}

fn sound_dump() -> Outcome {
    let lineage = Lineage::of(1)?;
    let tree = lineage.scratch.dir("tree")?;
    dump(&tree, SNAPSHOT, ["dsnap-d", "dvol-dumped", "2023-06-01T00:00:00Z"])?;
    let newer =
        dump(&tree, "snap-0123456789abcdef1", ["dsnap-e", "dvol-dumped", "2023-07-01T00:00:00Z"])?;
    flip_bit(&newer.join("0.bin"), 4096)?;
    let restore = |flag: &str| {
        Call::new("restore").arg(&tree).option("-o", lineage.target()).arg("--force").arg(flag)
    };
    restore("--latest-complete").exits(4)?;
    for path in std::fs::read_dir(&lineage.out)? {
        std::fs::remove_file(path?.path())?;
    }
    let report = restore("--latest-sound").json()?;
    ensure!(report["set_id"] == "dsnap-d", "{report}");
    Ok(())
}

/// Files that may be snapshots and are not read are named, and so is what a link hides.
fn strange_names() -> Outcome {
    let lineage = Lineage::of(2)?;
    let elsewhere = lineage.scratch.dir("elsewhere")?;
    std::fs::rename(lineage.sets.join(lineage.id(1)), elsewhere.join(lineage.id(1)))?;
    let newest = elsewhere.join(lineage.id(1)).join("0-vol-a.snap");
    let others = ["0-vol-a.snap.md5", "0-vol-a.snap.json", ".0-vol-a.snap.journal"];
    for name in others {
        std::fs::write(lineage.sets.join(name), "{}")?;
    }
    lineage.gives(&lineage.restore(), 0)?;
    let name = "0-vol-a.snap.img";
    std::fs::copy(&newest, lineage.sets.join(name))?;
    is_named(&lineage, name)?;
    std::fs::remove_file(lineage.sets.join(name))?;
    for target in [&elsewhere, &lineage.scratch.path("nowhere")] {
        let link = lineage.sets.join("linked");
        std::os::unix::fs::symlink(target, &link)?;
        is_named(&lineage, "linked")?;
        std::fs::remove_file(link)?;
    }
    // A link to what is found anyhow is no news.
    std::os::unix::fs::symlink(lineage.id(0), lineage.sets.join("latest"))?;
    let ran = lineage.restore().succeeds()?;
    ensure!(!ran.stderr.contains("latest"), "{}", ran.describe());
    Ok(())
}

/// A snapshot file that was renamed is read; one that was packed may be of the newest set.
fn renamed_snapshots() -> Outcome {
    const ENDS: [&str; 6] = ["SNAP", "snap.1", "snap.bak", "snap~", "snap.old", "snap.gz"];
    for end in ENDS {
        let lineage = Lineage::of(2)?;
        for member in ["vol-a", "vol-b"] {
            let file = lineage.file(1, member)?;
            std::fs::rename(&file, file.with_extension(end))?;
        }
        lineage.gives(&lineage.restore(), 1)?;
        let list = Call::new("list").arg(&lineage.sets).json()?;
        ensure!(list["sets"].as_array().map(Vec::len) == Some(2), "{end}: {list}");
    }
    for (end, magic) in [
        ("snap.gz", &b"\x1f\x8b\x08"[..]),
        ("snap.zst", b"\x28\xb5\x2f\xfd"),
        ("snap.xz", b"\xfd7zXZ\0"),
    ] {
        let lineage = Lineage::of(2)?;
        let mut names = Vec::new();
        for member in ["vol-a", "vol-b"] {
            let file = lineage.file(1, member)?;
            let packed = file.with_extension(end);
            std::fs::write(&packed, [magic, &std::fs::read(&file)?].concat())?;
            std::fs::remove_file(file)?;
            names.push(packed.file_name().unwrap_or_default().display().to_string());
        }
        for command in ["restore", "verify", "inspect"] {
            let call = match command {
                "restore" => lineage.restore(),
                command => Call::new(command).arg(&lineage.sets),
            };
            let ran = call.exits(4)?;
            ensure!(names.iter().any(|name| ran.stderr.contains(name)), "{}", ran.describe());
            ensure!(!lineage.target().exists(), "something was written: {}", ran.describe());
        }
        for flag in ["--latest-complete", "--latest-sound"] {
            let call = lineage.restore().arg(flag);
            let said = call.clone().succeeds()?.stderr;
            ensure!(said.contains("passed over") && said.contains(&names[0]), "{said}");
            std::fs::remove_file(lineage.target())?;
        }
        lineage.gives(&lineage.restore().option("--generation", "0"), 0)?;
    }
    // A packed copy of what is there tells nothing new.
    let lineage = Lineage::of(2)?;
    let file = lineage.file(1, "vol-a")?;
    std::fs::write(file.with_extension("snap.gz"), b"\x1f\x8b\x08")?;
    lineage.gives(&lineage.restore(), 1)
}

fn is_named(lineage: &Lineage, name: &str) -> Outcome {
    let path = lineage.sets.join(name).display().to_string();
    for call in [lineage.restore(), Call::new("list").arg(&lineage.sets)] {
        let ran = call.succeeds()?;
        ensure!(ran.stderr.contains(&path), "{path} is not named\n{}", ran.describe());
    }
    Ok(std::fs::remove_file(lineage.target())?)
}
