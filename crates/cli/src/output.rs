//! Text or JSON on standard output, messages on standard error.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl, fstat, makedev};
use serde::{Serialize, Serializer};
use serde_json::json;

use crate::exit::{Exit, Failure};

/// How to say things.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    /// As the arguments say.
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints a result: as JSON, or as the text that `text` makes of it.
    pub(crate) fn result<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        let mut out = if self.json { render(value) } else { text(value) };
        if !out.ends_with('\n') {
            out.push('\n');
        }
        let mut stdout = io::stdout().lock();
        stdout.write_all(out.as_bytes()).and_then(|()| stdout.flush()).map_err(Failure::Stdout)
    }

    /// Why standard output cannot take the bytes of a volume, and nothing else.
    pub(crate) fn refuses_bytes(self) -> Option<&'static str> {
        if io::stdout().is_terminal() {
            Some("standard output is a terminal")
        } else if self.json {
            Some("standard output has the bytes, and --json asks for the report there")
        } else if is_closed() {
            Some("standard output is closed")
        } else {
            None
        }
    }

    /// Whether JSON was asked for.
    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    /// Whether results are shown as text where messages are.
    pub(crate) fn is_on_terminal(self) -> bool {
        !self.json && io::stdout().is_terminal() && io::stderr().is_terminal()
    }

    /// Prints a failure and gives its exit code.
    pub(crate) fn failure(self, failure: &Failure) -> Exit {
        self.failure_after(failure, &json!({}))
    }

    /// The same of a run that has done something nevertheless, which its JSON document says beside the error.
    pub(crate) fn failure_after<T: Serialize>(self, failure: &Failure, done: &T) -> Exit {
        let (message, hint, exit) = (failure.message(), failure.hint(), failure.exit());
        note(&message);
        say(&format!("  hint: {}", line(&hint)));
        if self.json {
            print_error(&message, &hint, exit, done);
        }
        exit
    }
}

/// A line on standard error.
pub(crate) fn note(text: &str) {
    say(&format!("snaprestore: {}", line(text)));
}

/// Text on standard error. That the reader may be gone is no reason to stop.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints what clap has to say: help and version as they are, a mistake with its usage.
pub(crate) fn usage(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        return if error.print().is_ok() { Exit::Done } else { Exit::Failed };
    }
    let text = error.render().to_string();
    say(text.trim_end());
    if std::env::args_os().any(|arg| arg == "--json") {
        let first = text.lines().next().unwrap_or_default();
        let message = first.strip_prefix("error: ").unwrap_or(first);
        let hint = "snaprestore --help shows what there is";
        print_error(message, hint, Exit::Usage, &json!({}));
    }
    Exit::Usage
}

/// The one JSON document of a run that failed. When standard output is gone too, the exit code is
/// all that is left.
fn print_error<T: Serialize>(message: &str, hint: &str, exit: Exit, done: &T) {
    #[derive(Serialize)]
    struct Document<'d, T> {
        error: serde_json::Value,
        #[serde(flatten)]
        done: &'d T,
    }
    let error = json!({ "message": message, "hint": hint, "exit_code": exit as u8 });
    let error = Document { error, done };
    let _ = writeln!(io::stdout(), "{}", render(&error));
}

pub(crate) fn render<T: Serialize>(value: &T) -> String {
    // Plain structs, text as keys and paths as text: there is nothing that JSON cannot say.
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// A size for people: `1.5 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// Bytes a second.
pub(crate) fn rate(bytes: u64, time: Duration) -> u64 {
    let millis = time.as_millis().max(1);
    u64::try_from(u128::from(bytes) * 1000 / millis).unwrap_or(u64::MAX)
}

/// A name from a file, harmless on a terminal.
pub(crate) fn name(text: &str) -> String {
    text.escape_debug().to_string()
}

/// A message with paths and names in it, on one line and harmless on a terminal.
pub(crate) fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || reorders(c) {
            out.extend(c.escape_debug());
        } else {
            out.push(c);
        }
    }
    out
}

/// Marks that break lines or change the order text is shown in (Unicode Bidirectional Algorithm, 2).
fn reorders(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A path in a report. JSON has text only: what is not UTF-8 is replaced there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PathView(PathBuf);

impl<P: AsRef<Path>> From<P> for PathView {
    fn from(path: P) -> Self {
        Self(path.as_ref().to_owned())
    }
}

impl PathView {
    /// The file of this name in another directory.
    pub(crate) fn moved_to(&self, directory: &Path) -> Self {
        Self(directory.join(self.0.file_name().unwrap_or_default()))
    }
}

impl fmt::Display for PathView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&line(&self.0.to_string_lossy()))
    }
}

impl Serialize for PathView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_string_lossy())
    }
}

/// Whether the process was started without a standard output. The standard library has opened `/dev/null` in its place
/// then, to read and write; a shell opens it to write alone.
fn is_closed() -> bool {
    let stdout = io::stdout();
    let is_null = fstat(&stdout).is_ok_and(|stat| stat.st_rdev == makedev(1, 3));
    is_null && fcntl_getfl(&stdout).is_ok_and(|flags| flags.contains(OFlags::RDWR))
}
