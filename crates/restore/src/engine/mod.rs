//! The parallel walk: workers take shards of the plan, decode window by window and hand the bytes
//! to a sink. Restore, verify of a volume and later sinks are all this one path.

mod fill;
mod in_order_gate;
mod memory;
mod options;
mod semaphore;
mod stage;
mod straddling_chunks;
mod target_window;
mod window;
mod worker;
mod write;

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::journal::Journal;
use crate::on_panic::OnPanic;
use crate::plan::{Known, Plan};
use crate::progress::Progress;
use crate::ranges::RangeSet;
use crate::report::{Counts, Damage, Report};
use crate::sink::{ReadBack, Sink};
use crate::threads;
use crate::volume::Volume;
use in_order_gate::InOrderGate;
use semaphore::Semaphore;
use stage::Stage;
use target_window::TargetWindow;
use worker::{Findings, Worker};

use memory::ThreadBudget;
pub use memory::memory;
pub use options::{Existing, OnDamage, Options, Told};
pub use straddling_chunks::StraddlingChunks;

/// Why a job did not reach its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Bytes failed their checks.
    #[error("{}", .0.cause)]
    Damaged(Box<Damage>),
    /// The target could not be written.
    #[error("{}: cannot be written{}: {source}", path.display(), at(*offset))]
    Target {
        /// The target.
        path: PathBuf,
        /// The logical byte, where one write failed.
        offset: Option<u64>,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// What the target holds could not be read.
    #[error("{}: cannot be read back{}: {source}", path.display(), at(Some(*offset)))]
    ReadBack {
        /// The target.
        path: PathBuf,
        /// The logical byte.
        offset: u64,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The caller cancelled it.
    #[error("interrupted")]
    Interrupted,
    /// Threads or decoders could not be made.
    #[error("cannot start: {0}")]
    Start(#[source] io::Error),
}

fn at(offset: Option<u64>) -> String {
    offset.map_or_else(String::new, |offset| format!(" at offset {}", snapfmt::Offset(offset)))
}

/// Everything the workers of one job share.
pub(crate) struct Job<'a> {
    pub(crate) volume: &'a Volume,
    pub(crate) sink: &'a dyn Sink,
    pub(crate) options: Options<'a>,
    pub(crate) progress: &'a Progress,
    permits: Semaphore,
    /// For a target that waits.
    stage: Option<Stage>,
    /// For a target that must be written in order, or bytes that are hashed in order.
    turn: Option<InOrderGate>,
    plan: Mutex<Plan<'a>>,
    result: Mutex<Outcome>,
    failed: AtomicBool,
}

#[derive(Default)]
struct Outcome {
    counts: Counts,
    damage: Vec<Damage>,
    more_damage: u64,
    lost: RangeSet,
    mismatches: RangeSet,
    error: Option<RunError>,
}

/// Brings the logical bytes `range` of a volume, as far as it reaches, to a sink, which is neither
/// made durable nor finished here.
///
/// # Errors
///
/// The first thing that stopped the job; then the sink holds some unknown part of the range.
pub fn run(
    volume: &Volume,
    range: Range<u64>,
    sink: &dyn Sink,
    options: &Options<'_>,
    progress: &Progress,
) -> Result<Report, RunError> {
    let options = &Options { jobs: options.jobs.min(threads::most()), ..*options };
    let jobs = options.jobs.get();
    let range = range.start..range.end.min(volume.size());
    progress.expect(range.end.saturating_sub(range.start));
    let in_order = sink.is_ordered() || options.digests.is_some();
    let proven = options.journal.map_or_else(RangeSet::default, Journal::proven);
    let known = Known { proven, revisit: options.digests.is_some() };
    let ThreadBudget { workers, windows } = ThreadBudget::of(volume, options, sink);
    let writers = if sink.is_ordered() { windows.min(1) } else { windows };
    let job = Job {
        volume,
        sink,
        options: *options,
        progress,
        permits: Semaphore::new(jobs),
        stage: (writers > 0).then(|| Stage::new(workers, windows)),
        turn: in_order.then(|| InOrderGate::new(range.start)),
        plan: Mutex::new(Plan::new(volume, range, jobs, in_order, known)),
        result: Mutex::default(),
        failed: AtomicBool::new(false),
    };
    pool(workers + writers).map_err(RunError::Start)?.scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|_| job.work());
        }
        for _ in 0..writers {
            scope.spawn(|_| job.write_filled());
        }
    });
    let mut outcome = job.result.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = outcome.error.take() {
        return Err(error);
    }
    let mut damage = std::mem::take(&mut outcome.damage);
    damage.sort_by_key(|d| (d.member, d.range.start));
    damage.dedup_by(|next, last| last.join(next));
    damage.sort_by_key(|d| d.logical.first().map_or(u64::MAX, |r| r.start));
    let more_damage = outcome.more_damage + damage.len().saturating_sub(Report::KEPT) as u64;
    damage.truncate(Report::KEPT);
    let Outcome { counts, lost, mismatches, .. } = outcome;
    Ok(Report { counts, damage, more_damage, lost, mismatches })
}

/// The bytes of a target in `range` that are not zeros, to the MiB.
pub(crate) fn not_zero(target: &ReadBack, range: &Range<u64>) -> io::Result<RangeSet> {
    let mut found = RangeSet::default();
    TargetWindow::new(target).each_not_zero(range, |piece| found.insert(piece))?;
    Ok(found)
}

/// A pool of `jobs` threads.
pub fn pool(jobs: usize) -> io::Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(jobs)
        .thread_name(|n| format!("worker-{n}"))
        .build()
        .map_err(io::Error::other)
}

impl Job<'_> {
    /// One worker's life: shards until there are none, or until a worker has failed.
    fn work(&self) {
        let _at_work = self.stage.as_ref().map(Stage::worker);
        let _guard = OnPanic(|| self.give_up());
        let mut worker = match Worker::new(self) {
            Ok(worker) => worker,
            Err(e) => return self.fail(RunError::Start(e)),
        };
        loop {
            if self.progress.is_cancelled() {
                return self.fail(RunError::Interrupted);
            }
            // One short lock for each shard.
            let step = self.plan.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(step) = step else { break };
            if self.failed.load(Ordering::Relaxed) {
                return;
            }
            if let Err(error) = worker.step(&step) {
                return self.fail(error);
            }
        }
        self.found(worker.into_findings());
    }

    /// One writer's life: what workers fill, until they have ended.
    fn write_filled(&self) {
        let _guard = OnPanic(|| self.give_up());
        let mut findings = Findings::default();
        let Some(stage) = &self.stage else { return };
        stage.drain(|window| match self.write(window, None, &mut findings) {
            Ok(()) => self.written(window),
            Err(error) => self.fail(error),
        });
        self.found(findings);
    }

    fn found(&self, findings: Findings) {
        let Findings { counts, damage, more_damage, lost, mismatches } = findings;
        let mut outcome = self.outcome();
        outcome.counts.add(&counts);
        outcome.damage.extend(damage);
        outcome.more_damage += more_damage;
        outcome.lost.merge(lost);
        outcome.mismatches.merge(mismatches);
    }

    /// Lets `act` happen when everything before `range` has had its turn, at once where the order
    /// does not matter.
    fn in_turn(
        &self,
        range: &Range<u64>,
        act: impl FnOnce() -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        let Some(turn) = &self.turn else { return act() };
        if !turn.wait(range.start) {
            // Another worker has failed and says why; this one only stops.
            return Err(RunError::Interrupted);
        }
        act()?;
        turn.advance(range.end);
        Ok(())
    }

    fn unread(&self, offset: u64, source: io::Error) -> RunError {
        let path = self.options.existing.target().map_or(self.sink.path(), ReadBack::path);
        RunError::ReadBack { path: path.to_owned(), offset, source }
    }

    /// Whether another worker has failed: what is still to be written is not worth writing.
    fn is_over(&self) -> bool {
        self.progress.is_cancelled() || self.failed.load(Ordering::Relaxed)
    }

    fn outcome(&self) -> std::sync::MutexGuard<'_, Outcome> {
        self.result.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, error: RunError) {
        // First why, then that: a worker that sees the latter fails as well, and is not the reason.
        self.outcome().error.get_or_insert(error);
        self.give_up();
    }

    /// No other thread needs to go on, or to wait for this one.
    fn give_up(&self) {
        self.failed.store(true, Ordering::Relaxed);
        if let Some(turn) = &self.turn {
            turn.abandon();
        }
    }
}
