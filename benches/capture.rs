//! Raw members to a durable set: in full, and on top of a parent when nothing has changed.
#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has to stop")]

use std::fs::File;
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use snapfmt::{ChunkSize, Encoder};
use snaprestore_benches::rates::{Rates, throughput};
use snaprestore_benches::stage::Stage;
use snaprestore_benches::{SEED, VOLUME, bare, criterion, data};

const CHUNK: usize = ChunkSize::DEFAULT.bytes() as usize;

fn capture(c: &mut Criterion<Rates>) {
    let stage = Stage::new(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let raw = stage.spread("raw", &data::image(VOLUME, SEED), 2);
    let full = stage.capture("full", &raw, ChunkSize::DEFAULT, None);
    let unchanged = stage.capture("unchanged", &raw, ChunkSize::DEFAULT, Some(&full));
    let volume = raw.volume(ChunkSize::DEFAULT);
    let open = |path| File::open(path).expect("a raw member");
    let files: Vec<File> = raw.paths().iter().map(open).collect();
    let level = Some(Encoder::DEFAULT_LEVEL);
    for (name, parent, stored, bare, level) in [
        ("full", None, full.stored, "bare BLAKE3 + zstd, 2 threads", level),
        ("unchanged", Some(&full), unchanged.stored, "bare BLAKE3, 2 threads", None),
    ] {
        let mut group = c.benchmark_group(format!("capture/{name}"));
        group.throughput(throughput(full.logical, stored));
        group.bench_function(bare, |b| {
            b.iter(|| files.iter().for_each(|file| bare::encode(file, CHUNK, level, 2)));
        });
        for workers in [1, 2] {
            group.bench_function(format!("{workers} jobs"), |b| {
                b.iter(|| stage.capture_and_forget(&volume, ChunkSize::DEFAULT, parent, workers));
            });
        }
        group.finish();
    }
}

criterion_group! { name = benches; config = criterion(); targets = capture }
criterion_main!(benches);
