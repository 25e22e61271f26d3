//! End to end: sets are found, opened and restored, to a new durable image or to nothing; and a
//! chain of five generations against one full snapshot of the same content.
#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has to stop")]

use std::fs;
use std::path::Path;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use restore::sink::NullSink;
use snapfmt::ChunkSize;
use snaprestore_benches::data::Rng;
use snaprestore_benches::rates::{Rates, throughput};
use snaprestore_benches::stage::{Sets, Stage};
use snaprestore_benches::{SEED, VOLUME, bring, criterion, data, forget, restore_to_image};

/// Bytes that one change of a generation covers.
const CHANGE: usize = 64 << 10;

fn restore(c: &mut Criterion<Rates>) {
    let stage = Stage::new(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let mut image = data::image(VOLUME, SEED);
    let chain = five_generations(&stage, &mut image);
    let full = stage.capture("full", &stage.spread("full", &image, 2), ChunkSize::DEFAULT, None);
    for (name, sets) in [("full", &full), ("5 generations", &chain)] {
        let mut group = c.benchmark_group(format!("restore/{name}"));
        group.throughput(throughput(sets.logical, sets.all_stored()));
        for workers in [1, 2] {
            group.bench_function(format!("to nothing, {workers} jobs"), |b| {
                b.iter(|| bring(&sets.volume(false), &NullSink, workers));
            });
        }
        let target = stage.path("restored.raw");
        restore_to_image(sets, &target, 2);
        assert!(fs::read(&target).expect("the image") == image, "restored as it was");
        for workers in [1, 2] {
            group.bench_function(format!("to an image, fsync, {workers} jobs"), |b| {
                b.iter_batched(
                    || forget(&target),
                    |()| restore_to_image(sets, &target, workers),
                    BatchSize::PerIteration,
                );
            });
        }
        forget(&target);
        group.finish();
    }
}

/// The first generation in full, then four in which a tenth of the volume changes; a pair.
fn five_generations(stage: &Stage, image: &mut [u8]) -> Sets {
    let mut rng = Rng::new(SEED);
    let capture = |image: &[u8], number: usize, parent: Option<&Sets>| {
        let raw = stage.spread("generation", image, 2);
        stage.capture(&format!("generation-{number}"), &raw, ChunkSize::DEFAULT, parent)
    };
    let mut sets = capture(image, 0, None);
    for number in 1..5 {
        for _ in 0..image.len() / CHANGE / 10 {
            let from = rng.index(image.len() / CHANGE) * CHANGE;
            let to = rng.index(image.len() / CHANGE) * CHANGE;
            image.copy_within(from..from + CHANGE, to);
            rng.fill(&mut image[to..to + 512]);
        }
        sets = capture(image, number, Some(&sets));
    }
    sets
}

criterion_group! { name = benches; config = criterion(); targets = restore }
criterion_main!(benches);
