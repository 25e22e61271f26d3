//! A gate that lets workers through in logical order: they decode at the same time and write one after the other.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Where an ordered target has got to.
#[derive(Debug)]
pub(super) struct InOrderGate {
    /// The next byte to be written; `None` once the job has failed.
    next: Mutex<Option<u64>>,
    moved: Condvar,
}

impl InOrderGate {
    /// The first byte to be written is `start`.
    pub(super) const fn new(start: u64) -> Self {
        Self { next: Mutex::new(Some(start)), moved: Condvar::new() }
    }

    /// Waits until everything before `start` has been written; `false` when the job has failed.
    pub(super) fn wait(&self, start: u64) -> bool {
        let waiting = |next: &mut Option<u64>| next.is_some_and(|next| next != start);
        let next = self.moved.wait_while(self.lock(), waiting);
        next.unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Everything up to `end` has been written.
    pub(super) fn advance(&self, end: u64) {
        let mut next = self.lock();
        if next.is_some() {
            *next = Some(end);
        }
        self.moved.notify_all();
    }

    /// No worker needs to wait any more: the job has failed.
    pub(super) fn abandon(&self) {
        *self.lock() = None;
        self.moved.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Option<u64>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
