//! What may hold a device or file: its partitions, swap, other processes.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::loopmount::LoopDevice;
use super::scratch::{self, Scratch};
use super::{Outcome, ensure, tool};

const MIB: u64 = 1 << 20;

/// A partition that the kernel was told of, forgotten again when dropped. Its disk must be dropped
/// after it.
pub(crate) struct Partition {
    disk: PathBuf,
    number: String,
    path: PathBuf,
}

impl Partition {
    /// A disk that can have partitions.
    pub(crate) fn disk(scratch: &Scratch, name: &str, len: u64) -> Outcome<LoopDevice> {
        drop(scratch::new_sparse(&scratch.path(name), len)?);
        LoopDevice::with_partitions(&scratch.path(name))
    }

    /// Partition `number` of `disk`, of `len` bytes from `start`.
    pub(crate) fn add(disk: &Path, number: u32, start: u64, len: u64) -> Outcome<Self> {
        let path = PathBuf::from(format!("{}p{number}", disk.display()));
        let words = [u64::from(number), start / 512, len / 512].map(|n| n.to_string());
        let words = words.iter().map(Path::new);
        tool::run("addpart", std::iter::once(disk).chain(words))?;
        let partition = Self { disk: disk.to_owned(), number: number.to_string(), path };
        // Where nobody makes device nodes there is none, ever.
        let started = Instant::now();
        while !partition.path.exists() {
            ensure!(started.elapsed() < Duration::from_secs(3), "no node for a partition");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(partition)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        drop(tool::run("delpart", [self.disk.as_path(), Path::new(&self.number)]));
    }
}

/// Whether partitions cannot be made here, or have no nodes.
pub(crate) fn partition_refusal() -> Option<String> {
    let attempt = || -> Outcome {
        let scratch = Scratch::new()?;
        let disk = Partition::disk(&scratch, "disk", 4 * MIB)?;
        Partition::add(disk.path(), 1, MIB, MIB).map(drop)
    };
    refusal("partitions", attempt)
}

/// Swap space in use, until dropped.
pub(crate) struct Swap(PathBuf);

impl Swap {
    pub(crate) fn on(path: &Path) -> Outcome<Self> {
        tool::run("mkswap", [path])?;
        tool::run("swapon", [path])?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        drop(tool::run("swapoff", [&self.0]));
    }
}

/// Whether swap cannot be turned on here.
pub(crate) fn swap_refusal() -> Option<String> {
    let attempt = || -> Outcome {
        let scratch = Scratch::new()?;
        drop(scratch::new_sparse(&scratch.path("swap"), MIB)?);
        let device = LoopDevice::attach(&scratch.path("swap"), false)?;
        Swap::on(device.path()).map(drop)
    };
    refusal("swap", attempt)
}

fn refusal(what: &str, attempt: impl FnOnce() -> Outcome) -> Option<String> {
    let error = attempt().err()?;
    Some(format!("{what} ({})", error.message().unwrap_or_default().replace('\n', ", ")))
}

/// Another process that has run a line of shell and waits, ended when dropped.
pub(crate) struct Other(Child);

impl Other {
    /// One that has `path` open for writing.
    pub(crate) fn writer(path: &Path) -> Outcome<Self> {
        Self::run(r#"exec 3<>"$1""#, path)
    }

    /// Runs `line`, in which `$1` is `path`.
    pub(crate) fn run(line: &str, path: &Path) -> Outcome<Self> {
        // It is the shell itself that waits, so that nothing outlives it.
        let script = format!("{line} && echo ready && read -r end");
        let mut child = Command::new("sh")
            .args(["-c", &script, "sh"])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("no output")?;
        let other = Self(child);
        let mut first = String::new();
        BufReader::new(stdout).read_line(&mut first)?;
        ensure!(first == "ready\n", "{line}: {first:?}");
        Ok(other)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
