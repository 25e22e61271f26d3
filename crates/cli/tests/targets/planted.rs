//! What somebody else has put where a restore keeps its work: refused, and not touched.

use std::os::unix::fs::{chown, symlink};
use std::path::Path;

use libtest_mimic::Trial;

use super::members::{are_true, to_members};
use crate::support::loopmount::LoopDevice;
use crate::support::needs::{LOOP_DEVICE, Need, trial};
use crate::support::run::Call;
use crate::support::scratch::{copy, make_dir, read, set_len, set_mode, write};
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure, hash};

/// A user that is nobody else's.
const NOBODY: u32 = 65534;

pub(crate) fn trials() -> Vec<Trial> {
    let strace = [Need::Extra("strace")];
    vec![
        trial("planted_partials_are_refused", &[Need::Root], partials),
        trial("planted_journals_are_refused", &[Need::Root], journals),
        trial("planted_directories_are_refused", &[Need::Root], directories),
        trial("links_are_no_targets", &[], links),
        trial("links_of_others_on_the_way_are_refused", &[Need::Root], links_on_the_way),
        trial("files_with_other_names_are_refused", &[Need::Root], other_names),
        trial("links_to_devices_are_followed", &LOOP_DEVICE, device_links),
        trial("members_killed_while_they_get_their_name", &strace, killed_at_the_end),
    ]
}

/// Everything in a directory that is kept from a restore as it is.
fn is_refused(stage: &Stage, call: Call, words: &[&str], kept: &[&Path]) -> Outcome {
    let before: Vec<_> = kept.iter().map(|path| read(path)).collect::<Outcome<_>>()?;
    stage.refuses(call, 5, words)?;
    for (path, before) in kept.iter().zip(before) {
        ensure!(read(path)? == before, "{} was written to", path.display());
    }
    ensure!(!stage.target().exists(), "there is an image");
    Ok(())
}

/// An interrupted restore leaves a journal and a partial image, of which nobody can tell.
fn interrupted(stage: &Stage) -> Outcome {
    write(&stage.out.join(".volume.img.journal"), b"")?;
    set_mode(&stage.out.join(".volume.img.journal"), 0o600)
}

fn partials() -> Outcome {
    let stage = Stage::new()?;
    interrupted(&stage)?;
    let (partial, secret) = (stage.out.join(".volume.img.partial"), stage.scratch.path("secret"));
    write(&secret, b"of root")?;
    symlink(&secret, &partial)?;
    let words = [".volume.img.partial", "is a link, to"];
    is_refused(&stage, stage.restore(), &words, &[&secret])?;
    is_refused(&stage, stage.restore().arg("--restart"), &words, &[&secret])?;
    is_refused(
        &stage,
        Call::new("plan").args([&stage.sets]).option("-o", stage.target()),
        &words,
        &[&secret],
    )?;
    std::fs::remove_file(&partial)?;

    write(&partial, b"of nobody")?;
    chown(&partial, Some(NOBODY), None)?;
    is_refused(&stage, stage.restore(), &["belongs to user 65534"], &[&partial])?;
    is_refused(&stage, stage.restore().arg("--restart"), &["belongs to user"], &[&partial])?;
    std::fs::remove_file(&partial)?;
    rustix::fs::mkfifoat(rustix::fs::CWD, &partial, 0o600.into())?;
    stage.refuses(stage.restore(), 5, &["is not a regular file"])
}

fn journals() -> Outcome {
    let stage = Stage::new()?;
    let (journal, new) = (stage.out.join(".volume.img.journal"), stage.scratch.path("new"));
    symlink(&new, &journal)?;
    stage.refuses(stage.restore(), 5, &[".volume.img.journal", "is a link, to"])?;
    ensure!(!new.exists(), "made where the link leads");
    std::fs::remove_file(&journal)?;
    for plant in [
        |journal: &Path| chown(journal, Some(NOBODY), None).map_err(|e| e.to_string()),
        |journal: &Path| {
            std::fs::hard_link(journal, journal.with_extension("2")).map_err(|e| e.to_string())
        },
    ] {
        interrupted(&stage)?;
        plant(&journal)?;
        is_refused(&stage, stage.restore(), &[".volume.img.journal"], &[&journal])?;
        std::fs::remove_file(&journal)?;
    }
    interrupted(&stage)?;
    set_mode(&journal, 0o620)?;
    is_refused(&stage, stage.restore(), &["is open to others (mode 0620)"], &[&journal])
}

fn directories() -> Outcome {
    let stage = Stage::new()?;
    let (dir, partial) = (stage.out.join("members"), stage.out.join(".members.partial"));
    let logs = stage.scratch.dir("logs")?;
    let log = logs.join("system.journal");
    write(&log, b"a log")?;
    symlink(&logs, &partial)?;
    is_refused(&stage, to_members(&stage, &dir), &["is a link, to"], &[&log])?;
    is_refused(&stage, to_members(&stage, &dir).arg("--restart"), &["is a link, to"], &[&log])?;
    std::fs::remove_file(&partial)?;

    make_dir(&partial)?;
    set_mode(&partial, 0o777)?;
    stage.refuses(to_members(&stage, &dir), 5, &["is open to others (mode 0777)"])?;
    set_mode(&partial, 0o700)?;
    chown(&partial, Some(NOBODY), None)?;
    stage.refuses(to_members(&stage, &dir), 5, &["belongs to user 65534"])?;
    chown(&partial, Some(0), None)?;
    // Only what a restore makes is removed.
    write(&partial.join("system.journal"), b"a log")?;
    to_members(&stage, &dir).succeeds()?;
    ensure!(dir.join("system.journal").exists(), "it removed what is not its own");
    Ok(())
}

fn links() -> Outcome {
    let stage = Stage::new()?;
    let (link, precious) = (stage.target(), stage.scratch.path("precious"));
    set_len(&precious, stage.sample.layout.logical_size())?;
    let before = read(&precious)?;
    symlink(&precious, &link)?;
    for flag in ["--force", "--in-place", "-q"] {
        let call = stage.restore().arg(flag);
        stage.refuses(call, 5, &["volume.img", "is a link, to", "precious"])?;
        ensure!(link.is_symlink() && read(&precious)? == before, "{flag}: it was written to");
    }
    // A directory may be given by a link.
    let real = stage.scratch.dir("real")?;
    let by_link = stage.scratch.path("by-link");
    symlink(&real, &by_link)?;
    Call::new("restore").arg(&stage.sets).option("-o", by_link.join("volume.img")).succeeds()?;
    hash::same_sha256("by a link", &real.join("volume.img"), &stage.sample.logical)
}

/// A directory that a link of another user leads to is no place for anything that is written.
fn links_on_the_way() -> Outcome {
    let stage = Stage::new()?;
    let real = stage.out.join("real");
    make_dir(&real)?;
    write(&real.join("old.img"), b"here before")?;
    let link = stage.out.join("link");
    symlink("real", &link)?;
    std::os::unix::fs::lchown(&link, Some(NOBODY), None)?;
    let (there, here) = (|name: &str| link.join(name), |name: &str| stage.out.join(name));
    let call = |command: &'static str| Call::new(command).arg(&stage.sets);
    let restore = |at| call("restore").option("-o", at);
    let new = || restore(here("volume.img"));
    let (id, member) = stage.sample.members.first_key_value().ok_or("no members")?;
    let file = stage.file(id)?;
    let capture = Call::new("capture").member(id, member);
    for call in [
        restore(there("volume.img")),
        restore(there("old.img")).arg("--force"),
        restore(there("old.img")).arg("--in-place"),
        new().arg("--salvage").option("--map", there("map")),
        new().option("--report", there("report")),
        new().option("--journal", there("journal")),
        call("restore").option("--members", there("members")),
        call("plan").option("-o", there("volume.img")),
        call("read").option("-o", there("volume.img")),
        call("verify").option("--report", there("report")),
        Call::new("rebuild").arg(&file).option("-o", there("rebuilt.snap")),
        capture.option("-o", there("sets/deep")),
    ] {
        let command = call.line();
        stage
            .refuses(call, 5, &["link is a link of user 65534, to real"])
            .map_err(|e| format!("{command}: {}", e.message().unwrap_or_default()))?;
    }
    std::os::unix::fs::lchown(&link, Some(0), None)?;
    restore(there("volume.img")).succeeds()?;
    hash::same_sha256("by a link of root", &real.join("volume.img"), &stage.sample.logical)
}

/// A file that also has a name elsewhere is overwritten only where no other user can have given it that name.
fn other_names() -> Outcome {
    let stage = Stage::new()?;
    let (precious, shared) = (stage.scratch.path("precious"), stage.out.join("shared"));
    set_len(&precious, stage.sample.layout.logical_size())?;
    make_dir(&shared)?;
    let named = shared.join("volume.img");
    std::fs::hard_link(&precious, &named)?;
    let call = || Call::new("restore").arg(&stage.sets).option("-o", &named).arg("--in-place");
    for (mode, owner) in [(0o777, 0), (0o1777, 0), (0o775, 0), (0o755, NOBODY)] {
        set_mode(&shared, mode)?;
        chown(&shared, Some(owner), None)?;
        stage.refuses(call(), 5, &["shared/volume.img has 2 names"])?;
    }
    chown(&shared, Some(0), None)?;
    call().succeeds()?;
    hash::same_sha256("in a directory of root", &precious, &stage.sample.logical)
}

fn device_links() -> Outcome {
    let stage = Stage::new()?;
    let file = stage.scratch.path("disk");
    copy(&stage.sample.logical, &file)?;
    set_len(&file, stage.sample.layout.logical_size().next_multiple_of(4096))?;
    let device = LoopDevice::attach(&file, false)?;
    let link = stage.out.join("by-id");
    symlink(device.path(), &link)?;
    let call = || Call::new("restore").arg(&stage.sets).option("-o", &link).arg("--in-place");
    call().arg("--no-journal").succeeds()?;
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::lchown(&link, Some(NOBODY), None)?;
        stage.refuses(call(), 5, &["is a link, to"])?;
    }
    Ok(())
}

/// Whatever call of the system is the last one, the same command goes on, and ends well.
fn killed_at_the_end() -> Outcome {
    for (calls, most) in [("unlink,unlinkat", 4), ("rename,renameat,renameat2", 5)] {
        for when in 1..=most {
            let stage = Stage::new()?;
            let dir = stage.out.join("members");
            let kill = format!("inject={calls}:signal=KILL:when={when}");
            let trace = format!("exec strace -f -qq -o /dev/null -e trace={calls} -e {kill}");
            let ran = to_members(&stage, &dir).within(&trace).start()?.wait()?;
            if ran.status.success() {
                ensure!(when > 1, "{calls}: nothing was killed\n{}", ran.describe());
                continue;
            }
            ensure!(ran.status.code().is_none_or(|code| code > 128), "{}", ran.describe());
            let was_named = dir.exists();
            let again = to_members(&stage, &dir).start()?.wait()?;
            let is_done = was_named && again.status.code() == Some(5);
            ensure!(again.status.success() || is_done, "{calls} {when}: {}", again.describe());
            are_true(&stage, &dir)
                .map_err(|e| format!("{calls} {when}: {}", e.message().unwrap_or_default()))?;
        }
    }
    Ok(())
}
