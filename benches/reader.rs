//! Reading on demand, a striped pair: in sequence, beside the engine that brings the same bytes to
//! nothing, and 4 KiB here and there, by one and by eight at a time, from chunks of several sizes.
#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has to stop")]

use std::path::Path;
use std::sync::Arc;
use std::thread;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use restore::image::Image;
use restore::reader::{Options, Reader};
use restore::sink::NullSink;
use snapfmt::ChunkSize;
use snaprestore_benches::data::Rng;
use snaprestore_benches::rates::{Rates, throughput};
use snaprestore_benches::stage::{Sets, Stage};
use snaprestore_benches::{KIB, MIB, SEED, VOLUME, bring, bytes_text, criterion, data, jobs};

/// A page: what a database or a filesystem's metadata is read in.
const PAGE: usize = 4 << 10;
/// Reads of one measurement, of all threads together.
const READS: usize = 2048;

fn reader(sets: &Sets, cache: u64, threads: usize) -> Reader {
    let options = Options { cache, threads: jobs(threads) };
    Reader::new(Arc::new(sets.volume(false)), &options).expect("threads")
}

fn read_all(reader: &Reader, step: u64) {
    let mut buffer = vec![0; usize::try_from(step).expect("a step")];
    for at in (0..reader.size()).step_by(buffer.len()) {
        let len = buffer.len().min(usize::try_from(reader.size() - at).unwrap_or(usize::MAX));
        reader.read_at(at, &mut buffer[..len]).expect("a sound set");
    }
}

fn in_sequence(c: &mut Criterion<Rates>) {
    let stage = Stage::new(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let raw = stage.spread("raw", &data::image(VOLUME, SEED), 2);
    let sets = stage.capture("pair", &raw, ChunkSize::DEFAULT, None);
    let mut group = c.benchmark_group("reader/in sequence");
    group.throughput(throughput(sets.logical, sets.stored));
    for workers in [1, 2] {
        group.bench_function(format!("engine to nothing, {workers} jobs"), |b| {
            b.iter(|| bring(&sets.volume(false), &NullSink, workers));
        });
        for step in [128 * KIB, MIB] {
            let name = format!("reads of {}, {workers} ahead", bytes_text(step));
            group.bench_function(name, |b| {
                b.iter_batched_ref(
                    || reader(&sets, 64 * MIB, workers),
                    |reader| read_all(reader, step),
                    BatchSize::PerIteration,
                );
            });
        }
    }
    group.finish();
}

/// Pages at random places, in all as many whatever the number of threads.
fn read_pages(reader: &Reader, threads: usize, seed: u64) {
    thread::scope(|scope| {
        for n in 0..threads {
            scope.spawn(move || {
                let mut rng = Rng::new(seed + n as u64);
                let mut page = [0; PAGE];
                let pages = usize::try_from(reader.size()).expect("a size") / PAGE;
                for _ in 0..READS / threads {
                    let at = rng.index(pages) * PAGE;
                    reader.read_at(at as u64, &mut page).expect("a sound set");
                }
            });
        }
    });
}

fn here_and_there(c: &mut Criterion<Rates>) {
    let stage = Stage::new(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let raw = stage.spread("raw", &data::image(VOLUME, SEED), 2);
    let mut group = c.benchmark_group("reader/4K here and there");
    group.throughput(Throughput::Bytes((READS * PAGE) as u64));
    for chunk in [64 << 10, 256 << 10, u64::from(ChunkSize::DEFAULT.bytes())] {
        let size = ChunkSize::try_from(chunk).expect("a chunk size");
        let sets = stage.capture(&format!("pages-{chunk}"), &raw, size, None);
        for threads in [1, 8] {
            for (name, cache) in [("a small cache", 4 * MIB), ("all of it cached", 512 * MIB)] {
                let reader = reader(&sets, cache, 2);
                if cache > sets.logical {
                    read_all(&reader, MIB);
                }
                let what = format!("{name}, {threads} threads");
                let id = BenchmarkId::new(what, bytes_text(chunk));
                let mut seed = SEED;
                group.bench_function(id, |b| {
                    b.iter(|| {
                        seed += threads as u64;
                        read_pages(&reader, threads, seed);
                    });
                });
            }
        }
    }
    group.finish();
}

criterion_group! { name = benches; config = criterion(); targets = in_sequence, here_and_there }
criterion_main!(benches);
