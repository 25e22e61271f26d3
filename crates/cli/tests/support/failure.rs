//! What every refusal owes its user: the exit code of the contract, one clear line and a hint, one JSON
//! document if asked for, and no trace on disk.

use std::path::Path;

use super::hash::Census;
use super::run::{Call, Ran};
use super::{Outcome, ensure};

/// A call that must fail, and how.
pub(crate) struct Refusal<'a> {
    pub(crate) call: Call,
    pub(crate) code: i32,
    /// Words the message or its hint must contain.
    pub(crate) mentions: &'a [&'a str],
    /// Directories nothing may change in: sources and the target's directory.
    pub(crate) untouched: &'a [&'a Path],
}

/// What clap says of a command line it cannot read: the mistake, a tip perhaps, and the usage.
const MOST_LINES_OF_USAGE: usize = 8;

impl Refusal<'_> {
    pub(crate) fn check(&self) -> Outcome {
        let before = Census::take(self.untouched)?;
        let plain = self.call.exits(self.code)?;
        before.unchanged(&plain.describe())?;
        self.check_text(&plain)?;
        ensure!(plain.stdout.is_empty(), "a failure wrote to stdout\n{}", plain.describe());

        let json = self.call.clone().arg("--json").exits(self.code)?;
        before.unchanged(&json.describe())?;
        self.check_text(&json)?;
        self.check_document(&json)
    }

    /// `snaprestore: MESSAGE` and `  hint: …`, or what clap says. What is told before of a target that was to
    /// be overwritten does not count.
    fn check_text(&self, ran: &Ran) -> Outcome {
        let told = |l: &&str| !l.trim().is_empty() && !l.starts_with("snaprestore: overwriting ");
        let lines: Vec<&str> = ran.stderr.lines().filter(told).collect();
        let good = match &lines[..] {
            [message, hint] if !message.starts_with("error: ") => {
                message.starts_with("snaprestore: ") && hint.starts_with("  hint: ")
            }
            [first, ..] => first.starts_with("error: ") && lines.len() <= MOST_LINES_OF_USAGE,
            [] => false,
        };
        ensure!(good, "not a message and a hint on stderr\n{}", ran.describe());
        for bad in ["panicked", "RUST_BACKTRACE", "Os {", "Error {"] {
            ensure!(!ran.stderr.contains(bad), "stderr says {bad:?}\n{}", ran.describe());
        }
        for word in self.mentions {
            ensure!(ran.stderr.contains(word), "stderr does not say {word:?}\n{}", ran.describe());
        }
        Ok(())
    }

    /// `{"error":{"message","hint","exit_code"}}`, and its message is the one on stderr.
    fn check_document(&self, ran: &Ran) -> Outcome {
        let error = &ran.document()?["error"];
        let code = error["exit_code"].as_i64();
        ensure!(code == Some(self.code.into()), "exit_code is {code:?}\n{}", ran.describe());
        let message = error["message"].as_str().unwrap_or_default();
        let hint = error["hint"].as_str().unwrap_or_default();
        ensure!(
            !message.is_empty() && !hint.is_empty(),
            "no message or no hint\n{}",
            ran.describe()
        );
        ensure!(ran.stderr.contains(message), "stderr has another message\n{}", ran.describe());
        Ok(())
    }
}
