//! What the tests share: a volume as plain bytes, sources and sinks in memory, sets written by hand
//! and files that fail.
#![allow(missing_docs, clippy::missing_panics_doc, reason = "names say it")]
#![allow(
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    clippy::new_without_default,
    reason = "for tests alone"
)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

pub mod check;
pub mod crash;
pub mod files;
pub mod hand;
pub mod hooked;
pub mod images;
pub mod job;
pub mod lineage;
pub mod memory;
pub mod model;
pub mod panics;
pub mod place;
pub mod scenario;
pub mod sinks;

use std::num::NonZeroUsize;
use std::ops::Range;

use restore::engine::{OnDamage, Options};
use snapfmt::ChunkSize;

/// How many cases a property is tried on: `few`, and many times that in the long run.
pub fn cases(few: u32) -> proptest::test_runner::Config {
    let long = std::env::var_os("SNAPRESTORE_TEST_LONG").is_some();
    proptest::test_runner::Config {
        cases: if long { few * 16 } else { few },
        max_shrink_iters: 256,
        failure_persistence: None,
        ..proptest::test_runner::Config::default()
    }
}

/// A length or offset as an index.
pub fn index(n: u64) -> usize {
    usize::try_from(n).unwrap()
}

/// A range as one of indices.
pub fn indices(range: &Range<u64>) -> Range<usize> {
    index(range.start)..index(range.end)
}

pub fn chunk_size(bytes: usize) -> ChunkSize {
    ChunkSize::try_from(bytes as u64).unwrap()
}

pub fn jobs(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap()
}

/// A run that stops at the first damage.
pub fn strict(n: usize) -> Options<'static> {
    Options::new(jobs(n))
}

/// A run that goes on behind damage.
pub fn salvage(n: usize, fill: u8) -> Options<'static> {
    Options { on_damage: OnDamage::Salvage { fill }, ..strict(n) }
}

/// Bytes that do not compress; the first is not zero.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    // SplitMix64 (Steele, Lea and Flood, 2014).
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| next().to_le_bytes()).collect();
    bytes.truncate(len);
    if let Some(first) = bytes.first_mut() {
        *first |= 1;
    }
    bytes
}
