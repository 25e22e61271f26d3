//! How many workers a job has, and what their buffers take.

use std::num::NonZeroUsize;

use snapfmt::Mapping;

use super::carry::MAX_KEPT;
use crate::layout::columns;
use crate::plan::window_bytes;
use crate::volume::Volume;

/// Workers that may wait for the target while as many as are asked for decode.
const SPARE: u64 = 2;
/// Most bytes that those take: wide stripes need large windows, which decode long enough.
const SPARE_BYTES: u64 = 32 << 20;

/// How many workers a job has that decodes with `jobs` of them at a time: more than those only for a
/// target that `waits`.
pub(super) fn workers(volume: &Volume, jobs: usize, reads_back: bool, waits: bool) -> usize {
    if !waits {
        return jobs;
    }
    let spare = (SPARE_BYTES / worker_bytes(volume, reads_back).max(1)).min(SPARE);
    jobs + usize::try_from(spare).unwrap_or(0)
}

/// The most memory that the buffers of a job take, in bytes. One that keeps or compares what a target
/// holds `reads_back`.
pub fn memory(volume: &Volume, jobs: NonZeroUsize, reads_back: bool) -> u64 {
    let workers = workers(volume, jobs.get(), reads_back, true) as u64;
    worker_bytes(volume, reads_back).saturating_mul(workers)
}

/// The most memory that one worker's buffers take, in bytes: its window, whole chunks that are not
/// decoded straight into it, a chunk as it is stored, and what the target has of the window.
fn worker_bytes(volume: &Volume, reads_back: bool) -> u64 {
    let mapped = volume.layout().map().segments().filter(|s| s.mapping != Mapping::Unmapped);
    let workers = mapped.map(|segment| {
        let chunks =
            columns(&segment).iter().map(|c| volume.member(c.member).source.largest_chunk());
        let chunk = u64::from(chunks.max().unwrap_or(0));
        let whole = match segment.mapping {
            Mapping::Striped { columns, .. } => chunk.saturating_mul(columns.len() as u64),
            _ => chunk,
        };
        let windows = if reads_back { 2 } else { 1 };
        window_bytes(volume, &segment) * windows + whole.min(MAX_KEPT as u64).max(chunk) + chunk
    });
    workers.max().unwrap_or(0)
}
