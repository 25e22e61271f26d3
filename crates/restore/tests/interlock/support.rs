//! What these tests share with those of the program, and what only they need: devices with a size,
//! with partitions, as swap, and processes that hold something.
#![allow(dead_code, reason = "of the shared files a part is used")]

#[path = "../../../cli/tests/support/loopmount.rs"]
pub(crate) mod loopmount;
#[path = "../../../cli/tests/support/needs.rs"]
pub(crate) mod needs;
#[path = "../../../cli/tests/support/scratch.rs"]
pub(crate) mod scratch;
#[path = "../../../cli/tests/support/tool.rs"]
pub(crate) mod tool;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use restore::interlock::{self, Held, Needs, Refused};

use loopmount::LoopDevice;
use needs::Need;
use scratch::Scratch;

/// What a step of a test gives back; any error that can be shown turns into a failed test by `?`.
pub(crate) type Outcome<T = ()> = Result<T, libtest_mimic::Failed>;

/// Fails the test with a message unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+).into());
        }
    };
}
pub(crate) use ensure;

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const LOOP: [Need; 3] = [Need::Root, Need::Tool("losetup"), Need::LoopDevice];

/// A restore of `len` bytes from the start, from nowhere.
pub(crate) fn needs_of(len: u64) -> Needs {
    Needs { range: 0..len, ..Needs::default() }
}

/// One that reads `source`.
pub(crate) fn reading(source: &Path, len: u64) -> Needs {
    Needs { sources: vec![source.to_owned()], ..needs_of(len) }
}

/// Why `path` is refused, which it must be, in one line with all of `words`.
pub(crate) fn refused(path: &Path, needs: &Needs, words: &[&str]) -> Outcome<Refused> {
    let refused = match interlock::check(path, needs) {
        Err(refused) => refused,
        Ok(held) => return Err(format!("{} was accepted", held.identity()).into()),
    };
    let text = refused.to_string();
    ensure!(!text.contains('\n'), "not one line: {text}");
    ensure!(
        text.starts_with(&path.display().to_string()),
        "does not begin with the target: {text}"
    );
    for word in words {
        ensure!(text.contains(word), "does not say {word:?}: {text}");
    }
    Ok(refused)
}

/// The claim on `path`, which must be had.
pub(crate) fn accepted(path: &Path, needs: &Needs) -> Outcome<Held> {
    interlock::check(path, needs).map_err(|e| format!("refused: {e}").into())
}

/// A loop device over a new sparse file.
pub(crate) fn device(scratch: &Scratch, name: &str, len: u64) -> Outcome<LoopDevice> {
    drop(scratch::new_sparse(&scratch.path(name), len)?);
    LoopDevice::attach(&scratch.path(name), false)
}

/// Detaches a loop device and waits until it is: a program that happens to look at it holds it up.
pub(crate) fn detach(device: LoopDevice) -> Outcome {
    let name = device.path().file_name().ok_or("no name")?;
    let backing = Path::new("/sys/block").join(name).join("loop/backing_file");
    let before = scratch::read(&backing)?;
    drop(device);
    let started = Instant::now();
    while std::fs::read(&backing).is_ok_and(|now| now == before) {
        ensure!(started.elapsed() < Duration::from_secs(3), "{} stays", backing.display());
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// A new image with an ext4 filesystem of this name.
pub(crate) fn ext4(image: &Path, len: u64, label: &str) -> Outcome {
    drop(scratch::new_sparse(image, len)?);
    let arguments = ["-q", "-F", "-L", label].map(Path::new);
    tool::run("mkfs.ext4", arguments.into_iter().chain([image])).map(drop)
}

/// A partition that the kernel was told of, forgotten again when dropped. Its device must be
/// dropped after it.
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
    pub(crate) fn add(disk: &LoopDevice, number: u32, start: u64, len: u64) -> Outcome<Self> {
        let disk = disk.path().to_owned();
        let sectors = [start / 512, len / 512].map(|n| n.to_string());
        let path = PathBuf::from(format!("{}p{number}", disk.display()));
        let number = number.to_string();
        tool::run("addpart", [&disk.to_string_lossy(), &*number, &*sectors[0], &*sectors[1]])?;
        let partition = Self { disk, number, path };
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
        drop(tool::run("delpart", [self.disk.as_os_str(), self.number.as_ref()]));
    }
}

/// Whether partitions can be made here and have nodes.
pub(crate) fn partition_refusal() -> Option<String> {
    let attempt = || -> Outcome {
        let scratch = Scratch::new()?;
        let disk = Partition::disk(&scratch, "disk", 4 * MIB)?;
        Partition::add(&disk, 1, MIB, MIB).map(drop)
    };
    let error = attempt().err()?;
    Some(format!("partitions ({})", error.message().unwrap_or_default().replace('\n', ", ")))
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

/// Whether swap can be turned on here.
pub(crate) fn swap_refusal() -> Option<String> {
    let attempt = || -> Outcome {
        let scratch = Scratch::new()?;
        let device = device(&scratch, "swap", MIB)?;
        Swap::on(device.path()).map(drop)
    };
    let error = attempt().err()?;
    Some(format!("swap ({})", error.message().unwrap_or_default().replace('\n', ", ")))
}

/// Another process that has run a line of shell and waits, ended when dropped.
pub(crate) struct Other(Child);

impl Other {
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
