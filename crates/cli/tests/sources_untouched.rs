//! Sources are evidence: no command changes a byte or a time of them, all work where they cannot be
//! written, and what is made is private.

mod support;

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::Arguments;

use support::hash::{Census, same_sha256};
use support::loopmount::{Tmpfs, keep_mounts_private};
use support::needs::{LOOP_MOUNT, Need, is_root, trial};
use support::run::{BINARY, Call};
use support::sample::{SOURCE, restore};
use support::scratch::{copy, copy_tree, files_below, make_dir, mode, set_mode};
use support::stage::Stage;
use support::{Outcome, ensure};

/// Nobody in particular.
const NOBODY: u32 = 65_534;

fn main() -> ExitCode {
    keep_mounts_private();
    // Root may write anything, so it has to become someone else to see a permission.
    let as_another: &[Need] = if is_root() { &[Need::Tool("setpriv")] } else { &[] };
    let trials = vec![
        trial("no_command_touches_its_sources", &[], nothing_is_touched),
        trial("read_only_directory", as_another, read_only_directory),
        trial("read_only_filesystem", &LOOP_MOUNT, read_only_filesystem),
        trial("what_is_made_is_private", &[], made_private),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Every command over these sets and members, with results in `out`, which must be empty.
fn every_command(stage: &Stage, sets: &Path, members: &Path, out: &Path) -> Vec<Call> {
    let restored = out.join("volume.img");
    let snap = |name: &str| sets.join("dsnap-0a").join(name);
    let mut incremental = Call::new("capture")
        .option("-o", out)
        .option("--layout", members.join("given-layout.toml"))
        .option("--set-id", "dsnap-2c")
        .option("--source-volume", SOURCE)
        .option("--parent", sets);
    let mut full = Call::new("capture")
        .option("-o", out)
        .option("--layout", members.join("given-layout.toml"))
        .option("--set-id", "dsnap-2d")
        .option("--source-volume", "dvol-full");
    for id in stage.sample.members.keys() {
        let path = members.join(format!("{id}.raw"));
        incremental = incremental.member(id, &path);
        full = full.member(id, &path);
    }
    vec![
        Call::new("list").arg(sets),
        Call::new("inspect").arg(sets),
        Call::new("verify").arg(sets),
        Call::new("verify").arg(sets).arg("--quick"),
        restore(&[sets], &restored),
        restore(&[sets], &restored).arg("--force").option("--generation", "0"),
        restore(&[sets], &restored).arg("--force").arg("--salvage"),
        Call::new("rebuild")
            .arg(snap("0-vol-a.snap"))
            .option("-o", out.join("rebuilt.snap"))
            .option("--sibling", snap("1-vol-b.snap"))
            .option("--sibling", snap("2-vol-c.snap")),
        incremental,
        full,
    ]
}

fn nothing_is_touched() -> Outcome {
    let stage = Stage::new()?;
    stage.next_generation("dsnap-1a", 1)?;
    let members = stage.scratch.path("members");
    let out = stage.scratch.dir("results")?;
    let before = Census::take(&[&stage.sets, &members])?;
    for call in every_command(&stage, &stage.sets, &members, &out) {
        let ran = call.succeeds()?;
        before.unchanged(&ran.describe())?;
    }
    // Nor do those that fail.
    for call in [
        restore(&[&stage.sets], &out),
        restore(&[&stage.sets], &stage.file("vol-a")?).arg("--force"),
        restore(&[&stage.sets], &out.join("x.img")).option("--expect-content-id", "00"),
    ] {
        let ran = call.run()?;
        ensure!(!ran.status.success(), "a success\n{}", ran.describe());
        before.unchanged(&ran.describe())?;
    }
    Ok(())
}

/// Gives permissions back when dropped, or the scratch directory could not be removed.
struct ReadOnly {
    dirs: Vec<PathBuf>,
}

impl ReadOnly {
    /// All files below become 0444 and all directories that hold files 0555.
    fn make(dirs: &[&Path]) -> Outcome<Self> {
        let mut made = Self { dirs: Vec::new() };
        for dir in dirs {
            for file in files_below(dir)? {
                set_mode(&file, 0o444)?;
                let parents = file.ancestors().skip(1).take_while(|p| p.starts_with(dir));
                made.dirs.extend(parents.map(Path::to_owned));
            }
        }
        made.dirs.sort();
        made.dirs.dedup();
        for dir in &made.dirs {
            set_mode(dir, 0o555)?;
        }
        Ok(made)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        for dir in &self.dirs {
            drop(std::fs::set_permissions(dir, Permissions::from_mode(0o755)));
        }
    }
}

fn read_only_directory() -> Outcome {
    let stage = Stage::new()?;
    let (newest, _) = stage.next_generation("dsnap-1a", 1)?;
    let members = stage.scratch.path("members");
    let out = stage.scratch.dir("results")?;
    // Another user must get through to the sources and to the binary.
    set_mode(stage.scratch.root(), 0o755)?;
    let binary = stage.scratch.path("snaprestore");
    copy(Path::new(BINARY), &binary)?;
    set_mode(&binary, 0o755)?;
    if is_root() {
        chown(&out, Some(NOBODY), Some(NOBODY))?;
    }
    let read_only = ReadOnly::make(&[&stage.sets, &members])?;
    let before = Census::take(&[&stage.sets, &members])?;
    for call in every_command(&stage, &stage.sets, &members, &out) {
        let call = call.with_binary(&binary);
        let call = if is_root() {
            call.within("exec setpriv --reuid=65534 --regid=65534 --clear-groups")
        } else {
            call
        };
        let ran = call.succeeds()?;
        before.unchanged(&ran.describe())?;
    }
    same_sha256("restored", &out.join("volume.img"), &newest.logical)?;
    drop(read_only);
    Ok(())
}

fn read_only_filesystem() -> Outcome {
    let stage = Stage::new()?;
    let (newest, _) = stage.next_generation("dsnap-1a", 1)?;
    let mounted = stage.scratch.dir("read-only")?;
    let tmpfs = Tmpfs::mount(&mounted, 64 << 20)?;
    copy_tree(&stage.sets, &mounted.join("sets"))?;
    copy_tree(&stage.scratch.path("members"), &mounted.join("members"))?;
    tmpfs.make_read_only()?;
    let out = stage.scratch.dir("results")?;
    for call in every_command(&stage, &mounted.join("sets"), &mounted.join("members"), &out) {
        call.succeeds()?;
    }
    same_sha256("restored", &out.join("volume.img"), &newest.logical)?;
    tmpfs.unmount()
}

/// With a umask that would let everyone in, all files made are 0600.
fn made_private() -> Outcome {
    let stage = Stage::new()?;
    stage.next_generation("dsnap-1a", 1)?;
    let members = stage.scratch.path("members");
    let out = stage.scratch.dir("results")?;
    make_dir(&out)?;
    for call in every_command(&stage, &stage.sets, &members, &out) {
        let ran = call.within("umask 0; exec").succeeds()?;
        for file in files_below(&out)? {
            let mode = mode(&file)?;
            ensure!(mode == 0o600, "{} has mode {mode:o}\n{}", file.display(), ran.describe());
        }
    }
    for set in ["dsnap-2c", "dsnap-2d"] {
        let files = files_below(&out.join(set))?.len();
        ensure!(files == 5, "{files} files in {set}, expected three members, layout and README");
        let mode = mode(&out.join(set))?;
        ensure!(mode & 0o022 == 0, "others may write to {set}: mode {mode:o}");
    }
    Ok(())
}
