//! `attach --foreground` stays until a signal, and takes down what it made.

use std::fs::File;
use std::path::Path;

use libtest_mimic::Trial;
use rustix::process::Signal;

use crate::support::attachment::{ATTACH, Attachment, attach, until, unused_name};
use crate::support::needs::trial;
use crate::support::run::Running;
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure, tool};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("foreground_ends_on_sigterm", &ATTACH, || ends_on(Signal::TERM)),
        trial("foreground_ends_on_sigint", &ATTACH, || ends_on(Signal::INT)),
        trial("foreground_stays_while_it_is_in_use", &ATTACH, in_use),
        trial("foreground_ends_when_it_is_detached", &ATTACH, detached),
        trial("foreground_that_is_killed_takes_its_server_along", &ATTACH, killed),
    ]
}

/// A call in the foreground that can be used.
fn start(stage: &Stage) -> Outcome<(Running, Attachment)> {
    let name = unused_name();
    let running = attach(&stage.sets, &name).arg("--foreground").start()?;
    let mut attachment = Attachment { name, document: serde_json::Value::Null };
    let serves = || -> Outcome<Option<serde_json::Value>> {
        let all = crate::support::run::Call::new("attached").json()?;
        let all = all["attached"].as_array().cloned().unwrap_or_default();
        let own = all.into_iter().find(|entry| entry["name"] == attachment.name.as_str());
        Ok(own.filter(|own| own["server"] == "serving" && !own["volume"].is_null()))
    };
    until("it serves", || Ok(serves()?.is_some()))?;
    attachment.document = serves()?.ok_or("no longer serving")?["volume"].clone();
    tool::same_bytes(&attachment.file()?, &stage.sample.logical)?;
    Ok((running, attachment))
}

fn ends_on(signal: Signal) -> Outcome {
    let stage = Stage::new()?;
    let (running, attachment) = start(&stage)?;
    running.signal(signal)?;
    let ran = running.wait()?;
    ensure!(ran.status.code() == Some(0), "{}", ran.describe());
    let device = attachment.device()?;
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    ensure!(said.starts_with(&*device.to_string_lossy()), "{}", ran.describe());
    attachment.is_gone()
}

fn in_use() -> Outcome {
    let stage = Stage::new()?;
    let (mut running, attachment) = start(&stage)?;
    let held = File::open(attachment.file()?)?;
    running.signal(Signal::TERM)?;
    let own = format!("process {} ", std::process::id());
    running.await_message(&own)?;
    ensure!(!running.ended()?, "it has ended");
    tool::same_bytes(&attachment.file()?, &stage.sample.logical)?;
    drop(held);
    running.signal(Signal::TERM)?;
    let ran = running.wait()?;
    ensure!(ran.status.code() == Some(0), "{}", ran.describe());
    attachment.is_gone()
}

fn detached() -> Outcome {
    let stage = Stage::new()?;
    let (running, attachment) = start(&stage)?;
    attachment.detach().succeeds()?;
    let ran = running.wait()?;
    ensure!(ran.status.code() == Some(0), "{}", ran.describe());
    attachment.is_gone()
}

fn killed() -> Outcome {
    let stage = Stage::new()?;
    let (running, attachment) = start(&stage)?;
    running.signal(Signal::KILL)?;
    drop(running.wait()?);
    let place = Path::new("/run/snaprestore").join(&attachment.name);
    until("the server has ended", || Ok(!place.exists()))?;
    attachment.is_gone()
}
