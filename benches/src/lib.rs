//! What the benchmarks share: data to capture, sets made of it, the bare loops that are the limit,
//! and the units results are printed in.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a benchmark that cannot be set up has to stop"
)]
#![expect(clippy::print_stderr, reason = "says how far a table can be trusted")]

pub mod bare;
pub mod data;
pub mod input;
pub mod paced;
pub mod rates;
pub mod rounds;
pub mod stage;

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use criterion::Criterion;
use host::entry::Entry;
use restore::engine::{Options, run};
use restore::sink::{ImageOptions, ImageSink, Sink};
use restore::{Progress, Volume};
use snapfmt::ChunkSize;

use crate::rates::Rates;
use crate::stage::Sets;

/// Logical bytes of the volume most benchmarks work on: well beyond the caches of a processor, and
/// small enough that all of them end within ten minutes.
pub const VOLUME: usize = 256 << 20;
/// Bytes of a stripe, as storage drivers choose it most often.
pub const STRIPE: u32 = 64 << 10;
/// Where the data of every benchmark starts.
pub const SEED: u64 = 0x5eed;

/// One KiB and one MiB.
pub const KIB: u64 = 1 << 10;
/// One MiB.
pub const MIB: u64 = 1 << 20;

/// The chunk sizes compared, from 64 KiB to 4 MiB.
pub fn chunk_sizes() -> impl Iterator<Item = ChunkSize> {
    (16..=22).map(|power| ChunkSize::try_from(1_u64 << power).expect("a power of two in range"))
}

/// Bytes as people write them.
pub fn bytes_text(bytes: u64) -> String {
    match bytes {
        _ if bytes >= MIB && bytes.is_multiple_of(MIB) => format!("{}M", bytes / MIB),
        _ if bytes >= KIB && bytes.is_multiple_of(KIB) => format!("{}K", bytes / KIB),
        _ => bytes.to_string(),
    }
}

/// A processor-bound benchmark's settings: the work is long, so few samples are enough.
pub fn criterion() -> Criterion<Rates> {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .noise_threshold(0.05)
        .with_measurement(Rates)
        .configure_from_args()
}

/// A count of workers.
pub fn jobs(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).expect("not zero")
}

/// Brings a whole volume to a sink, without finishing it, and checks that all of it came.
pub fn bring(volume: &Volume, sink: &dyn Sink, workers: usize) {
    let options = Options::new(jobs(workers));
    let report = run(volume, 0..volume.size(), sink, &options, &Progress::default())
        .expect("a set that was just captured is sound");
    let counts = report.counts;
    let all = counts.data + counts.zero + counts.hole + counts.unmapped;
    assert_eq!(all, volume.size(), "every byte is accounted for");
}

/// Restores sets as the command does: from their directories to a durable file under its name.
pub fn restore_to_image(sets: &Sets, target: &Path, workers: usize) {
    let volume = sets.volume(false);
    let target = Entry::at(target).expect("its directory");
    let sink =
        ImageSink::create(&target, volume.size(), ImageOptions::default()).expect("a new image");
    bring(&volume, &sink, workers);
    Box::new(sink).finish().expect("a durable image");
}

/// Removes what the last measurement wrote, outside of the next one.
pub fn forget(target: &Path) {
    if target.exists() {
        fs::remove_file(target).expect("the file written before");
    }
}
