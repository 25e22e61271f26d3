//! Journals and work that are another restore's are left alone; what decides whose they are, and where they
//! are kept.

use std::path::Path;

use libtest_mimic::Trial;
use rustix::process::Signal;

use super::scene::{Kind, Target, await_proof, await_that, goes_on, killed, slow, stage};
use crate::support::hash::Census;
use crate::support::journal::Journal;
use crate::support::loopmount::LoopDevice;
use crate::support::needs::{LOOP_DEVICE, LOOP_MOUNT, Need, trial};
use crate::support::run::Call;
use crate::support::sample::restore;
use crate::support::{Outcome, ensure, scratch, tool};

pub(crate) fn trials() -> Vec<Trial> {
    let mut state = LOOP_MOUNT.to_vec();
    state.push(Need::Tool("unshare"));
    vec![
        trial("another_set_is_refused", &[], another_set),
        trial("a_raw_member_written_to_is_refused", &[], written_to),
        trial("another_range_is_refused", &[], another_range),
        trial("another_target_is_refused", &[], another_target),
        trial("another_device_is_refused", &LOOP_DEVICE, another_device),
        trial("a_renamed_device_is_refused", &LOOP_DEVICE, renamed_device),
        trial("another_partial_is_refused", &[], another_partial),
        trial("what_is_no_journal_is_refused", &[], no_journal_at_all),
        trial("a_journal_of_zeros_is_given_up", &[], journal_of_zeros),
        trial("a_journal_elsewhere", &[], journal_elsewhere),
        trial("journals_of_devices_are_in_the_state_directory", &state, state_directory),
        trial("a_state_directory_that_cannot_be_written", &state, read_only_state_directory),
        trial("restart_beside_another_restore", &[], restart_beside_another),
        trial("two_restores_at_once_new_image", &[], || two_at_once(Kind::NewImage)),
        trial("two_restores_at_once_file", &[], || two_at_once(Kind::File)),
        trial("two_restores_at_once_device", &LOOP_DEVICE, || two_at_once(Kind::Device)),
    ]
}

/// A changed volume, captured as the next generation: refused where the first has begun, until the first is
/// finished or given up.
fn another_set() -> Outcome {
    for kind in [Kind::NewImage, Kind::File] {
        let stage = stage(16)?;
        let target = Target::make(kind, &stage)?;
        let (newer, _) = stage.next_generation("dsnap-0b", 5)?;
        let call = |set: &str| target.restore(&stage).option("--set-id", set);
        let said = killed(&call("dsnap-0a"), &target.journal)?;
        let words = ["journal of another restore", "of content", "--restart"];
        stage.refuses(call("dsnap-0b"), 5, &words)?;
        goes_on(&call("dsnap-0a"), &said, stage.sample.layout.logical_size())?;
        target.is_finished(&stage.sample.logical)?;

        target.make_dirty(&stage)?;
        killed(&call("dsnap-0a"), &target.journal)?;
        let restart = call("dsnap-0b").arg("--restart");
        goes_on(&restart, &Journal::default(), newer.layout.logical_size())?;
        target.is_finished(&newer.logical)?;
    }
    Ok(())
}

/// What was read of a member before it was written to does not fit what is read of it now.
fn written_to() -> Outcome {
    let stage = stage(16)?;
    let target = Target::make(Kind::NewImage, &stage)?;
    let raw = stage.scratch.path("raw");
    scratch::copy(&stage.sample.logical, &raw)?;
    let call = Call::new("restore").arg("--raw").arg(&raw).option("-o", &target.path);
    let said = killed(&call, &target.journal)?;
    let written = std::fs::metadata(&raw)?.modified()?;
    tool::run("touch", [&raw])?;
    stage.refuses(call.clone(), 5, &["a member was written to or replaced", "--restart"])?;
    std::fs::File::options().write(true).open(&raw)?.set_modified(written)?;
    goes_on(&call, &said, stage.sample.layout.logical_size())
}

/// As a power cut may leave it.
fn journal_of_zeros() -> Outcome {
    for kind in [Kind::NewImage, Kind::File] {
        let stage = stage(16)?;
        let target = Target::make(kind, &stage)?;
        let call = target.restore(&stage).option("--set-id", "dsnap-0a");
        killed(&call, &target.journal)?;
        scratch::write(&target.journal, &[0; 185])?;
        stage.refuses(call.clone(), 5, &["is not a journal", "--restart"])?;
        call.arg("--restart").succeeds()?;
        target.is_finished(&stage.sample.logical)?;
    }
    Ok(())
}

fn another_range() -> Outcome {
    let stage = stage(16)?;
    let target = Target::make(Kind::File, &stage)?;
    let call = target.restore(&stage);
    let said = killed(&call, &target.journal)?;
    for range in [["--offset", "4K"], ["--length", "8M"], ["--size", "20M"]] {
        stage.refuses(call.clone().args(range), 5, &["journal of another restore", "of bytes"])?;
    }
    goes_on(&call, &said, stage.sample.layout.logical_size())?;
    target.is_finished(&stage.sample.logical)
}

fn another_target() -> Outcome {
    let stage = stage(16)?;
    let target = Target::make(Kind::File, &stage)?;
    let with_journal = |call: Call| call.option("--journal", &target.journal);
    let said = killed(&target.restore(&stage), &target.journal)?;
    let other = stage.out.join("other.img");
    scratch::copy(&target.path, &other)?;
    let call = with_journal(restore(&[&stage.sets], &other).arg("--in-place"));
    stage.refuses(call, 5, &["journal of another restore", "onto"])?;
    // A file of the same name that is another one.
    let kept = stage.out.join("kept.img");
    std::fs::rename(&target.path, &kept)?;
    std::fs::rename(&other, &target.path)?;
    stage.refuses(target.restore(&stage), 5, &["journal of another restore", "onto"])?;
    // The one it is of, by another name.
    let call = with_journal(restore(&[&stage.sets], &kept).arg("--in-place"));
    goes_on(&call, &said, stage.sample.layout.logical_size())?;
    tool::same_bytes(&kept, &stage.sample.logical)
}

fn another_device() -> Outcome {
    let stage = stage(16)?;
    let target = Target::make(Kind::Device, &stage)?;
    let said = killed(&target.restore(&stage), &target.journal)?;
    let file = stage.out.join("other.img");
    drop(scratch::new_sparse(&file, stage.sample.layout.logical_size())?);
    let device = LoopDevice::attach(&file, false)?;
    let call = restore(&[&stage.sets], device.path())
        .arg("--in-place")
        .option("--journal", &target.journal);
    stage.refuses(call, 5, &["journal of another restore", "onto device"])?;
    goes_on(&target.restore(&stage), &said, stage.sample.layout.logical_size())?;
    target.is_finished(&stage.sample.logical)
}

/// The name of a device may be another one's the next time, of the same size.
fn renamed_device() -> Outcome {
    let stage = stage(16)?;
    let target = Target::make(Kind::Device, &stage)?;
    let file = stage.out.join("other.img");
    drop(scratch::new_sparse(&file, stage.sample.layout.logical_size())?);
    let other = LoopDevice::attach(&file, false)?;
    let name = stage.scratch.path("disk");
    let call =
        restore(&[&stage.sets], &name).arg("--in-place").option("--journal", &target.journal);
    std::os::unix::fs::symlink(&target.path, &name)?;
    let said = killed(&call, &target.journal)?;
    std::fs::remove_file(&name)?;
    std::os::unix::fs::symlink(other.path(), &name)?;
    stage.refuses(call.clone(), 5, &["journal of another restore", "onto device"])?;
    std::fs::remove_file(&name)?;
    std::os::unix::fs::symlink(&target.path, &name)?;
    goes_on(&call, &said, stage.sample.layout.logical_size())?;
    target.is_finished(&stage.sample.logical)
}

/// The temporary file is not the one that the journal was begun for, or has lost its journal.
fn another_partial() -> Outcome {
    let stage = stage(16)?;
    let target = Target::make(Kind::NewImage, &stage)?;
    let call = target.restore(&stage);
    killed(&call, &target.journal)?;
    let copy = stage.out.join("copy");
    scratch::copy(&target.unfinished, &copy)?;
    std::fs::rename(&copy, &target.unfinished)?;
    stage.refuses(call.clone(), 5, &["journal of another restore", "onto inode", "--restart"])?;
    std::fs::remove_file(&target.journal)?;
    stage.refuses(call.clone(), 5, &["no journal says", "--restart"])?;
    call.arg("--restart").succeeds()?;
    target.is_finished(&stage.sample.logical)
}

fn no_journal_at_all() -> Outcome {
    let stage = stage(16)?;
    let target = Target::make(Kind::File, &stage)?;
    let notes = stage.out.join("notes");
    scratch::write(&notes, b"done 0 4194304 #00000000\n")?;
    let call = target.restore(&stage).option("--journal", &notes);
    let words = ["notes", "is not a journal", "choose another --journal"];
    stage.refuses(call.clone(), 5, &words)?;
    stage.refuses(call.arg("--restart"), 5, &words)?;
    let call = target.restore(&stage).option("--journal", stage.out.join("no/such/place"));
    stage.refuses(call, 7, &["no/such/place", "--journal PATH keeps it elsewhere"])
}

fn journal_elsewhere() -> Outcome {
    let stage = stage(16)?;
    let target = Target::make(Kind::NewImage, &stage)?;
    let journal = stage.scratch.dir("journals")?.join("mine");
    let call = target.restore(&stage).option("--journal", &journal);
    let said = killed(&call, &journal)?;
    ensure!(!target.journal.exists(), "a journal beside the target as well");
    let mode = scratch::mode(&journal)?;
    ensure!(mode == 0o600, "a journal of mode {mode:o}");
    stage.refuses(target.restore(&stage), 5, &["no journal says"])?;
    goes_on(&call, &said, stage.sample.layout.logical_size())?;
    ensure!(!journal.exists(), "the journal is left");
    target.is_finished(&stage.sample.logical)
}

/// The call with another `/var/lib`, in a mount namespace of its own.
fn with_state(call: &Call, state: &Path, options: &str) -> Call {
    let mount = format!("mount --bind \"{0}\" /var/lib && {options}", state.display());
    call.clone().within(&format!("exec unshare -m sh -c '{mount} exec \"$@\"' sh"))
}

/// A restore to a device has its journal where that survives a restart, by the name of the device.
fn state_directory() -> Outcome {
    let stage = stage(16)?;
    let target = Target::make(Kind::Device, &stage)?;
    let kept = stage.scratch.dir("state")?;
    let plain = restore(&[&stage.sets], &target.path).arg("--in-place");
    let call = with_state(&plain, &kept, "");
    let mut running = slow(call.clone(), "8M").start()?;
    let journal = await_that(&mut running, "no journal", || {
        Ok(scratch::files_below(&kept)?.first().cloned())
    })?;
    let place = kept.join("snaprestore");
    ensure!(journal.parent() == Some(&place), "the journal is {}", journal.display());
    await_proof(&mut running, &journal)?;
    running.signal(Signal::TERM)?;
    let ran = running.wait()?;
    ensure!(ran.status.code() == Some(143), "not terminated\n{}", ran.describe());
    goes_on(&call, &Journal::read(&journal)?, stage.sample.layout.logical_size())?;
    ensure!(!journal.exists(), "the journal is left");
    target.is_finished(&stage.sample.logical)
}

fn read_only_state_directory() -> Outcome {
    let stage = stage(16)?;
    let target = Target::make(Kind::Device, &stage)?;
    let kept = stage.scratch.dir("state")?;
    let plain = restore(&[&stage.sets], &target.path).arg("--in-place");
    let words = ["/var/lib/snaprestore", "Read-only file system", "--journal PATH"];
    for made in [false, true] {
        if made {
            scratch::make_dir(&kept.join("snaprestore"))?;
        }
        let call = with_state(&plain, &kept, "mount -o remount,bind,ro /var/lib &&");
        stage.refuses(call.clone(), 7, &words)?;
        call.arg("--no-journal").succeeds()?;
        target.is_finished(&stage.sample.logical)?;
        target.make_dirty(&stage)?;
    }
    Ok(())
}

/// A restore whose journal is not where it is looked for still has its temporary file for itself: that is not
/// thrown away under its hands, or the other's half image would get the final name.
fn restart_beside_another() -> Outcome {
    let stage = stage(16)?;
    let target = Target::make(Kind::NewImage, &stage)?;
    let call = target.restore(&stage);
    let mut first = call.clone().args(["--no-journal", "--limit-rate", "16M"]).start()?;
    await_that(&mut first, "no image", || Ok(target.unfinished.exists().then_some(())))?;
    first.await_handler_of(Signal::INT)?;
    first.signal(Signal::STOP)?;
    let second = call.clone().arg("--restart").exits(5)?;
    ensure!(second.stderr.contains("another restore is writing it"), "{}", second.describe());
    ensure!(!target.journal.exists(), "a journal of nothing is left\n{}", second.describe());
    first.signal(Signal::CONT)?;
    let ran = first.wait()?;
    ensure!(ran.status.success(), "the first one failed\n{}", ran.describe());
    target.is_finished(&stage.sample.logical)
}

/// The second is refused as long as the first goes on, and disturbs nothing.
fn two_at_once(kind: Kind) -> Outcome {
    let stage = stage(16)?;
    let target = Target::make(kind, &stage)?;
    let call = target.restore(&stage);
    let mut first = slow(call.clone(), "16M").start()?;
    await_proof(&mut first, &target.journal)?;
    // Held still, it cannot end before the second has looked.
    first.signal(Signal::STOP)?;
    let before = Census::take(&[&stage.out])?;
    let others = [call.clone(), call.clone().arg("--restart"), call.clone().arg("--no-journal")];
    for other in others.iter().take(if kind == Kind::Device { 2 } else { 3 }) {
        other.exits(5)?;
        before.unchanged(&other.line())?;
    }
    first.signal(Signal::CONT)?;
    let ran = first.wait()?;
    ensure!(ran.status.success(), "the first one failed\n{}", ran.describe());
    target.is_finished(&stage.sample.logical)
}
