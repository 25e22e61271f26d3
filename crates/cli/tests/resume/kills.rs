//! Killed at any instant, a restore goes on: the end is the volume, and what was durable is not written again.

use std::time::Duration;

use libtest_mimic::Trial;
use rustix::process::Signal;

use super::scene::{Kind, Target, await_that, goes_on, killed, poke, slow, stage};
use crate::support::journal::Journal;
use crate::support::needs::{LOOP_DEVICE, long, trial};
use crate::support::noise::Noise;
use crate::support::run::Call;
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure, scratch};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("killed_new_image", &[], || kills(Kind::NewImage, false, 1)),
        trial("killed_new_image_preallocated", &[], || kills(Kind::NewImage, true, 2)),
        trial("killed_file_in_place", &[], || kills(Kind::File, false, 3)),
        trial("killed_file_in_place_preallocated", &[], || kills(Kind::File, true, 4)),
        trial("killed_device", &LOOP_DEVICE, || kills(Kind::Device, false, 5)),
        trial("killed_device_kept_allocated", &LOOP_DEVICE, || kills(Kind::Device, true, 6)),
        trial("proven_bytes_stay_new_image", &[], || poisoned(Kind::NewImage)),
        trial("proven_bytes_stay_file", &[], || poisoned(Kind::File)),
        trial("proven_bytes_stay_device", &LOOP_DEVICE, || poisoned(Kind::Device)),
    ]
}

/// At this rate a volume of 24 MiB takes a second.
const RATE: &str = "24M";
/// Every kill comes within so many milliseconds of the start: some before anything is durable, and after
/// three or so most of it is.
const LATEST_KILL: u64 = 500;

fn kills(kind: Kind, preallocate: bool, seed: u64) -> Outcome {
    let stage = stage(24)?;
    let target = Target::make(kind, &stage)?;
    let call = target.restore(&stage);
    let call = if preallocate { call.arg("--preallocate") } else { call };
    let call = slow(call, RATE);
    let wanted = if long() { 100 } else { 5 };
    let mut instants = Noise::new(seed);
    let mut history = vec![format!("seed {seed}")];
    let mut kills = 0;
    // The last run is left to end; one that ends before its kill makes way for another volume.
    while kills < wanted {
        target.make_dirty(&stage)?;
        kills += one_volume(&stage, &target, &call, wanted - kills, &mut instants, &mut history)
            .map_err(|e| format!("{}\n{}", e.message().unwrap_or_default(), history.join("\n")))?;
    }
    Ok(())
}

/// Kills up to `most` runs, until one ends, which is checked; gives how many were killed.
fn one_volume(
    stage: &Stage,
    target: &Target,
    call: &Call,
    most: usize,
    instants: &mut Noise,
    history: &mut Vec<String>,
) -> Outcome<usize> {
    let truth = &stage.sample.logical;
    let mut said = Journal::default();
    let mut kills = 0;
    while kills < most {
        let instant = Duration::from_millis(instants.below(LATEST_KILL));
        let running = call.start()?;
        std::thread::sleep(instant);
        running.signal(Signal::KILL)?;
        let ran = running.wait()?;
        if ran.met_a_fork_of_ours()? {
            continue;
        }
        if ran.status.success() {
            history.push(format!("ended within {instant:?}"));
            target.is_finished(truth)?;
            return Ok(kills);
        }
        ensure!(ran.status.code().is_none(), "neither killed nor done\n{}", ran.describe());
        let then = Journal::read(&target.journal)?;
        history.push(format!("killed after {instant:?}: {} bytes", then.bytes()));
        let renamed = target.kind == Kind::NewImage && target.path.exists();
        if renamed {
            // Killed after the image got its name: what is left is a journal of something finished.
            crate::support::tool::same_bytes(&target.path, truth)?;
            std::fs::remove_file(&target.journal).ok();
            return Ok(kills + 1);
        }
        if !target.journal.exists() && said.bytes() > 0 {
            // Killed after the journal was removed, which is the last thing of all.
            target.is_finished(truth)?;
            return Ok(kills + 1);
        }
        then.goes_on_from(&said)?;
        said = then;
        kills += 1;
    }
    goes_on(call, &said, stage.sample.layout.logical_size())?;
    target.is_finished(truth)?;
    Ok(kills)
}

/// Marks put into the unfinished target are still there in the end where it was durable, and nowhere else. A run
/// looks at what is durable before it goes on: those marks are put there after it has.
fn poisoned(kind: Kind) -> Outcome {
    const MARK: &[u8; 25] = b"<a mark put here by hand>";
    let stage = stage(24)?;
    let target = Target::make(kind, &stage)?;
    let call = target.restore(&stage);
    let said = killed(&call, &target.journal)?;
    let size = stage.sample.layout.logical_size();
    let truth = scratch::read(&stage.sample.logical)?;
    let mut expected = truth.clone();
    let (mut kept, mut lost) = (Vec::new(), 0);
    for at in (100_000..size - 100).step_by(500_000) {
        let range = at..at + MARK.len() as u64;
        if said.covers(&range) {
            kept.push(at);
        } else if said.misses(&range) {
            lost += 1;
            poke(&target.unfinished, at, MARK)?;
        }
    }
    ensure!(kept.len() > 2 && lost > 2, "{kept:?} in what was durable, {lost} elsewhere: {said:?}");

    // Before it has looked, one is enough, wherever it is.
    let first = usize::try_from(kept[kept.len() / 2])?;
    let own = &truth[first..first + MARK.len()];
    poke(&target.unfinished, first as u64, MARK)?;
    stage.refuses(call.clone(), 5, &["does not hold what the journal says", "--restart"])?;
    poke(&target.unfinished, first as u64, own)?;

    let mut running = slow(call, RATE).start()?;
    await_that(&mut running, "nothing more durable", || {
        Ok((Journal::read(&target.journal)?.bytes() > said.bytes()).then_some(()))
    })?;
    for at in kept {
        poke(&target.unfinished, at, MARK)?;
        let at = usize::try_from(at)?;
        expected[at..at + MARK.len()].copy_from_slice(MARK);
    }
    let ran = running.wait()?;
    ensure!(ran.status.success(), "{}", ran.describe());
    let truth = stage.scratch.path("expected.img");
    scratch::write(&truth, &expected)?;
    target.is_finished(&truth)
}
