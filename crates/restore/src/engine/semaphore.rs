//! How many workers may decode at a time.

use std::sync::{Condvar, Mutex, PoisonError};

/// A job that reads its target has more workers than may decode at once: while some wait for what the
/// target has, others decode. Elsewhere there is one for each worker, and none waits.
#[derive(Debug)]
pub(super) struct Semaphore {
    free: Mutex<usize>,
    freed: Condvar,
}

/// Leave to decode, until it is dropped.
pub(super) struct Permit<'p>(&'p Semaphore);

impl Semaphore {
    pub(super) const fn new(count: usize) -> Self {
        Self { free: Mutex::new(count), freed: Condvar::new() }
    }

    /// Waits for one. Its holder must not wait for another worker.
    pub(super) fn take(&self) -> Permit<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let free = self.freed.wait_while(free, |free| *free == 0);
        *free.unwrap_or_else(PoisonError::into_inner) -= 1;
        Permit(self)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}
