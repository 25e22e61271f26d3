//! What bringing some bytes back will take, told by indexes alone: no data is read.

use std::ops::Range;

use snapfmt::MemberNo;

use crate::layout::{ColumnView, columns};
use crate::plan::{Known, Plan, Step, Task};
use crate::progress::Progress;
use crate::ranges::{clip, length};
use crate::report::Counts;
use crate::source::{Extent, ExtentKind, ReadCause, ReadError};
use crate::volume::Volume;

/// Why a survey stopped.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// An index cannot be read, or names bytes that its file does not have.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The caller cancelled it.
    #[error("interrupted")]
    Interrupted,
}

/// Counts the logical bytes `range` by kind, and the stored bytes behind them. Every index page on
/// the way is read and checked, so that each chunk's stored bytes are known to be within its file.
pub fn survey(
    volume: &Volume,
    range: Range<u64>,
    progress: &Progress,
) -> Result<Counts, SurveyError> {
    let mut counts = Counts::default();
    let range = range.start..range.end.min(volume.size());
    let begin = range.start;
    let mut plan = Plan::new(volume, range, 1, false, Known::default());
    let mut extents = Vec::new();
    while let Some(Step::Do(task)) = plan.next() {
        if progress.is_cancelled() {
            return Err(SurveyError::Interrupted);
        }
        match task {
            Task::Zeros { zero, hole, unmapped, .. } => {
                counts.zero += zero;
                counts.hole += hole;
                counts.unmapped += unmapped;
            }
            Task::Shard(shard) => {
                let Some(segment) = volume.layout().map().segment(shard.segment) else { continue };
                let first = begin.max(segment.start);
                for place in 0..columns(&segment).len() {
                    if let Some(view) = ColumnView::new(&segment, place) {
                        let first = view.member_range(&(first..first)).start;
                        let member = view.member_range(&shard.range);
                        column(volume, view.member, &member, first, &mut extents, &mut counts)?;
                    }
                }
            }
        }
    }
    Ok(counts)
}

/// Counts the bytes `range` of a member; its column has none that are counted before byte `first`.
fn column(
    volume: &Volume,
    member: MemberNo,
    range: &Range<u64>,
    first: u64,
    extents: &mut Vec<Extent>,
    counts: &mut Counts,
) -> Result<(), ReadError> {
    if range.is_empty() {
        return Ok(());
    }
    let member = volume.member(member);
    extents.clear();
    member.source.extents(range.clone(), extents)?;
    let mut at = range.start;
    for extent in extents.iter() {
        let wanted = clip(&extent.range, range);
        if wanted.start > at || extent.kind == ExtentKind::Inherit {
            break;
        }
        at = at.max(wanted.end);
        match &extent.kind {
            ExtentKind::Data(chunk) => {
                counts.data += length(&wanted);
                // A chunk that several shards need is counted by the first of them.
                if extent.range.start >= range.start || range.start == first {
                    counts.stored += u64::from(chunk.stored_at().len);
                }
            }
            ExtentKind::Zero => counts.zero += length(&wanted),
            ExtentKind::Hole => counts.hole += length(&wanted),
            ExtentKind::Inherit => {}
        }
    }
    if at < range.end {
        let name = member.volume_id.to_string();
        return Err(ReadError::new(name.as_ref(), ReadCause::NoParent { start: at }));
    }
    Ok(())
}
