//! What the tests of this target share: a volume that takes a while, targets of each kind, and runs that
//! are stopped once something of them is durable.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::journal::Journal;
use crate::support::layout::Layout;
use crate::support::loopmount::LoopDevice;
use crate::support::noise::noise;
use crate::support::run::{Call, Ran, Running};
use crate::support::sample::restore;
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure, scratch, tool};

/// How long anything that must happen may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A striped pair, a gap that must become zeros, and a tail of odd length.
pub(crate) fn stage(megabytes: u64) -> Outcome<Stage> {
    let layout = Layout::new()
        .striped((megabytes - 3) << 20, 64 << 10, &[("vol-a", 0), ("vol-b", 0)])
        .unmapped(1 << 20)
        .linear((2 << 20) + 512, ("vol-c", 0));
    Stage::with_layout(layout)
}

/// Slow enough to be stopped in the middle, durable often enough to have something to go on with.
pub(crate) fn slow(call: Call, rate: &str) -> Call {
    call.option("--limit-rate", rate).option("--sync-every", "0.02s")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    NewImage,
    File,
    Device,
}

/// A target of one kind. What is overwritten in place is dirty before.
pub(crate) struct Target {
    pub(crate) kind: Kind,
    pub(crate) path: PathBuf,
    /// Where its bytes are while a restore is unfinished.
    pub(crate) unfinished: PathBuf,
    pub(crate) journal: PathBuf,
    _device: Option<LoopDevice>,
}

impl Target {
    pub(crate) fn make(kind: Kind, stage: &Stage) -> Outcome<Self> {
        let image = stage.target();
        if kind != Kind::NewImage {
            dirty(&image, stage.sample.layout.logical_size())?;
        }
        let device = match kind {
            Kind::Device => Some(LoopDevice::attach(&image, false)?),
            Kind::NewImage | Kind::File => None,
        };
        let path = device.as_ref().map_or(image, |device| device.path().to_owned());
        let unfinished = match kind {
            Kind::NewImage => stage.out.join(".volume.img.partial"),
            Kind::File | Kind::Device => path.clone(),
        };
        let journal = stage.out.join(".volume.img.journal");
        Ok(Self { kind, path, unfinished, journal, _device: device })
    }

    /// As before the first restore.
    pub(crate) fn make_dirty(&self, stage: &Stage) -> Outcome {
        if self.kind != Kind::NewImage {
            let size = usize::try_from(stage.sample.layout.logical_size())?;
            return poke(&self.path, 0, &noise(11, size));
        }
        if self.path.exists() {
            std::fs::remove_file(&self.path)?;
        }
        Ok(())
    }

    pub(crate) fn restore(&self, stage: &Stage) -> Call {
        let call = restore(&[&stage.sets], &self.path);
        match self.kind {
            Kind::NewImage => call,
            Kind::File => call.arg("--in-place"),
            // Not where all devices have theirs: that directory is the machine's.
            Kind::Device => call.arg("--in-place").option("--journal", &self.journal),
        }
    }

    /// It holds the volume, and nothing of the work is left.
    pub(crate) fn is_finished(&self, truth: &Path) -> Outcome {
        tool::same_bytes(&self.path, truth)?;
        ensure!(!self.journal.exists(), "the journal is left");
        ensure!(self.unfinished == self.path || !self.unfinished.exists(), "a partial is left");
        Ok(())
    }
}

/// What a run has brought before it is stopped: some windows of it.
const PROOF: u64 = 3 << 20;

/// Waits until the journal says that enough is durable.
pub(crate) fn await_proof(running: &mut Running, journal: &Path) -> Outcome<Journal> {
    await_that(running, "nothing durable", || {
        let said = Journal::read(journal)?;
        Ok((said.bytes() >= PROOF).then_some(said))
    })
}

/// Waits until something is seen of a call that goes on.
pub(crate) fn await_that<T>(
    running: &mut Running,
    missing: &str,
    look: impl Fn() -> Outcome<Option<T>>,
) -> Outcome<T> {
    let started = Instant::now();
    loop {
        if let Some(seen) = look()? {
            return Ok(seen);
        }
        ensure!(!running.ended()?, "{missing}: it has ended");
        ensure!(started.elapsed() < PATIENCE, "{missing} for {PATIENCE:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Starts the call and sends the signal once something is durable. Gives how it ended and how long it took
/// to end.
pub(crate) fn stop_after_proof(
    call: &Call,
    journal: &Path,
    signal: Signal,
) -> Outcome<(Ran, Duration)> {
    let mut running = call.start()?;
    if let Err(error) = await_proof(&mut running, journal) {
        let why = error.message().unwrap_or_default().to_owned();
        running.signal(Signal::KILL).ok();
        return Err(format!("{why}\n{}", running.wait()?.describe()).into());
    }
    let sent = Instant::now();
    running.signal(signal)?;
    let ran = running.wait()?;
    Ok((ran, sent.elapsed()))
}

/// Kills a slow run of this call once something is durable, and gives what its journal says then.
pub(crate) fn killed(call: &Call, journal: &Path) -> Outcome<Journal> {
    let (ran, _) = stop_after_proof(&slow(call.clone(), "8M"), journal, Signal::KILL)?;
    ensure!(ran.status.code().is_none(), "not killed\n{}", ran.describe());
    Journal::read(journal)
}

/// The `bytes` of a report.
pub(crate) fn bytes(report: &serde_json::Value, what: &str) -> Outcome<u64> {
    let found = report["bytes"][what].as_u64();
    found.ok_or_else(|| format!("no bytes.{what} in {report}").into())
}

/// A run that goes on with what the journal says: reports that much as resumed, and all bytes as one thing or
/// the other.
pub(crate) fn goes_on(call: &Call, said: &Journal, size: u64) -> Outcome {
    let report = call.json()?;
    let resumed = bytes(&report, "resumed")?;
    ensure!(resumed == said.bytes(), "{resumed} bytes resumed of {said:?}\n{}", call.line());
    let kinds = ["data", "zero", "hole", "unmapped", "kept", "resumed"];
    let mut all = 0;
    for kind in kinds {
        all += bytes(&report, kind)?;
    }
    ensure!(all == size, "{all} of {size} bytes accounted for: {report}");
    Ok(())
}

/// Overwrites bytes of a file, durably.
pub(crate) fn poke(path: &Path, offset: u64, bytes: &[u8]) -> Outcome {
    let file = std::fs::OpenOptions::new().write(true).open(path)?;
    std::os::unix::fs::FileExt::write_all_at(&file, bytes, offset)?;
    file.sync_all().map_err(|e| format!("{}: {e}", path.display()).into())
}

/// A dirty file of this length.
pub(crate) fn dirty(path: &Path, len: u64) -> Outcome {
    scratch::write(path, &noise(11, usize::try_from(len)?))
}
