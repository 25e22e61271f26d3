//! Holding a job to so many bytes a second.

use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How much may pass at once, as time: what was not used for longer than this is lost.
const BURST: Duration = Duration::from_millis(100);
/// A waiting worker looks this often whether the job is over.
const LOOK: Duration = Duration::from_millis(50);

/// A limit that all workers of a job share.
#[derive(Debug)]
pub struct Throttle {
    bytes_per_second: NonZeroU64,
    /// When the bytes let through so far have had their time.
    free_at: Mutex<Instant>,
}

impl Throttle {
    /// Lets so many bytes through in a second.
    pub fn new(bytes_per_second: NonZeroU64) -> Self {
        Self { bytes_per_second, free_at: Mutex::new(Instant::now()) }
    }

    /// Waits until `bytes` may pass, or until the job is over.
    pub(crate) fn pass(&self, bytes: u64, is_over: impl Fn() -> bool) {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second.get());
        let time = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let turn = {
            let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
            let earliest = Instant::now().checked_sub(BURST).unwrap_or(*free_at);
            *free_at = (*free_at).max(earliest) + time;
            *free_at
        };
        while !is_over() {
            let left = turn.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(LOOK));
        }
    }
}
