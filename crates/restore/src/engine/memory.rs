//! How many threads and windows a job has, and what its buffers take.

use std::num::NonZeroUsize;

use snapfmt::{Limits, Mapping};

use super::Options;
use super::straddling_chunks::MAX_KEPT;
use super::window::Piece;
use crate::layout::columns;
use crate::plan::window_bytes;
use crate::sink::{ReadBack, Sink};
use crate::source::Extent;
use crate::threads;
use crate::volume::Volume;

/// Writers, and windows for them; or workers that may wait for what the target has while as many as
/// are asked for decode.
const SPARE: u64 = 4;
/// Most bytes that those take: wide stripes need large windows, which decode long enough.
const SPARE_BYTES: u64 = 12 << 20;

/// The shortest run of bytes of one kind that is counted with: a sector, which no stripe is shorter than.
const SHORTEST_RUN: u64 = 512;
/// The shortest chunk.
const SHORTEST_CHUNK: u64 = 4 << 10;
/// What a thread has beside its buffers: a decompressor, its stack, what the allocator keeps for it.
const THREAD: u64 = 512 << 10;
/// What all share: index pages, the plan, what has been proved and found.
const SHARED: u64 = 12 << 20;

/// The threads of a job.
pub(super) struct ThreadBudget {
    /// How many fill windows.
    pub(super) workers: usize,
    /// How many windows there are beyond theirs, for writers.
    pub(super) windows: usize,
}

impl ThreadBudget {
    /// For a job to `sink`, or one that reads a target: only what waits for a device or a reader is worth
    /// more than the workers.
    pub(super) fn of(volume: &Volume, options: &Options<'_>, sink: &dyn Sink) -> Self {
        let target = options.existing.target();
        let waits = target.map_or_else(|| sink.waits(), ReadBack::waits);
        Self::new(&BufferNeed::of(volume), options.jobs, target.is_some(), waits)
    }

    fn new(need: &BufferNeed, jobs: NonZeroUsize, reads_back: bool, waits: bool) -> Self {
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

/// The most memory that a job takes, in bytes, beside what its volume takes already. One that keeps or
/// compares what a target holds `reads_back`.
pub fn memory(volume: &Volume, jobs: NonZeroUsize, reads_back: bool) -> u64 {
    let need = BufferNeed::of(volume);
    let crew = ThreadBudget::new(&need, jobs.min(threads::most()), reads_back, true);
    let (workers, windows) = (crew.workers as u64, (crew.workers + crew.windows) as u64);
    // What the target has of a window, and the chunk of it that is compared.
    let held = if reads_back { need.window.saturating_add(need.chunks) } else { 0 };
    let worker =
        need.chunks.saturating_add(lists(need.window, SHORTEST_CHUNK, size_of::<Extent>()));
    let worker = worker.saturating_add(need.kept);
    let window = need.window.saturating_add(lists(need.window, SHORTEST_RUN, size_of::<Piece>()));
    let of_workers = worker.saturating_add(held).saturating_mul(workers);
    let threads = THREAD.saturating_mul(windows);
    window.saturating_mul(windows).saturating_add(of_workers).saturating_add(threads + SHARED)
}

/// The most that a list takes with one entry of `entry` bytes for each `run` of a window: it has grown by
/// doubling, and then there are the old one and the new one.
const fn lists(window: u64, run: u64, entry: usize) -> u64 {
    window.div_ceil(run).next_power_of_two().saturating_mul(entry as u64).saturating_mul(3) / 2
}

/// The most bytes that buffers take.
#[derive(Default)]
struct BufferNeed {
    /// A window.
    window: u64,
    /// What a worker has beside it: whole chunks that are not decoded straight into it, and a chunk as
    /// it is stored.
    chunks: u64,
    /// A chunk that a worker keeps, since it comes again.
    kept: u64,
}

impl BufferNeed {
    fn of(volume: &Volume) -> Self {
        let mapped = volume.layout().map().segments().filter(|s| s.mapping != Mapping::Unmapped);
        mapped.fold(Self::default(), |most, segment| {
            let sources = || columns(&segment).iter().map(|c| &volume.member(c.member).source);
            let chunks = sources().map(|source| source.largest_chunk());
            let kept = sources().map(|source| source.largest_kept()).max().unwrap_or(0);
            let chunk = u64::from(chunks.max().unwrap_or(0));
            let stored = u32::try_from(chunk).map_or(chunk, |c| Limits::stored_bytes(c).into());
            let whole = match segment.mapping {
                Mapping::Striped { columns, .. } => chunk.saturating_mul(columns.len() as u64),
                _ => chunk,
            };
            Self {
                window: most.window.max(window_bytes(volume, &segment)),
                kept: most.kept.max(kept.into()),
                chunks: most.chunks.max(whole.min(MAX_KEPT as u64).max(chunk) + stored),
            }
        })
    }
}
