//! Whoever uses an attached volume keeps it from being detached, and is named.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use libtest_mimic::Trial;

use crate::support::attachment::{ATTACH, Attachment, until};
use crate::support::image::Filesystem;
use crate::support::layout::Layout;
use crate::support::loopmount::Mount;
use crate::support::needs::trial;
use crate::support::sample::Sample;
use crate::support::scratch::{self, Scratch};
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure, tool};

pub(crate) fn trials() -> Vec<Trial> {
    let mut mounts = ATTACH.to_vec();
    mounts.extend(Filesystem::Ext4.needs());
    vec![
        trial("a_process_with_the_file_open_is_named", &ATTACH, file_open),
        trial("a_process_with_the_device_open_is_named", &ATTACH, device_open),
        trial("a_mount_by_somebody_else_is_named", &mounts, mounted),
    ]
}

/// A process that has one file open and does nothing, ended when dropped.
struct Holder(Child);

impl Holder {
    fn of(path: &Path) -> Outcome<Self> {
        let mut command = Command::new("sleep");
        let child = command.arg("1000").stdin(Stdio::from(File::open(path)?)).spawn()?;
        let holder = Self(child);
        let stdin = format!("/proc/{}/fd/0", holder.0.id());
        until("it has the file", || Ok(std::fs::read_link(&stdin).is_ok_and(|to| to == path)))?;
        Ok(holder)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn refuses(attachment: &Attachment, mentions: &str) -> Outcome {
    let ran = attachment.detach().exits(5)?;
    ensure!(ran.stderr.contains(mentions), "{mentions} is not named: {}", ran.describe());
    ensure!(attachment.listed()?["server"] == "serving", "not serving any more");
    Ok(())
}

fn is_held_by_a_process(attachment: Attachment, path: &Path, truth: &Path) -> Outcome {
    let holder = Holder::of(path)?;
    refuses(&attachment, &format!("process {} (sleep)", holder.0.id()))?;
    tool::same_bytes(&attachment.file()?, truth)?;
    drop(holder);
    attachment.detach_cleanly()
}

fn file_open() -> Outcome {
    let stage = Stage::new()?;
    let attachment = Attachment::of(&stage.sets)?;
    let file = attachment.file()?;
    is_held_by_a_process(attachment, &file, &stage.sample.logical)
}

fn device_open() -> Outcome {
    let stage = Stage::new()?;
    let attachment = Attachment::of(&stage.sets)?;
    let device = attachment.device()?;
    is_held_by_a_process(attachment, &device, &stage.sample.logical)
}

fn mounted() -> Outcome {
    let scratch = Scratch::new()?;
    let tree = scratch.dir("tree")?;
    scratch::write(&tree.join("file"), b"content")?;
    let image = scratch.path("image");
    Filesystem::Ext4.make(&image, 8 << 20, &tree, &scratch.path("unused"))?;
    let layout = Layout::new().linear(8 << 20, ("vol-a", 0));
    let sample = Sample::with_file(&scratch.path("members"), layout, image)?;
    let sets = scratch.dir("sets")?;
    sample.captured(&sets, "dsnap-0a")?;
    let attachment = Attachment::of(&sets)?;
    let at = scratch.path("mounted");
    let mut mount = Mount::of_device(&attachment.device()?, &at, "ro,noload")?;
    tool::same_tree(mount.dir(), &tree)?;
    refuses(&attachment, &format!("mounted at {}", at.display()))?;
    tool::same_tree(mount.dir(), &tree)?;
    mount.unmount()?;
    attachment.detach_cleanly()
}
