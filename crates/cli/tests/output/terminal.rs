//! Progress: a bar on a terminal, gone when the work is done; nothing of it elsewhere, and none with `-q`.

use libtest_mimic::Trial;

use crate::support::layout::Layout;
use crate::support::needs::{Need, trial};
use crate::support::run::BINARY;
use crate::support::sample::{Sample, restore};
use crate::support::scratch::Scratch;
use crate::support::{Outcome, ensure, tool};

pub(crate) fn trials() -> Vec<Trial> {
    let needs = [Need::Tool("script")];
    vec![
        trial("progress_bar_on_a_terminal", &needs, on_a_terminal),
        trial("no_progress_bar_in_a_pipe", &[], in_a_pipe),
    ]
}

/// Large enough to be seen at work.
fn sample(scratch: &Scratch) -> Outcome<Sample> {
    Sample::make(&scratch.path("members"), Layout::new().linear(384 << 20, ("vol-a", 0)), 3)
}

/// What a terminal is sent by the commands with a bar.
fn typescript(scratch: &Scratch, sample: &Sample, flags: &str) -> Outcome<Vec<(String, String)>> {
    let sets = scratch.path("sets").display().to_string();
    let member = sample.members["vol-a"].display().to_string();
    let target = scratch.path("volume.img").display().to_string();
    let mut sent = Vec::new();
    for (verb, command) in [
        ("capturing", format!("capture -o {sets} --member vol-a={member} --set-id dsnap-0")),
        ("verifying", format!("verify {sets}")),
        ("restoring", format!("restore {sets} -o {target} --force")),
    ] {
        let line = format!("stty cols 100 && exec {BINARY} {command} -j 1 {flags}");
        let text = tool::run("script", ["-qefc", &line, "/dev/null"])?;
        sent.push((verb.to_owned(), text));
    }
    std::fs::remove_dir_all(scratch.path("sets"))?;
    Ok(sent)
}

fn on_a_terminal() -> Outcome {
    let scratch = Scratch::new()?;
    let sample = sample(&scratch)?;
    for (verb, text) in typescript(&scratch, &sample, "")? {
        // How far of how much, and how fast.
        for part in [verb.as_str(), " MiB ", "iB/s"] {
            ensure!(text.contains(part), "no {part:?} in {text:?}");
        }
        // A full bar of nothing is no progress.
        ensure!(!text.contains("/0 B"), "{text:?}");
        // The bar is cleared before the report.
        let report = text.rsplit("\u{1b}[2K").next().unwrap_or_default();
        ensure!(!report.contains(&verb) && report.contains("dsnap-0"), "{text:?}");
    }
    for (verb, text) in typescript(&scratch, &sample, "-q")? {
        ensure!(!text.contains(&verb) && !text.contains('\u{1b}'), "{text:?}");
    }
    Ok(())
}

fn in_a_pipe() -> Outcome {
    let scratch = Scratch::new()?;
    let sample = sample(&scratch)?;
    let sets = scratch.dir("sets")?;
    let capture = sample.capture(&sets, "dsnap-0");
    let restore = restore(&[&sets], &scratch.path("volume.img"));
    for call in [capture, restore] {
        let ran = call.succeeds()?;
        let escapes = ran.stderr.contains(['\u{1b}', '\r']);
        ensure!(!escapes, "drawn where nobody sees it\n{}", ran.describe());
    }
    Ok(())
}
