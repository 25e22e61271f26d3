//! How many threads and windows a job has, and what its buffers take.

use std::num::NonZeroUsize;

use snapfmt::Mapping;

use super::Options;
use super::carry::MAX_KEPT;
use crate::layout::columns;
use crate::plan::window_bytes;
use crate::sink::{ReadBack, Sink};
use crate::volume::Volume;

/// Writers, and windows for them; or workers that may wait for what the target has while as many as
/// are asked for decode.
const SPARE: u64 = 4;
/// Most bytes that those take: wide stripes need large windows, which decode long enough.
const SPARE_BYTES: u64 = 12 << 20;

/// The threads of a job.
pub(super) struct Crew {
    /// How many fill windows.
    pub(super) workers: usize,
    /// How many windows there are beyond theirs, for writers.
    pub(super) windows: usize,
}

impl Crew {
    /// For a job to `sink`, or one that reads a target: only what waits for a device or a reader is worth
    /// more than the workers.
    pub(super) fn of(volume: &Volume, options: &Options<'_>, sink: &dyn Sink) -> Self {
        let target = options.existing.target();
        let waits = target.map_or_else(|| sink.waits(), ReadBack::waits);
        Self::new(&Need::of(volume), options.jobs, target.is_some(), waits)
    }

    fn new(need: &Need, jobs: NonZeroUsize, reads_back: bool, waits: bool) -> Self {
        let affordable = |bytes: u64| {
            let spare = (SPARE_BYTES / bytes.max(1)).min(SPARE);
            usize::try_from(spare).unwrap_or(0)
        };
        let jobs = jobs.get();
        match (waits, reads_back) {
            (false, _) => Self { workers: jobs, windows: 0 },
            (true, false) => Self { workers: jobs, windows: affordable(need.window) },
            (true, true) => {
                let spare = affordable(2 * need.window + need.chunks);
                Self { workers: jobs + spare, windows: 0 }
            }
        }
    }
}

/// The most memory that the buffers of a job take, in bytes. One that keeps or compares what a target
/// holds `reads_back`.
pub fn memory(volume: &Volume, jobs: NonZeroUsize, reads_back: bool) -> u64 {
    let need = Need::of(volume);
    let crew = Crew::new(&need, jobs, reads_back, true);
    let windows = if reads_back { 2 * crew.workers } else { crew.workers + crew.windows };
    let chunks = need.chunks.saturating_mul(crew.workers as u64);
    need.window.saturating_mul(windows as u64).saturating_add(chunks)
}

/// The most bytes that buffers take.
#[derive(Default)]
struct Need {
    /// A window.
    window: u64,
    /// What a worker has beside it: whole chunks that are not decoded straight into it, and a chunk as
    /// it is stored.
    chunks: u64,
}

impl Need {
    fn of(volume: &Volume) -> Self {
        let mapped = volume.layout().map().segments().filter(|s| s.mapping != Mapping::Unmapped);
        mapped.fold(Self::default(), |most, segment| {
            let chunks =
                columns(&segment).iter().map(|c| volume.member(c.member).source.largest_chunk());
            let chunk = u64::from(chunks.max().unwrap_or(0));
            let whole = match segment.mapping {
                Mapping::Striped { columns, .. } => chunk.saturating_mul(columns.len() as u64),
                _ => chunk,
            };
            Self {
                window: most.window.max(window_bytes(volume, &segment)),
                chunks: most.chunks.max(whole.min(MAX_KEPT as u64).max(chunk) + chunk),
            }
        })
    }
}
