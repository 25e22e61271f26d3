//! `--hydrate`: a raw image is made behind what is attached, and takes its place.

use std::path::PathBuf;

use libtest_mimic::Trial;

use crate::support::attachment::{ATTACH, Attachment, attach, until, unused_name};
use crate::support::hash::same_sha256;
use crate::support::needs::trial;
use crate::support::run::Call;
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure, scratch, tool};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_local_copy_is_made_behind", &ATTACH, made),
        trial("a_local_copy_goes_on_after_a_kill", &ATTACH, killed),
        trial("a_local_copy_takes_no_files_place", &[], refused),
    ]
}

fn hydrating(stage: &Stage, name: &str) -> Call {
    attach(&stage.sets, name).option("--hydrate", copy(stage))
}

fn copy(stage: &Stage) -> PathBuf {
    stage.scratch.path("copy.raw")
}

/// Waits until the copy has its name, and is what was captured.
fn comes_true(stage: &Stage, attachment: &Attachment) -> Outcome {
    until("the local copy is whole", || Ok(copy(stage).exists()))?;
    same_sha256("the local copy", &copy(stage), &stage.sample.logical)?;
    let size = scratch::len(&stage.sample.logical)?;
    let local = attachment.listed()?["status"]["local"].as_u64();
    ensure!(local == Some(size), "{local:?} of {size} bytes are local");
    ensure!(scratch::mode(&copy(stage))? == 0o600, "others may read it");
    // Nothing of its making is left.
    let left = scratch::files_below(stage.scratch.root())?;
    let trace = left.iter().find(|path| path.to_string_lossy().contains(".copy.raw"));
    ensure!(trace.is_none(), "{trace:?} is left");
    Ok(())
}

fn made() -> Outcome {
    let stage = Stage::new()?;
    let attachment = Attachment::by(|name| hydrating(&stage, name))?;
    // Right from the first moment on, and when all of it is read from the copy.
    tool::same_bytes(&attachment.file()?, &stage.sample.logical)?;
    comes_true(&stage, &attachment)?;
    tool::same_bytes(&attachment.device()?, &stage.sample.logical)?;
    attachment.detach_cleanly()
}

fn killed() -> Outcome {
    let stage = Stage::new()?;
    let attachment = Attachment::by(|name| hydrating(&stage, name))?;
    let death = attachment.kill_server()?;
    attachment.detach_cleanly()?;
    drop(death);
    // It may have been whole by then.
    if copy(&stage).exists() {
        return same_sha256("the local copy", &copy(&stage), &stage.sample.logical);
    }
    let attachment = Attachment::by(|name| hydrating(&stage, name))?;
    comes_true(&stage, &attachment)?;
    attachment.detach_cleanly()
}

fn refused() -> Outcome {
    let stage = Stage::new()?;
    scratch::write(&copy(&stage), b"precious")?;
    stage.refuses(hydrating(&stage, &unused_name()), 5, &["copy.raw"])?;
    ensure!(scratch::read(&copy(&stage))? == b"precious", "it was overwritten");
    let source = stage.file("vol-a")?;
    let call = attach(&stage.sets, &unused_name()).option("--hydrate", source);
    stage.refuses(call, 5, &["vol-a"])?;
    let both = stage.scratch.path("both.raw");
    let call = attach(&stage.sets, &unused_name()).option("--hydrate", &both);
    stage.refuses(call.option("--overlay", &both), 2, &["two files at once"])
}
