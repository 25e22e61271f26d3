//! Counters that a caller polls while a job runs, and the way to stop it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How far a job is. All values are bytes and only grow.
#[derive(Debug, Default)]
pub struct Progress {
    /// What is known from the start of a job of several runs.
    of_runs: u64,
    total: AtomicU64,
    done: AtomicU64,
    data: AtomicU64,
    flushing: AtomicBool,
    cancelled: AtomicBool,
}

impl Progress {
    /// Of a job of several runs, one after the other, with so many bytes to do in all of them.
    pub fn of_runs(bytes: u64) -> Self {
        Self { of_runs: bytes, ..Self::default() }
    }

    /// Bytes to do, 0 before that is known.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed).max(self.of_runs)
    }

    /// Bytes done, zeros included.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Bytes of data done, without zeros: what takes the time.
    pub fn data(&self) -> u64 {
        self.data.load(Ordering::Relaxed)
    }

    /// Whether all is written and only being made durable.
    pub fn is_flushing(&self) -> bool {
        self.flushing.load(Ordering::Relaxed)
    }

    /// Asks the job to stop soon; it then fails as interrupted.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether [`Progress::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    pub(crate) fn flush(&self) {
        self.flushing.store(true, Ordering::Relaxed);
    }

    /// So many bytes more are to be done.
    pub fn expect(&self, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes are done, and so many of them are data.
    pub fn advance(&self, done: u64, data: u64) {
        self.done.fetch_add(done, Ordering::Relaxed);
        self.data.fetch_add(data, Ordering::Relaxed);
    }
}
