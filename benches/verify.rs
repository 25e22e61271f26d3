//! `verify` of a striped pair on two workers against the least it has to do: reading and CRC-32 for
//! `--quick`, decoding and BLAKE3 for the whole.
#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has to stop")]

use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use repository::catalog::OpenSet;
use repository::verify::{Depth, verify};
use restore::Progress;
use snapfmt::ChunkSize;
use snaprestore_benches::bare::{Frames, Hash, Output};
use snaprestore_benches::rates::{Rates, throughput};
use snaprestore_benches::stage::Stage;
use snaprestore_benches::{SEED, VOLUME, criterion, data, jobs};

fn verify_all(c: &mut Criterion<Rates>) {
    let stage = Stage::new(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let raw = stage.spread("raw", &data::image(VOLUME, SEED), 2);
    let sets = stage.capture("pair", &raw, ChunkSize::DEFAULT, None);
    let (read, mapped) = (sets.open(false), sets.open(true));
    let frames = Frames::of(&read);
    let mut group = c.benchmark_group("verify");
    group.throughput(throughput(sets.logical, sets.stored));
    group.bench_function("bare CRC-32", |b| b.iter(|| frames.checksum(2)));
    group.bench_function("quick", |b| b.iter(|| check(&read, Depth::Quick)));
    group.bench_function("quick, mapped", |b| b.iter(|| check(&mapped, Depth::Quick)));
    group.bench_function("bare zstd + BLAKE3", |b| {
        b.iter(|| frames.decode(2, Hash::Blake3, Output::Drop));
    });
    group.bench_function("full", |b| b.iter(|| check(&read, Depth::Full)));
    group.bench_function("full, mapped", |b| b.iter(|| check(&mapped, Depth::Full)));
    group.finish();
}

fn check(set: &OpenSet, depth: Depth) {
    let reports = verify(set, depth, jobs(2), &Progress::default()).expect("threads");
    assert!(reports.iter().all(|file| file.findings.is_empty()), "a sound set");
}

criterion_group! { name = benches; config = criterion(); targets = verify_all }
criterion_main!(benches);
