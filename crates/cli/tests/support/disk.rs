//! Loop devices to be overwritten, their partitions, and what may hold them: swap, other processes.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::loopmount::LoopDevice;
use super::needs::Need;
use super::noise::noise;
use super::scratch::{self, Scratch};
use super::{Outcome, ensure, tool};

const MIB: u64 = 1 << 20;

/// What a test with a loop device needs.
pub(crate) const LOOP: [Need; 3] = [Need::Root, Need::Tool("losetup"), Need::LoopDevice];

/// A loop device over a file that is full of something else.
pub(crate) struct Disk {
    device: LoopDevice,
    image: PathBuf,
    old: Vec<u8>,
}

impl Disk {
    /// One of `len` bytes.
    pub(crate) fn dirty(scratch: &Scratch, len: u64) -> Outcome<Self> {
        Self::with_flags(scratch, len, &[])
    }

    /// One that `losetup` makes with these flags.
    pub(crate) fn with_flags(scratch: &Scratch, len: u64, flags: &[&str]) -> Outcome<Self> {
        let image = scratch.path("disk.img");
        let old = noise(77, usize::try_from(len)?);
        scratch::write(&image, &old)?;
        let device = LoopDevice::with_flags(&image, flags)?;
        Ok(Self { device, image, old })
    }

    pub(crate) fn path(&self) -> &Path {
        self.device.path()
    }

    /// The file behind it.
    pub(crate) fn image(&self) -> &Path {
        &self.image
    }

    /// What it held in the beginning.
    pub(crate) fn old(&self) -> &[u8] {
        &self.old
    }

    /// Bytes that have been written to it, zeroed ones included, by field 7 of its line of figures
    /// (`Documentation/block/stat.rst` of the kernel; its sectors are 512 bytes whatever the device's are).
    pub(crate) fn written(&self) -> Outcome<u64> {
        let name = self.path().file_name().ok_or("no name")?;
        let stat = std::fs::read_to_string(Path::new("/sys/block").join(name).join("stat"))?;
        let sectors: u64 = stat.split_whitespace().nth(6).ok_or("no such field")?.parse()?;
        Ok(sectors * 512)
    }
}

/// A partition that the kernel was told of, forgotten again when dropped. Its disk must be dropped after it.
pub(crate) struct Partition {
    disk: PathBuf,
    number: String,
    path: PathBuf,
}

impl Partition {
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
        let disk = Disk::with_flags(&scratch, 4 * MIB, &["--partscan"])?;
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
        let disk = Disk::dirty(&scratch, MIB)?;
        Swap::on(disk.path()).map(drop)
    };
    refusal("swap", attempt)
}

fn refusal(what: &str, attempt: impl FnOnce() -> Outcome) -> Option<String> {
    let error = attempt().err()?;
    Some(format!("{what} ({})", error.message().unwrap_or_default().replace('\n', ", ")))
}

/// Another process that has a file open for writing, ended when dropped.
pub(crate) struct Writer(Child);

impl Writer {
    pub(crate) fn of(path: &Path) -> Outcome<Self> {
        // It is the shell itself that waits, so that nothing outlives it.
        let mut child = Command::new("sh")
            .args(["-c", r#"exec 3<>"$1" && echo ready && read -r end"#, "sh"])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("no output")?;
        let writer = Self(child);
        let mut first = String::new();
        BufReader::new(stdout).read_line(&mut first)?;
        ensure!(first == "ready\n", "{}: {first:?}", path.display());
        Ok(writer)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
