//! How many threads decode at a time, in the order in which they asked.
//!
//! If all threads that wait for a chunk decoded one at once, each would have a small part of a core: all
//! chunks would be late, and those who came first no earlier than the last.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The permits.
pub(super) struct FairSemaphore(Mutex<State>);

struct State {
    free: usize,
    /// A permit that is given back is handed to the first of them, so that none overtakes.
    waiting: VecDeque<SyncSender<()>>,
}

/// Leave to decode; it is given back when this is dropped.
pub(super) struct Permit<'t>(&'t FairSemaphore);

impl FairSemaphore {
    /// So many at a time.
    pub(super) const fn new(free: NonZeroUsize) -> Self {
        Self(Mutex::new(State { free: free.get(), waiting: VecDeque::new() }))
    }

    /// Waits for a permit.
    pub(super) fn take(&self) -> Permit<'_> {
        let mut state = self.lock();
        if let Some(less) = state.free.checked_sub(1) {
            state.free = less;
            return Permit(self);
        }
        let (ours, given) = sync_channel(1);
        state.waiting.push_back(ours);
        drop(state);
        // The sender stays in the queue until it has sent.
        let _ = given.recv();
        Permit(self)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        match state.waiting.pop_front() {
            // The thread that waits is there to take it.
            Some(next) => drop(next.send(())),
            None => state.free += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FairSemaphore;
    use std::num::NonZeroUsize;
    use std::sync::Mutex;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn so_many_at_a_time_and_first_come_first() {
        let turns = FairSemaphore::new(NonZeroUsize::new(2).unwrap());
        let came = Mutex::new(Vec::new());
        thread::scope(|scope| {
            let held = [turns.take(), turns.take()];
            for n in 0..8 {
                let (turns, came) = (&turns, &came);
                scope.spawn(move || {
                    let turn = turns.take();
                    came.lock().unwrap().push(n);
                    drop(turn);
                });
                while turns.lock().waiting.len() <= n {
                    thread::sleep(Duration::from_millis(1));
                }
            }
            assert!(came.lock().unwrap().is_empty());
            let [first, second] = held;
            drop(first);
            // One alone hands on in order.
            while came.lock().unwrap().len() < 8 {
                thread::sleep(Duration::from_millis(1));
            }
            drop(second);
        });
        assert_eq!(*came.lock().unwrap(), (0..8).collect::<Vec<_>>());
        assert_eq!(turns.lock().free, 2);
    }

    #[test]
    fn a_turn_ends_with_the_thread_that_panics() {
        let turns = FairSemaphore::new(NonZeroUsize::MIN);
        let panicked = thread::scope(|scope| {
            let turn = || {
                let _turn = turns.take();
                panic!("in its turn");
            };
            scope.spawn(turn).join()
        });
        assert!(panicked.is_err());
        drop(turns.take());
    }
}
