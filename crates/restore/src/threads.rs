//! How many threads are worth having.

use std::num::NonZeroUsize;
use std::thread;

/// Threads for each core: where files are on a network, most of them wait.
const FOR_EACH_CORE: NonZeroUsize = NonZeroUsize::new(8).unwrap();
/// So many are never too many.
const AT_LEAST: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// One for each core.
pub fn cores() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// The most that a job takes, however many are asked for: more only stand in each other's way, and ten
/// thousand take minutes to start and to stop.
pub fn most() -> NonZeroUsize {
    cores().saturating_mul(FOR_EACH_CORE).max(AT_LEAST)
}
