//! An allocator that counts, for the whole process.

#![expect(unsafe_code, reason = "an allocator that counts is the only way to see every allocation")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);
static TIMES: AtomicUsize = AtomicUsize::new(0);

fn taken(bytes: usize) {
    TIMES.fetch_add(1, Ordering::Relaxed);
    let held = HELD.fetch_add(bytes, Ordering::Relaxed) + bytes;
    MOST.fetch_max(held, Ordering::Relaxed);
}

fn given_back(bytes: usize) {
    HELD.fetch_sub(bytes, Ordering::Relaxed);
}

// SAFETY: every call is passed on to the system's allocator as it came; counting neither allocates
// nor panics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        given_back(layout.size());
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        taken(size);
        given_back(layout.size());
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The counts are of the whole process: one test at a time.
static ONE: Mutex<()> = Mutex::new(());

/// What some work asked of the allocator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// Most bytes held at a time, beyond those held before.
    pub(crate) most: usize,
    /// Allocations.
    pub(crate) times: usize,
}

/// Runs the whole of a test alone.
pub(crate) fn alone<T>(test: impl FnOnce() -> T) -> T {
    let _guard = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    test()
}

/// Runs `work` and says what it asked for.
pub(crate) fn measure<T>(work: impl FnOnce() -> T) -> (T, Asked) {
    let (held, times) = (HELD.load(Ordering::Relaxed), TIMES.load(Ordering::Relaxed));
    MOST.store(held, Ordering::Relaxed);
    let result = work();
    let most = MOST.load(Ordering::Relaxed).saturating_sub(held);
    (result, Asked { most, times: TIMES.load(Ordering::Relaxed) - times })
}
