//! `detach`: takes down what `attach` made.

use attach::{Attached, DetachError};
use serde::Serialize;

use super::attach::home;
use crate::args::DetachArgs;
use crate::exit::{Exit, Failure};
use crate::output::{Output, name, note};

#[derive(Serialize)]
struct Detached {
    detached: Vec<String>,
}

/// Detaches what was named, or all. What cannot be detached does not keep the others.
pub(crate) fn run(args: &DetachArgs, output: Output) -> Result<Exit, Failure> {
    let home = home()?;
    let all: Vec<Result<Attached, DetachError>> = if args.all {
        Attached::all(&home)?.into_iter().map(Ok).collect()
    } else {
        args.what.iter().map(|what| Attached::find(&home, what)).collect()
    };
    let mut done = Detached { detached: Vec::new() };
    let mut failures = Vec::new();
    for found in all {
        let detached = found.and_then(|attached| {
            let name = attached.place().name().to_string();
            attached.detach().map(|()| name)
        });
        match detached {
            Ok(name) => done.detached.push(name),
            Err(error) => failures.push(Failure::from(error)),
        }
    }
    let Some(worst) = take_worst(&mut failures) else {
        output.result(&done, text)?;
        return Ok(Exit::Done);
    };
    for failure in failures {
        note(&failure.message());
    }
    if output.is_json() {
        return Ok(output.failure_after(&worst, &done));
    }
    if !done.detached.is_empty() {
        output.result(&done, text)?;
    }
    Err(worst)
}

/// The failure whose exit code the run has.
fn take_worst(failures: &mut Vec<Failure>) -> Option<Failure> {
    let worst = failures.iter().enumerate().min_by_key(|(_, failure)| failure.exit().rank())?.0;
    Some(failures.remove(worst))
}

fn text(done: &Detached) -> String {
    if done.detached.is_empty() {
        return "nothing is attached".to_owned();
    }
    let lines: Vec<String> =
        done.detached.iter().map(|n| format!("detached {}", name(n))).collect();
    lines.join("\n")
}
