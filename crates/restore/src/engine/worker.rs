//! One worker: takes steps of the plan, window by window, and passes on what [`super::fill`] brings.

use std::io;
use std::ops::Range;

use super::target_window::TargetWindow;
use super::window::Window;
use super::{Job, RunError, StraddlingChunks};
use crate::plan::{Shard, Step, Task};
use crate::ranges::length;
use crate::ranges::{RangeSet, steps};
use crate::report::{Counts, Damage, Report};
use crate::source::Extent;

/// Zeros handed to the target in one step.
const ZERO_STEP: u64 = 64 << 20;

/// A worker and its buffers, which live as long as the job: nothing is allocated for a chunk.
pub(super) struct Worker<'w, 'j> {
    pub(super) job: &'w Job<'j>,
    pub(super) window: Window,
    /// What the target has of the window, where that matters.
    pub(super) held: Option<TargetWindow<'j>>,
    pub(super) extents: Vec<Extent>,
    pub(super) carry: StraddlingChunks,
    pub(super) findings: Findings,
}

/// What a worker has done and found.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) counts: Counts,
    pub(super) damage: Vec<Damage>,
    pub(super) more_damage: u64,
    pub(super) lost: RangeSet,
    pub(super) mismatches: RangeSet,
}

impl Findings {
    /// Keeps the first of what is found damaged, and of all of it which bytes are lost.
    pub(super) fn damaged(&mut self, damage: Damage) {
        self.lost.extend(damage.logical.iter().cloned());
        let goes_on = self.damage.last_mut().is_some_and(|last| last.join(&damage));
        if goes_on {
            return;
        }
        if self.damage.len() < Report::KEPT {
            self.damage.push(damage);
        } else {
            self.more_damage += 1;
        }
    }
}

impl<'w, 'j> Worker<'w, 'j> {
    pub(super) fn new(job: &'w Job<'j>) -> io::Result<Self> {
        Ok(Self {
            job,
            window: Window::default(),
            held: job.options.existing.target().map(TargetWindow::new),
            extents: Vec::new(),
            carry: StraddlingChunks::new()?,
            findings: Findings::default(),
        })
    }

    pub(super) fn into_findings(self) -> Findings {
        self.findings
    }

    pub(super) fn step(&mut self, step: &Step) -> Result<(), RunError> {
        match step {
            Step::Do(task) => self.task(task),
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
            self.window.begin(step);
            self.hash();
            if self.held.is_some() {
                self.zeros_held()?;
            } else {
                self.deliver()?;
            }
        }
        Ok(())
    }

    /// A window of zeros where the target may hold some already.
    fn zeros_held(&mut self) -> Result<(), RunError> {
        let (job, range) = (self.job, &self.window.range);
        let mut wrong = RangeSet::default();
        if let Some(held) = &mut self.held {
            let walked = held.each_not_zero(range, |piece| wrong.insert(piece));
            walked.map_err(|e| job.unread(range.start, e))?;
        }
        self.findings.counts.kept += length(range) - wrong.bytes();
        for piece in wrong.iter() {
            job.differs(piece, &mut self.findings, || job.zero(piece.clone()))?;
        }
        job.written(&self.window);
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
        for range in shard.windows() {
            if job.is_over() {
                return Err(RunError::Interrupted);
            }
            if let Some(foreground) = job.options.foreground {
                foreground.give_way(|| job.is_over());
            }
            self.fill(&segment, &range)?;
            job.in_turn(&range, || {
                self.hash();
                if in_turn { self.deliver() } else { Ok(()) }
            })?;
            if !write {
                job.progress.advance(length(&range), self.window.data);
            } else if !in_turn {
                self.deliver()?;
            }
        }
        Ok(())
    }

    /// Bytes that an earlier run has brought to the target: for their digests only.
    fn revisit(&mut self, task: &Task) -> Result<(), RunError> {
        let job = self.job;
        match task {
            Task::Zeros { range, .. } => job.in_turn(range, || {
                for step in steps(range, ZERO_STEP) {
                    if job.is_over() {
                        return Err(RunError::Interrupted);
                    }
                    job.progress.advance(length(&step), 0);
                    self.window.begin(step);
                    self.hash();
                }
                Ok(())
            }),
            Task::Shard(shard) => self.shard(shard, false),
        }
    }

    fn hash(&self) {
        let Window { range, buffer, pieces, .. } = &self.window;
        if let Some(digests) = self.job.options.digests {
            digests.update(range, buffer.bytes(), &pieces.iter().map(|p| &p.range));
        }
    }

    /// Lets the window be written, or does it here: where there is no writer, and where there is nothing to
    /// wait for. A sparse volume has a million windows of zeros, and a new image need not be told of them.
    fn deliver(&mut self) -> Result<(), RunError> {
        let Self { job, window, .. } = self;
        match &job.stage {
            Some(stage) if job.sink.is_ordered() || !window.pieces.is_empty() => {
                stage.hand_over(window);
            }
            _ => {
                job.write(window, self.held.as_ref(), &mut self.findings)?;
                job.written(window);
            }
        }
        Ok(())
    }
}
