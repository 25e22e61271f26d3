//! `--mount` of what would harm the machine: superblocks that ask for a panic, and filesystems that have a part
//! on another device.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use crate::scene::mount_line;
use crate::support::attachment::{ATTACH, Attachment, attach, unused_name};
use crate::support::loopmount::LoopDevice;
use crate::support::needs::{Need, trial};
use crate::support::run::{Call, Ran};
use crate::support::scratch::{self, Scratch, set_len};
use crate::support::{Outcome, ensure, tool};

pub(crate) fn trials() -> Vec<Trial> {
    let needs = |tools: &[&'static str], filesystem: &'static str| {
        let mut needs = ATTACH.to_vec();
        needs.push(Need::Filesystem(filesystem));
        needs.extend(tools.iter().map(|name| Need::Tool(name)));
        needs
    };
    let ext = needs(&["mke2fs", "tune2fs"], "ext4");
    let (xfs, btrfs) = (needs(&["mkfs.xfs"], "xfs"), needs(&["mkfs.btrfs"], "btrfs"));
    let mut trials: Vec<Trial> = ["ext2", "ext3", "ext4"]
        .into_iter()
        .map(|kind| trial(&format!("a_panic_that_{kind}_asks_for"), &ext, move || panicking(kind)))
        .collect();
    trials.extend([
        trial("a_journal_on_another_device", &ext, journal_elsewhere),
        trial("an_xfs_log_on_another_device", &xfs, log_elsewhere),
        trial("one_of_two_devices_of_a_btrfs", &btrfs, one_of_two),
        trial("another_device_of_the_same_btrfs_is_there", &btrfs, the_other_is_there),
        trial("programs_are_run_where_that_is_asked_for", &ext, programs),
    ]);
    trials
}

/// A new image and a directory to mount it at.
struct Bench {
    image: PathBuf,
    at: PathBuf,
    scratch: Scratch,
}

impl Bench {
    fn new(size: u64) -> Outcome<Self> {
        let scratch = Scratch::new()?;
        let image = scratch.path("image");
        drop(set_len(&image, size)?);
        Ok(Self { image, at: scratch.dir("at")?, scratch })
    }

    fn run(&self, program: &str, words: &[&str]) -> Outcome {
        tool::run(program, words.iter().map(Path::new).chain([self.image.as_path()])).map(drop)
    }

    fn mounted(&self, more: &[&str]) -> Outcome<Attachment> {
        Attachment::by(|name| {
            let call = attach(&self.image, name).option("--mount", &self.at);
            more.iter().fold(call, Call::arg)
        })
    }

    fn refused(&self, more: &[&str]) -> Outcome<Ran> {
        let name = unused_name();
        let call = attach(&self.image, &name).option("--mount", &self.at);
        let ran = more.iter().fold(call, Call::arg).exits(5)?;
        ensure!(mount_line(&self.at)?.is_none(), "it is mounted");
        ensure!(!Path::new("/run/snaprestore").join(&name).exists(), "something is left");
        Ok(ran)
    }
}

/// What is in force, whatever the superblock says: in the field of it, and in options it brings along.
fn panicking(kind: &str) -> Outcome {
    for asked in [["-e", "panic"], ["-E", "mount_opts=errors=panic"]] {
        let bench = Bench::new(16 << 20)?;
        bench.run("mke2fs", &["-q", "-F", "-t", kind])?;
        bench.run("tune2fs", &asked)?;
        for (more, expected) in
            [(&[][..], "errors=continue"), (&["--overlay", "tmp"][..], "errors=remount-ro")]
        {
            let attachment = bench.mounted(more)?;
            let line = mount_line(&bench.at)?.ok_or("not mounted")?;
            let has = |wanted: &str| line.split([' ', ',']).any(|word| word == wanted);
            for option in ["nodev", "nosuid", "noexec"] {
                ensure!(has(option), "no {option}: {line}");
            }
            if asked == ["-e", "panic"] {
                ensure!(has(expected), "no {expected}: {line}");
            }
            let device = attachment.device()?;
            let device = device.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // All that is in force; the mount table leaves out what the superblock says, too.
            let options = format!("/proc/fs/ext4/{device}/options");
            if let Ok(options) = std::fs::read_to_string(options) {
                ensure!(options.lines().any(|option| option == expected), "{options}");
            }
            attachment.detach_cleanly()?;
        }
    }
    Ok(())
}

fn journal_elsewhere() -> Outcome {
    let bench = Bench::new(16 << 20)?;
    let journal = bench.scratch.path("journal");
    drop(set_len(&journal, 16 << 20)?);
    let words = ["-q", "-F", "-b", "4096", "-O", "journal_dev"].map(Path::new);
    tool::run("mke2fs", words.into_iter().chain([journal.as_path()]))?;
    let device = LoopDevice::attach(&journal, false)?;
    let option = format!("device={}", device.path().display());
    bench.run("mke2fs", &["-q", "-F", "-t", "ext4", "-b", "4096", "-J", &option])?;
    let before = scratch::read(&journal)?;
    let ran = bench.refused(&["--overlay", "tmp"])?;
    ensure!(ran.stderr.contains("its journal is on another device"), "{}", ran.describe());
    bench.mounted(&[])?.detach_cleanly()?;
    drop(device);
    ensure!(scratch::read(&journal)? == before, "the journal's device was written to");
    // One that only the options of the superblock name.
    bench.run("mke2fs", &["-q", "-F", "-t", "ext4"])?;
    bench.run("tune2fs", &["-E", "mount_opts=journal_path=/dev/loop0"])?;
    bench.refused(&["--overlay", "tmp"]).map(drop)
}

fn log_elsewhere() -> Outcome {
    let bench = Bench::new(320 << 20)?;
    let log = bench.scratch.path("log");
    drop(set_len(&log, 64 << 20)?);
    let option = format!("logdev={},size=64m", log.display());
    bench.run("mkfs.xfs", &["-q", "-l", &option])?;
    for more in [&[][..], &["--overlay", "tmp"][..]] {
        let ran = bench.refused(more)?;
        ensure!(ran.stderr.contains("its log is on another device"), "{}", ran.describe());
    }
    Ok(())
}

/// Makes a btrfs of the image and one more device.
fn pair(bench: &Bench) -> Outcome<PathBuf> {
    let other = bench.scratch.path("other");
    drop(set_len(&other, 256 << 20)?);
    let words = [Path::new("-q"), other.as_path(), bench.image.as_path()];
    tool::run("mkfs.btrfs", words)?;
    Ok(other)
}

fn one_of_two() -> Outcome {
    let bench = Bench::new(256 << 20)?;
    pair(&bench)?;
    let ran = bench.refused(&[])?;
    ensure!(ran.stderr.contains("it is made of 2 devices"), "{}", ran.describe());
    Ok(())
}

/// A superblock can say that there is one device: the kernel takes what it finds nevertheless.
fn the_other_is_there() -> Outcome {
    const DEVICES: u64 = (64 << 10) + 0x88;
    let bench = Bench::new(256 << 20)?;
    let other = LoopDevice::attach(&pair(&bench)?, true)?;
    let image = File::options().write(true).open(&bench.image)?;
    image.write_all_at(&1_u64.to_le_bytes(), DEVICES)?;
    let ran = bench.refused(&[])?;
    let named = other.path().display().to_string();
    ensure!(ran.stderr.contains(&named), "{named} is not named: {}", ran.describe());
    Ok(())
}

fn programs() -> Outcome {
    let bench = Bench::new(16 << 20)?;
    let tree = bench.scratch.dir("tree")?;
    let program = tree.join("program");
    scratch::write(&program, b"#!/bin/sh\necho it runs\n")?;
    tool::run("chmod", [Path::new("755"), &program])?;
    let tree = tree.display().to_string();
    bench.run("mke2fs", &["-q", "-F", "-t", "ext4", "-d", &tree])?;
    let at = bench.at.join("program").display().to_string();
    let attachment = bench.mounted(&[])?;
    ensure!(tool::run(&at, [""; 0]).is_err(), "a program is run");
    attachment.detach_cleanly()?;
    let attachment = bench.mounted(&["--mount-exec"])?;
    let said = tool::run(&at, [""; 0])?;
    ensure!(said == "it runs\n", "{said}");
    let line = mount_line(&bench.at)?.ok_or("not mounted")?;
    for option in ["nodev", "nosuid"] {
        ensure!(line.split([' ', ',']).any(|word| word == option), "no {option}: {line}");
    }
    attachment.detach_cleanly()
}
