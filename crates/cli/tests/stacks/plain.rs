//! What is a copy of one disk is copied, whatever is odd about it; and what only carries the one volume
//! needs no selector.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libtest_mimic::Trial;
use serde_json::Value;

use crate::forge;
use crate::support::needs::{Need, trial};
use crate::support::run::Call;
use crate::support::scratch::{Scratch, new_sparse, read, write};
use crate::support::stacks::{Samples, UNPACK};
use crate::support::{Outcome, ensure, tool};

const MIB: usize = 1 << 20;

pub(crate) fn trials() -> Vec<Trial> {
    let [tar, zstd] = UNPACK;
    let sfdisk = Need::Tool("sfdisk");
    vec![
        trial("a_filesystem_without_its_copy", &[Need::Tool("mkfs.fat")], without_copy),
        trial("a_volume_of_bitlocker", &[], bitlocker),
        trial("a_broken_chain_of_partitions", &[sfdisk], broken_chain),
        trial("a_disk_that_lost_its_gpt", &[sfdisk], lost_gpt),
        trial("members_in_partitions_of_disks", &[tar, zstd, sfdisk], in_partitions),
        trial("blank_disks_beside_a_group", &UNPACK, blank_disks),
        trial("a_volume_of_exchanged_disks", &UNPACK, exchanged),
    ]
}

/// Every command copies the disk byte by byte, and says these words.
fn is_copied(scratch: &Scratch, disk: &Path, words: &str) -> Outcome {
    let out = scratch.path("out");
    for command in ["restore", "plan", "capture", "read"] {
        let call = Call::new(command).arg(disk).option("-o", &out);
        let ran = call.succeeds()?;
        ensure!(ran.stderr.contains(words), "{words}: {}", ran.describe());
        if ["restore", "read"].contains(&command) {
            ensure!(read(&out)? == read(disk)?, "{command} gives something else");
            std::fs::remove_file(&out)?;
        } else if command == "capture" {
            std::fs::remove_dir_all(&out)?;
        }
    }
    Call::new("verify").arg(disk).succeeds()?;
    Call::new("inspect").arg(disk).succeeds()?;
    Ok(())
}

fn partition(disk: &Path, script: &str) -> Outcome {
    let sfdisk = tool::find("sfdisk").ok_or("no sfdisk")?;
    let mut child = Command::new(sfdisk).arg("-q").arg(disk).stdin(Stdio::piped()).spawn()?;
    std::io::Write::write_all(&mut child.stdin.take().ok_or("no input")?, script.as_bytes())?;
    ensure!(child.wait()?.success(), "sfdisk failed");
    Ok(())
}

fn without_copy() -> Outcome {
    let scratch = Scratch::new()?;
    let image = scratch.path("fat.img");
    new_sparse(&image, 64 << 20)?;
    tool::run("mkfs.fat", ["-F32".as_ref(), image.as_os_str()])?;
    let mut bytes = read(&image)?;
    bytes[6 * 512..7 * 512].fill(0);
    write(&image, &bytes)?;
    is_copied(&scratch, &image, "the FAT filesystem on it has no copy of its superblock")?;
    // The same in a partition.
    let (disk, target) = (scratch.path("disk.img"), scratch.path("target"));
    write(&disk, &forge::disk(&[(0xc, &bytes)]))?;
    let call = Call::new("restore").arg(&disk).option("--partition", "1").option("-o", &target);
    let ran = call.succeeds()?;
    ensure!(ran.stderr.contains("no copy of its superblock"), "{}", ran.describe());
    ensure!(read(&target)? == bytes, "the partition is something else");
    // A copy that says that there is none.
    bytes[50..52].fill(0xff);
    write(&image, &bytes)?;
    is_copied(&scratch, &image, "")
}

/// A boot sector as `BitLocker` has it on a disk that is not removable: its name, and what remains of a
/// FAT's parameters.
fn bitlocker() -> Outcome {
    let scratch = Scratch::new()?;
    let mut volume = vec![0; 2 * MIB];
    volume[..11].copy_from_slice(b"\xeb\x58\x90-FVE-FS-");
    volume[11..14].copy_from_slice(&[0, 2, 8]);
    volume[21] = 0xf8;
    volume[82..90].copy_from_slice(b"FAT32   ");
    volume[510..512].copy_from_slice(&[0x55, 0xaa]);
    let (image, disk) = (scratch.path("volume.img"), scratch.path("disk.img"));
    write(&image, &volume)?;
    write(&disk, &forge::disk(&[(7, &volume)]))?;
    is_copied(&scratch, &image, "")?;
    for path in [&image, &disk] {
        let ran = Call::new("inspect").arg(path).succeeds()?;
        let text = String::from_utf8_lossy(&ran.stdout).into_owned();
        ensure!(text.contains("BitLocker encrypted volume") && !text.contains("FAT"), "{text}");
    }
    let target = scratch.path("target");
    let call = Call::new("restore").arg(&disk).option("--partition", "1").option("-o", &target);
    call.succeeds()?;
    ensure!(read(&target)? == volume, "the partition is something else");
    Ok(())
}

fn broken_chain() -> Outcome {
    const SCRIPT: &str = "label: dos\nstart=2048, size=4096, type=83\nstart=6144, type=5\n\
                          start=8192, size=2048, type=83\nstart=12288, size=2048, type=83\n";
    let scratch = Scratch::new()?;
    let (disk, target) = (scratch.path("disk.img"), scratch.path("target"));
    new_sparse(&disk, 32 << 20)?;
    partition(&disk, SCRIPT)?;
    let mut bytes = read(&disk)?;
    bytes[MIB..MIB + 9].copy_from_slice(b"the first");
    bytes[4 * MIB..4 * MIB + 9].copy_from_slice(b"the fifth");
    // The link to the sixth is where the second one of sfdisk starts.
    let link = (5 * MIB..8 * MIB).step_by(512).find(|at| bytes[at + 510..at + 512] == [0x55, 0xaa]);
    let link = link.ok_or("no second link")?;
    bytes[link..link + 512].fill(0);
    write(&disk, &bytes)?;
    is_copied(&scratch, &disk, "the chain of logical partitions is broken at byte")?;
    for (number, start, size) in [(1, MIB, 2 * MIB), (5, 4 * MIB, MIB)] {
        let call = Call::new("restore").arg(&disk).option("--partition", number.to_string());
        call.option("-o", &target).succeeds()?;
        ensure!(read(&target)? == bytes[start..start + size], "partition {number} is another");
        std::fs::remove_file(&target)?;
    }
    let call = Call::new("restore").arg(&disk).option("--partition", "6");
    call.option("-o", &target).exits(6)?;
    Ok(())
}

fn lost_gpt() -> Outcome {
    let scratch = Scratch::new()?;
    let disk = scratch.path("disk.img");
    new_sparse(&disk, 16 << 20)?;
    partition(&disk, "label: gpt\nstart=2048, size=4096\n")?;
    let mut bytes = read(&disk)?;
    let end = bytes.len();
    bytes[512..34 * 512].fill(0);
    bytes[end - 33 * 512..].fill(0);
    write(&disk, &bytes)?;
    is_copied(&scratch, &disk, "protective MBR, but no GPT: its partitions are lost")?;
    let call = Call::new("restore").arg(&disk).option("--partition", "1");
    call.option("-o", scratch.path("target")).exits(6)?;
    Ok(())
}

/// A disk with a GPT, and in its only partition what another disk had.
fn in_gpt(scratch: &Scratch, inner: &Path) -> Outcome<PathBuf> {
    let (disk, inner) = (scratch.path("gpt.img"), read(inner)?);
    let sectors = inner.len() / 512;
    new_sparse(&disk, (inner.len() + 2 * MIB) as u64)?;
    partition(&disk, &format!("label: gpt\nstart=2048, size={sectors}\n"))?;
    let mut bytes = read(&disk)?;
    bytes[MIB..MIB + inner.len()].copy_from_slice(&inner);
    write(&disk, &bytes)?;
    Ok(disk)
}

fn in_partitions() -> Outcome {
    let scratch = Scratch::new()?;
    let samples = Samples::new(&scratch, "lvm2/striped-2x2")?;
    let mut disks = samples.disks("gen1")?;
    let (whole, target) = (scratch.path("whole"), scratch.path("target"));
    Call::new("restore").args(&disks).option("-o", &whole).succeeds()?;
    disks[1] = in_gpt(&scratch, &disks[1])?;
    Call::new("restore").args(&disks).option("-o", &target).succeeds()?;
    ensure!(read(&whole)? == read(&target)?, "the volume is another");
    std::fs::remove_file(&target)?;
    // Both members of an array in partitions.
    let samples = Samples::new(&scratch, "mdraid/raid1-2x")?;
    let disks: Vec<PathBuf> = samples.disks("gen0")?;
    let mut inside = Vec::new();
    for (n, disk) in disks.iter().enumerate() {
        let path = scratch.path(&format!("disk{n}.img"));
        write(&path, &forge::disk(&[(0xfd, &read(disk)?)]))?;
        inside.push(path);
    }
    std::fs::remove_file(&whole)?;
    Call::new("restore").args(&disks).option("-o", &whole).succeeds()?;
    Call::new("restore").args(&inside).option("-o", &target).succeeds()?;
    ensure!(read(&whole)? == read(&target)?, "the array is another");
    Ok(())
}

fn blank_disks() -> Outcome {
    let scratch = Scratch::new()?;
    let samples = Samples::new(&scratch, "lvm2/striped-2x2")?;
    let mut disks = samples.disks("gen1")?;
    let target = scratch.path("target");
    for name in ["blank0.img", "blank1.img"] {
        let blank = scratch.path(name);
        new_sparse(&blank, 8 << 20)?;
        disks.push(blank);
    }
    Call::new("restore").args(&disks).option("-o", &target).succeeds()?;
    std::fs::remove_file(&target)?;
    // A disk with something of its own on it may be meant.
    let other = scratch.path("other.img");
    write(&other, &forge::disk(&[(0x83, &[7; 4096])]))?;
    let ran = Call::new("restore").args(&disks).arg(&other).option("-o", &target).exits(2)?;
    ensure!(ran.stderr.contains("other.img"), "{}", ran.describe());
    Ok(())
}

/// That a missing copy is only said of what lies in one piece is nothing for what was put together: here
/// the bytes of two disks are exchanged, their labels are not.
fn exchanged() -> Outcome {
    let scratch = Scratch::new()?;
    let samples = Samples::new(&scratch, "lvm2/striped-2x2")?;
    let disks = samples.disks("gen1")?;
    let call = |command: &str| Call::new(command).args(&disks).option("-o", scratch.path("out"));
    let report: Value = call("plan").json()?;
    ensure!(report["warnings"] == serde_json::json!([]), "{report}");
    let (mut one, mut other) = (read(&disks[0])?, read(&disks[1])?);
    let end = one.len().min(other.len());
    // The first stripe has the superblock.
    let from = MIB + (64 << 10);
    one[from..end].swap_with_slice(&mut other[from..end]);
    write(&disks[0], &one)?;
    write(&disks[1], &other)?;
    for command in ["restore", "plan", "capture"] {
        let ran = call(command).exits(4)?;
        ensure!(ran.stderr.contains("no copy of its superblock"), "{}", ran.describe());
    }
    Ok(())
}
