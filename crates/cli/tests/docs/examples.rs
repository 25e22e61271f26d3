//! The examples of the pages, run as one session each.

use std::process::Command;

use super::{page, root};
use crate::support::needs::Need;
use crate::support::run::BINARY;
use crate::support::scratch::Scratch;
use crate::support::{Outcome, ensure};

/// A command of an example and what the page says it prints.
struct Example {
    line: usize,
    command: String,
    output: Vec<String>,
}

/// The commands in the console blocks of a page, in order.
fn examples_in(page: &str) -> Outcome<Vec<Example>> {
    let mut found: Vec<Example> = Vec::new();
    let mut inside = false;
    for (number, line) in page.lines().enumerate() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if inside {
            match (line.strip_prefix("$ "), found.last_mut()) {
                (Some(command), _) => found.push(Example {
                    line: number + 1,
                    command: command.to_owned(),
                    output: Vec::new(),
                }),
                (None, Some(last)) => last.output.push(line.to_owned()),
                (None, None) => return Err(format!("line {}: output of what?", number + 1).into()),
            }
        }
    }
    Ok(found)
}

/// What the examples of a page need beyond what every machine has.
pub(crate) fn tools_of(name: &str) -> Vec<Need> {
    let text = page(name).unwrap_or_default();
    let commands: Vec<String> =
        examples_in(&text).unwrap_or_default().into_iter().map(|e| e.command).collect();
    let used = |tool: &str| commands.iter().any(|c| c.split_whitespace().any(|w| w == tool));
    ["zstd", "tar", "e2fsck", "debugfs"].into_iter().filter(|t| used(t)).map(Need::Tool).collect()
}

/// Runs the examples of a page as one session in an empty directory that has only the test data.
pub(crate) fn run_all(name: &'static str) -> Outcome {
    let scratch = Scratch::new()?;
    let bin = scratch.dir("bin")?;
    std::os::unix::fs::symlink(BINARY, bin.join("snaprestore"))?;
    let work = scratch.dir("work")?;
    std::os::unix::fs::symlink(root().canonicalize()?.join("testdata"), work.join("testdata"))?;
    let path = format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", bin.display());
    let examples = examples_in(&page(name)?)?;
    ensure!(!examples.is_empty(), "{name} has no examples");
    let mut status = 0;
    for (example, next) in examples.iter().zip(examples.iter().skip(1).map(Some).chain([None])) {
        let Example { line, command, output } = example;
        // `$?` is that of the command before.
        let script = format!("(exit {status})\n{command}");
        let ran = Command::new("sh")
            .args(["-c", &format!("exec 2>&1\n{script}")])
            .current_dir(&work)
            .env("PATH", &path)
            .env("LC_ALL", "C")
            .env("TZ", "UTC0")
            .stdin(std::process::Stdio::null())
            .output()?;
        status = ran.status.code().unwrap_or(-1);
        let shown = next.is_some_and(|n| n.command == "echo $?");
        let text = String::from_utf8_lossy(&ran.stdout).into_owned();
        ensure!(status == 0 || shown, "{name}:{line}: {command}: exit code {status}\n{text}");
        let real: Vec<String> = text.lines().map(without_times).collect();
        let said: Vec<String> = output.iter().map(|l| without_times(l)).collect();
        ensure!(matches(&said, &real), "{name}:{line}: {command} prints\n{text}");
    }
    Ok(())
}

/// Fields that are different each time, or on each machine.
const VARYING: [&str; 5] =
    ["seconds", "available_bytes", "decode_bytes_per_second", "decode_seconds", "memory"];

/// Times and rates are different each time.
fn without_times(line: &str) -> String {
    let blanks = line.len() - line.trim_start().len();
    let (indent, rest) = line.split_at(blanks);
    for name in VARYING {
        if rest.starts_with(&format!("{name:?}: ")) {
            let comma = if rest.ends_with(',') { "," } else { "" };
            return format!("{indent}{name:?}: T{comma}");
        }
    }
    if rest.starts_with("decoding takes about ") || rest.ends_with(" free") {
        return format!("{indent}T");
    }
    match rest.split_once(" of data; ") {
        Some((times, rest)) if times.ends_with("/s") => format!("{indent}T, R of data; {rest}"),
        _ => line.to_owned(),
    }
}

/// Whether lines are as said, where a line `...` stands for any number of them.
fn matches(said: &[String], real: &[String]) -> bool {
    match said.split_first() {
        None => real.is_empty(),
        Some((first, rest)) if first == "..." => {
            (0..=real.len()).any(|skipped| matches(rest, &real[skipped..]))
        }
        Some((first, rest)) => {
            real.split_first().is_some_and(|(line, real)| line == first && matches(rest, real))
        }
    }
}
