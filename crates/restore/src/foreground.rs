//! Reads that a process waits for go before a restore in the background.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// After a read the next one may be on its way already: the restore stays away for so long.
const LINGER: Duration = Duration::from_millis(5);
/// However many reads there are, the restore goes on after so long: it is what ends the waiting.
const PATIENCE: Duration = Duration::from_millis(100);
/// How often a waiting worker looks.
const LOOK: Duration = Duration::from_millis(1);

/// How many reads there are right now, and when the last one ended.
#[derive(Debug)]
pub struct Foreground {
    begun: Instant,
    reading: AtomicU64,
    /// In microseconds since `begun`; 0 for never.
    last: AtomicU64,
}

impl Default for Foreground {
    fn default() -> Self {
        Self { begun: Instant::now(), reading: AtomicU64::new(0), last: AtomicU64::new(0) }
    }
}

impl Foreground {
    /// A read that begins now and ends when what is given back is dropped.
    pub fn reads(&self) -> Reading<'_> {
        self.reading.fetch_add(1, Ordering::Relaxed);
        Reading(self)
    }

    /// Waits while there are reads, but not for ever.
    pub(crate) fn give_way(&self, is_over: impl Fn() -> bool) {
        let since = Instant::now();
        while self.is_busy() && since.elapsed() < PATIENCE && !is_over() {
            thread::sleep(LOOK);
        }
    }

    fn is_busy(&self) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        let idle = self.now().saturating_sub(last);
        self.reading.load(Ordering::Relaxed) > 0
            || (last > 0 && u128::from(idle) < LINGER.as_micros())
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// A read under way.
#[derive(Debug)]
pub struct Reading<'f>(&'f Foreground);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.last.store(self.0.now().max(1), Ordering::Relaxed);
        self.0.reading.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{Foreground, PATIENCE};
    use std::time::Instant;

    #[test]
    fn the_restore_waits_for_reads_but_not_for_ever() {
        let foreground = Foreground::default();
        let start = Instant::now();
        foreground.give_way(|| false);
        assert!(start.elapsed() < PATIENCE, "there are no reads");
        let reading = foreground.reads();
        foreground.give_way(|| false);
        assert!(start.elapsed() >= PATIENCE, "there is a read");
        foreground.give_way(|| true);
        drop(reading);
        std::thread::sleep(2 * super::LINGER);
        assert!(!foreground.is_busy(), "the read has ended");
    }
}
