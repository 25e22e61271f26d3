//! Targets in memory: one that insists on each byte exactly once, and some that fail.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use restore::sink::Sink;
use restore::{Progress, RangeSet};

use super::indices;

/// What bytes hold that nobody has written.
pub const UNTOUCHED: u8 = 0x5A;

/// A target in memory that counts how often each byte was given.
pub struct MemorySink {
    inner: Mutex<Held>,
    calls: AtomicU64,
    /// The call, counted from 0, that fails.
    fails_at: Option<u64>,
    /// The end of the last call, for a target that must be written in order.
    ordered: Option<AtomicU64>,
}

struct Held {
    bytes: Vec<u8>,
    times: Vec<u8>,
    /// Where each call started.
    offsets: Vec<u64>,
}

impl MemorySink {
    pub fn new(size: u64) -> Self {
        let size = usize::try_from(size).unwrap();
        let held = Held { bytes: vec![UNTOUCHED; size], times: vec![0; size], offsets: Vec::new() };
        Self { inner: Mutex::new(held), calls: AtomicU64::new(0), fails_at: None, ordered: None }
    }

    /// The same, to be written in order from `start` on.
    pub fn ordered_from(self, start: u64) -> Self {
        Self { ordered: Some(AtomicU64::new(start)), ..self }
    }

    /// The same, with the `n`-th call failing.
    pub fn failing_at(self, n: u64) -> Self {
        Self { fails_at: Some(n), ..self }
    }

    /// How often it was called.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Where each call started, in the order of the calls.
    pub fn offsets(&self) -> Vec<u64> {
        self.lock().offsets.clone()
    }

    /// The bytes, after making sure that those of `range` and no others were given, once each.
    pub fn into_bytes(self, range: &Range<u64>) -> Vec<u8> {
        let held = self.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (at, times) in (0..).zip(&held.times) {
            assert_eq!(*times, u8::from(range.contains(&at)), "times that byte {at} was given");
        }
        held.bytes
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, range: Range<u64>, put: impl FnOnce(&mut [u8])) -> io::Result<()> {
        assert!(!range.is_empty(), "an empty call at {}", range.start);
        let mut held = self.lock();
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        held.offsets.push(range.start);
        if self.fails_at == Some(number) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        if let Some(end) = &self.ordered {
            assert_eq!(end.swap(range.end, Ordering::Relaxed), range.start, "in order");
        }
        let place = indices(&range);
        put(&mut held.bytes[place.clone()]);
        held.times[place].iter_mut().for_each(|times| *times = times.saturating_add(1));
        Ok(())
    }
}

impl Sink for MemorySink {
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.take(offset..offset + data.len() as u64, |place| place.copy_from_slice(data))
    }

    fn zero_at(&self, range: Range<u64>) -> io::Result<()> {
        self.take(range, |place| place.fill(0))
    }

    fn is_ordered(&self) -> bool {
        self.ordered.is_some()
    }

    fn path(&self) -> &Path {
        Path::new("memory-sink")
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}

/// A target that keeps nothing, counts, and cancels the job at the `cancels_at`-th call.
pub struct CountingSink<'p> {
    pub progress: &'p Progress,
    pub cancels_at: Option<u64>,
    pub calls: AtomicU64,
    pub written: AtomicU64,
    pub zeroed: AtomicU64,
}

impl<'p> CountingSink<'p> {
    pub fn new(progress: &'p Progress, cancels_at: Option<u64>) -> Self {
        let [calls, written, zeroed] = [0; 3].map(AtomicU64::new);
        Self { progress, cancels_at, calls, written, zeroed }
    }

    fn count(&self, sum: &AtomicU64, bytes: u64) {
        sum.fetch_add(bytes, Ordering::Relaxed);
        if self.cancels_at == Some(self.calls.fetch_add(1, Ordering::Relaxed)) {
            self.progress.cancel();
        }
    }
}

impl Sink for CountingSink<'_> {
    fn write_at(&self, data: &[u8], _: u64) -> io::Result<()> {
        self.count(&self.written, data.len() as u64);
        Ok(())
    }

    fn zero_at(&self, range: Range<u64>) -> io::Result<()> {
        self.count(&self.zeroed, range.end - range.start);
        Ok(())
    }

    fn path(&self) -> &Path {
        Path::new("counting-sink")
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}

/// Another target, and which bytes it was given, each at most once.
pub struct Recording<S> {
    inner: S,
    given: Mutex<RangeSet>,
}

impl<S> Recording<S> {
    pub fn new(inner: S) -> Self {
        Self { inner, given: Mutex::default() }
    }

    /// What it was given.
    pub fn given(&self) -> RangeSet {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn record(&self, range: Range<u64>) {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, length) = (given.bytes(), range.end - range.start);
        given.insert(range.clone());
        assert_eq!(given.bytes(), before + length, "{range:?} is given twice");
    }
}

impl<S: Sink> Sink for Recording<S> {
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.record(offset..offset + data.len() as u64);
        self.inner.write_at(data, offset)
    }

    fn zero_at(&self, range: Range<u64>) -> io::Result<()> {
        self.record(range.clone());
        self.inner.zero_at(range)
    }

    fn is_ordered(&self) -> bool {
        self.inner.is_ordered()
    }

    fn path(&self) -> &Path {
        self.inner.path()
    }

    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        Box::new(self.inner).finish()
    }
}
