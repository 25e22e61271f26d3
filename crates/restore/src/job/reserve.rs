//! Room for the data of a file, before the first of them is written.
//!
//! A filesystem that looks for room at each write lets no two direct writes to a hole go side by side
//! (ext4, `ext4_dio_write_checks`), and scatters what several workers write at once.

use std::ops::Range;

use crate::progress::Progress;
use crate::runs::Runs;
use crate::sink::Sink;
use crate::volume::Volume;

/// Most runs that are gone through: of the rest each write finds its own room.
const MOST: usize = 1 << 16;

/// Asks for room for the data among the logical bytes `range`, and for none of the zeros between them.
/// What cannot be had, or known, is found out by those who write or read it.
pub(super) fn reserve(volume: &Volume, range: &Range<u64>, sink: &dyn Sink, progress: &Progress) {
    if !sink.wants_room() {
        return;
    }
    let mut extents = Vec::new();
    let mut runs = Runs::new(volume, &mut extents);
    let mut at = range.start;
    for _ in 0..MOST {
        if at >= range.end || progress.is_cancelled() {
            break;
        }
        let Ok(run) = runs.at(at) else { break };
        let end = run.end.min(range.end);
        if run.is_data && !sink.reserve(&(at..end)) {
            break;
        }
        at = end;
    }
}
