//! 64 TiB: four striped members of 16 TiB, sparse files on an XFS in a loop device, with a few MiB of data in
//! them. Looking at the set must be quick and small, and capturing it bounded.

#[path = "huge/volume.rs"]
mod volume;

mod support;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use libtest_mimic::Arguments;

use support::image::Filesystem;
use support::loopmount::keep_mounts_private;
use support::needs::{long, trial};
use support::run::Call;
use support::sample::{Captured, restore};
use support::scratch::len;
use support::{Outcome, ensure};
use volume::{HUGE, Volume};

/// Shell text that limits private anonymous memory (`RLIMIT_DATA` counts it, and the
/// stacks of threads too).
const SMALL: &str = "ulimit -d 65536; exec";
const BOUNDED: &str = "ulimit -d 196608; exec";

fn main() -> ExitCode {
    keep_mounts_private();
    let needs = Filesystem::Xfs.needs();
    let trials = vec![trial("volume_of_64_tebibytes", &needs, volume_of_64_tebibytes)];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn volume_of_64_tebibytes() -> Outcome {
    let volume = Volume::make()?;
    let set = capture(&volume)?;
    looking_is_quick_and_small(&volume)?;
    let verify = Call::new("verify").arg(&volume.sets).option("-j", "2").within(BOUNDED);
    report("verify", &format!("took {:?}", timed(&verify)?));
    if long() {
        restored(&volume)?;
    }
    ensure!(set.files.iter().all(|f| f.kind == "full"), "{:?}", set.files);
    volume.unmount()
}

fn capture(volume: &Volume) -> Outcome<Captured> {
    let call = volume.capture().option("-j", "2").within(BOUNDED);
    let started = Instant::now();
    let set = Captured::of(&call)?;
    report("capture", &format!("took {:?}", started.elapsed()));
    let stored: u64 = set.files.iter().map(|f| len(&f.path)).sum::<Outcome<u64>>()?;
    ensure!(stored < 64 << 20, "{stored} bytes stored of a few MiB");
    Ok(set)
}

fn looking_is_quick_and_small(volume: &Volume) -> Outcome {
    for command in ["list", "inspect"] {
        let call = Call::new(command).arg(&volume.sets).option("-j", "2").within(SMALL);
        let view = call.json()?;
        let set = if command == "list" { &view["sets"][0] } else { &view["set"] };
        ensure!(set["logical_size"] == HUGE && set["state"] == "complete", "{view}");
        // The best of some: the question is what it costs, not what else the machine was doing.
        let mut best = Duration::MAX;
        for _ in 0..5 {
            best = best.min(timed(&call)?);
        }
        ensure!(best < Duration::from_millis(100), "{command} took {best:?}");
        let memory = least_memory(&call)?;
        report(command, &format!("took {best:?} at best, and does with {memory} MiB of memory"));
    }
    Ok(())
}

/// The private anonymous memory in MiB that a call can just do with.
fn least_memory(call: &Call) -> Outcome<u64> {
    let (mut too_little, mut enough) = (0, 64);
    while enough - too_little > 1 {
        let half = u64::midpoint(too_little, enough);
        let ran = call.clone().within(&format!("ulimit -d {}; exec", half << 10)).run()?;
        if ran.status.success() { enough = half } else { too_little = half }
    }
    Ok(enough)
}

/// Back onto the XFS as a sparse file, if it takes one of 64 TiB.
fn restored(volume: &Volume) -> Outcome {
    let target = volume.mounted().join("restored.img");
    let call = restore(&[&volume.sets], &target).option("-j", "2").within(BOUNDED);
    report("restore", &format!("took {:?}", timed(&call)?));
    volume.check(&target)
}

fn timed(call: &Call) -> Outcome<Duration> {
    let started = Instant::now();
    call.succeeds()?;
    Ok(started.elapsed())
}

#[expect(clippy::print_stderr, reason = "the figure is wanted in the log of the run")]
fn report(command: &str, figure: &str) {
    eprintln!("huge: {command} of 64 TiB {figure}");
}
