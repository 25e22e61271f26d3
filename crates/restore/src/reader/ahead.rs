//! Threads that read what will be asked for next.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::process;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};

use snapfmt::MemberNo;

use super::Options;
use super::core::Core;
use super::streams::Streams;
use crate::layout::{ColumnView, columns};
use crate::plan::{next_multiple, window_bytes};
use crate::source::{ChunkRef, ExtentKind};
use crate::volume::Volume;

/// Reading ahead may take this part of the cache: the rest is for what was read.
const PART: u64 = 2;
/// Most bytes to be ahead: more does not make it faster, and is read for nothing when a stream ends.
const MOST: u64 = 32 << 20;

/// The threads, which begin with the first read in sequence and end when this is dropped.
pub(super) struct Ahead {
    threads: NonZeroUsize,
    queue: Arc<PrefetchQueue>,
    started: OnceLock<Started>,
}

/// The threads of a process: those that it forks have none.
struct Started {
    process: u32,
    threads: Vec<JoinHandle<()>>,
}

/// Where readers leave word and threads find work.
struct PrefetchQueue {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    streams: Streams,
    chunks: VecDeque<(MemberNo, ChunkRef)>,
    is_over: bool,
}

impl Ahead {
    pub(super) fn new(core: &Core, options: &Options) -> Self {
        let streams = Streams::new(core.volume().size(), (options.cache / PART).min(MOST));
        let state = State { streams, chunks: VecDeque::new(), is_over: false };
        let queue = Arc::new(PrefetchQueue { state: state.into(), changed: Condvar::new() });
        Self { threads: options.threads, queue, started: OnceLock::new() }
    }

    /// Takes note of a read; says whether it is one of a sequence.
    pub(super) fn note(&self, core: &Arc<Core>, range: &Range<u64>) -> bool {
        if self.started.get().is_some_and(|started| !started.is_here()) {
            // A thread may have held the lock when the process forked; no thread would ever let it go.
            return false;
        }
        let in_sequence = self.queue.lock().streams.note(range);
        if in_sequence {
            self.started.get_or_init(|| self.start(core));
            self.queue.changed.notify_one();
        }
        in_sequence
    }

    /// Starts as many threads as can be had: without any, nothing is read ahead.
    fn start(&self, core: &Arc<Core>) -> Started {
        let threads = (0..self.threads.get()).map_while(|n| {
            let (core, queue) = (Arc::clone(core), Arc::clone(&self.queue));
            let thread = thread::Builder::new().name(format!("read-ahead-{n}"));
            thread.spawn(move || queue.work(&core)).ok()
        });
        Started { process: process::id(), threads: threads.collect() }
    }
}

impl Started {
    fn is_here(&self) -> bool {
        self.process == process::id()
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        let Some(started) = self.started.take().filter(Started::is_here) else { return };
        self.queue.lock().is_over = true;
        self.queue.changed.notify_all();
        for thread in started.threads {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl State {
    fn next_window(&mut self, volume: &Volume) -> Option<Range<u64>> {
        let most = self.streams.limit();
        self.streams.next(|at| window_end(volume, at, most))
    }
}

impl PrefetchQueue {
    /// One thread's life: chunks that are listed; if there are none, the next list.
    fn work(&self, core: &Core) {
        let mut state = self.lock();
        while !state.is_over {
            if let Some((member, chunk)) = state.chunks.pop_front() {
                drop(state);
                core.load_ahead(member, &chunk);
                state = self.lock();
            } else if let Some(window) = state.next_window(core.volume()) {
                drop(state);
                let chunks = list(core, &window);
                state = self.lock();
                if chunks.len() > 1 {
                    self.changed.notify_all();
                }
                state.chunks.extend(chunks);
            } else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of the window that logical byte `at` is in: whole rows of stripes and chunks, so that none
/// is listed twice. `None` where a row of chunks is more than `most` bytes: it would drive itself out.
fn window_end(volume: &Volume, at: u64, most: u64) -> Option<u64> {
    let map = volume.layout().map();
    let Some(segment) = map.find(at).and_then(|n| map.segment(n)) else {
        return Some(volume.size());
    };
    let columns = columns(&segment);
    if columns.is_empty() {
        return Some(segment.end());
    }
    let chunks = columns.iter().map(|c| u64::from(volume.member(c.member).source.largest_chunk()));
    let window = window_bytes(volume, &segment);
    (chunks.sum::<u64>() <= most)
        .then(|| next_multiple(at, segment.start, window).min(segment.end()))
}

/// The chunks below a window, told to the system all at once. What cannot be listed is found by the read that asks for it.
fn list(core: &Core, window: &Range<u64>) -> Vec<(MemberNo, ChunkRef)> {
    let volume = core.volume();
    let map = volume.layout().map();
    let mut chunks = Vec::new();
    let Some(segment) = map.find(window.start).and_then(|n| map.segment(n)) else { return chunks };
    for place in 0..columns(&segment).len() {
        let Some(view) = ColumnView::new(&segment, place) else { continue };
        let range = view.member_range(window);
        core.with_context(|context| {
            context.extents.clear();
            if range.is_empty()
                || volume.extents(view.member, &range, &mut context.extents).is_err()
            {
                return;
            }
            for extent in context.extents.drain(..) {
                if let ExtentKind::Data(chunk) = extent.kind {
                    volume.member(view.member).source.will_need(&chunk);
                    chunks.push((view.member, chunk));
                }
            }
        });
    }
    chunks
}
