//! A walk over logical windows, handed out in shards; lazy, without an entry for each chunk.

use std::ops::Range;

use snapfmt::{Mapping, Segment};

use crate::layout::{ColumnView, columns};
use crate::ranges::RangeSet;
use crate::ranges::{clip, length};
use crate::source::{Extent, ExtentKind};
use crate::volume::Volume;

/// Most bytes in a window: what a worker holds decoded at a time.
const MAX_WINDOW: u64 = 16 << 20;
/// A window is at least this long: small chunks leave as one large write.
pub(crate) const MIN_WINDOW: u64 = 1 << 20;
/// Most bytes in a shard: what a worker takes at a time.
const MAX_SHARD: u64 = 32 << 20;

/// What is known of the target before anything is done.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Bytes that an earlier run has made durable.
    pub(crate) proven: RangeSet,
    /// Whether those are gone through all the same, to be hashed.
    pub(crate) revisit: bool,
}

/// The next piece of work, and whether an earlier run has done it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// It is to be done.
    Do(Task),
    /// It has been done, but its bytes are asked for.
    Revisit(Task),
    /// So many bytes have been done and are not asked for.
    Skip(Range<u64>),
}

/// Logical bytes that are gone through by one worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Task {
    /// Logical bytes that need no reading.
    Zeros { range: Range<u64>, zero: u64, hole: u64, unmapped: u64 },
    /// Logical bytes of one segment, to be gone through window by window.
    Shard(Shard),
}

impl Task {
    pub(crate) const fn range(&self) -> &Range<u64> {
        match self {
            Self::Zeros { range, .. } => range,
            Self::Shard(shard) => &shard.range,
        }
    }
}

/// Part of a segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Shard {
    pub(crate) segment: usize,
    pub(crate) range: Range<u64>,
    window: u64,
    /// The segment's first logical byte, which windows are counted from.
    origin: u64,
}

impl Shard {
    /// The windows of the shard, each within one window of the segment's grid.
    pub(crate) fn windows(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let mut at = self.range.start;
        std::iter::from_fn(move || {
            let start = at;
            at = next_multiple(start, self.origin, self.window).min(self.range.end);
            (start < self.range.end).then_some(start..at)
        })
    }
}

/// The first point after `at` that lies a multiple of `step` behind `origin`, if that is a number.
pub(crate) fn next_multiple(at: u64, origin: u64, step: u64) -> u64 {
    origin.saturating_add(((at - origin) / step + 1).saturating_mul(step))
}

/// Hands out tasks in logical order.
pub(crate) struct Plan<'v> {
    volume: &'v Volume,
    at: u64,
    end: u64,
    /// A shard is what is left divided by this.
    divisor: u64,
    /// Most bytes in a shard.
    most: u64,
    known: Known,
    extents: Vec<Extent>,
}

impl<'v> Plan<'v> {
    /// Plans the logical bytes `range`, in shards that become smaller towards the end, so that `jobs`
    /// workers finish together.
    /// For an `ordered` target a shard is one window: a worker then never waits for another's second.
    pub(crate) fn new(
        volume: &'v Volume,
        range: Range<u64>,
        jobs: usize,
        ordered: bool,
        known: Known,
    ) -> Self {
        let most = if ordered { MIN_WINDOW } else { MAX_SHARD };
        let divisor = jobs as u64 * 8;
        let Range { start: at, end } = range;
        Self { volume, at, end, divisor, most, known, extents: Vec::new() }
    }

    /// The next step; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Step> {
        if self.at >= self.end {
            return None;
        }
        let proven = self.known.proven.end_from(self.at).map(|end| end.min(self.end));
        match proven {
            None => {
                let next = self.known.proven.next_from(self.at);
                self.task(next.map_or(self.end, |next| next.min(self.end))).map(Step::Do)
            }
            Some(end) if self.known.revisit => self.task(end).map(Step::Revisit),
            Some(end) => {
                let skipped = self.at..end;
                self.at = end;
                Some(Step::Skip(skipped))
            }
        }
    }

    /// The task from here on, which ends at `end` at the latest.
    fn task(&mut self, end: u64) -> Option<Task> {
        let number = self.volume.layout().map().find(self.at)?;
        let segment = self.volume.layout().map().segment(number)?;
        let end = segment.end().min(end);
        let task = if segment.mapping == Mapping::Unmapped {
            let range = self.at..end;
            Task::Zeros { unmapped: end - self.at, range, zero: 0, hole: 0 }
        } else {
            let window = window_bytes(self.volume, &segment);
            let zeros = self.zeros_ahead(&segment, end, window);
            zeros.unwrap_or_else(|| {
                let reach = self.at.saturating_add(self.shard().max(window));
                let shard_end = next_multiple(reach - 1, segment.start, window).min(end);
                let range = self.at..shard_end;
                Task::Shard(Shard { segment: number, range, window, origin: segment.start })
            })
        };
        self.at = task.range().end;
        Some(task)
    }

    /// Bytes of the next shard.
    fn shard(&self) -> u64 {
        (self.end.saturating_sub(self.at) / self.divisor).clamp(MIN_WINDOW, self.most)
    }

    /// A task for the zeros from here on, when every member of the segment has at least a shard of
    /// them: a sparse volume costs what it holds. What cannot be read is left to the workers.
    fn zeros_ahead(&mut self, segment: &Segment<'_>, end: u64, window: u64) -> Option<Task> {
        let mut reach = end;
        let mut kinds = Vec::with_capacity(columns(segment).len());
        for place in 0..columns(segment).len() {
            let view = ColumnView::new(segment, place)?;
            let member = view.member_range(&(self.at..end));
            if member.is_empty() {
                continue;
            }
            self.extents.clear();
            let source = &self.volume.member(view.member).source;
            source.extents(member.start..member.start + 1, &mut self.extents).ok()?;
            let first = self.extents.first()?;
            let hole = match first.kind {
                ExtentKind::Zero => false,
                ExtentKind::Hole => true,
                ExtentKind::Data(_) | ExtentKind::Inherit => return None,
            };
            let known = clip(&first.range, &member);
            if known.end < member.end {
                reach = reach.min(view.logical_at_or_after(known.end, end));
            }
            kinds.push((view, hole));
        }
        if reach < end {
            reach = segment.start + (reach - segment.start) / window * window;
        }
        if reach <= self.at || (reach < end && reach - self.at < self.shard()) {
            return None;
        }
        let range = self.at..reach;
        let bytes = |of_holes: bool| -> u64 {
            let members = kinds.iter().filter(|(_, hole)| *hole == of_holes);
            members.map(|(view, _)| length(&view.member_range(&range))).sum()
        };
        Some(Task::Zeros { zero: bytes(false), hole: bytes(true), unmapped: 0, range })
    }
}

/// The window of a segment: a multiple of its stripe row and of a row of chunks, so that each chunk
/// is decoded once and leaves in one write; capped, where a chunk then straddles windows and is
/// carried from one to the next.
pub(crate) fn window_bytes(volume: &Volume, segment: &Segment<'_>) -> u64 {
    let columns = columns(segment);
    let chunk = columns.iter().map(|c| volume.member(c.member).source.largest_chunk()).max();
    let chunk = u64::from(chunk.unwrap_or(1)).max(1);
    let row = match segment.mapping {
        Mapping::Striped { stripe, .. } => lcm(stripe.into(), chunk),
        _ => Some(chunk),
    };
    let exact = row.and_then(|row| row.checked_mul(columns.len() as u64));
    match exact {
        Some(exact) if exact <= MAX_WINDOW => exact * MIN_WINDOW.div_ceil(exact),
        _ => MAX_WINDOW,
    }
}

fn lcm(a: u64, b: u64) -> Option<u64> {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x.max(1)).checked_mul(b)
}
