//! What superblocks and partition tables say, as their own tools and the kernel write them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

#[path = "../../testing/machine.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod machine;

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use disk::filesystem::{Backup, Filesystem, State};
use disk::partitions::{Table, TableKind};
use disk::signature::Kind;
use libtest_mimic::{Arguments, Trial};
use machine::loopmount::{LoopMount, keep_mounts_private};
use machine::needs::{LOOP_MOUNT, Need, trial};
use machine::scratch::{self, Scratch};
use machine::{Outcome, tool};
use snapfmt::PreadFile;

const MIB: u64 = 1 << 20;

/// A filesystem, how it is made, and what is expected of it.
struct Made {
    name: &'static str,
    command: &'static [&'static str],
    kind: Kind,
    /// As it comes from its own tool.
    fresh: State,
    /// How a copy taken while it is mounted looks.
    in_use: InUse,
    /// How many bytes at the end may not be its own.
    slack: u64,
}

/// How a filesystem in use shows it.
enum InUse {
    /// So it is when it was mounted and written to.
    Mounted(State),
    /// Not every kernel has it: this bit, set in the byte at this offset, is what drivers write.
    Flag(u64, u8),
    /// Its superblock does not say.
    NotSaid,
}

const MADE: [Made; 8] = [
    Made {
        name: "ext2",
        command: &["mke2fs", "-qF", "-t", "ext2"],
        kind: Kind::Ext2,
        fresh: State::Clean,
        in_use: InUse::Mounted(State::NotUnmounted),
        slack: 0,
    },
    Made {
        name: "ext3",
        command: &["mke2fs", "-qF", "-t", "ext3", "-b", "1024"],
        kind: Kind::Ext3,
        fresh: State::Clean,
        in_use: InUse::Mounted(State::NeedsReplay),
        slack: 0,
    },
    Made {
        name: "ext4",
        command: &["mke2fs", "-qF", "-t", "ext4"],
        kind: Kind::Ext4,
        fresh: State::Clean,
        in_use: InUse::Mounted(State::NeedsReplay),
        slack: 0,
    },
    Made {
        name: "xfs",
        command: &["mkfs.xfs", "-q"],
        kind: Kind::Xfs,
        fresh: State::Clean,
        in_use: InUse::Mounted(State::NeedsReplay),
        slack: 0,
    },
    Made {
        name: "btrfs",
        command: &["mkfs.btrfs", "-q"],
        kind: Kind::Btrfs,
        fresh: State::Clean,
        in_use: InUse::Mounted(State::NeedsReplay),
        slack: 0,
    },
    Made {
        name: "vfat",
        command: &["mkfs.vfat", "-F", "32"],
        kind: Kind::Fat,
        fresh: State::Clean,
        in_use: InUse::Flag(65, 1),
        slack: MIB,
    },
    Made {
        name: "exfat",
        command: &["mkfs.exfat"],
        kind: Kind::ExFat,
        fresh: State::Clean,
        in_use: InUse::Flag(106, 2),
        slack: 0,
    },
    Made {
        name: "ntfs3",
        command: &["mkntfs", "-qQF"],
        kind: Kind::Ntfs,
        fresh: State::Unknown,
        in_use: InUse::NotSaid,
        slack: 4096,
    },
];

fn main() -> ExitCode {
    keep_mounts_private();
    let mut trials = vec![
        trial("a_gpt_as_sfdisk_writes_it", &[Need::Tool("sfdisk")], gpt),
        trial("an_mbr_as_sfdisk_writes_it", &[Need::Tool("sfdisk")], mbr),
        trial("swap", &[Need::Tool("mkswap")], swap),
        trial("one_damaged_copy", &[Need::Tool("mke2fs")], damaged_copy),
    ];
    trials.extend(MADE.iter().flat_map(trials_of));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trials_of(made: &'static Made) -> Vec<Trial> {
    let tool = Need::Tool(made.command[0]);
    let name = made.name;
    let mut trials = vec![trial(&format!("fresh_{name}"), &[tool], || fresh(made))];
    match made.in_use {
        InUse::Mounted(state) => {
            let needs = [&LOOP_MOUNT, [tool, Need::Filesystem(name)].as_slice()].concat();
            trials.push(trial(&format!("in_use_{name}"), &needs, move || in_use(made, state)));
        }
        InUse::Flag(at, flag) => {
            trials.push(trial(&format!("in_use_{name}"), &[tool], move || flagged(made, at, flag)));
        }
        InUse::NotSaid => {}
    }
    trials
}

fn fresh(made: &Made) -> Outcome {
    let (_scratch, image) = make(made)?;
    let found = only(&image)?;
    assert_eq!(found.facts.state, made.fresh);
    assert_eq!(found.facts.last_mounted, None);
    Ok(())
}

/// Mounted, written to, copied while it is, unmounted, and looked at in each state.
fn in_use(made: &Made, expected: State) -> Outcome {
    let (scratch, image) = make(made)?;
    let dir = scratch.path("mnt");
    scratch::make_dir(&dir)?;
    let mount = LoopMount::read_write(&image, &dir)?;
    let mut file = File::create(dir.join("file"))?;
    file.write_all(b"on its way")?;
    file.sync_all()?;
    let copy = scratch.path("copy");
    std::fs::copy(&image, &copy)?;
    drop(file);
    mount.unmount()?;
    assert_eq!(only(&copy)?.facts.state, expected, "in use");
    let after = only(&image)?;
    assert_eq!(after.facts.state, made.fresh, "unmounted");
    if matches!(made.kind, Kind::Ext2 | Kind::Ext3 | Kind::Ext4) {
        assert!(after.facts.last_mounted.is_some() && after.facts.last_written.is_some());
    }
    if made.kind == Kind::Ext4 {
        assert_eq!(after.facts.last_mounted_on.as_deref(), dir.to_str());
    }
    Ok(())
}

fn flagged(made: &Made, at: u64, flag: u8) -> Outcome {
    let (_scratch, image) = make(made)?;
    let file = File::options().read(true).write(true).open(&image)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    file.write_all_at(&[byte[0] | flag], at)?;
    assert_eq!(only(&image)?.facts.state, State::NotUnmounted);
    Ok(())
}

fn make(made: &Made) -> Outcome<(Scratch, PathBuf)> {
    let scratch = Scratch::new()?;
    let image = scratch.path("image");
    drop(scratch::new_sparse(&image, 320 * MIB)?);
    scratch::set_mode(&image, 0o600)?;
    let [program, arguments @ ..] = made.command else { return Err("no command".into()) };
    tool::run(program, arguments.iter().map(Path::new).chain([image.as_path()]))?;
    let found = only(&image)?;
    assert_eq!(found.signature.kind, made.kind);
    let size = found.facts.size.unwrap();
    assert!(size <= 320 * MIB && size + made.slack >= 320 * MIB, "{size}");
    assert_eq!(found.facts.backup, Backup::Agrees);
    assert_eq!(found.is_cut_at(320 * MIB), Some(false));
    assert_eq!(found.is_cut_at(size - 1), Some(true));
    Ok((scratch, image))
}

fn only(image: &Path) -> Outcome<Filesystem> {
    let len = std::fs::metadata(image)?.len();
    let found = Filesystem::find(&PreadFile::new(File::open(image)?, len));
    match <[Filesystem; 1]>::try_from(found) {
        Ok([only]) => Ok(only),
        Err(found) => Err(format!("{found:?}").into()),
    }
}

fn swap() -> Outcome {
    let scratch = Scratch::new()?;
    let image = scratch.path("image");
    drop(scratch::new_sparse(&image, 8 * MIB)?);
    scratch::set_mode(&image, 0o600)?;
    tool::run("mkswap", [Path::new("-q"), &image])?;
    let found = only(&image)?;
    assert_eq!((found.facts.size, found.facts.state), (Some(8 * MIB), State::Unknown));
    Ok(())
}

fn damaged_copy() -> Outcome {
    let (_scratch, image) = make(&MADE[2])?;
    assert_eq!(only(&image)?.facts.block, Some(1024));
    // Groups of 8192 blocks; block 0 is the boot block and of none.
    let offset = 8193 * 1024;
    let file = File::options().write(true).open(&image)?;
    file.write_all_at(&[0; 1024], offset)?;
    assert_eq!(only(&image)?.facts.backup, Backup::Differs { offset });
    Ok(())
}

fn partitioned(script: &str) -> Outcome<(Scratch, Table)> {
    let scratch = Scratch::new()?;
    let image = scratch.path("disk");
    drop(scratch::new_sparse(&image, 64 * MIB)?);
    let sfdisk = tool::find("sfdisk").ok_or("no sfdisk")?;
    let mut child = Command::new(sfdisk)
        .args(["--quiet", "--no-reread", "--no-tell-kernel"])
        .arg(&image)
        .stdin(Stdio::piped())
        .spawn()?;
    child.stdin.take().ok_or("no stdin")?.write_all(script.as_bytes())?;
    if !child.wait()?.success() {
        return Err("sfdisk failed".into());
    }
    let table = Table::read(&PreadFile::new(File::open(&image)?, 64 * MIB), 512)?;
    Ok((scratch, table.ok_or("no table was found")?))
}

fn mebibytes(table: &Table) -> Vec<(u32, u64, u64)> {
    let of = |p: &disk::partitions::Partition| (p.number, p.range.start / MIB, p.range.end / MIB);
    table.partitions.iter().map(of).collect()
}

fn gpt() -> Outcome {
    let script = "label: gpt\nlabel-id: 11111111-2222-3333-4444-555555555555\n\
        1: start=1MiB, size=8MiB, name=boot\n\
        4: start=16MiB, size=32MiB, type=lvm, uuid=AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE\n";
    let (_scratch, table) = partitioned(script)?;
    assert_eq!((table.kind, &table.flaws[..]), (TableKind::Gpt, &[][..]));
    assert_eq!(table.uuid.as_deref(), Some("11111111-2222-3333-4444-555555555555"));
    assert_eq!(mebibytes(&table), [(1, 1, 9), (4, 16, 48)]);
    let [boot, lvm] = &table.partitions[..] else { panic!("{table:?}") };
    assert_eq!(boot.name.as_deref(), Some("boot"));
    assert_eq!(lvm.kind, "e6d6d379-f507-44c2-a23c-238f2a3df928");
    assert_eq!(lvm.uuid.as_deref(), Some("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"));
    Ok(())
}

fn mbr() -> Outcome {
    let script = "label: dos\nlabel-id: 0x12345678\n\
        1: start=1MiB, size=8MiB, type=83\n\
        2: start=16MiB, size=40MiB, type=extended\n\
        5: start=17MiB, size=4MiB, type=fd\n\
        6: start=24MiB, size=8MiB, type=8e\n\
        7: start=40MiB, size=1MiB, type=82\n";
    let (_scratch, table) = partitioned(script)?;
    assert_eq!((table.kind, &table.flaws[..]), (TableKind::Mbr, &[][..]));
    assert_eq!(mebibytes(&table), [(1, 1, 9), (5, 17, 21), (6, 24, 32), (7, 40, 41)]);
    let kinds: Vec<_> = table.partitions.iter().map(|p| p.kind.as_str()).collect();
    assert_eq!(kinds, ["83", "fd", "8e", "82"]);
    Ok(())
}
