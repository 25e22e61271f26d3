//! 130 and 143: interrupted, with nothing half done under a final name; a restore goes on from there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use rustix::process::Signal;

use crate::support::layout::Layout;
use crate::support::needs::{long, trial};
use crate::support::run::{Call, Ran};
use crate::support::sample::{Captured, Sample, restore};
use crate::support::scratch::{Scratch, mode};
use crate::support::unfinished::{goes_on, is_left};
use crate::support::{Outcome, ensure, hash};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("code_130_and_143_restore", &[], restore_interrupted),
        trial("code_130_between_members", &[], interrupted_between_members),
        trial("code_130_and_143_capture", &[], capture_interrupted),
        trial("code_130_and_143_verify", &[], verify_interrupted),
        trial("a_killed_capture_is_no_set", &[], capture_killed),
    ]
}

/// A volume that takes long enough to be interrupted: a sparse one would be done at once.
fn big(scratch: &Scratch) -> Outcome<Sample> {
    let size = if long() { 512 << 20 } else { 192 << 20 };
    Sample::make(&scratch.path("members"), Layout::new().linear(size, ("vol-a", 0)), 1)
}

/// Starts the call, waits until `appears` gives a path, and signals it then. Not a timed wait: the file is
/// there from the start of the writing to its end.
fn signal_when(
    call: &Call,
    signal: Signal,
    appears: impl Fn() -> Outcome<Option<PathBuf>>,
) -> Outcome<(Ran, Option<u32>)> {
    let started = Instant::now();
    let mut running = call.start()?;
    let seen = loop {
        if let Some(path) = appears()? {
            break mode(&path).ok();
        }
        if running.ended()? {
            let ran = running.wait()?;
            return Err(format!("ended before it wrote anything\n{}", ran.describe()).into());
        }
        ensure!(started.elapsed() < Duration::from_secs(120), "nothing appeared: {}", call.line());
        thread::sleep(Duration::from_millis(1));
    };
    running.signal(signal)?;
    Ok((running.wait()?, seen))
}

fn first_entry(dir: &Path) -> Outcome<Option<PathBuf>> {
    Ok(std::fs::read_dir(dir)?.next().transpose()?.map(|entry| entry.path()))
}

fn restore_interrupted() -> Outcome {
    let scratch = Scratch::new()?;
    let sample = big(&scratch)?;
    let sets = scratch.dir("sets")?;
    Captured::of(&sample.capture(&sets, "dsnap-0a"))?;
    let before = hash::Census::take(&[&sets])?;
    for (signal, code, json) in
        [(Signal::INT, 130, false), (Signal::TERM, 143, false), (Signal::INT, 130, true)]
    {
        let out = scratch.dir(&format!("out-{code}-{json}"))?;
        let target = out.join("volume.img");
        let call = restore(&[&sets], &target).option("-j", "1");
        let call = if json { call.arg("--json") } else { call };
        let (ran, seen) = signal_when(&call, signal, || first_entry(&out))?;
        ensure!(
            ran.status.code() == Some(code),
            "expected exit code {code}, found {}\n{}",
            ran.status,
            ran.describe()
        );
        ensure!(
            seen.is_none_or(|m| m == 0o600),
            "temporary of mode {:o}",
            seen.unwrap_or_default()
        );
        ensure!(!target.exists(), "a half image under the final name");
        ensure!(!ran.stderr.contains("panicked"), "a panic\n{}", ran.describe());
        if json {
            let document = ran.document()?;
            ensure!(document["error"]["exit_code"] == code, "{document}");
        }
        let left = is_left(&out, &BTreeSet::new())?;
        let said = if left { "go on from here" } else { "nothing was left" };
        ensure!(ran.stderr.contains(said), "it does not say {said:?}\n{}", ran.describe());
        goes_on(&restore(&[&sets], &target), &target, &sample.logical, left)?;
    }
    before.unchanged("interrupted restores")
}

/// Members so small that a signal comes while one of them is begun or ended, rather than written.
fn interrupted_between_members() -> Outcome {
    let scratch = Scratch::new()?;
    let names: Vec<String> = (0..150).map(|n| format!("vol-{n}")).collect();
    let layout = names.iter().fold(Layout::new(), |layout, name| layout.linear(8192, (name, 0)));
    let sample = Sample::make(&scratch.path("members"), layout, 1)?;
    let sets = scratch.dir("sets")?;
    Captured::of(&sample.capture(&sets, "dsnap-0a"))?;
    let out = scratch.dir("out")?;
    let target = out.join("members");
    let call = Call::new("restore").arg(&sets).option("--members", &target).option("-j", "1");
    let (ran, _) = signal_when(&call, Signal::INT, || partial_file(&out))?;
    ensure!(ran.status.code() == Some(130), "not interrupted\n{}", ran.describe());
    ensure!(!target.exists(), "some of the members under the final name");
    call.succeeds()?;
    for (no, (name, member)) in sample.members.iter().enumerate() {
        let image = target.join(format!("{no}-{name}.raw"));
        hash::same_sha256("a member", &image, member)?;
    }
    Ok(())
}

fn verify_interrupted() -> Outcome {
    let scratch = Scratch::new()?;
    let sample = big(&scratch)?;
    let sets = scratch.dir("sets")?;
    Captured::of(&sample.capture(&sets, "dsnap-0a"))?;
    let before = hash::Census::take(&[&sets])?;
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let running = Call::new("verify").arg(&sets).option("-j", "1").start()?;
        running.await_handler_of(signal)?;
        running.signal(signal)?;
        let ran = running.wait()?;
        ensure!(
            ran.status.code() == Some(code),
            "expected exit code {code}, found {}\n{}",
            ran.status,
            ran.describe()
        );
        ensure!(ran.stdout.is_empty(), "half a report\n{}", ran.describe());
    }
    before.unchanged("interrupted verifies")
}

/// The snapshot files of a capture that is going on.
fn partial_file(out: &Path) -> Outcome<Option<PathBuf>> {
    let Some(partial) = first_entry(out)? else {
        return Ok(None);
    };
    // It may be renamed or removed between the two looks.
    Ok(std::fs::read_dir(partial)
        .ok()
        .and_then(|mut d| d.next())
        .and_then(Result::ok)
        .map(|e| e.path()))
}

fn no_complete_set(out: &Path) -> Outcome {
    let call = Call::new("list").arg(out);
    let ran = call.clone().arg("--json").run()?;
    let document = ran.document()?;
    let sets = document["sets"].as_array().cloned().unwrap_or_default();
    let complete = sets.iter().any(|set| set["state"] == "complete");
    ensure!(!complete, "a half-written set is taken for a whole one\n{}", ran.describe());
    Ok(())
}

fn capture_interrupted() -> Outcome {
    let scratch = Scratch::new()?;
    let sample = big(&scratch)?;
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let out = scratch.dir(&format!("out-{code}"))?;
        let call = sample.capture(&out, "dsnap-0a").option("-j", "1");
        let (ran, seen) = signal_when(&call, signal, || partial_file(&out))?;
        ensure!(
            ran.status.code() == Some(code),
            "expected exit code {code}, found {}\n{}",
            ran.status,
            ran.describe()
        );
        ensure!(
            seen.is_none_or(|m| m == 0o600),
            "temporary of mode {:o}",
            seen.unwrap_or_default()
        );
        let left = first_entry(&out)?;
        ensure!(left.is_none(), "{left:?} was left\n{}", ran.describe());
        no_complete_set(&out)?;
    }
    Ok(())
}

/// What a kill leaves is not a set, and is not in the way of the next attempt.
fn capture_killed() -> Outcome {
    let scratch = Scratch::new()?;
    let sample = big(&scratch)?;
    let out = scratch.dir("out")?;
    let call = sample.capture(&out, "dsnap-0a").option("-j", "1");
    signal_when(&call, Signal::KILL, || partial_file(&out))?;
    ensure!(!out.join("dsnap-0a").exists(), "a half set under the final name");
    no_complete_set(&out)?;
    call.succeeds()?;
    let target = scratch.path("volume.img");
    restore(&[&out], &target).succeeds()?;
    hash::same_sha256("captured again after a kill", &target, &sample.logical)
}
