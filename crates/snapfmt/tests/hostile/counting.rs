//! Bounds on time and memory. Every allocation of a thread is counted, freed again or not.

#![expect(unsafe_code, reason = "an allocator that counts is the only way to see every allocation")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Most bytes that may be asked for, all allocations together, freed or not.
const MOST_BYTES: usize = 64 << 20;
const LONGEST: Duration = Duration::from_secs(1);

struct Counting;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: usize) {
    ALLOCATED.with(|sum| sum.set(sum.get().saturating_add(bytes)));
}

// SAFETY: every call is passed on to the system's allocator as it came; counting neither allocates
// nor panics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Runs `work` within the bounds of time and memory.
pub(crate) fn bounded<T>(name: &str, work: impl FnOnce() -> T) -> T {
    ALLOCATED.with(|sum| sum.set(0));
    let start = Instant::now();
    let result = work();
    let (spent, bytes) = (start.elapsed(), ALLOCATED.with(Cell::get));
    assert!(spent < LONGEST, "{name}: took {spent:?}");
    assert!(bytes < MOST_BYTES, "{name}: allocated {bytes} bytes");
    result
}
