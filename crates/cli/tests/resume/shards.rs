//! A restore that several processes share: in any order or all at the same time, they bring what one brings.

use std::path::Path;

use libtest_mimic::Trial;
use rustix::process::Signal;

use super::scene::{Kind, Target, await_proof, bytes, slow, stage};
use crate::support::journal::Journal;
use crate::support::needs::{LOOP_DEVICE, trial};
use crate::support::noise::Noise;
use crate::support::run::{Call, Ran, Running};
use crate::support::sample::restore;
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure, scratch};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("shards_one_after_the_other_file", &[], || in_any_order(Kind::File)),
        trial("shards_one_after_the_other_device", &LOOP_DEVICE, || in_any_order(Kind::Device)),
        trial("shards_at_the_same_time_file", &[], || at_the_same_time(Kind::File)),
        trial("shards_at_the_same_time_device", &LOOP_DEVICE, || at_the_same_time(Kind::Device)),
        trial("a_killed_shard_goes_on_file", &[], || killed_shard(Kind::File)),
        trial("a_killed_shard_goes_on_device", &LOOP_DEVICE, || killed_shard(Kind::Device)),
        trial("shards_need_a_target_of_the_right_size", &[], wrong_targets),
        trial("shards_and_whole_restores_keep_apart_file", &[], || apart(Kind::File)),
        trial("shards_and_whole_restores_keep_apart_device", &LOOP_DEVICE, || apart(Kind::Device)),
    ]
}

/// One part. On a device each has a journal of its own by name.
fn shard(stage: &Stage, target: &Target, number: usize, count: usize) -> Call {
    let call = restore(&[&stage.sets], &target.path).arg("--in-place");
    let call = call.option("--shard", format!("{number}/{count}"));
    call.option("--journal", journal(stage, number, count))
}

fn journal(stage: &Stage, number: usize, count: usize) -> std::path::PathBuf {
    stage.out.join(format!("part-{number}-of-{count}.journal"))
}

/// The target is the volume, also by what the program itself says, and no journal is left.
fn whole(stage: &Stage, target: &Target) -> Outcome {
    target.is_finished(&stage.sample.logical)?;
    Call::new("verify").arg(&stage.sets).option("--target", &target.path).succeeds()?;
    let left = scratch::files_below(&stage.out)?;
    let journals: Vec<_> =
        left.iter().filter(|path| path.to_string_lossy().ends_with("journal")).collect();
    ensure!(journals.is_empty(), "left: {journals:?}");
    Ok(())
}

fn in_any_order(kind: Kind) -> Outcome {
    let stage = stage(16)?;
    let size = stage.sample.layout.logical_size();
    let target = Target::make(kind, &stage)?;
    let mut chance = Noise::new(3);
    for count in 1..=5 {
        target.make_dirty(&stage)?;
        let mut order: Vec<usize> = (1..=count).collect();
        for last in (1..count).rev() {
            order.swap(last, usize::try_from(chance.below(last as u64 + 1))?);
        }
        let mut all = 0;
        for number in &order {
            let report = shard(&stage, &target, *number, count).json()?;
            for what in ["data", "zero", "hole", "unmapped"] {
                all += bytes(&report, what)?;
            }
        }
        ensure!(all == size, "parts {order:?} restored {all} of {size} bytes");
        whole(&stage, &target)?;
    }
    Ok(())
}

/// Waits for a part; one that took a fork of this test for a writer is run again.
fn ended(running: Running, call: &Call) -> Outcome<Ran> {
    let ran = running.wait()?;
    if ran.met_a_fork_of_ours()? { call.run() } else { Ok(ran) }
}

fn at_the_same_time(kind: Kind) -> Outcome {
    let stage = stage(16)?;
    let target = Target::make(kind, &stage)?;
    for count in 1..=5 {
        target.make_dirty(&stage)?;
        let calls: Vec<Call> = (1..=count).map(|n| shard(&stage, &target, n, count)).collect();
        let mut started = Vec::new();
        for call in &calls {
            // Slow, so that they do meet.
            started.push(slow(call.clone().option("-j", "1"), "16M").start()?);
        }
        for (running, call) in started.into_iter().zip(&calls) {
            let ran = ended(running, call)?;
            ensure!(ran.status.success(), "a part failed\n{}", ran.describe());
        }
        whole(&stage, &target)?;
    }
    Ok(())
}

fn killed_shard(kind: Kind) -> Outcome {
    let stage = stage(24)?;
    let target = Target::make(kind, &stage)?;
    let second = shard(&stage, &target, 2, 3);
    let place = journal(&stage, 2, 3);
    let mut running = slow(second.clone(), "6M").start()?;
    await_proof(&mut running, &place)?;
    running.signal(Signal::KILL)?;
    running.wait()?;
    let said = Journal::read(&place)?;
    ensure!(said.bytes() > 0, "nothing durable");
    // The others do not mind.
    for number in [3, 1] {
        shard(&stage, &target, number, 3).succeeds()?;
    }
    // Another division has other parts.
    let other = restore(&[&stage.sets], &target.path).args(["--in-place", "--shard", "2/4"]);
    stage.refuses(other.option("--journal", &place), 5, &["journal of another", "of bytes"])?;
    let report = second.json()?;
    let resumed = bytes(&report, "resumed")?;
    ensure!(resumed == said.bytes(), "{resumed} bytes resumed of {said:?}");
    whole(&stage, &target)
}

fn wrong_targets() -> Outcome {
    let stage = stage(16)?;
    let size = stage.sample.layout.logical_size();
    let part = |number: usize| {
        let call = stage.restore().arg("--in-place");
        call.option("--shard", format!("{number}/2"))
    };
    // None is made, for two could not agree on it.
    stage.refuses(part(2), 7, &["volume.img", "needs a target that exists"])?;
    drop(scratch::set_len(&stage.target(), size - 512)?);
    stage.refuses(part(2), 5, &["volume.img", "take a larger target"])?;
    stage.restore().option("--shard", "1/2").exits(2)?;
    drop(scratch::set_len(&stage.target(), size)?);
    for bad in ["0/2", "3/2", "1", "1/0", "a/b", "-1/2"] {
        let ran = stage.restore().arg("--in-place").arg(format!("--shard={bad}")).run()?;
        ensure!(ran.status.code() == Some(2), "{}", ran.describe());
    }
    for number in [2, 1] {
        part(number).succeeds()?;
    }
    crate::support::tool::same_bytes(&stage.target(), &stage.sample.logical)
}

/// Who restores all of a target shares it with nobody.
fn apart(kind: Kind) -> Outcome {
    let stage = stage(16)?;
    let target = Target::make(kind, &stage)?;
    let plain = target.restore(&stage);
    let part = shard(&stage, &target, 1, 2);
    let part_journal = journal(&stage, 1, 2);
    for (first, journal, second) in
        [(&part, &part_journal, &plain), (&plain, &target.journal, &part)]
    {
        target.make_dirty(&stage)?;
        refused_meanwhile(&slow(first.clone(), "16M"), journal, second)?;
    }
    // The same part twice is no sharing either.
    refused_meanwhile(&slow(part.clone(), "16M"), &part_journal, &part)?;
    shard(&stage, &target, 2, 2).succeeds()?;
    whole(&stage, &target)
}

fn refused_meanwhile(first: &Call, journal: &Path, second: &Call) -> Outcome {
    let mut running = first.start()?;
    await_proof(&mut running, journal)?;
    running.signal(Signal::STOP)?;
    let refused = second.exits(5)?;
    ensure!(refused.stderr.contains("hint: wait for"), "{}", refused.describe());
    running.signal(Signal::CONT)?;
    let ran = running.wait()?;
    ensure!(ran.status.success(), "the first one failed\n{}", ran.describe());
    Ok(())
}
