//! Named pipes, and processes that write to them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::needs::Need;
use super::{Outcome, tool};

/// What a test with named pipes needs.
pub(crate) const FEED: [Need; 2] = [Need::Tool("mkfifo"), Need::Tool("dd")];

/// A named pipe that a file comes through, as soon as somebody reads; ended when dropped.
pub(crate) struct Feed {
    pipe: PathBuf,
    child: Child,
}

impl Feed {
    pub(crate) fn start(from: &Path, pipe: PathBuf) -> Outcome<Self> {
        tool::run("mkfifo", [&pipe])?;
        let word = |name: &str, path: &Path| {
            let mut word = OsString::from(name);
            word.push(path);
            word
        };
        // It waits in open(2), which a shell's redirection would do before there is a child to end.
        let child = Command::new(tool::find("dd").ok_or("no dd")?)
            .args([word("if=", from), word("of=", &pipe), "bs=64k".into()])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { pipe, child })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.pipe
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
