//! The parallel walk: workers take shards of the plan, decode window by window and hand the bytes
//! to a sink. Restore, verify of a volume and later sinks are all this one path.

mod carry;
mod turn;
mod worker;

use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::plan::Plan;
use crate::progress::Progress;
use crate::report::{Counts, Damage, Report};
use crate::sink::Sink;
use crate::volume::Volume;
use turn::{AbandonOnPanic, Turn};
use worker::Worker;

pub(crate) use carry::Carry;

/// What to do where bytes fail their checks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnDamage {
    /// Stop at the first damage; nothing under the target's name.
    Stop,
    /// Go on: leave the range filled with this byte and list it in the report.
    Salvage {
        /// The byte to fill with; 0 leaves a hole.
        fill: u8,
    },
}

/// How a job runs.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many workers.
    pub jobs: NonZeroUsize,
    /// What to do about damage.
    pub on_damage: OnDamage,
}

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
    /// The caller cancelled it.
    #[error("interrupted")]
    Interrupted,
    /// Threads or decoders could not be made.
    #[error("cannot start: {0}")]
    Start(#[source] io::Error),
}

fn at(offset: Option<u64>) -> String {
    offset.map_or_else(String::new, |offset| format!(" at offset {offset:#x}"))
}

/// Everything the workers of one job share.
pub(crate) struct Job<'a> {
    pub(crate) volume: &'a Volume,
    pub(crate) sink: &'a dyn Sink,
    pub(crate) on_damage: OnDamage,
    pub(crate) progress: &'a Progress,
    /// For a target that must be written in order.
    turn: Option<Turn>,
    plan: Mutex<Plan<'a>>,
    result: Mutex<Outcome>,
}

#[derive(Default)]
struct Outcome {
    counts: Counts,
    damage: Vec<Damage>,
    error: Option<RunError>,
}

/// Brings the logical bytes `range` of a volume, as far as it reaches, to a sink, which is not
/// finished here.
///
/// # Errors
///
/// The first thing that stopped the job; then the sink holds some unknown part of the range.
pub fn run(
    volume: &Volume,
    range: Range<u64>,
    sink: &dyn Sink,
    options: &Options,
    progress: &Progress,
) -> Result<Report, RunError> {
    let jobs = options.jobs.get();
    let range = range.start..range.end.min(volume.size());
    progress.expect(range.end.saturating_sub(range.start));
    let job = Job {
        volume,
        sink,
        on_damage: options.on_damage,
        progress,
        turn: sink.is_ordered().then(|| Turn::new(range.start)),
        plan: Mutex::new(Plan::new(volume, range, jobs, sink.is_ordered())),
        result: Mutex::default(),
    };
    pool(jobs).map_err(RunError::Start)?.scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|_| job.work());
        }
    });
    let outcome = job.result.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = outcome.error {
        return Err(error);
    }
    let mut damage = outcome.damage;
    damage.sort_by_key(|d| d.logical.first().map_or(u64::MAX, |r| r.start));
    Ok(Report { counts: outcome.counts, damage })
}

/// A pool of `jobs` threads.
pub(crate) fn pool(jobs: usize) -> io::Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(jobs)
        .thread_name(|n| format!("worker-{n}"))
        .build()
        .map_err(io::Error::other)
}

impl Job<'_> {
    /// One worker's life: shards until there are none, or until someone failed.
    fn work(&self) {
        let _guard = self.turn.as_ref().map(AbandonOnPanic);
        let mut worker = match Worker::new(self) {
            Ok(worker) => worker,
            Err(e) => return self.fail(RunError::Start(e)),
        };
        loop {
            if self.progress.is_cancelled() {
                return self.fail(RunError::Interrupted);
            }
            // One short lock for each shard.
            let task = self.plan.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(task) = task else { break };
            if self.outcome().error.is_some() {
                return;
            }
            if let Err(error) = worker.task(&task) {
                return self.fail(error);
            }
        }
        let (counts, damage) = worker.into_findings();
        let mut outcome = self.outcome();
        outcome.counts.add(&counts);
        outcome.damage.extend(damage);
    }

    /// Lets `write` happen when everything before `range` has been written, at once where the order
    /// does not matter.
    fn in_turn(
        &self,
        range: &Range<u64>,
        write: impl FnOnce() -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        let Some(turn) = &self.turn else { return write() };
        if !turn.wait(range.start) {
            // Another worker has failed and says why; this one only stops.
            return Err(RunError::Interrupted);
        }
        write()?;
        turn.advance(range.end);
        Ok(())
    }

    fn outcome(&self) -> std::sync::MutexGuard<'_, Outcome> {
        self.result.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, error: RunError) {
        self.outcome().error.get_or_insert(error);
        if let Some(turn) = &self.turn {
            turn.abandon();
        }
    }
}
