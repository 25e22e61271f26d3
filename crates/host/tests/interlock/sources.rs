//! Targets that hold what is being restored, or lie on it.

use std::os::unix::fs::symlink;
use std::path::Path;

use libtest_mimic::Trial;

use crate::support::held::{Partition, partition_refusal};
use crate::support::loopmount::{LoopDevice, LoopMount};
use crate::support::needs::{LOOP_MOUNT, Need, trial};
use crate::support::scratch::{self, Scratch};
use crate::support::{
    LOOP, MIB, Outcome, accepted, device, ext4, needs_of, reading, refused, tool,
};

pub(crate) fn trials() -> Vec<Trial> {
    let ext4 = [LOOP_MOUNT.as_slice(), &[Need::Tool("mkfs.ext4")]].concat();
    let nodes = [&LOOP[..], &[Need::Tool("mknod")]].concat();
    let partitions = [&LOOP[..], &[Need::Tool("addpart"), Need::Tried(partition_refusal)]].concat();
    vec![
        trial("a_source_by_any_name", &[], same_file),
        trial("a_source_device_by_any_name", &nodes, same_device),
        trial("a_loop_device_over_a_source", &LOOP, loop_over_source),
        trial("a_loop_device_over_a_loop_device_over_a_source", &LOOP, loop_over_loop),
        trial("a_filesystem_with_the_source_on_it", &ext4, filesystem_of_source),
        trial("partitions_and_their_disk", &partitions, partitions_and_disk),
        trial("a_source_that_is_not_there", &[], no_source),
    ]
}

fn same_file() -> Outcome {
    let scratch = Scratch::new()?;
    let [source, hard, soft] = ["source", "hard", "soft"].map(|name| scratch.path(name));
    scratch::write(&source, &[1; 4096])?;
    std::fs::hard_link(&source, &hard)?;
    symlink(&source, &soft)?;
    for name in [&source, &hard] {
        let words = ["is the source", "source; it holds unknown data"];
        refused(name, &reading(&source, 4096), &words)?;
    }
    // A link is followed to devices only.
    refused(&soft, &reading(&source, 4096), &["soft is a link, to", "source"])?;
    scratch::write(&scratch.path("other"), &[0; 4096])?;
    accepted(&scratch.path("other"), &reading(&source, 4096)).map(drop)
}

fn same_device() -> Outcome {
    let scratch = Scratch::new()?;
    let device = device(&scratch, "disk", MIB)?;
    refused(device.path(), &reading(device.path(), MIB), &["is the source"])?;
    let numbers = tool::run("stat", [Path::new("-c%Hr %Lr"), device.path()])?;
    let node = scratch.path("node");
    let name = node.to_string_lossy().into_owned();
    tool::run("mknod", [name.as_str(), "b"].into_iter().chain(numbers.split_whitespace()))?;
    refused(&node, &reading(device.path(), MIB), &["is the source"]).map(drop)
}

fn loop_over_source() -> Outcome {
    let scratch = Scratch::new()?;
    let device = device(&scratch, "member.raw", MIB)?;
    let words = ["lies on the source", "member.raw"];
    refused(device.path(), &reading(&scratch.path("member.raw"), MIB), &words)?;
    // Another file on the same filesystem is none of its business.
    scratch::write(&scratch.path("other"), b"")?;
    accepted(device.path(), &reading(&scratch.path("other"), MIB)).map(drop)
}

fn loop_over_loop() -> Outcome {
    let scratch = Scratch::new()?;
    let below = device(&scratch, "member.raw", MIB)?;
    let above = LoopDevice::attach(below.path(), false)?;
    for source in [below.path(), &scratch.path("member.raw")] {
        refused(above.path(), &reading(source, MIB), &["lies on the source"])?;
    }
    Ok(())
}

fn filesystem_of_source() -> Outcome {
    let scratch = Scratch::new()?;
    let image = scratch.path("image");
    ext4(&image, 8 * MIB, "backup")?;
    let mount = LoopMount::read_write(&image, &scratch.path("mount"))?;
    let source = mount.dir().join("volume.snap");
    scratch::write(&source, b"a snapshot")?;
    // The use is said first: unmounting is what can be done about it.
    refused(mount.device(), &reading(&source, MIB), &["is mounted at", "\"backup\""])?;
    refused(&image, &reading(&source, MIB), &["behind the writable loop device"])?;
    // A target beside the source harms nobody.
    let target = mount.dir().join("target");
    drop(scratch::new_sparse(&target, MIB)?);
    drop(accepted(&target, &reading(&source, MIB))?);
    mount.unmount()
}

fn partitions_and_disk() -> Outcome {
    let scratch = Scratch::new()?;
    let disk = Partition::disk(&scratch, "disk", 8 * MIB)?;
    let one = Partition::add(disk.path(), 1, MIB, 2 * MIB)?;
    let two = Partition::add(disk.path(), 2, 4 * MIB, 2 * MIB)?;
    refused(disk.path(), &reading(one.path(), MIB), &["holds the source", "p1"])?;
    refused(one.path(), &reading(disk.path(), MIB), &["lies on the source"])?;
    refused(one.path(), &reading(&scratch.path("disk"), MIB), &["lies on the source"])?;
    accepted(two.path(), &reading(one.path(), MIB)).map(drop)
}

fn no_source() -> Outcome {
    let scratch = Scratch::new()?;
    scratch::write(&scratch.path("target"), &[0; 512])?;
    let mut needs = needs_of(512);
    needs.sources.push(scratch.path("gone"));
    let text = match host::interlock::check(&scratch.path("target"), &needs) {
        Err(refused) => refused.to_string(),
        Ok(_) => return Err("accepted".into()),
    };
    crate::support::ensure!(text.contains("gone: No such file"), "{text}");
    Ok(())
}
