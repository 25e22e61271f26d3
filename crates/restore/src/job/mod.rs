//! A restore from its beginning to its end: target, journal, engine, proof on the medium, name.

mod error;
mod identity;
mod left;
mod local;
mod look;
mod recheck;
mod reserve;
mod target;

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::thread;

use crate::digests::Digests;
use crate::engine::{self, Existing, OnDamage, Options, RunError};
use crate::foreground::Foreground;
use crate::journal::{Journal, SyncError, SyncPoints};
use crate::on_panic::OnPanic;
use crate::progress::Progress;
use crate::ranges::clip;
use crate::ranges::{RangeSet, steps};
use crate::report::Report;
use crate::sink::{Io, Method, NullSink, ReadBack};
use crate::throttle::Throttle;
use crate::volume::Volume;
use host::entry::Entry;

pub use error::{JobError, Unfinished};
pub use identity::{TargetId, identity};
pub use local::LocalCopy;
pub use look::look;
pub use target::Target;
use target::{Opened, open};

/// Zeros behind the volume are handed to the target in steps of this many bytes.
const STEP: u64 = 1 << 30;

/// What is to be restored, whereto and how.
#[derive(Debug)]
pub struct Restore<'a> {
    /// The volume.
    pub volume: &'a Volume,
    /// Which of its bytes; those behind the volume's end are zeros.
    pub range: Range<u64>,
    /// The target has bytes up to here, in the volume's terms; those behind the range are zeros.
    /// It has the whole range in any case.
    pub end: u64,
    /// Where they go.
    pub target: Target,
    /// Where to take note of what is durable, and to find what an earlier run has.
    pub journal: Option<JournalAt>,
    /// How to write.
    pub io: Io,
    /// How many workers decode at a time.
    pub jobs: NonZeroUsize,
    /// What to do about damage.
    pub on_damage: OnDamage,
    /// Hashes the bytes of the range.
    pub digests: Option<&'a Digests>,
    /// Holds writing back.
    pub throttle: Option<&'a Throttle>,
    /// Learns what is durable already, for those who read it meanwhile. Needs a journal, and a
    /// target that is a file or device.
    pub local: Option<&'a LocalCopy>,
    /// Reads that go before this.
    pub foreground: Option<&'a Foreground>,
    /// Whether all of it is read back from the medium and compared in the end.
    pub verify_target: bool,
}

/// A journal to use.
#[derive(Clone, Debug)]
pub struct JournalAt {
    /// Where it is or will be.
    pub entry: Entry,
    /// The content of the volume, in a word: a set content id, say.
    pub volume: String,
    /// When to make sync points.
    pub points: SyncPoints,
    /// Whether what an earlier run has left is thrown away.
    pub restart: bool,
}

/// A restore that is durable, but does not have its name yet.
#[derive(Debug)]
pub struct Restored {
    /// What was done and found.
    pub report: Report,
    /// How the target was written.
    pub method: Method,
    opened: Opened,
}

impl Restored {
    /// What was written, whatever is under its name by now; a pipe is none.
    pub fn file(&self) -> Option<&File> {
        self.opened.sink.file().map(|(file, _)| file)
    }

    /// Gives the target its name and removes the journal.
    pub fn publish(self) -> io::Result<()> {
        let Opened { sink, journal, .. } = self.opened;
        sink.into_boxed().finish()?;
        journal.map_or(Ok(()), Journal::remove)
    }

    /// Gives the target its name, but leaves the journal, which says that it is done.
    pub fn publish_and_keep_journal(self) -> io::Result<()> {
        self.opened.sink.into_boxed().finish()
    }
}

impl<'a> Restore<'a> {
    /// The whole volume, by so many workers, stopping at the first damage, without a journal and
    /// nothing else.
    pub fn whole(volume: &'a Volume, target: Target, jobs: NonZeroUsize) -> Self {
        Self {
            volume,
            range: 0..volume.size(),
            end: volume.size(),
            target,
            journal: None,
            io: Io::Auto,
            jobs,
            on_damage: OnDamage::Stop,
            digests: None,
            throttle: None,
            local: None,
            foreground: None,
            verify_target: false,
        }
    }

    /// Restores, makes durable and, if asked, compares.
    ///
    /// # Errors
    ///
    /// What stopped it, and how much of it a later run need not do again.
    pub fn run(self, progress: &Progress) -> Result<Restored, Unfinished> {
        let request = Self { end: self.end.max(self.range.end), ..self };
        let (volume, jobs, on_damage) = (request.volume, request.jobs, request.on_damage);
        let (range, end) = (clip(&request.range, &(0..volume.size())), request.end);
        let verify = request.verify_target;
        let (options, opened) = open(request, progress)?;
        let result = bring(&opened, volume, &range, end, &options, progress);
        let report = match result {
            Ok(report) => report,
            Err(error) => return Err(opened.leave(error)),
        };
        if verify {
            let compare = Options { on_damage, ..Options::new(jobs) };
            let wrong = opened
                .read_back()
                .and_then(|held| self::compare(&held, volume, &range, end, &compare, progress));
            match wrong {
                Ok(wrong) if wrong.is_empty() => {}
                Ok(wrong) => return Err(opened.void(wrong)),
                Err(error) => return Err(opened.leave(error)),
            }
        }
        let method = opened.sink.method();
        Ok(Restored { report, method, opened })
    }
}

/// Everything that is written, and durable in the end.
fn bring(
    opened: &Opened,
    volume: &Volume,
    range: &Range<u64>,
    end: u64,
    options: &Options<'_>,
    progress: &Progress,
) -> Result<Report, JobError> {
    let sink = opened.sink.as_sink();
    if opened.readback.is_none() {
        reserve::reserve(volume, range, sink, progress);
    }
    let existing = match &opened.readback {
        Some(target) => Existing::Keep(target),
        None => Existing::Overwrite,
    };
    let journal = opened.journal.as_ref();
    let options = Options { existing, journal, ..*options };
    let Some(journal) = journal else {
        let report = engine::run(volume, range.clone(), sink, &options, progress)?;
        pad(opened, &(range.end..end), progress)?;
        progress.flush();
        sink.sync().map_err(|e| JobError::target(sink, e))?;
        return Ok(report);
    };
    let (ran, kept) = thread::scope(|scope| {
        // The scope waits for the keeper, whatever becomes of the run.
        let _guard = OnPanic(|| journal.close());
        let keeper = scope.spawn(|| {
            let _guard = OnPanic(|| progress.cancel());
            let kept = journal.keep(opened.points, sink);
            if kept.is_err() {
                // What is written from here on could not be proved any more.
                progress.cancel();
            }
            kept
        });
        let ran = engine::run(volume, range.clone(), sink, &options, progress);
        let ran = ran.map_err(JobError::Run).and_then(|report| {
            pad(opened, &(range.end..end), progress)?;
            Ok(report)
        });
        journal.close();
        let panicked = |_| Err(SyncError::Target(io::Error::other("the journal's thread ended")));
        (ran, keeper.join().unwrap_or_else(panicked))
    });
    progress.flush();
    // A failed sync point is why the rest was cancelled.
    kept.map_err(|e| JobError::sync(sink, e))?;
    let last = journal.sync_point(|| sink.sync()).map_err(|e| JobError::sync(sink, e));
    let report = ran?;
    last?;
    Ok(report)
}

/// Zeros behind the volume.
fn pad(opened: &Opened, range: &Range<u64>, progress: &Progress) -> Result<(), JobError> {
    let sink = opened.sink.as_sink();
    let proven = opened.journal.as_ref().map(Journal::proven).unwrap_or_default();
    for step in steps(range, STEP) {
        if progress.is_cancelled() {
            return Err(RunError::Interrupted.into());
        }
        if proven.covers(&step) {
            continue;
        }
        let wrong = match &opened.readback {
            Some(held) => engine::not_zero(held, &step).map_err(|e| JobError::target(sink, e))?,
            None => std::iter::once(step.clone()).collect(),
        };
        for range in wrong.iter() {
            sink.zero_at(range.clone()).map_err(|e| JobError::target(sink, e))?;
        }
        if let Some(journal) = &opened.journal {
            journal.done(step, 0);
        }
    }
    Ok(())
}

/// Compares a target with the bytes `range` of a volume and with zeros from there to `end`; gives
/// the bytes that differ, in the volume's terms.
pub fn compare(
    target: &ReadBack,
    volume: &Volume,
    range: &Range<u64>,
    end: u64,
    options: &Options<'_>,
    progress: &Progress,
) -> Result<RangeSet, JobError> {
    let existing = Existing::Compare(target);
    let options = Options { existing, ..*options };
    let range = clip(range, &(0..volume.size()));
    let report = engine::run(volume, range.clone(), &NullSink, &options, progress)?;
    let mut wrong = report.mismatches;
    if range.end < end {
        let padding = engine::not_zero(target, &(range.end..end));
        let unread = |source| RunError::ReadBack {
            path: target.path().to_owned(),
            offset: range.end,
            source,
        };
        wrong.extend(padding.map_err(unread)?.iter().cloned());
    }
    Ok(wrong)
}
