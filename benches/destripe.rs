//! The engine without a disk to write to: one linear member against stripes over two and four. With
//! raw members nothing is decoded either, and what is left is the copying.

use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use restore::sink::NullSink;
use snapfmt::ChunkSize;
use snaprestore_benches::rates::{Rates, throughput};
use snaprestore_benches::stage::Stage;
use snaprestore_benches::{SEED, STRIPE, VOLUME, bare, bring, criterion, data};

const WIDTHS: [(usize, &str); 3] = [(1, "linear"), (2, "2 x 64K"), (4, "4 x 64K")];

fn destripe(c: &mut Criterion<Rates>) {
    let stage = Stage::new(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let image = data::image(VOLUME, SEED);
    let mut copy = vec![0; VOLUME];
    let mut group = c.benchmark_group("destripe/memcpy");
    group.throughput(throughput(VOLUME as u64, VOLUME as u64));
    for threads in [1, 2] {
        group.bench_function(format!("{threads} jobs"), |b| {
            b.iter(|| bare::copy(&image, &mut copy, STRIPE as usize, threads));
        });
    }
    group.finish();
    drop(copy);
    for (width, name) in WIDTHS {
        let raw = stage.spread(name, &image, width);
        let sets = stage.capture(&name.replace(' ', ""), &raw, ChunkSize::DEFAULT, None);
        for (kind, volume, stored) in [
            ("raw", raw.volume(ChunkSize::DEFAULT), sets.logical),
            ("snap", sets.volume(false), sets.stored),
        ] {
            let mut group = c.benchmark_group(format!("destripe/{kind} {name}"));
            group.throughput(throughput(sets.logical, stored));
            for workers in [1, 2] {
                group.bench_function(format!("{workers} jobs"), |b| {
                    b.iter(|| bring(&volume, &NullSink, workers));
                });
            }
            group.finish();
        }
    }
}

criterion_group! { name = benches; config = criterion(); targets = destripe }
criterion_main!(benches);
