//! `--mount`: the filesystem is there at once, as it was, and can change nothing.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::thread;

use libtest_mimic::Trial;

use crate::scene::{Scene, is_empty, mount_line};
use crate::support::attachment::{ATTACH, Attachment, attach, unused_name};
use crate::support::hash::Census;
use crate::support::image::Filesystem;
use crate::support::loopmount::LoopMount;
use crate::support::needs::{Need, long, trial};
use crate::support::scratch::make_dir;
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure, tool};

const ALL: [Filesystem; 3] = [Filesystem::Ext4, Filesystem::Xfs, Filesystem::Btrfs];

pub(crate) fn trials() -> Vec<Trial> {
    let needs = |filesystem: Filesystem| {
        let mut needs: Vec<Need> = ATTACH.to_vec();
        needs.extend(filesystem.needs());
        needs
    };
    let mut trials: Vec<Trial> = ALL
        .into_iter()
        .flat_map(|filesystem| {
            let name = filesystem.name();
            let needs = needs(filesystem);
            [
                trial(&format!("{name}_is_mounted_as_it_was"), &needs, move || whole(filesystem)),
                trial(&format!("{name}_under_a_killed_server"), &needs, move || killed(filesystem)),
                trial(&format!("{name}_beside_its_original"), &needs, move || beside(filesystem)),
            ]
        })
        .collect();
    trials.extend([
        trial("a_busy_mount_is_not_detached", &needs(Filesystem::Ext4), busy),
        trial("what_cannot_be_mounted_leaves_nothing", &ATTACH, nothing_to_mount),
    ]);
    trials
}

fn whole(filesystem: Filesystem) -> Outcome {
    let scene = Scene::of(filesystem)?;
    let sources = Census::take(&[&scene.sets])?;
    let by = |name: &str| attach(&scene.sets, name).option("--mount", &scene.at);
    let attachment = Attachment::by(by)?;
    let mounted = &attachment.document["mounts"][0];
    ensure!(mounted["at"].as_str() == scene.at.to_str(), "{}", attachment.document);
    ensure!(mounted["filesystem"] == filesystem.name(), "{}", attachment.document);
    let line = mount_line(&scene.at)?.ok_or("not mounted")?;
    for option in ["ro", "nodev", "nosuid", "noexec"] {
        ensure!(line.split([' ', ',']).any(|word| word == option), "no {option}: {line}");
    }
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let (at, tree) = (scene.at.clone(), scene.tree.clone());
            thread::spawn(move || {
                tool::same_tree(&at, &tree).map_err(|e| e.message().unwrap_or("?").to_owned())
            })
        })
        .collect();
    for reader in readers {
        reader.join().map_err(|_| "a reader panicked")??;
    }
    let device = attachment.device()?;
    attachment.detach_cleanly()?;
    ensure!(is_empty(&scene.at)?, "something is left at {}", scene.at.display());
    let attachment = Attachment::of(&scene.sets)?;
    ensure!(attachment.device()?.parent() == device.parent(), "no device");
    filesystem.check(&attachment.device()?)?;
    tool::same_bytes(&attachment.device()?, &scene.sample.logical)?;
    attachment.detach_cleanly()?;
    sources.unchanged("attaching and mounting")
}

/// Whether it is read meanwhile or not, with or without an overlay.
fn killed(filesystem: Filesystem) -> Outcome {
    let scene = Scene::of(filesystem)?;
    let cycles = if long() { 17 } else { 3 };
    for cycle in 0..cycles {
        let by = |name: &str| {
            let call = attach(&scene.sets, name).option("--mount", &scene.at);
            if cycle % 3 == 1 { call.option("--overlay", "tmp") } else { call }
        };
        let attachment = Attachment::by(by)?;
        let mut reader = (cycle % 3 != 0)
            .then(|| Command::new("grep").args(["-rq", "in none of them"]).arg(&scene.at).spawn())
            .transpose()?;
        if cycle % 3 == 1 {
            // Not yet written when the server is killed.
            std::fs::write(scene.at.join("new"), vec![7; 1 << 20])?;
        }
        let death = attachment.kill_server()?;
        if let Some(reader) = &mut reader {
            reader.wait()?;
        }
        ensure!(attachment.listed()?["server"] == "dead", "{}", attachment.listed()?);
        attachment.detach_cleanly()?;
        drop(death);
        ensure!(is_empty(&scene.at)?, "something is left at {}", scene.at.display());
    }
    Ok(())
}

/// A copy is mounted beside the original, with a warning; a btrfs, which the kernel would mix up, is not.
fn beside(filesystem: Filesystem) -> Outcome {
    let scene = Scene::of(filesystem)?;
    let original = LoopMount::read_only(&scene.sample.logical, &scene.scratch.path("original"))?;
    let name = unused_name();
    let call = attach(&scene.sets, &name).option("--mount", &scene.at);
    if filesystem == Filesystem::Btrfs {
        let ran = call.exits(5)?;
        ensure!(ran.stderr.contains("this machine has the btrfs"), "{}", ran.describe());
        ensure!(is_empty(&scene.at)?, "something is left at {}", scene.at.display());
        let ran = attach(&scene.sets, &name).succeeds()?;
        ensure!(ran.stderr.contains("do not mount"), "{}", ran.describe());
        crate::support::run::Call::new("detach").arg(&name).succeeds()?;
    } else {
        let ran = call.arg("--json").succeeds()?;
        let attachment = Attachment { name, document: ran.document()? };
        ensure!(ran.stderr.contains("has the id of the one on /dev/loop"), "{}", ran.describe());
        tool::same_tree(&scene.at, &scene.tree)?;
        attachment.detach_cleanly()?;
        // By hand, as it is advised.
        let ran = attach(&scene.sets, &unused_name()).arg("--json").succeeds()?;
        let document = ran.document()?;
        let name = document["name"].as_str().unwrap_or_default().to_owned();
        let attachment = Attachment { name, document };
        let advice = ran.stderr.split("mount it with ").nth(1).and_then(|text| text.lines().next());
        let advice = advice.ok_or_else(|| ran.describe())?;
        let command = advice.replace(" DIR", &format!(" {}", scene.at.display()));
        tool::run("sh", ["-c", &command])?;
        let same = tool::same_tree(&scene.at, &scene.tree);
        tool::run("umount", [&scene.at])?;
        same?;
        attachment.detach_cleanly()?;
    }
    original.unmount()
}

fn busy() -> Outcome {
    let scene = Scene::of(Filesystem::Ext4)?;
    let by = |name: &str| attach(&scene.sets, name).option("--mount", &scene.at);
    let attachment = Attachment::by(by)?;
    let mut child = Command::new("sleep").arg("1000").current_dir(&scene.at).spawn()?;
    let refused = attachment.detach().exits(5);
    let same = tool::same_tree(&scene.at, &scene.tree);
    child.kill()?;
    child.wait()?;
    let refused = refused?;
    let named = format!("process {} (sleep) holds {}", child.id(), scene.at.display());
    ensure!(refused.stderr.contains(&named), "{}", refused.describe());
    same?;
    let over = attach(&scene.sets, &unused_name()).option("--mount", &scene.at).exits(5)?;
    let named = format!("{} is mounted there", attachment.name);
    ensure!(over.stderr.contains(&named), "{}", over.describe());
    attachment.detach_cleanly()
}

fn nothing_to_mount() -> Outcome {
    let stage = Stage::new()?;
    let name = unused_name();
    let at = stage.scratch.dir("at")?;
    let call = |at: &Path| attach(&stage.sets, &name).option("--mount", at);
    let ran = call(&at).exits(2)?;
    ensure!(ran.stderr.contains("not known"), "{}", ran.describe());
    call(&stage.scratch.path("nowhere")).exits(2)?;
    let odd = stage.scratch.path("at").join(std::ffi::OsStr::from_bytes(b"odd\xff"));
    make_dir(&odd)?;
    let ran = call(&odd).exits(2)?;
    ensure!(ran.stderr.contains("its name is no UTF-8 text"), "{}", ran.describe());
    call(&at).option("--partition", "1").exits(2)?;
    ensure!(!Path::new("/run/snaprestore").join(&name).exists(), "something is left");
    Ok(())
}
