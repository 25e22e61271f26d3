//! The damage that reads have come upon.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use snapfmt::MemberNo;

use super::cache::Key;
use crate::report::Damage;
use crate::source::ReadError;
use crate::volume::Volume;

/// How many places are kept: `verify` lists them all.
const MOST: usize = 256;

/// Most chunks that are known to fail: others are tried as a whole once more.
const MOST_FAILING: NonZeroUsize = NonZeroUsize::new(1 << 16).unwrap();

/// Chunks that their medium could not give as a whole. They are read sector by sector, and kept nowhere:
/// what can be read of them is, and what cannot is tried again when it is asked for.
pub(super) struct Failing {
    /// Whether there are any: those who read a sound volume look no further.
    any: AtomicBool,
    chunks: Mutex<LruCache<Key, ()>>,
}

impl Default for Failing {
    fn default() -> Self {
        // Room is made as it is needed: a sound volume has none.
        let mut chunks = LruCache::unbounded();
        chunks.resize(MOST_FAILING);
        Self { any: AtomicBool::new(false), chunks: Mutex::new(chunks) }
    }
}

impl Failing {
    pub(super) fn has(&self, key: &Key) -> bool {
        self.any.load(Ordering::Relaxed) && self.chunks().get(key).is_some()
    }

    pub(super) fn add(&self, key: Key) {
        self.chunks().put(key, ());
        self.any.store(true, Ordering::Relaxed);
    }

    fn chunks(&self) -> MutexGuard<'_, LruCache<Key, ()>> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Each damaged place once.
#[derive(Debug, Default)]
pub(super) struct Found(Mutex<Vec<Damage>>);

impl Found {
    /// Takes note that these bytes of a member cannot be read.
    pub(super) fn add(
        &self,
        volume: &Volume,
        member: MemberNo,
        range: &Range<u64>,
        cause: &Arc<ReadError>,
    ) {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |d: &Damage| {
            d.member == member && d.range.start <= range.start && range.end <= d.range.end
        };
        if found.len() >= MOST || found.iter().any(known) {
            return;
        }
        found.push(Damage {
            member,
            volume_id: volume.member(member).volume_id.clone(),
            range: range.clone(),
            logical: volume.layout().logical_ranges(member, range),
            cause: Arc::clone(cause),
        });
    }

    pub(super) fn list(&self) -> Vec<Damage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
