//! Partitioned disks: each partition that is asked for on a device of its own.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libtest_mimic::Trial;

use crate::scene::{Scene, mount_line};
use crate::support::attachment::{ATTACH, Attachment, attach, unused_name};
use crate::support::image::Filesystem;
use crate::support::loopmount::LoopDevice;
use crate::support::needs::{Need, trial};
use crate::support::scratch::{self, Scratch};
use crate::support::{Outcome, ensure, tool};

const MIB: u64 = 1 << 20;

pub(crate) fn trials() -> Vec<Trial> {
    let mut needs = ATTACH.to_vec();
    needs.extend(Filesystem::Ext4.needs());
    needs.push(Need::Tool("sfdisk"));
    let mut by_kernel = needs.clone();
    by_kernel.push(Need::Rare(no_gpt_in_the_kernel));
    vec![
        trial("partitions_of_a_gpt_disk", &needs, || partitions("gpt")),
        trial("partitions_of_an_mbr_disk", &needs, || partitions("dos")),
        trial("partitions_by_the_kernel", &by_kernel, scanned),
    ]
}

/// What the kernel of this machine finds on a disk.
fn no_gpt_in_the_kernel() -> Option<String> {
    let finds = || -> Outcome<bool> {
        let scratch = Scratch::new()?;
        let image = table(&scratch, "gpt")?;
        let device = LoopDevice::with_partitions(&image)?;
        let name = device.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Path::new(&format!("/sys/block/{name}/{name}p2")).exists())
    };
    (!finds().unwrap_or(false)).then(|| "a kernel that reads GPT".to_owned())
}

/// A disk with three empty partitions.
fn table(scratch: &Scratch, label: &str) -> Outcome<PathBuf> {
    let image = scratch.path("disk");
    drop(scratch::new_sparse(&image, 64 * MIB)?);
    let script = format!("label: {label}\n1MiB,2MiB\n4MiB,24MiB\n32MiB,24MiB\n");
    let sfdisk = tool::find("sfdisk").ok_or("no sfdisk")?;
    let mut child = Command::new(sfdisk).arg("-q").arg(&image).stdin(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or("no stdin")?.write_all(script.as_bytes())?;
    ensure!(child.wait()?.success(), "sfdisk failed");
    Ok(image)
}

/// Three partitions, the last two with filesystems of different files.
fn disk(scratch: Scratch, label: &str) -> Outcome<Scene> {
    let image = table(&scratch, label)?;
    let trees = scratch.dir("trees")?;
    for (number, start) in [(2_u8, 4 * MIB), (3, 32 * MIB)] {
        let tree = trees.join(format!("p{number}"));
        scratch::make_dir(&tree)?;
        scratch::write(&tree.join("number"), &[number; 5000])?;
        let part = scratch.path("part");
        Filesystem::Ext4.make(&part, 24 * MIB, &tree, &scratch.path("unused"))?;
        File::options().write(true).open(&image)?.write_all_at(&scratch::read(&part)?, start)?;
        std::fs::remove_file(part)?;
    }
    Scene::with_image(scratch, trees, image, 64 * MIB)
}

fn partitions(label: &str) -> Outcome {
    let scene = disk(Scratch::new()?, label)?;
    let call = |name: &str| attach(&scene.sets, name).option("--mount", &scene.at);
    // Which one is meant?
    let ran = call(&unused_name()).exits(2)?;
    ensure!(ran.stderr.contains("partitions 2, 3"), "{}", ran.describe());
    let ran = call(&unused_name()).option("--partition", "4").exits(2)?;
    ensure!(ran.stderr.contains("no partition 4"), "{}", ran.describe());
    let ran = call(&unused_name()).option("--partition", "1").exits(2)?;
    ensure!(ran.stderr.contains("partition 1: it is blank"), "{}", ran.describe());
    // One is at the directory, several are in it.
    let one = Attachment::by(|name| call(name).option("--partition", "3"))?;
    tool::same_tree(&scene.at, &scene.tree.join("p3"))?;
    ensure!(one.document["mounts"][0]["partition"] == 3, "{}", one.document);
    tool::same_bytes(&one.device()?, &scene.sample.logical)?;
    one.detach_cleanly()?;
    let both = Attachment::by(|name| call(name).option("--partition", "2,3"))?;
    tool::same_tree(&scene.at, &scene.tree)?;
    let death = both.kill_server()?;
    both.detach_cleanly()?;
    drop(death);
    for directory in [scene.at.clone(), scene.at.join("p2"), scene.at.join("p3")] {
        ensure!(mount_line(&directory)?.is_none(), "{} is mounted", directory.display());
    }
    ensure!(std::fs::read_dir(&scene.at)?.next().is_none(), "directories were left");
    Ok(())
}

/// The kernel's own partitions, when they are asked for.
fn scanned() -> Outcome {
    let scene = disk(Scratch::new()?, "gpt")?;
    let scanned = Attachment::by(|name| attach(&scene.sets, name).arg("--partscan"))?;
    let device = scanned.device()?;
    let name = device.file_name().and_then(|name| name.to_str()).ok_or("no name")?;
    let partition = format!("/sys/block/{name}/{name}p2/start");
    let start = std::fs::read_to_string(&partition)?;
    ensure!(start.trim() == (4 * MIB / 512).to_string(), "{partition}: {start}");
    scanned.detach_cleanly()
}
