//! The command line: arguments in, one library call, text or JSON out.
#![forbid(unsafe_code)]

mod args;
mod backup;
mod cmd;
mod exit;
mod fingerprint;
mod given;
mod members;
mod output;
mod select;
mod signals;
mod stack;
mod subject;
mod view;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use exit::{Exit, Failure};
use output::Output;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return output::usage(&error).into(),
    };
    raise_file_limit();
    let output = Output::new(cli.common.json);
    cli.common.note_jobs();
    let result = run(cli, output);
    match result {
        Ok(exit) => exit,
        Err(failure) => output.failure(&failure),
    }
    .into()
}

fn run(cli: Cli, output: Output) -> Result<Exit, Failure> {
    match cli.command {
        Command::Capture(args) => cmd::capture::run(&args, &cli.common, output),
        Command::List(args) => cmd::list::run(&args, &cli.common, output),
        Command::Inspect(args) => cmd::inspect::run(&args, &cli.common, output),
        Command::Verify(args) => cmd::verify::run(&args, &cli.common, output),
        Command::Restore(args) => cmd::restore::run(&args, &cli.common, output),
        Command::Plan(args) => cmd::restore::plan::run(&args, &cli.common, output),
        Command::Read(args) => cmd::read::run(&args, &cli.common, output),
        Command::Attach(args) => cmd::attach::run(&args, &cli.common, output),
        Command::Attached => cmd::attached::run(output),
        Command::Detach(args) => cmd::detach::run(&args, output),
        Command::GuessLayout(args) => cmd::guess_layout::run(&args, output),
        Command::Rebuild(args) => cmd::rebuild::run(&args, output),
    }
}

/// A long chain of snapshots is many open files: takes what the hard limit allows.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    // Without it, only very long chains fail, and they say why.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
}
