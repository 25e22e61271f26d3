//! The help of each command, word for word: `help/COMMAND.txt`, and `help/snaprestore.txt` for the whole. After an
//! intended change `SNAPRESTORE_TEST_BLESS=1` writes them anew.

use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use crate::support::needs::{asked_for, trial};
use crate::support::run::{COMMANDS, Call, Ran};
use crate::support::scratch::write;
use crate::support::{Outcome, ensure};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("help", &[], || golden("snaprestore", &Call::new("--help"))),
        trial("help_names_every_command", &[], names_every_command),
        trial("version", &[], version),
    ];
    trials.extend(COMMANDS.map(|command| {
        let name = format!("help_of_{command}");
        trial(&name, &[], move || golden(command, &Call::new(command).arg("--help")))
    }));
    trials
}

fn text(ran: &Ran) -> Outcome<String> {
    ensure!(ran.stderr.is_empty(), "not only on stdout\n{}", ran.describe());
    Ok(String::from_utf8(ran.stdout.clone())?)
}

fn golden(name: &str, call: &Call) -> Outcome {
    let found = text(&call.succeeds()?)?;
    let path: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "tests", "help", &format!("{name}.txt")].iter().collect();
    if asked_for("SNAPRESTORE_TEST_BLESS") {
        return write(&path, found.as_bytes());
    }
    let expected =
        std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let differs = found.lines().zip(expected.lines()).find(|(a, b)| a != b);
    ensure!(
        found == expected,
        "{} is not what {} says, first {differs:?}; SNAPRESTORE_TEST_BLESS=1 writes it anew",
        call.line(),
        path.display()
    );
    no_stale_file(path.parent().unwrap_or(Path::new(".")))
}

/// No file is left of a command that is gone.
fn no_stale_file(dir: &Path) -> Outcome {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let known = stem == "snaprestore" || COMMANDS.contains(&stem.as_str());
        ensure!(known, "{} is of no command", path.display());
    }
    Ok(())
}

fn names_every_command() -> Outcome {
    let help = text(&Call::new("--help").succeeds()?)?;
    let listed: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .map_while(|line| line.split_whitespace().next())
        .collect();
    ensure!(
        listed[..listed.len().min(COMMANDS.len())] == COMMANDS,
        "commands without a golden help: {listed:?}"
    );
    // All three ways of asking are one.
    for command in COMMANDS {
        let long = text(&Call::new(command).arg("--help").succeeds()?)?;
        let by_help = text(&Call::new("help").arg(command).succeeds()?)?;
        ensure!(long == by_help, "help {command} and {command} --help differ");
        text(&Call::new(command).arg("-h").succeeds()?)?;
    }
    Ok(())
}

fn version() -> Outcome {
    let expected = concat!("snaprestore ", env!("CARGO_PKG_VERSION"), "\n");
    for flag in ["--version", "-V"] {
        let found = text(&Call::new(flag).succeeds()?)?;
        ensure!(found == expected, "{flag}: {found:?}");
    }
    Ok(())
}
