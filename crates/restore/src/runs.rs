//! Where there is data and where there is none, told by indexes alone.

use std::ops::Range;

use snapfmt::{MemberNo, Segment};

use crate::image::Run;
use crate::layout::{ColumnView, MemberRange, columns};
use crate::ranges::clip;
use crate::source::{Extent, ExtentKind, ReadError};
use crate::volume::Volume;

/// How far a run of data is followed, in logical bytes: it may have an extent for each chunk.
const FAR: u64 = 256 << 20;
/// How often a member is asked for what follows.
const QUESTIONS: usize = 32;

/// Finds the runs of a volume.
pub(crate) struct Runs<'r> {
    volume: &'r Volume,
    extents: &'r mut Vec<Extent>,
}

impl<'r> Runs<'r> {
    pub(crate) const fn new(volume: &'r Volume, extents: &'r mut Vec<Extent>) -> Self {
        Self { volume, extents }
    }

    /// The run from logical byte `at`, which the volume has; or why that cannot be told, and of which
    /// byte of which member.
    pub(crate) fn at(&mut self, at: u64) -> Result<Run, (MemberRange, ReadError)> {
        let layout = self.volume.layout();
        let number = layout.map().find(at);
        let (Some(mut place), Some(segment)) =
            (layout.to_member(at), number.and_then(|n| layout.map().segment(n)))
        else {
            return Ok(Run { end: layout.segment_end(at), is_data: false });
        };
        place.range.end = place.range.start + 1;
        let is_data = self.is_data(&place).map_err(|error| (place, error))?;
        let reach = if is_data { at.saturating_add(FAR) } else { u64::MAX };
        let reach = segment.end().min(reach);
        Ok(Run { end: self.reach(&segment, &(at..reach), is_data), is_data })
    }

    fn is_data(&mut self, byte: &MemberRange) -> Result<bool, ReadError> {
        self.extents.clear();
        self.volume.extents(byte.member, &byte.range, self.extents)?;
        match self.extents.first().map(|extent| &extent.kind) {
            Some(ExtentKind::Data(_)) => Ok(true),
            Some(ExtentKind::Zero | ExtentKind::Hole) => Ok(false),
            Some(ExtentKind::Inherit) | None => {
                Err(self.volume.unresolved(byte.member, byte.range.start))
            }
        }
    }

    /// How far all members below `range` have what its first byte has.
    fn reach(&mut self, segment: &Segment<'_>, range: &Range<u64>, is_data: bool) -> u64 {
        let mut reach = range.end;
        for place in 0..columns(segment).len() {
            let Some(view) = ColumnView::new(segment, place) else { continue };
            let member = view.member_range(&(range.start..reach));
            let end = self.same_until(view.member, &member, is_data);
            if end < member.end {
                reach = reach.min(view.logical_at_or_after(end, segment.end()));
            }
        }
        reach
    }

    /// How far a member's bytes are of one kind. Where that cannot be told, another run begins.
    fn same_until(&mut self, member: MemberNo, range: &Range<u64>, is_data: bool) -> u64 {
        let (mut at, mut step) = (range.start, 1);
        for _ in 0..QUESTIONS {
            if at >= range.end {
                break;
            }
            self.extents.clear();
            let asked = at..at.saturating_add(step).min(range.end);
            if self.volume.extents(member, &asked, self.extents).is_err() {
                break;
            }
            for extent in self.extents.iter() {
                let same = match extent.kind {
                    ExtentKind::Data(_) => is_data,
                    ExtentKind::Zero | ExtentKind::Hole => !is_data,
                    ExtentKind::Inherit => false,
                };
                if !same {
                    return at;
                }
                at = at.max(clip(&extent.range, range).end);
            }
            step = step.saturating_mul(16).min(FAR);
        }
        at
    }
}
