//! One worker: fills a window from the members below it and writes it out.

use std::io;
use std::ops::Range;

use snapfmt::Segment;

use super::{Carry, Job, OnDamage, RunError};
use crate::layout::{ColumnView, columns, push_joined};
use crate::plan::{Shard, Task};
use crate::report::{Counts, Damage};
use crate::sink::AlignedBuffer;
use crate::source::{ChunkRef, Extent, ExtentKind, ReadCause, ReadError, clip, length};

/// Zeros handed to the target in one step.
const ZERO_STEP: u64 = 64 << 20;

/// A worker and its buffers, which live as long as the job: nothing is allocated for a chunk.
pub(super) struct Worker<'w, 'j> {
    job: &'w Job<'j>,
    window: AlignedBuffer,
    /// The parts of the window that hold data, as logical bytes.
    pieces: Vec<Range<u64>>,
    extents: Vec<Extent>,
    carry: Carry,
    counts: Counts,
    damage: Vec<Damage>,
}

impl<'w, 'j> Worker<'w, 'j> {
    pub(super) fn new(job: &'w Job<'j>) -> io::Result<Self> {
        Ok(Self {
            job,
            window: AlignedBuffer::default(),
            pieces: Vec::new(),
            extents: Vec::new(),
            carry: Carry::new()?,
            counts: Counts::default(),
            damage: Vec::new(),
        })
    }

    pub(super) fn into_findings(self) -> (Counts, Vec<Damage>) {
        (self.counts, self.damage)
    }

    pub(super) fn task(&mut self, task: &Task) -> Result<(), RunError> {
        match task {
            Task::Zeros { range, zero, hole, unmapped } => {
                self.counts.zero += zero;
                self.counts.hole += hole;
                self.counts.unmapped += unmapped;
                self.job.in_turn(range, || self.zeros(range))
            }
            Task::Shard(shard) => self.shard(shard),
        }
    }

    /// A long run of zeros, in steps: a target that writes them out can still be interrupted.
    fn zeros(&self, range: &Range<u64>) -> Result<(), RunError> {
        let mut at = range.start;
        while at < range.end {
            if self.job.progress.is_cancelled() {
                return Err(RunError::Interrupted);
            }
            let step = at..at.saturating_add(ZERO_STEP).min(range.end);
            at = step.end;
            self.job.progress.advance(length(&step), 0);
            self.zero(step)?;
        }
        Ok(())
    }

    fn shard(&mut self, shard: &Shard) -> Result<(), RunError> {
        let Some(segment) = self.job.volume.layout().map().segment(shard.segment) else {
            return Ok(());
        };
        self.carry.forget();
        for window in shard.windows() {
            if self.job.progress.is_cancelled() {
                return Err(RunError::Interrupted);
            }
            let data_before = self.counts.data;
            self.fill(&segment, &window)?;
            let job = self.job;
            job.in_turn(&window, || self.write(&window))?;
            self.job.progress.advance(length(&window), self.counts.data - data_before);
        }
        Ok(())
    }

    /// Brings everything the members hold for `window` into the buffer.
    fn fill(&mut self, segment: &Segment<'_>, window: &Range<u64>) -> Result<(), RunError> {
        self.pieces.clear();
        let len = usize::try_from(length(window)).unwrap_or(usize::MAX);
        self.window.reserve(len);
        for place in 0..columns(segment).len() {
            let Some(view) = ColumnView::new(segment, place) else { continue };
            let range = view.member_range(window);
            if !range.is_empty() {
                self.column(place, &view, window, &range)?;
            }
        }
        Ok(())
    }

    fn column(
        &mut self,
        place: usize,
        view: &ColumnView,
        window: &Range<u64>,
        range: &Range<u64>,
    ) -> Result<(), RunError> {
        let volume = self.job.volume;
        let source = &volume.member(view.member).source;
        let mut extents = std::mem::take(&mut self.extents);
        extents.clear();
        if let Err(error) = source.extents(range.clone(), &mut extents) {
            extents.clear();
            self.unlisted(view, window, range, error, &mut extents)?;
        }
        for extent in &extents {
            let wanted = clip(&extent.range, range);
            match &extent.kind {
                ExtentKind::Zero => self.counts.zero += length(&wanted),
                ExtentKind::Hole => self.counts.hole += length(&wanted),
                ExtentKind::Data(chunk) => self.data(place, view, window, &wanted, chunk)?,
                ExtentKind::Inherit => {
                    let cause = ReadCause::NoParent { start: wanted.start };
                    let error = ReadError::new(self.job.sink.path(), cause);
                    self.damaged(view, window, wanted, error)?;
                }
            }
        }
        self.extents = extents;
        Ok(())
    }

    /// The extents of `range` could not be listed: asks chunk by chunk, so that only those below
    /// the damaged part of an index are lost.
    fn unlisted(
        &mut self,
        view: &ColumnView,
        window: &Range<u64>,
        range: &Range<u64>,
        error: ReadError,
        extents: &mut Vec<Extent>,
    ) -> Result<(), RunError> {
        if self.job.on_damage == OnDamage::Stop {
            return self.damaged(view, window, range.clone(), error);
        }
        let source = &self.job.volume.member(view.member).source;
        let unit = u64::from(source.largest_chunk()).max(1);
        let mut at = range.start;
        while at < range.end {
            let step = at..((at / unit + 1) * unit).min(range.end);
            at = step.end;
            let from = extents.len();
            match source.extents(step.clone(), extents) {
                Ok(()) => {
                    for extent in extents.iter_mut().skip(from) {
                        extent.range = clip(&extent.range, &step);
                    }
                }
                Err(error) => {
                    extents.truncate(from);
                    self.damaged(view, window, step, error)?;
                }
            }
        }
        Ok(())
    }

    /// Reads a chunk: straight into the window where it lies there whole and in order, otherwise by
    /// way of the carry.
    fn data(
        &mut self,
        place: usize,
        view: &ColumnView,
        window: &Range<u64>,
        wanted: &Range<u64>,
        chunk: &ChunkRef,
    ) -> Result<(), RunError> {
        let volume = self.job.volume;
        let source = &*volume.member(view.member).source;
        let (buffer, pieces) = (self.window.bytes_mut(), &mut self.pieces);
        let mut direct = None;
        if *wanted == chunk.range {
            view.scatter(wanted, |part, logical| {
                direct = (part == *wanted).then_some(logical);
            });
        }
        let read = match direct {
            Some(logical) => {
                let out = &mut buffer[within(window, &logical)];
                let proof = source.read(chunk, out, &mut self.carry.scratch);
                proof.map(|proof| {
                    push_joined(pieces, logical);
                    (proof, u64::from(chunk.at.len))
                })
            }
            None => self.carry.whole(place, source, chunk).map(|whole| {
                view.scatter(wanted, |part, logical| {
                    buffer[within(window, &logical)]
                        .copy_from_slice(whole.slice(chunk.range.start, &part));
                    push_joined(pieces, logical);
                });
                (whole.proof, whole.stored)
            }),
        };
        match read {
            Ok((proof, stored)) => {
                self.counts.count_data(length(wanted), proof);
                self.counts.stored += stored;
                Ok(())
            }
            Err(error) => self.damaged(view, window, wanted.clone(), error),
        }
    }

    /// Records lost bytes and fills their place, or stops.
    fn damaged(
        &mut self,
        view: &ColumnView,
        window: &Range<u64>,
        range: Range<u64>,
        cause: ReadError,
    ) -> Result<(), RunError> {
        let mut logical = Vec::new();
        view.scatter(&range, |_, piece| push_joined(&mut logical, piece));
        if let OnDamage::Salvage { fill } = self.job.on_damage
            && fill != 0
        {
            for piece in &logical {
                self.window.bytes_mut()[within(window, piece)].fill(fill);
                push_joined(&mut self.pieces, piece.clone());
            }
        }
        let volume_id = self.job.volume.member(view.member).volume_id.clone();
        let damage = Damage { member: view.member, volume_id, range, logical, cause };
        match self.job.on_damage {
            OnDamage::Stop => Err(RunError::Damaged(Box::new(damage))),
            OnDamage::Salvage { .. } => {
                self.damage.push(damage);
                Ok(())
            }
        }
    }

    /// Hands the window to the sink: data in as few writes as it has runs, the rest as zeros.
    fn write(&mut self, window: &Range<u64>) -> Result<(), RunError> {
        self.pieces.sort_unstable_by_key(|p| p.start);
        let mut pieces = self.pieces.iter().peekable();
        let mut at = window.start;
        while let Some(first) = pieces.next() {
            let mut run = first.clone();
            while let Some(next) = pieces.next_if(|next| next.start == run.end) {
                run.end = next.end;
            }
            self.zero(at..run.start)?;
            let data = &self.window.bytes()[within(window, &run)];
            self.job.sink.write_at(data, run.start).map_err(|e| self.target(run.start, e))?;
            at = run.end;
        }
        self.zero(at..window.end)
    }

    fn zero(&self, range: Range<u64>) -> Result<(), RunError> {
        if range.is_empty() {
            return Ok(());
        }
        let start = range.start;
        self.job.sink.zero_at(range).map_err(|e| self.target(start, e))
    }

    fn target(&self, offset: u64, source: io::Error) -> RunError {
        RunError::Target { path: self.job.sink.path().to_owned(), offset: Some(offset), source }
    }
}

/// Logical bytes as a place in the window's buffer.
fn within(window: &Range<u64>, logical: &Range<u64>) -> Range<usize> {
    let at = |offset: u64| usize::try_from(offset - window.start).unwrap_or(usize::MAX);
    at(logical.start)..at(logical.end)
}
