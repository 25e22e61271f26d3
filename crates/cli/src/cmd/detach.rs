//! `detach`: takes down what `attach` made.

use restore::attach::Attached;
use serde::Serialize;

use super::attach::home;
use crate::args::DetachArgs;
use crate::exit::{Exit, Failure};
use crate::output::{Output, name};

#[derive(Serialize)]
struct Detached {
    detached: Vec<String>,
}

/// Detaches what was named, or all. What cannot be detached does not keep the others.
pub(crate) fn run(args: &DetachArgs, output: Output) -> Result<Exit, Failure> {
    let home = home()?;
    let all = if args.all {
        Attached::all(&home).map_err(Failure::System)?
    } else {
        args.what.iter().map(|what| Attached::find(&home, what)).collect::<Result<_, _>>()?
    };
    let mut done = Detached { detached: Vec::new() };
    let mut failures = Vec::new();
    for attached in all {
        let name = attached.place().name().to_string();
        match attached.detach() {
            Ok(()) => done.detached.push(name),
            Err(error) => failures.push(Failure::from(error)),
        }
    }
    let last = failures.pop();
    for failure in failures {
        crate::output::note(&failure.message());
    }
    if let Some(failure) = last {
        return Err(failure);
    }
    output.result(&done, text)?;
    Ok(Exit::Done)
}

fn text(done: &Detached) -> String {
    if done.detached.is_empty() {
        return "nothing is attached".to_owned();
    }
    let lines: Vec<String> =
        done.detached.iter().map(|n| format!("detached {}", name(n))).collect();
    lines.join("\n")
}
