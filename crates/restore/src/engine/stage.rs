//! The writer stage: threads that wait for the target, so that no worker has to.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::window::Window;
use crate::on_panic::OnPanic;

/// Between the workers, which fill windows, and the writers. A worker that goes on with another window
/// stays on its processor; one that waited itself would find it taken when the disk is done.
pub(super) struct Stage {
    state: Mutex<State>,
    filled: Condvar,
    emptied: Condvar,
}

struct State {
    /// To be written, in the order in which they came.
    filled: VecDeque<Window>,
    empty: Vec<Window>,
    /// How many workers may still fill some.
    workers: usize,
    /// A writer has gone without its window: no worker needs to wait for that.
    abandoned: bool,
}

impl Stage {
    /// For so many workers, with `windows` beyond those that they fill.
    pub(super) fn new(workers: usize, windows: usize) -> Self {
        let empty = std::iter::repeat_with(Window::default).take(windows).collect();
        let filled = VecDeque::with_capacity(windows);
        Self {
            state: Mutex::new(State { filled, empty, workers, abandoned: false }),
            filled: Condvar::new(),
            emptied: Condvar::new(),
        }
    }

    /// Gives a filled window to the writers in exchange for an empty one, and waits until there is
    /// one.
    pub(super) fn hand_over(&self, window: &mut Window) {
        let none = |state: &mut State| state.empty.is_empty() && !state.abandoned;
        let state = self.emptied.wait_while(self.lock(), none);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        let Some(empty) = state.empty.pop() else { return };
        state.filled.push_back(std::mem::replace(window, empty));
        drop(state);
        self.filled.notify_one();
    }

    /// Hands windows to `write` until there will be no more.
    pub(super) fn drain(&self, mut write: impl FnMut(&Window)) {
        let _guard = OnPanic(|| self.abandon());
        while let Some(window) = self.next() {
            write(&window);
            self.lock().empty.push(window);
            self.emptied.notify_one();
        }
    }

    /// One of the workers, until it is dropped.
    pub(super) const fn worker(&self) -> AtWork<'_> {
        AtWork(self)
    }

    fn abandon(&self) {
        self.lock().abandoned = true;
        self.emptied.notify_all();
    }

    fn next(&self) -> Option<Window> {
        let none = |state: &mut State| state.filled.is_empty() && state.workers > 0;
        let state = self.filled.wait_while(self.lock(), none);
        state.unwrap_or_else(PoisonError::into_inner).filled.pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A worker that may still fill windows.
pub(super) struct AtWork<'s>(&'s Stage);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.lock().workers -= 1;
        self.0.filled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::Stage;
    use crate::engine::window::Window;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Mutex;

    /// Hands over a window of one byte for each number below `count`.
    fn hand_over(stage: &Stage, count: u64) {
        let mut window = Window::default();
        for n in 0..count {
            window.begin(n..n + 1);
            stage.hand_over(&mut window);
        }
    }

    #[test]
    fn one_writer_takes_them_in_order_and_ends_after_the_last() {
        let stage = Stage::new(1, 3);
        let mut taken = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _at_work = stage.worker();
                hand_over(&stage, 1000);
            });
            stage.drain(|window| taken.push(window.range.start));
        });
        assert!(taken.into_iter().eq(0..1000));
    }

    #[test]
    fn several_take_each_once() {
        let stage = Stage::new(2, 4);
        let taken = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let _at_work = stage.worker();
                    hand_over(&stage, 500);
                });
            }
            for _ in 0..4 {
                scope.spawn(|| stage.drain(|w| taken.lock().unwrap().push(w.range.start)));
            }
        });
        let mut taken = taken.into_inner().unwrap();
        taken.sort_unstable();
        assert!(taken.into_iter().eq((0..500).flat_map(|n| [n, n])));
    }

    #[test]
    fn workers_do_not_wait_for_a_writer_that_panicked() {
        let stage = Stage::new(1, 2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _at_work = stage.worker();
                hand_over(&stage, 1000);
            });
            let drained =
                catch_unwind(AssertUnwindSafe(|| stage.drain(|w| assert!(w.range.start < 7))));
            assert!(drained.is_err());
        });
    }
}
