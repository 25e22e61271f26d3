//! `--members`: the underlying volumes themselves, and what takes them back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use crate::support::disk::LOOP;
use crate::support::layout::Layout;
use crate::support::loopmount::LoopDevice;
use crate::support::needs::trial;
use crate::support::run::Call;
use crate::support::sample::{Captured, restore};
use crate::support::scratch::{copy, make_dir, mode, read, write};
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure, hash, split};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("members_are_the_true_ones", &[], true_members),
        trial("members_are_accepted_back", &[], accepted_back),
        trial("members_in_loop_devices", &LOOP, in_loop_devices),
        trial("members_that_stripe_or_follow", &[], stripe_or_follow),
        trial("members_replace_nothing", &[], replace_nothing),
        trial("members_are_not_for_all", &[], not_for_all),
    ]
}

/// A restore of everything in the stage's sets to members in `dir`.
pub(crate) fn to_members(stage: &Stage, dir: &Path) -> Call {
    Call::new("restore").arg(&stage.sets).option("--members", dir)
}

/// The images in a directory of members, by volume id.
fn images(dir: &Path, ids: &[&str]) -> BTreeMap<String, PathBuf> {
    let image = |(no, id): (usize, &&str)| ((*id).to_owned(), dir.join(format!("{no}-{id}.raw")));
    ids.iter().enumerate().map(image).collect()
}

/// The directory holds the sample's members and a layout that makes the volume of them, and no more.
pub(crate) fn are_true(stage: &Stage, dir: &Path) -> Outcome<BTreeMap<String, PathBuf>> {
    let ids: Vec<&str> = stage.sample.members.keys().map(String::as_str).collect();
    let images = images(dir, &ids);
    for (id, image) in &images {
        hash::same_sha256(id, image, &stage.sample.members[id])?;
        ensure!(mode(image)? == 0o600, "{} has mode {:o}", image.display(), mode(image)?);
    }
    let entries = std::fs::read_dir(dir)?.count();
    ensure!(entries == images.len() + 1, "{entries} entries in {}", dir.display());
    let layout = Layout::read(&dir.join("layout.toml"))?;
    let joined = stage.scratch.path("joined.img");
    split::join(&images, &layout, &joined)?;
    hash::same_sha256("joined by layout.toml", &joined, &stage.sample.logical)?;
    Ok(images)
}

fn raw(command: &str, members: &BTreeMap<String, PathBuf>, layout: &[&Path]) -> Call {
    let call = Call::new(command);
    let call = members.iter().fold(call, |call, (id, path)| call.member(id, path));
    layout.iter().fold(call, |call, path| call.option("--layout", path))
}

fn true_members() -> Outcome {
    let stage = Stage::new()?;
    let dir = stage.out.join("members");
    for flags in [&[][..], &["--preallocate"], &["--no-journal"], &["--verify-target"]] {
        let call = to_members(&stage, &dir).args(flags);
        let report = call.json()?;
        are_true(&stage, &dir)?;
        let members = report["members"].as_array().ok_or("no members")?;
        let took = |member: &serde_json::Value| member["seconds"].as_f64() > Some(0.0);
        ensure!(members.len() == 3 && members.iter().all(took), "{report}");
        ensure!(report["layout"] == dir.join("layout.toml").display().to_string(), "{report}");
        let entries = std::fs::read_dir(&stage.out)?.count();
        ensure!(entries == 2, "{entries} entries beside the members: {}", call.line());
        std::fs::remove_dir_all(&dir)?;
    }
    // Of a generation that builds on another.
    let (truth, _) = stage.next_generation("dsnap-1a", 1)?;
    to_members(&stage, &dir).succeeds()?;
    let stage = Stage { sample: truth, ..stage };
    are_true(&stage, &dir).map(drop)
}

fn accepted_back() -> Outcome {
    let stage = Stage::new()?;
    let dir = stage.out.join("members");
    to_members(&stage, &dir).succeeds()?;
    let members = are_true(&stage, &dir)?;
    let layout = dir.join("layout.toml");
    let call = |command: &str| raw(command, &members, &[&layout]);

    let ran = call("restore").option("-o", stage.target()).json()?;
    ensure!(ran["set_id"].is_null(), "raw members are no set: {ran}");
    hash::same_sha256("restored of members", &stage.target(), &stage.sample.logical)?;
    ensure!(
        call("restore").option("-o", "-").succeeds()?.stdout == read(&stage.sample.logical)?,
        "wrong bytes in the pipe"
    );
    let size = stage.sample.layout.logical_size();
    for command in ["verify", "list", "inspect"] {
        let report = call(command).json()?;
        ensure!(report["logical_size"] == size, "{command}: {report}");
    }
    call("verify").option("--target", stage.target()).succeeds()?;
    let plan = call("plan").option("-o", stage.out.join("other.img")).json()?;
    ensure!(plan["go"] == true && plan["logical_size"] == size, "{plan}");

    let sets = stage.scratch.dir("sets-again")?;
    let capture = call("capture").option("-o", &sets).option("--set-id", "dsnap-9");
    Captured::of(&capture)?;
    std::fs::remove_file(stage.target())?;
    restore(&[&sets], &stage.target()).succeeds()?;
    hash::same_sha256("captured of members", &stage.target(), &stage.sample.logical)
}

fn in_loop_devices() -> Outcome {
    let stage = Stage::new()?;
    let mut devices = Vec::new();
    let mut members = BTreeMap::new();
    for (id, path) in &stage.sample.members {
        let device = LoopDevice::attach(path, true)?;
        members.insert(id.clone(), device.path().to_owned());
        devices.push(device);
    }
    let layout = [stage.sample.layout_file.as_path()];
    let call = raw("restore", &members, &layout).option("-o", stage.target());
    call.succeeds()?;
    hash::same_sha256("restored of devices", &stage.target(), &stage.sample.logical)?;
    raw("verify", &members, &layout).option("--target", stage.target()).succeeds()?;
    let list = raw("list", &members, &layout).json()?;
    let identity = list["members"][0]["identity"].as_str().unwrap_or_default();
    ensure!(identity.starts_with("device over inode "), "{list}");
    Ok(())
}

fn stripe_or_follow() -> Outcome {
    let striped = Layout::new().striped(1 << 20, 32 << 10, &[("vol-a", 0), ("vol-b", 0)]);
    let linear = Layout::new().linear(300_032, ("vol-a", 0)).linear(512, ("vol-b", 0));
    for (layout, flags) in [(striped, &["--stripe", "32K"][..]), (linear, &["--linear"])] {
        let stage = Stage::with_layout(layout)?;
        let members = &stage.sample.members;
        let dir = stage.out.join("members");
        raw("restore", members, &[]).args(flags).option("--members", &dir).succeeds()?;
        let members = are_true(&stage, &dir)?;
        let call = raw("restore", &members, &[]).args(flags).option("-o", stage.target());
        call.succeeds()?;
        hash::same_sha256(flags[0], &stage.target(), &stage.sample.logical)?;
        let call = raw("restore", &members, &[]).option("-o", stage.out.join("other"));
        stage.refuses(call, 2, &["--layout", "--stripe", "--linear"])?;
    }
    Ok(())
}

fn replace_nothing() -> Outcome {
    let stage = Stage::new()?;
    let dir = stage.out.join("members");
    make_dir(&dir)?;
    stage.refuses(to_members(&stage, &dir), 5, &["members"])?;
    stage.refuses(to_members(&stage, &dir).arg("--force"), 2, &["--members"])?;
    std::fs::remove_dir(&dir)?;
    write(&dir, b"precious")?;
    stage.refuses(to_members(&stage, &dir), 5, &["members"])?;
    std::fs::remove_file(&dir)?;
    // A set that is not whole has no members to give.
    let taken = stage.scratch.path("taken.snap");
    copy(&stage.file("vol-b")?, &taken)?;
    std::fs::remove_file(stage.file("vol-b")?)?;
    stage.refuses(to_members(&stage, &dir), 6, &["vol-b"])
}

fn not_for_all() -> Outcome {
    let stage = Stage::new()?;
    let dir = stage.out.join("members");
    for flags in [
        &["--in-place"][..],
        &["--offset", "512"],
        &["--length", "512"],
        &["--size", "2M"],
        &["--hash", "md5"],
        &["--dry-run"],
        &["--delta"],
        &["--expect-size", "2M"],
        &["--expect-serial", "vol0123"],
        &["--shard", "1/2"],
    ] {
        stage.refuses(to_members(&stage, &dir).args(flags), 2, &[])?;
    }
    stage.refuses(to_members(&stage, &dir).option("-o", stage.target()), 2, &[])
}
