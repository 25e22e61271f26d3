//! Whether a target still holds what its journal says, before a run goes on with it.
//!
//! Whatever a journal knows its target by, the bytes are what counts: a filesystem that was put back to an older
//! state, a disk in the place of another, a program that has written meanwhile.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::{JobError, compare};
use crate::engine::{OnDamage, Options, RunError};
use crate::progress::Progress;
use crate::ranges::RangeSet;
use crate::ranges::length;
use crate::runs::Runs;
use crate::sink::ReadBack;
use crate::volume::Volume;

/// Most bytes that are read of a target that cannot be taken for another.
const SAMPLE: u64 = 64 << 20;
/// And for how long, the first and the last piece excepted.
const TIME: Duration = Duration::from_secs(2);
/// Of how many bytes a piece is.
const PIECE: u64 = 512 << 10;

/// The bytes that are not what the journal says they are, among a sample of those `proven`, or among all.
pub(super) fn wrong(
    target: &ReadBack,
    volume: &Volume,
    proven: &RangeSet,
    all: Option<NonZeroUsize>,
    progress: &Progress,
) -> Result<RangeSet, JobError> {
    if let Some(jobs) = all {
        return every(target, volume, proven, jobs, progress);
    }
    let started = Instant::now();
    let pieces = if proven.bytes() <= SAMPLE {
        proven.iter().cloned().collect()
    } else {
        sample(volume, proven)
    };
    let mut wrong = RangeSet::default();
    for (n, piece) in pieces.iter().enumerate() {
        if n >= 2 && started.elapsed() >= TIME {
            break;
        }
        if progress.is_cancelled() {
            return Err(RunError::Interrupted.into());
        }
        // What cannot be read of the source any more is no reason to throw away what was.
        let options =
            Options { on_damage: OnDamage::Salvage { fill: 0 }, ..Options::new(NonZeroUsize::MIN) };
        let found = compare(target, volume, piece, piece.end, &options, &Progress::default())?;
        wrong.extend(found.iter().cloned());
    }
    Ok(wrong)
}

/// Where another target may look the same, what cannot be compared is not known to be there.
fn every(
    target: &ReadBack,
    volume: &Volume,
    proven: &RangeSet,
    jobs: NonZeroUsize,
    progress: &Progress,
) -> Result<RangeSet, JobError> {
    let mut wrong = RangeSet::default();
    for range in proven.iter() {
        let found = compare(target, volume, range, range.end, &Options::new(jobs), progress)?;
        wrong.extend(found.iter().cloned());
    }
    Ok(wrong)
}

/// The first piece, the last one, and others spread over all there is, elsewhere each time; data rather than
/// zeros, of which a strange target may have many.
fn sample(volume: &Volume, proven: &RangeSet) -> Vec<Range<u64>> {
    let count = SAMPLE / PIECE;
    let total = proven.bytes();
    let share = total / count;
    let chance = RandomState::new();
    let last = total.saturating_sub(PIECE);
    let inner = (1..count - 1).map(|n| n * share + chance.hash_one(n) % share.max(1));
    let mut extents = Vec::new();
    let mut runs = Runs::new(volume, &mut extents);
    [0, last]
        .into_iter()
        .chain(inner)
        .filter_map(|nth| piece(volume, &mut runs, proven, nth))
        .collect()
}

/// A piece around the `nth` byte of those proven.
fn piece(
    volume: &Volume,
    runs: &mut Runs<'_>,
    proven: &RangeSet,
    mut nth: u64,
) -> Option<Range<u64>> {
    let range = proven.iter().find(|range| {
        let is_in = nth < length(range);
        nth -= if is_in { 0 } else { length(range) };
        is_in
    })?;
    let mut at = range.start + nth;
    if at < volume.size()
        && let Ok(run) = runs.at(at)
        && !run.is_data
        && run.end < range.end.min(volume.size())
    {
        at = run.end;
    }
    // Where a chunk may begin, so that no more of them are read than must be.
    let start = (at - at % PIECE).max(range.start);
    Some(start..start.saturating_add(PIECE).min(range.end))
}
