//! Targets in use.

use std::path::Path;

use host::in_use::Use;
use host::interlock::Needs;
use libtest_mimic::Trial;

use crate::support::held::{Other, Partition, Swap, partition_refusal, swap_refusal};
use crate::support::loopmount::{LoopDevice, LoopMount};
use crate::support::needs::{LOOP_MOUNT, Need, trial};
use crate::support::scratch::{self, Scratch};
use crate::support::{
    LOOP, MIB, Outcome, accepted, detach, device, ensure, ext4, needs_of, refused, tool,
};

pub(crate) fn trials() -> Vec<Trial> {
    let ext4 = [LOOP_MOUNT.as_slice(), &[Need::Tool("mkfs.ext4")]].concat();
    let btrfs = [&LOOP_MOUNT[..], &[Need::Tool("mkfs.btrfs"), Need::Filesystem("btrfs")]].concat();
    let elsewhere = [ext4.as_slice(), &[Need::Tool("unshare")]].concat();
    let swap = [&LOOP[..], &[Need::Tool("swapon"), Need::Tried(swap_refusal)]].concat();
    let partitions = [&LOOP[..], &[Need::Tool("addpart"), Need::Tried(partition_refusal)]].concat();
    let locks = [partitions.as_slice(), &[Need::Tool("flock")]].concat();
    let swap_partition = [partitions.as_slice(), &swap].concat();
    vec![
        trial("a_mounted_filesystem", &ext4, mounted),
        trial("a_filesystem_mounted_where_we_do_not_see_it", &elsewhere, mounted_elsewhere),
        trial("each_device_of_a_filesystem_on_two", &btrfs, mounted_on_two),
        trial("swap_space", &swap, swap_device),
        trial("a_swap_file", &swap, swap_file),
        trial("a_loop_device_over_a_device", &LOOP, loop_over_device),
        trial("a_loop_device_over_a_file", &LOOP, loop_over_file),
        trial("two_loop_devices_over_a_file", &LOOP, twins),
        trial("a_partition_in_use_and_one_that_is_not", &swap_partition, used_partition),
        trial("a_partition_of_a_disk_in_use", &partitions, used_disk),
        trial("a_partition_open_for_writing", &locks, partition_open_for_writing),
        trial("open_for_writing_elsewhere", &LOOP, open_for_writing),
    ]
}

fn mounted() -> Outcome {
    let scratch = Scratch::new()?;
    let image = scratch.path("image");
    ext4(&image, 8 * MIB, "da ta")?;
    let mount = LoopMount::read_write(&image, &scratch.path("mount point"))?;
    let at = format!("is mounted at {}", mount.dir().display());
    let words =
        [at.as_str(), "(7:", "8.0 MiB", "image", "; it holds ext4 filesystem \"da ta\" (UUID "];
    let refused = refused(mount.device(), &needs_of(MIB), &words)?;
    let expected = [Use::Mounted(mount.dir().to_owned())];
    ensure!(refused.uses() == expected, "{:?}", refused.uses());
    mount.unmount()
}

fn mounted_elsewhere() -> Outcome {
    let scratch = Scratch::new()?;
    ext4(&scratch.path("image"), 8 * MIB, "data")?;
    let device = LoopDevice::attach(&scratch.path("image"), false)?;
    let elsewhere = r#"exec unshare -m sh -c 'mount "$0" /mnt && echo ready && read -r end' "$1""#;
    let _other = Other::run(elsewhere, device.path())?;
    refused(device.path(), &needs_of(MIB), &["is in use by the kernel", "ext4"]).map(drop)
}

fn mounted_on_two() -> Outcome {
    let scratch = Scratch::new()?;
    let devices = [device(&scratch, "a", 128 * MIB)?, device(&scratch, "b", 128 * MIB)?];
    let paths = devices.iter().map(LoopDevice::path);
    tool::run("mkfs.btrfs", ["-q", "-L", "pool"].map(Path::new).into_iter().chain(paths))?;
    let at = scratch.dir("pool")?;
    let both =
        format!("device={},device={}", devices[0].path().display(), devices[1].path().display());
    tool::run("mount", [Path::new("-o"), both.as_ref(), devices[0].path(), &at])?;
    let check = || -> Outcome {
        for device in &devices {
            let words = ["is mounted at", "btrfs filesystem \"pool\" (UUID "];
            refused(device.path(), &needs_of(MIB), &words)?;
        }
        Ok(())
    };
    let checked = check();
    tool::run("umount", [&at])?;
    checked
}

fn swap_device() -> Outcome {
    let scratch = Scratch::new()?;
    let device = device(&scratch, "swap", MIB)?;
    let swap = Swap::on(device.path())?;
    refused(device.path(), &needs_of(MIB), &["is in use as swap", "it holds swap space (UUID"])?;
    drop(swap);
    accepted(device.path(), &needs_of(MIB)).map(drop)
}

fn swap_file() -> Outcome {
    let scratch = Scratch::new()?;
    let file = scratch.path("swap file");
    // Swap cannot have holes.
    scratch::write(&file, &vec![0; 1 << 20])?;
    scratch::set_mode(&file, 0o600)?;
    let _swap = Swap::on(&file)?;
    refused(&file, &needs_of(MIB), &["is in use as swap"]).map(drop)
}

fn loop_over_device() -> Outcome {
    let scratch = Scratch::new()?;
    let below = device(&scratch, "disk", MIB)?;
    for (read_only, words) in
        [(false, "behind the writable loop device loop"), (true, "behind the loop")]
    {
        let above = LoopDevice::attach(below.path(), read_only)?;
        refused(below.path(), &needs_of(MIB), &[words])?;
        detach(above)?;
    }
    accepted(below.path(), &needs_of(MIB)).map(drop)
}

fn loop_over_file() -> Outcome {
    let scratch = Scratch::new()?;
    let device = device(&scratch, "image", MIB)?;
    let file = scratch.path("image");
    let other_name = scratch.path("hard link");
    std::fs::hard_link(&file, &other_name)?;
    for name in [&file, &other_name] {
        refused(name, &needs_of(MIB), &["behind the writable loop device loop"])?;
    }
    detach(device)?;
    accepted(&file, &needs_of(MIB)).map(drop)
}

fn twins() -> Outcome {
    let scratch = Scratch::new()?;
    let file = scratch.path("image");
    let one = device(&scratch, "image", 4 * MIB)?;
    let two = LoopDevice::attach(&file, true)?;
    for device in [&one, &two] {
        refused(device.path(), &needs_of(MIB), &["over the same bytes as the loop device loop"])?;
    }
    detach(one)?;
    detach(two)?;
    let half = (2 * MIB).to_string();
    let first = LoopDevice::with_flags(&file, &["--sizelimit", &half])?;
    let _second = LoopDevice::with_flags(&file, &["--offset", &half])?;
    accepted(first.path(), &needs_of(MIB)).map(drop)
}

fn used_partition() -> Outcome {
    let scratch = Scratch::new()?;
    let disk = Partition::disk(&scratch, "disk", 8 * MIB)?;
    let one = Partition::add(disk.path(), 1, MIB, 2 * MIB)?;
    let two = Partition::add(disk.path(), 2, 4 * MIB, 2 * MIB)?;
    let swap = Swap::on(one.path())?;
    refused(
        disk.path(),
        &needs_of(MIB),
        &["is in use by its partition loop", "p1: in use as swap"],
    )?;
    refused(one.path(), &needs_of(MIB), &["partition 1, backed by", " is in use as swap"])?;
    drop(accepted(two.path(), &needs_of(MIB))?);
    drop(swap);
    accepted(disk.path(), &needs_of(MIB)).map(drop)
}

fn used_disk() -> Outcome {
    let scratch = Scratch::new()?;
    let disk = Partition::disk(&scratch, "disk", 4 * MIB)?;
    let part = Partition::add(disk.path(), 1, MIB, MIB)?;
    let above = LoopDevice::attach(disk.path(), true)?;
    refused(
        part.path(),
        &needs_of(MIB),
        &["is part of the disk loop", "which is behind the loop"],
    )?;
    detach(above)?;
    accepted(part.path(), &needs_of(MIB)).map(drop)
}

fn partition_open_for_writing() -> Outcome {
    let scratch = Scratch::new()?;
    let disk = Partition::disk(&scratch, "disk", 4 * MIB)?;
    let part = Partition::add(disk.path(), 1, MIB, MIB)?;
    let writer = Other::writer(part.path())?;
    refused(disk.path(), &needs_of(MIB), &["by its partition loop", "p1: open for writing by"])?;
    drop(writer);
    // A lock that is shared says nothing of the disk's partitions.
    let _writer = Other::run(r#"exec 3<>"$1" && flock -s 3"#, disk.path())?;
    let shared = Needs { shared: true, ..needs_of(MIB) };
    refused(part.path(), &shared, &["part of the disk loop", "which is open for writing by"])?;
    accepted(disk.path(), &shared).map(drop)
}

fn open_for_writing() -> Outcome {
    let scratch = Scratch::new()?;
    let file = scratch.path("image");
    drop(scratch::new_sparse(&file, MIB)?);
    let device = device(&scratch, "disk", MIB)?;
    for target in [file.as_path(), device.path()] {
        let writer = Other::writer(target)?;
        let words = [format!("is open for writing by process {} (sh)", writer.pid())];
        refused(target, &needs_of(MIB), &[&words[0]])?;
        drop(writer);
        let _reader = Other::run(r#"exec 3<"$1""#, target)?;
        // What this process itself has open is its own affair.
        let _own = std::fs::OpenOptions::new().write(true).open(target)?;
        drop(accepted(target, &needs_of(MIB))?);
    }
    Ok(())
}
