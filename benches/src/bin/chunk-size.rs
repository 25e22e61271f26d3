//! What each chunk size costs and gives, side by side.
#![forbid(unsafe_code)]
#![expect(clippy::expect_used, clippy::print_stdout, reason = "prints a table, or stops")]

use std::cell::RefCell;
use std::fs;

use clap::Parser;
use repository::catalog::OpenSet;
use repository::verify::{Depth, verify};
use restore::Progress;
use restore::sink::NullSink;
use snapfmt::{ChunkNo, ChunkSize, Content, Decoder, Digest, Stored};
use snaprestore_benches::bare::Frames;
use snaprestore_benches::data::{self, Rng};
use snaprestore_benches::input::Input;
use snaprestore_benches::rounds::Contender;
use snaprestore_benches::stage::{Sets, Stage};
use snaprestore_benches::{SEED, bring, bytes_text, chunk_sizes, forget, jobs, restore_to_image};

const BLOCK: usize = 4096;
/// Chunks decoded for one measurement of a random read.
const READS: u32 = 64;
/// How a generation differs from the one before: bytes of a change, and of volume for each change.
const CHANGES: [(usize, usize); 4] =
    [(BLOCK, 8 << 20), (BLOCK, 256 << 10), (64 << 10, 8 << 20), (1 << 20, 16 << 20)];

/// A chunk of a file.
type Chunk = (usize, ChunkNo, Stored, Digest);

/// The measurements of one chunk size, in the order they are made in.
const TIMES: [&str; 5] =
    ["decode, 1 thread", "random 4 KiB read", "verify", "restore to nothing", "restore, fsync"];

/// Compares chunk sizes. Each thing is measured in turn with the others.
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    input: Input,
}

fn main() {
    let input = Options::parse().input;
    let image = input.image();
    let stage = Stage::new(&input.dir);
    let raw = stage.spread("raw", &image, 2);
    let sets: Vec<Sets> =
        chunk_sizes().map(|size| stage.capture(&name(size), &raw, size, None)).collect();
    println!(
        "{} MiB over two members, stripes of 64 KiB; medians of {} rounds\n",
        image.len() >> 20,
        input.rounds
    );
    let header: Vec<_> = chunk_sizes().map(name).collect();
    println!("| | {} |\n|---|{}", header.join(" | "), "---|".repeat(header.len()));
    space(&sets);
    amplification(&stage, &image, &sets);
    times(&stage, &sets, &input);
}

fn name(size: ChunkSize) -> String {
    bytes_text(size.bytes().into())
}

fn row(title: &str, cells: impl Iterator<Item = String>) {
    println!("| {title} | {} |", cells.collect::<Vec<_>>().join(" | "));
}

#[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b as f64
}

fn space(sets: &[Sets]) {
    row("logical / stored", sets.iter().map(|s| format!("{:.3}", ratio(s.logical, s.stored))));
    let overhead = sets.iter().zip(chunk_sizes()).map(|(sets, size)| {
        let beside = sets.stored - Frames::of(&sets.open(false)).stored();
        let chunks_in_tib = (1_u64 << 40) / u64::from(size.bytes());
        format!("{:.0}", ratio(beside * chunks_in_tib / sets.chunks, 1 << 20))
    });
    row("headers and index, MiB for a TiB", overhead);
}

fn amplification(stage: &Stage, image: &[u8], full: &[Sets]) {
    for (length, each) in CHANGES {
        let changed = changed(image, length, each);
        let raw = stage.spread("changed", &changed, 2);
        let bytes = (image.len() / each * length) as u64;
        let cells = full.iter().zip(chunk_sizes()).map(|(full, size)| {
            let child = format!("{}-{length}-{each}", name(size));
            let stored = stage.capture(&child, &raw, size, Some(full)).stored;
            fs::remove_dir_all(stage.path(&format!("dsnap-{child}"))).expect("the set just made");
            format!("{:.1}", ratio(stored, bytes))
        });
        let (length, each) = (bytes_text(length as u64), bytes_text(each as u64));
        row(&format!("stored / changed, {length} in {each}"), cells);
    }
}

/// The image with one new piece of `length` bytes somewhere in every `each` bytes.
fn changed(image: &[u8], length: usize, each: usize) -> Vec<u8> {
    let mut rng = Rng::new(SEED + 1);
    let news = data::image(64 << 20, SEED + 2);
    let mut out = image.to_vec();
    for part in out.chunks_exact_mut(each) {
        let to = rng.index((each - length) / BLOCK + 1) * BLOCK;
        let from = rng.index((news.len() - length) / BLOCK) * BLOCK;
        part[to..to + length].copy_from_slice(&news[from..from + length]);
    }
    out
}

fn times(stage: &Stage, sets: &[Sets], input: &Input) {
    let target = stage.path("target");
    let open: Vec<OpenSet> = sets.iter().map(|s| s.open(false)).collect();
    let mut all = Vec::new();
    for (sets, set) in sets.iter().zip(&open) {
        let chunks = chunks(set);
        let (some, tool) = (sample(&chunks), RefCell::new(Tool::new(set)));
        let tool = std::rc::Rc::new(tool);
        let other = tool.clone();
        all.push(Contender::new("decode", move || tool.borrow_mut().decode(set, &chunks)));
        all.push(Contender::new("random", move || other.borrow_mut().decode(set, &some)));
        all.push(Contender::new("verify", move || {
            let reports = verify(set, Depth::Full, jobs(2), &Progress::default());
            assert!(reports.expect("threads").iter().all(|file| file.findings.is_empty()));
        }));
        all.push(Contender::new("nothing", || bring(&sets.volume(false), &NullSink, 2)));
        let target = &target;
        all.push(
            Contender::new("image", move || restore_to_image(sets, target, 2))
                .after(move || forget(target)),
        );
    }
    input.measure(&mut all);
    let default = chunk_sizes().position(|s| s == ChunkSize::DEFAULT).unwrap_or(0);
    let get = |size: usize, n: usize| &all[size * TIMES.len() + n];
    for (n, title) in TIMES.iter().enumerate() {
        if n == 1 {
            let each = |size| get(size, n).seconds() * 1e6 / f64::from(READS);
            row(&format!("{title}, µs"), (0..sets.len()).map(|size| format!("{:.0}", each(size))));
            continue;
        }
        let rate = |size: usize| ratio(sets[size].logical, 1_000_000_000) / get(size, n).seconds();
        row(&format!("{title}, GB/s"), (0..sets.len()).map(|size| format!("{:.2}", rate(size))));
        let relative = |size| get(size, n).ratio_to(get(default, n));
        row(
            &format!("{title}, time / default's"),
            (0..sets.len()).map(|size| format!("{:.2}", relative(size))),
        );
    }
}

/// What decoding needs.
struct Tool {
    decoder: Decoder,
    plain: Vec<u8>,
}

impl Tool {
    fn new(set: &OpenSet) -> Self {
        let file = set.own_files().next().expect("a member");
        let longest = file.snapshot.geometry().chunk_size().bytes() as usize;
        Self { decoder: Decoder::new().expect("memory"), plain: vec![0; longest] }
    }

    fn decode(&mut self, set: &OpenSet, chunks: &[Chunk]) {
        let files: Vec<_> = set.own_files().collect();
        for (file, no, stored, digest) in chunks {
            let snapshot = &files[*file].snapshot;
            let out = &mut self.plain[..snapshot.geometry().chunk_len(*no) as usize];
            snapshot.decode(&mut self.decoder, *no, stored, digest, out).expect("a sound chunk");
        }
    }
}

fn chunks(set: &OpenSet) -> Vec<Chunk> {
    let mut out = Vec::new();
    for (number, file) in set.own_files().enumerate() {
        for record in file.snapshot.records() {
            let record = record.expect("a sound index");
            if let Content::Data { stored, digest, .. } = record.content {
                out.push((number, record.first, stored, digest));
            }
        }
    }
    out
}

fn sample(chunks: &[Chunk]) -> Vec<Chunk> {
    let mut rng = Rng::new(SEED);
    (0..READS).map(|_| chunks[rng.index(chunks.len())]).collect()
}
