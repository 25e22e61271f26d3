//! Running the built binary and holding what came of it.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Outcome, ensure};

/// How long the moment between fork and exec may be on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_snaprestore");

/// Its subcommands, all of them.
pub(crate) const COMMANDS: [&str; 12] = [
    "capture",
    "list",
    "inspect",
    "verify",
    "restore",
    "plan",
    "read",
    "attach",
    "attached",
    "detach",
    "guess-layout",
    "rebuild",
];

/// One call of the binary, not yet made.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    args: Vec<OsString>,
    /// Shell text put before the binary and its arguments.
    prelude: Option<String>,
    binary: PathBuf,
}

impl Call {
    pub(crate) fn new(subcommand: &str) -> Self {
        Self { args: vec![subcommand.into()], prelude: None, binary: BINARY.into() }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub(crate) fn args<I, S>(mut self, args: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// An option and its value.
    pub(crate) fn option(self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.arg(name).arg(value)
    }

    /// `NAME=PATH` after `--member`.
    pub(crate) fn member(self, id: &str, path: &Path) -> Self {
        let mut value = OsString::from(format!("{id}="));
        value.push(path);
        self.option("--member", value)
    }

    /// Puts shell text before the command line, such as `umask 0; exec` or `exec setpriv --reuid=1`.
    pub(crate) fn within(mut self, prelude: &str) -> Self {
        self.prelude = Some(prelude.to_owned());
        self
    }

    /// The same arguments for another subcommand.
    pub(crate) fn instead(mut self, subcommand: &str) -> Self {
        self.args[0] = subcommand.into();
        self
    }

    /// Another copy of the binary, where the built one cannot be reached.
    pub(crate) fn with_binary(mut self, binary: &Path) -> Self {
        binary.clone_into(&mut self.binary);
        self
    }

    pub(crate) fn run(&self) -> Outcome<Ran> {
        let started = Instant::now();
        loop {
            let ran = self.run_once()?;
            if !ran.met_a_fork_of_ours()? || started.elapsed() > PATIENCE {
                return Ok(ran);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn run_once(&self) -> Outcome<Ran> {
        let output = self.command().output().map_err(|e| format!("{}: {e}", self.line()))?;
        Ok(Ran {
            line: self.line(),
            status: output.status,
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs it and demands an exit code.
    pub(crate) fn exits(&self, code: i32) -> Outcome<Ran> {
        let ran = self.run()?;
        ensure!(
            ran.status.code() == Some(code),
            "expected exit code {code}, found {}\n{}",
            ran.status,
            ran.describe()
        );
        Ok(ran)
    }

    pub(crate) fn succeeds(&self) -> Outcome<Ran> {
        self.exits(0)
    }

    /// Runs it with `--json`, demands an exit code, and returns the one document on stdout.
    pub(crate) fn json_exits(&self, code: i32) -> Outcome<Value> {
        self.clone().arg("--json").exits(code)?.document()
    }

    /// The JSON document of a call that succeeds.
    pub(crate) fn json(&self) -> Outcome<Value> {
        self.json_exits(0)
    }

    /// Starts it without waiting. The caller signals it; dropping the guard kills and reaps it.
    pub(crate) fn start(&self) -> Outcome<Running> {
        let child = self
            .command()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{}: {e}", self.line()))?;
        Ok(Running { line: self.line(), child: Some(child) })
    }

    pub(crate) fn line(&self) -> String {
        let mut words = Vec::new();
        if let Some(prelude) = &self.prelude {
            words.push(format!("sh -c '{prelude} \"$@\"' sh"));
        }
        words.push(self.binary.display().to_string());
        words.extend(self.args.iter().map(|a| a.to_string_lossy().into_owned()));
        words.join(" ")
    }

    fn command(&self) -> Command {
        let mut command = match &self.prelude {
            Some(prelude) => {
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(format!("{prelude} \"$@\"")).arg("sh").arg(&self.binary);
                shell
            }
            None => Command::new(&self.binary),
        };
        command
            .args(&self.args)
            .env("LC_ALL", "C")
            .env("RUST_BACKTRACE", "0")
            .env_remove("COLUMNS")
            .stdin(Stdio::null());
        command
    }
}

/// A call that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    line: String,
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ran {
    /// Whether a claim was refused for a file that we wrote and closed: a child that another thread has just
    /// forked holds our open files until it is the program it is to be.
    pub(crate) fn met_a_fork_of_ours(&self) -> Outcome<bool> {
        let own = std::fs::read_to_string("/proc/self/comm")?;
        let open = self.stderr.split_once("open for writing by process ");
        Ok(open.is_some_and(|(_, process)| process.contains(&format!("({})", own.trim_end()))))
    }

    /// Stdout as exactly one JSON document.
    pub(crate) fn document(&self) -> Outcome<Value> {
        serde_json::from_slice(&self.stdout).map_err(|e| {
            format!("stdout is not one JSON document: {e}\n{}", self.describe()).into()
        })
    }

    /// Everything needed to see what happened and to do it again by hand.
    pub(crate) fn describe(&self) -> String {
        let signal = self.status.signal().map(|s| format!(" by signal {s}")).unwrap_or_default();
        let stdout = String::from_utf8_lossy(&self.stdout);
        let shown: String = stdout.chars().take(4000).collect();
        format!(
            "command: {}\nended: {}{signal}\nstdout: {shown}\nstderr: {}",
            self.line, self.status, self.stderr
        )
    }
}

/// A call that is still going on.
pub(crate) struct Running {
    line: String,
    child: Option<Child>,
}

impl Running {
    pub(crate) fn signal(&self, signal: rustix::process::Signal) -> Outcome {
        let child = self.child.as_ref().ok_or("already waited for")?;
        let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
        let pid = pid.ok_or("no process id")?;
        rustix::process::kill_process(pid, signal).map_err(|e| format!("kill: {e}").into())
    }

    /// Waits until it is prepared to be stopped by this signal.
    pub(crate) fn await_handler_of(&self, signal: rustix::process::Signal) -> Outcome {
        let child = self.child.as_ref().ok_or("already waited for")?;
        let status = format!("/proc/{}/status", child.id());
        let caught = || -> Outcome<bool> {
            let text = std::fs::read_to_string(&status)?;
            let mask = text.lines().find_map(|l| l.strip_prefix("SigCgt:"));
            let mask = u64::from_str_radix(mask.ok_or("ended already")?.trim(), 16)?;
            Ok(mask >> (signal.as_raw() - 1) & 1 == 1)
        };
        let started = Instant::now();
        while !caught()? {
            ensure!(started.elapsed() < Duration::from_secs(60), "no handler: {}", self.line);
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Waits until it has said this on standard error.
    pub(crate) fn await_message(&mut self, text: &str) -> Outcome {
        let child = self.child.as_mut().ok_or("already waited for")?;
        let stderr = child.stderr.as_mut().ok_or("no standard error")?;
        let mut said = Vec::new();
        while !String::from_utf8_lossy(&said).contains(text) {
            let mut byte = [0];
            ensure!(stderr.read(&mut byte)? == 1, "never said: {}", String::from_utf8_lossy(&said));
            said.extend(byte);
        }
        Ok(())
    }

    /// Whether it has ended already.
    pub(crate) fn ended(&mut self) -> Outcome<bool> {
        let child = self.child.as_mut().ok_or("already waited for")?;
        Ok(child.try_wait()?.is_some())
    }

    pub(crate) fn wait(mut self) -> Outcome<Ran> {
        let child = self.child.take().ok_or("already waited for")?;
        let output = child.wait_with_output()?;
        Ok(Ran {
            line: self.line.clone(),
            status: output.status,
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.kill());
            drop(child.wait());
        }
    }
}
