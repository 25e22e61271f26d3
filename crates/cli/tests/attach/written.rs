//! `--overlay`: what is written is there, stays there where it should, and never reaches the set.

use std::fs::File;
use std::os::unix::fs::FileExt;

use libtest_mimic::Trial;

use crate::scene::{Scene, is_empty};
use crate::support::attachment::{ATTACH, Attachment, attach, unused_name};
use crate::support::hash::Census;
use crate::support::image::Filesystem;
use crate::support::needs::trial;
use crate::support::noise::noise;
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure, scratch, tool};

pub(crate) fn trials() -> Vec<Trial> {
    let mut mounts = ATTACH.to_vec();
    mounts.extend(Filesystem::Ext4.needs());
    vec![
        trial("what_is_written_stays_in_its_overlay", &ATTACH, device),
        trial("a_temporary_overlay_goes_with_its_server", &ATTACH, temporary),
        trial("files_written_through_a_mount_are_there_again", &mounts, through_a_mount),
        trial("a_killed_server_with_unwritten_pages_is_cleared_away", &ATTACH, killed_while_dirty),
    ]
}

/// Writes through the page cache of the device, or of the file, and leaves it at that.
fn write(path: &std::path::Path, bytes: &[u8], at: u64) -> Outcome {
    let file = File::options().write(true).open(path)?;
    file.write_all_at(bytes, at)?;
    Ok(())
}

fn device() -> Outcome {
    let stage = Stage::new()?;
    let sources = Census::take(&[&stage.sets])?;
    let overlay = stage.scratch.path("overlay");
    let by = |name: &str| attach(&stage.sets, name).option("--overlay", &overlay);
    let mut truth = scratch::read(&stage.sample.logical)?;
    let expected = stage.scratch.path("expected");
    for round in 0..3_u8 {
        let attachment = Attachment::by(by)?;
        ensure!(attachment.document["writable"] == true, "{}", attachment.document);
        // What it holds is not the set's content any more.
        ensure!(attachment.document["content_id"].is_null(), "{}", attachment.document);
        scratch::write(&expected, &truth)?;
        tool::same_bytes(&attachment.file()?, &expected)?;
        let bytes = noise(u64::from(round), 70_000);
        let at = 4096 * (1 + usize::from(round) * 40) + 512 * usize::from(round);
        write(&attachment.device()?, &bytes, at as u64)?;
        truth[at..at + bytes.len()].copy_from_slice(&bytes);
        scratch::write(&expected, &truth)?;
        tool::same_bytes(&attachment.device()?, &expected)?;
        attachment.detach_cleanly()?;
    }
    ensure!(scratch::mode(&overlay)? == 0o600, "mode {:o}", scratch::mode(&overlay)?);
    // Without it all is as it was; thrown away it is as new.
    let plain = Attachment::of(&stage.sets)?;
    tool::same_bytes(&plain.file()?, &stage.sample.logical)?;
    plain.detach_cleanly()?;
    let again = Attachment::by(|name| by(name).arg("--reset-overlay"))?;
    tool::same_bytes(&again.file()?, &stage.sample.logical)?;
    // One overlay is one volume's at a time.
    let ran = by(&unused_name()).exits(5)?;
    ensure!(ran.stderr.contains("another process uses"), "{}", ran.describe());
    again.detach_cleanly()?;
    sources.unchanged("writing over it")
}

fn temporary() -> Outcome {
    let stage = Stage::new()?;
    let by = |name: &str| attach(&stage.sets, name).option("--overlay", "tmp");
    let attachment = Attachment::by(by)?;
    write(&attachment.file()?, &noise(1, 10_000), 5000)?;
    let differs = tool::same_bytes(&attachment.file()?, &stage.sample.logical);
    ensure!(differs.is_err(), "what was written is not there");
    attachment.detach_cleanly()?;
    let attachment = Attachment::by(by)?;
    tool::same_bytes(&attachment.file()?, &stage.sample.logical)?;
    attachment.detach_cleanly()
}

fn through_a_mount() -> Outcome {
    let scene = Scene::of(Filesystem::Ext4)?;
    let sources = Census::take(&[&scene.sets])?;
    let overlay = scene.scratch.path("overlay");
    let by = |name: &str| {
        let call = attach(&scene.sets, name).option("--mount", &scene.at);
        call.option("--overlay", &overlay)
    };
    let added = noise(3, 3 << 20);
    let attachment = Attachment::by(by)?;
    for root in [&scene.at, &scene.tree] {
        scratch::write(&root.join("added"), &added)?;
        scratch::make_dir(&root.join("directory"))?;
    }
    tool::same_tree(&scene.at, &scene.tree)?;
    attachment.detach_cleanly()?;
    ensure!(is_empty(&scene.at)?, "something is left at {}", scene.at.display());
    let attachment = Attachment::by(by)?;
    tool::same_tree(&scene.at, &scene.tree)?;
    attachment.detach_cleanly()?;
    let attachment = Attachment::by(|n| attach(&scene.sets, n).option("--overlay", &overlay))?;
    Filesystem::Ext4.check(&attachment.device()?)?;
    attachment.detach_cleanly()?;
    sources.unchanged("writing over it")
}

/// The kernel writes what a device's page cache has to the device when its last user ends; that must not
/// wait for a server that ends with it.
fn killed_while_dirty() -> Outcome {
    let stage = Stage::new()?;
    for _ in 0..3 {
        let by = |name: &str| attach(&stage.sets, name).option("--overlay", "tmp");
        let attachment = Attachment::by(by)?;
        let file = File::options().write(true).open(attachment.device()?)?;
        file.write_all_at(&noise(9, 900_000), 4096)?;
        drop(file);
        let death = attachment.kill_server()?;
        attachment.detach_cleanly()?;
        drop(death);
    }
    Ok(())
}
