//! Threads that read what will be asked for next.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
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

/// The threads, which end when this is dropped.
pub(super) struct Ahead {
    board: Arc<Board>,
    threads: Vec<JoinHandle<()>>,
}

/// Where readers leave word and threads find work.
struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    streams: Streams,
    chunks: VecDeque<(MemberNo, ChunkRef)>,
    is_over: bool,
}

impl Ahead {
    pub(super) fn start(core: &Arc<Core>, options: &Options) -> io::Result<Self> {
        let streams = Streams::new(core.volume().size(), (options.cache / PART).min(MOST));
        let state = State { streams, chunks: VecDeque::new(), is_over: false };
        let board = Arc::new(Board { state: state.into(), changed: Condvar::new() });
        // Those that were started end with it if one cannot be.
        let mut ahead = Self { board, threads: Vec::new() };
        for n in 0..options.threads.get() {
            let (core, board) = (Arc::clone(core), Arc::clone(&ahead.board));
            let thread = thread::Builder::new().name(format!("read-ahead-{n}"));
            ahead.threads.push(thread.spawn(move || board.work(&core))?);
        }
        Ok(ahead)
    }

    /// Takes note of a read; says whether it is one of a sequence.
    pub(super) fn note(&self, range: &Range<u64>) -> bool {
        let in_sequence = self.board.lock().streams.note(range);
        if in_sequence {
            self.board.changed.notify_one();
        }
        in_sequence
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.board.lock().is_over = true;
        self.board.changed.notify_all();
        for thread in self.threads.drain(..) {
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

impl Board {
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

/// The chunks below a window, told to the system all at once. What cannot be listed is found by whoever asks for it.
fn list(core: &Core, window: &Range<u64>) -> Vec<(MemberNo, ChunkRef)> {
    let volume = core.volume();
    let map = volume.layout().map();
    let mut chunks = Vec::new();
    let Some(segment) = map.find(window.start).and_then(|n| map.segment(n)) else { return chunks };
    for place in 0..columns(&segment).len() {
        let Some(view) = ColumnView::new(&segment, place) else { continue };
        let range = view.member_range(window);
        core.at_desk(|desk| {
            desk.extents.clear();
            if range.is_empty() || volume.extents(view.member, &range, &mut desk.extents).is_err() {
                return;
            }
            for extent in desk.extents.drain(..) {
                if let ExtentKind::Data(chunk) = extent.kind {
                    volume.member(view.member).source.will_need(&chunk);
                    chunks.push((view.member, chunk));
                }
            }
        });
    }
    chunks
}
