//! 130 and 143: interrupted, at once, with all that is durable left to go on with, or nothing at all.

use std::time::Duration;

use libtest_mimic::Trial;
use rustix::process::Signal;

use super::scene::{Kind, Target, await_that, goes_on, slow, stage, stop_after_proof};
use crate::support::journal::Journal;
use crate::support::needs::{LOOP_DEVICE, trial};
use crate::support::run::Ran;
use crate::support::{Outcome, ensure};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("interrupted_new_image", &[], || goes_on_after(Kind::NewImage)),
        trial("interrupted_file_in_place", &[], || goes_on_after(Kind::File)),
        trial("interrupted_device", &LOOP_DEVICE, || goes_on_after(Kind::Device)),
        trial("interrupted_early_new_image", &[], || leaves_nothing(Kind::NewImage)),
        trial("interrupted_early_file_in_place", &[], || leaves_nothing(Kind::File)),
        trial("interrupted_without_a_journal", &[], without_a_journal),
    ]
}

const SIGNALS: [(Signal, i32); 2] = [(Signal::INT, 130), (Signal::TERM, 143)];
/// The program looks every 50 ms; the rest is for a busy machine.
const AT_ONCE: Duration = Duration::from_secs(3);

fn ended(ran: &Ran, code: i32, hint: &str) -> Outcome {
    let found = ran.status.code();
    ensure!(found == Some(code), "expected exit code {code}, found {found:?}\n{}", ran.describe());
    ensure!(ran.stderr.contains(hint), "stderr does not say {hint:?}\n{}", ran.describe());
    Ok(())
}

fn goes_on_after(kind: Kind) -> Outcome {
    let stage = stage(16)?;
    let target = Target::make(kind, &stage)?;
    let call = target.restore(&stage);
    for (signal, code) in SIGNALS {
        target.make_dirty(&stage)?;
        // Two windows of 2 MiB wait their turn for half a second: they are not waited for.
        let (ran, took) = stop_after_proof(&slow(call.clone(), "4M"), &target.journal, signal)?;
        ended(&ran, code, "run the command again to go on from here")?;
        ensure!(took < AT_ONCE, "took {took:?} to stop\n{}", ran.describe());
        let said = Journal::read(&target.journal)?;
        ensure!(said.bytes() > 0 && target.unfinished.exists(), "nothing left to go on with");
        goes_on(&call, &said, stage.sample.layout.logical_size())?;
        target.is_finished(&stage.sample.logical)?;
    }
    Ok(())
}

/// The volume is all data, so that a rate of a few bytes lets nothing through before the signal.
fn leaves_nothing(kind: Kind) -> Outcome {
    let stage = stage(16)?;
    let target = Target::make(kind, &stage)?;
    let data = ["--offset", "0", "--length", "4M", "--limit-rate", "1K"];
    let call = target.restore(&stage).args(data);
    for (signal, code) in SIGNALS {
        let mut running = call.start()?;
        await_that(&mut running, "no journal", || Ok(target.journal.exists().then_some(())))?;
        running.await_handler_of(signal)?;
        running.signal(signal)?;
        let ran = running.wait()?;
        let hint = match kind {
            Kind::NewImage => "nothing was left; run the command again",
            _ => "may be partly overwritten; run the command again",
        };
        ended(&ran, code, hint)?;
        ensure!(!target.journal.exists(), "a journal of nothing is left\n{}", ran.describe());
        let partial = kind == Kind::NewImage && target.unfinished.exists();
        ensure!(!partial, "a partial image of nothing is left\n{}", ran.describe());
    }
    Ok(())
}

fn without_a_journal() -> Outcome {
    let stage = stage(16)?;
    let target = Target::make(Kind::NewImage, &stage)?;
    let call = target.restore(&stage).arg("--no-journal");
    for (signal, code) in SIGNALS {
        let mut running = call.clone().option("--limit-rate", "4M").start()?;
        await_that(&mut running, "no image", || Ok(target.unfinished.exists().then_some(())))?;
        running.await_handler_of(signal)?;
        std::thread::sleep(Duration::from_millis(300));
        running.signal(signal)?;
        ended(&running.wait()?, code, "run the command again")?;
        let left = std::fs::read_dir(&stage.out)?.count();
        // The bystander.
        ensure!(left == 1, "{left} entries left");
    }
    call.succeeds()?;
    target.is_finished(&stage.sample.logical)
}
