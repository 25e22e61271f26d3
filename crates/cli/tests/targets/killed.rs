//! Restores that are killed again and again, and converge.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use rustix::process::Signal;

use super::in_place::{holds, onto};
use super::members::{are_true, to_members};
use crate::support::disk::{Disk, LOOP};
use crate::support::layout::Layout;
use crate::support::needs::trial;
use crate::support::noise::Noise;
use crate::support::run::{Call, Running};
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure, hash};

/// How often each is killed at the most.
const KILLS: u64 = 3;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("killed_members_converge", &[], members),
        trial("a_killed_image_converges", &[], image),
        trial("a_killed_device_converges", &LOOP, device),
    ]
}

/// Noise in three members, enough to take more than a second as slow as it is made here.
fn stage() -> Outcome<Stage> {
    let layout = Layout::new()
        .striped(24 << 20, 64 << 10, &[("vol-a", 0), ("vol-b", 0)])
        .linear((8 << 20) + 512, ("vol-c", 0));
    Stage::with_layout(layout)
}

/// So slow that a kill comes in the midst, with sync points all along.
fn slow(call: Call) -> Call {
    call.option("--limit-rate", "24M").option("--sync-every", "512K")
}

/// Waits until there is something to go on with.
fn proves_something(journal: &Path, running: &mut Running) -> Outcome {
    let started = Instant::now();
    while !std::fs::read_to_string(journal).is_ok_and(|text| text.contains("\ndone ")) {
        ensure!(!running.ended()?, "ended before it had proved anything");
        ensure!(started.elapsed() < Duration::from_secs(60), "nothing in {}", journal.display());
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Kills the call at random times. What is at `finished` then must be whole: `check` says so. Gives the
/// report of the run that was let be.
fn converges(
    call: &Call,
    finished: &Path,
    journal: &Path,
    seed: u64,
    check: impl Fn() -> Outcome,
) -> Outcome<serde_json::Value> {
    let mut choice = Noise::new(seed);
    for kill in 0..KILLS {
        let mut running = slow(call.clone()).start()?;
        if kill == 0 {
            proves_something(journal, &mut running)?;
        }
        thread::sleep(Duration::from_millis(choice.below(200)));
        ensure!(!running.ended()?, "ended by itself: {}", running.wait()?.describe());
        running.signal(Signal::KILL)?;
        running.wait()?;
        ensure!(!finished.exists(), "{} before it was whole", finished.display());
    }
    let report = call.json()?;
    check()?;
    Ok(report)
}

fn members() -> Outcome {
    let stage = stage()?;
    let dir = stage.out.join("members");
    let journal = stage.out.join(".members.partial/.0-vol-a.raw.journal");
    let check = || are_true(&stage, &dir).map(drop);
    let report = converges(&to_members(&stage, &dir), &dir, &journal, 1, check)?;
    let resumed: u64 = report["members"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|member| member["bytes"]["resumed"].as_u64())
        .sum();
    ensure!(resumed > 0, "nothing was left to go on with: {report}");
    Ok(())
}

fn image() -> Outcome {
    let stage = stage()?;
    let journal = stage.out.join(".volume.img.journal");
    let check = || hash::same_sha256("killed image", &stage.target(), &stage.sample.logical);
    let report = converges(&stage.restore(), &stage.target(), &journal, 2, check)?;
    ensure!(report["bytes"]["resumed"].as_u64() > Some(0), "nothing was left: {report}");
    let entries = std::fs::read_dir(&stage.out)?.count();
    ensure!(entries == 2, "{entries} entries beside the image");
    Ok(())
}

fn device() -> Outcome {
    let stage = stage()?;
    let disk = Disk::dirty(&stage.scratch, 40 << 20)?;
    let call = onto(&stage, disk.path()).option("--size", "40M");
    let behind = (40 << 20) - stage.sample.layout.logical_size();
    let zeros = vec![0; usize::try_from(behind)?];
    let never = stage.out.join("never");
    let journal = stage.scratch.path("journal");
    let check = || holds(&stage, disk.path(), &zeros);
    let report = converges(&call, &never, &journal, 3, check)?;
    ensure!(report["bytes"]["resumed"].as_u64() > Some(0), "nothing was left: {report}");
    Ok(())
}
