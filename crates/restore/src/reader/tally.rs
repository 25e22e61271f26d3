//! What a reader has done.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a reader has done so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Reads asked for.
    pub reads: u64,
    /// Bytes given.
    pub bytes: u64,
    /// How often a chunk that was needed was there already, or on its way.
    pub hits: u64,
    /// Chunks read from their files, those read ahead included.
    pub loads: u64,
    /// Chunks read before they were asked for.
    pub read_ahead: u64,
    /// Reads that failed because what is stored is damaged.
    pub damaged: u64,
}

/// The same, while it is going on. Nothing depends on the order in which these change.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) reads: Count,
    pub(super) bytes: Count,
    pub(super) hits: Count,
    pub(super) loads: Count,
    pub(super) read_ahead: Count,
    pub(super) damaged: Count,
}

impl Tally {
    pub(super) fn counts(&self) -> Counts {
        Counts {
            reads: self.reads.get(),
            bytes: self.bytes.get(),
            hits: self.hits.get(),
            loads: self.loads.get(),
            read_ahead: self.read_ahead.get(),
            damaged: self.damaged.get(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
