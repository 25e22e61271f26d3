//! One chunk after the other on one thread: `Decoder::decode` against zstd and BLAKE3 alone, for
//! each chunk size, read by `pread(2)` and through a memory map.
#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has to stop")]

use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use repository::catalog::OpenSet;
use snapfmt::{Content, Decoder};
use snaprestore_benches::bare::{Frames, Hash, Output};
use snaprestore_benches::rates::{Rates, throughput};
use snaprestore_benches::stage::Stage;
use snaprestore_benches::{SEED, bytes_text, chunk_sizes, criterion, data};

const BYTES: usize = 64 << 20;

fn decode(c: &mut Criterion<Rates>) {
    let stage = Stage::new(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let raw = stage.spread("raw", &data::image(BYTES, SEED), 1);
    for chunk_size in chunk_sizes() {
        let name = bytes_text(chunk_size.bytes().into());
        let sets = stage.capture(&name, &raw, chunk_size, None);
        let mut group = c.benchmark_group(format!("decode/{name}"));
        let frames = Frames::of(&sets.open(false));
        group.throughput(throughput(sets.logical, frames.stored()));
        group.bench_function("bare zstd", |b| {
            b.iter(|| frames.decode(1, Hash::No, Output::Drop));
        });
        group.bench_function("bare zstd + BLAKE3", |b| {
            b.iter(|| frames.decode(1, Hash::Blake3, Output::Drop));
        });
        for (backing, map) in [("pread", false), ("map", true)] {
            let set = sets.open(map);
            let mut decoder = Decoder::new().expect("memory for a decoder");
            let mut plain = vec![0; chunk_size.bytes() as usize];
            group.bench_function(backing, |b| {
                b.iter(|| decode_all(&set, &mut decoder, &mut plain));
            });
        }
        group.finish();
    }
}

/// Decodes every chunk of every member in order.
fn decode_all(set: &OpenSet, decoder: &mut Decoder, plain: &mut [u8]) {
    for file in set.own_files() {
        for record in file.snapshot.records() {
            let record = record.expect("a sound index");
            let Content::Data { stored, digest, .. } = record.content else { continue };
            let len = file.snapshot.geometry().chunk_len(record.first) as usize;
            file.snapshot
                .decode(decoder, record.first, &stored, &digest, &mut plain[..len])
                .expect("a sound chunk");
        }
    }
}

criterion_group! { name = benches; config = criterion(); targets = decode }
criterion_main!(benches);
