//! One worker: takes steps of the plan, window by window, and hands what [`super::fill`] brings to the
//! sink.

use std::io;
use std::ops::Range;

use super::held::Held;
use super::{Carry, Existing, Job, RunError};
use crate::plan::{Shard, Step, Task};
use crate::ranges::{RangeSet, steps};
use crate::report::{Counts, Damage};
use crate::sink::AlignedBuffer;
use crate::source::{Extent, length};

/// Zeros handed to the target in one step.
const ZERO_STEP: u64 = 64 << 20;

/// A worker and its buffers, which live as long as the job: nothing is allocated for a chunk.
pub(super) struct Worker<'w, 'j> {
    pub(super) job: &'w Job<'j>,
    pub(super) window: AlignedBuffer,
    /// The parts of the window that hold data, sorted.
    pub(super) pieces: Vec<Piece>,
    /// What the target has of the window, where that matters.
    pub(super) held: Option<Held<'j>>,
    pub(super) extents: Vec<Extent>,
    pub(super) carry: Carry,
    pub(super) findings: Findings,
}

/// Logical bytes of the window that are data.
pub(super) struct Piece {
    pub(super) range: Range<u64>,
    /// Whether the target has them as they are.
    pub(super) right: bool,
}

/// What a worker has done and found.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) counts: Counts,
    pub(super) damage: Vec<Damage>,
    pub(super) mismatches: RangeSet,
}

impl<'w, 'j> Worker<'w, 'j> {
    pub(super) fn new(job: &'w Job<'j>) -> io::Result<Self> {
        Ok(Self {
            job,
            window: AlignedBuffer::default(),
            pieces: Vec::new(),
            held: job.options.existing.target().map(Held::new),
            extents: Vec::new(),
            carry: Carry::new()?,
            findings: Findings::default(),
        })
    }

    pub(super) fn into_findings(self) -> Findings {
        self.findings
    }

    pub(super) fn step(&mut self, step: &Step) -> Result<(), RunError> {
        match step {
            Step::Do(task) => {
                let damaged = self.findings.damage.len();
                self.task(task)?;
                // What is lost is not done: a later run must come upon it and say so again.
                if damaged == self.findings.damage.len()
                    && let (Some(journal), Task::Shard(shard)) = (self.job.options.journal, task)
                {
                    journal.done(shard.range.clone());
                }
                Ok(())
            }
            Step::Revisit(task) => {
                let counts = self.findings.counts;
                self.revisit(task)?;
                self.findings.counts = counts;
                self.findings.counts.resumed += length(task.range());
                Ok(())
            }
            Step::Skip(range) => {
                self.findings.counts.resumed += length(range);
                self.job.progress.advance(length(range), 0);
                Ok(())
            }
        }
    }

    fn task(&mut self, task: &Task) -> Result<(), RunError> {
        match task {
            Task::Zeros { range, zero, hole, unmapped } => {
                let counts = &mut self.findings.counts;
                counts.zero += zero;
                counts.hole += hole;
                counts.unmapped += unmapped;
                let job = self.job;
                job.in_turn(range, || self.zeros(range))
            }
            Task::Shard(shard) => self.shard(shard, true),
        }
    }

    /// A long run of zeros, in steps: a target that writes them out can still be interrupted, and
    /// goes on in the middle of them.
    fn zeros(&mut self, range: &Range<u64>) -> Result<(), RunError> {
        for step in steps(range, ZERO_STEP) {
            if self.job.is_over() {
                return Err(RunError::Interrupted);
            }
            if let Some(digests) = self.job.options.digests {
                digests.update(&step, &[], &std::iter::empty());
            }
            self.zeros_held(&step)?;
            self.job.progress.advance(length(&step), 0);
            if let Some(journal) = self.job.options.journal {
                journal.done(step);
            }
        }
        Ok(())
    }

    /// Zeros where the target may hold some already.
    fn zeros_held(&mut self, range: &Range<u64>) -> Result<(), RunError> {
        let Some(held) = &mut self.held else { return self.job.zero(range.clone()) };
        let mut wrong = RangeSet::default();
        let walked = held.each_not_zero(range, |piece| wrong.insert(piece));
        walked.map_err(|e| self.job.unread(range.start, e))?;
        self.findings.counts.kept += length(range) - wrong.bytes();
        for piece in wrong.iter() {
            self.differs(piece.clone(), |job, _| job.zero(piece.clone()))?;
        }
        Ok(())
    }

    /// Goes through a shard window by window; what an earlier run has written is only hashed.
    fn shard(&mut self, shard: &Shard, write: bool) -> Result<(), RunError> {
        let job = self.job;
        let Some(segment) = job.volume.layout().map().segment(shard.segment) else {
            return Ok(());
        };
        let in_turn = write && job.sink.is_ordered();
        self.carry.forget();
        for window in shard.windows() {
            if job.is_over() {
                return Err(RunError::Interrupted);
            }
            if let Some(foreground) = job.options.foreground {
                foreground.give_way(|| job.is_over());
            }
            let data_before = self.findings.counts.data;
            self.fill(&segment, &window)?;
            job.in_turn(&window, || {
                self.hash(&window);
                if in_turn { self.write(&window) } else { Ok(()) }
            })?;
            if write && !in_turn {
                self.write(&window)?;
            }
            let data = if write { self.findings.counts.data - data_before } else { 0 };
            job.progress.advance(length(&window), data);
        }
        Ok(())
    }

    /// Bytes that an earlier run has brought to the target: for their digests only.
    fn revisit(&mut self, task: &Task) -> Result<(), RunError> {
        let job = self.job;
        match task {
            Task::Zeros { range, .. } => {
                self.pieces.clear();
                job.in_turn(range, || {
                    for step in steps(range, ZERO_STEP) {
                        if job.is_over() {
                            return Err(RunError::Interrupted);
                        }
                        self.hash(&step);
                        job.progress.advance(length(&step), 0);
                    }
                    Ok(())
                })
            }
            Task::Shard(shard) => self.shard(shard, false),
        }
    }

    fn hash(&self, window: &Range<u64>) {
        if let Some(digests) = self.job.options.digests {
            digests.update(window, self.window.bytes(), &self.pieces.iter().map(|p| &p.range));
        }
    }

    /// Hands the window to the sink: data in as few writes as it has runs, the rest as zeros.
    fn write(&mut self, window: &Range<u64>) -> Result<(), RunError> {
        let pieces = std::mem::take(&mut self.pieces);
        let mut left = pieces.iter().peekable();
        let mut at = window.start;
        while let Some(first) = left.next() {
            let mut run = first.range.clone();
            while let Some(next) =
                left.next_if(|next| next.range.start == run.end && next.right == first.right)
            {
                run.end = next.range.end;
            }
            self.zero_gap(at..run.start)?;
            at = run.end;
            if first.right {
                self.findings.counts.kept += length(&run);
                continue;
            }
            let (place, start) = (within(window, &run), run.start);
            self.differs(run, |job, buffer| job.put(&buffer[place], start))?;
        }
        self.pieces = pieces;
        self.zero_gap(at..window.end)
    }

    /// The bytes of the window between data.
    fn zero_gap(&mut self, range: Range<u64>) -> Result<(), RunError> {
        if range.is_empty() {
            return Ok(());
        }
        if self.held.as_ref().is_some_and(|held| held.is_zero(&range)) {
            self.findings.counts.kept += length(&range);
            return Ok(());
        }
        self.differs(range.clone(), |job, _| job.zero(range))
    }

    /// The target has something else there: that is found, or put right, with the window's bytes at
    /// hand.
    fn differs(
        &mut self,
        range: Range<u64>,
        put_right: impl FnOnce(&Job<'j>, &[u8]) -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        match self.job.options.existing {
            Existing::Compare(_) => {
                self.findings.mismatches.insert(range);
                Ok(())
            }
            Existing::Overwrite | Existing::Keep(_) => put_right(self.job, self.window.bytes()),
        }
    }
}

/// Logical bytes as a place in the window's buffer.
pub(super) fn within(window: &Range<u64>, logical: &Range<u64>) -> Range<usize> {
    let at = |offset: u64| usize::try_from(offset - window.start).unwrap_or(usize::MAX);
    at(logical.start)..at(logical.end)
}
