//! What these tests share with those of the program, and what only they need: devices with a size,
//! with partitions, as swap, and processes that hold something.
#![allow(dead_code, reason = "of the shared files a part is used")]

#[path = "../../../cli/tests/support/held.rs"]
pub(crate) mod held;
#[path = "../../../cli/tests/support/loopmount.rs"]
pub(crate) mod loopmount;
#[path = "../../../cli/tests/support/needs.rs"]
pub(crate) mod needs;
#[path = "../../../cli/tests/support/scratch.rs"]
pub(crate) mod scratch;
#[path = "../../../cli/tests/support/tool.rs"]
pub(crate) mod tool;

use std::path::Path;
use std::time::{Duration, Instant};

use host::interlock::{self, Needs, Refused, TargetClaim};

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
pub(crate) fn accepted(path: &Path, needs: &Needs) -> Outcome<TargetClaim> {
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
