//! What the engine costs above the least that any program must do with the same bytes.
#![forbid(unsafe_code)]
#![expect(clippy::expect_used, clippy::print_stdout, reason = "prints a table, or stops")]

use std::fs::File;

use clap::{Parser, ValueEnum};
use repository::catalog::OpenSet;
use repository::verify::{Depth, verify};
use restore::Progress;
use restore::sink::NullSink;
use snapfmt::{ChunkSize, Encoder};
use snaprestore_benches::bare::{self, Frames, Hash, Output};
use snaprestore_benches::input::Input;
use snaprestore_benches::paced::PacedSink;
use snaprestore_benches::rounds::Contender;
use snaprestore_benches::stage::{Sets, Stage};
use snaprestore_benches::{MIB, STRIPE, bring, bytes_text, forget, jobs, restore_to_image};

/// How a file may be written: past the page cache or through it, in pieces of how many bytes.
const PIECES: [(bool, u64); 5] =
    [(true, 1 << 20), (true, 4 << 20), (false, 32 << 10), (false, 128 << 10), (false, 1 << 20)];

/// Compares the engine with the bare loops. Each thing is measured in turn with the others.
#[derive(Parser)]
struct Options {
    /// Only this part.
    #[arg(long)]
    part: Option<Part>,
    #[command(flatten)]
    input: Input,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Decoding, verifying and restoring to nothing.
    Computing,
    /// Restoring to a new file.
    Writing,
    /// Restoring to a target of a given speed.
    Overlap,
    /// Capturing.
    Capturing,
}

fn main() {
    let Options { part, input } = Options::parse();
    let image = input.image();
    let stage = Stage::new(&input.dir);
    let widths = [1, 2, 4].map(|width| {
        let raw = stage.spread(&format!("raw-{width}"), &image, width);
        stage.capture(&format!("wide-{width}"), &raw, ChunkSize::DEFAULT, None)
    });
    println!(
        "{} MiB logical, {} MiB stored, chunks of {}; medians of {} rounds\n",
        image.len() as u64 / MIB,
        widths[0].stored / MIB,
        bytes_text(ChunkSize::DEFAULT.bytes().into()),
        input.rounds
    );
    let wanted = |p| part.is_none_or(|only| only == p);
    if wanted(Part::Computing) {
        computing(&image, &widths, &input);
    }
    if wanted(Part::Writing) {
        writing(&image, &widths, &stage, &input);
    }
    if wanted(Part::Overlap) {
        overlap(&image, &widths, &input);
    }
    if wanted(Part::Capturing) {
        capturing(&image, &widths[1], &stage, &input);
    }
}

/// Everything that writes to no disk.
fn computing(image: &[u8], widths: &[Sets; 3], input: &Input) {
    let open = widths.each_ref().map(|sets| sets.open(false));
    let mapped = widths[0].open(true);
    let volumes = open.each_ref().map(|set| set.volume().expect("a volume"));
    let mapped_volume = mapped.volume().expect("a volume");
    let frames = Frames::of(&open[0]);
    let mut copy = vec![0; image.len()];
    let copy = std::cell::RefCell::new(&mut copy);
    let mut all = Vec::new();
    for n in [2, 1] {
        let (frames, copy, volumes) = (&frames, &copy, &volumes);
        all.push(Contender::new(&format!("decode + BLAKE3, {n} threads"), move || {
            frames.decode(n, Hash::Blake3, Output::Drop);
        }));
        all.push(Contender::new(&format!("decode alone, {n} threads"), move || {
            frames.decode(n, Hash::No, Output::Drop);
        }));
        all.push(Contender::new(&format!("memcpy by 64 KiB, {n} threads"), move || {
            bare::copy(image, &mut copy.borrow_mut(), STRIPE as usize, n);
        }));
        for (volume, name) in volumes.iter().zip(["linear", "2 stripes", "4 stripes"]) {
            all.push(Contender::new(&format!("engine, {name}, {n} jobs"), move || {
                bring(volume, &NullSink, n);
            }));
        }
    }
    all.push(Contender::new("engine, linear, mapped, 2 jobs", || {
        bring(&mapped_volume, &NullSink, 2);
    }));
    all.push(Contender::new("CRC-32, 2 threads", || frames.checksum(2)));
    for (set, name) in [(&open[0], "read"), (&mapped, "mapped")] {
        all.push(Contender::new(&format!("verify, {name}, 2 jobs"), move || {
            check(set, Depth::Full);
        }));
        all.push(Contender::new(&format!("verify --quick, {name}, 2 jobs"), move || {
            check(set, Depth::Quick);
        }));
    }
    input.measure(&mut all);
    print("no writing", image.len(), &all);
}

/// Everything that ends on the disk, each time in a new file.
fn writing(image: &[u8], widths: &[Sets; 3], stage: &Stage, input: &Input) {
    let target = &*stage.path("target");
    let new = |direct| {
        bare::create(target, image.len() as u64, direct).expect("a filesystem with O_DIRECT")
    };
    let frames = &Frames::of(&widths[0].open(false));
    let mut all = Vec::new();
    for (direct, piece) in PIECES {
        let how = if direct { "O_DIRECT" } else { "buffered" };
        let name = format!("{how} by {}", bytes_text(piece));
        let piece = usize::try_from(piece).expect("a small number");
        for threads in [2, 1] {
            let write = move || {
                let file = new(direct);
                bare::write_all(&file, image, piece, threads);
                sync(&file);
            };
            let name = format!("write {name}, fsync, {threads} threads");
            all.push(Contender::new(&name, write).after(|| forget(target)));
        }
        if piece > ChunkSize::DEFAULT.bytes() as usize {
            continue; // The loop writes chunk by chunk.
        }
        let decode = move || {
            let file = new(direct);
            frames.decode(2, Hash::Blake3, Output::Write(&file, piece));
            sync(&file);
        };
        let name = format!("decode + BLAKE3 + write {name}, fsync");
        all.push(Contender::new(&name, decode).after(|| forget(target)));
    }
    for (sets, name) in widths.iter().zip(["linear", "2 stripes", "4 stripes"]) {
        for n in [2, 1] {
            let name = format!("restore, {name}, fsync, {n} jobs");
            let restore = move || restore_to_image(sets, target, n);
            all.push(Contender::new(&name, restore).after(|| forget(target)));
        }
    }
    input.measure(&mut all);
    print("to a new file", image.len(), &all);
    forget(target);
}

/// Writing overlaps decoding: a restore takes as long as the slower of the two.
fn overlap(image: &[u8], widths: &[Sets; 3], input: &Input) {
    let open = widths.each_ref().map(|sets| sets.open(false));
    let volumes = open.each_ref().map(|set| set.volume().expect("a volume"));
    let frames = Frames::of(&open[0]);
    let mut all = vec![Contender::new("decode + BLAKE3, 2 threads", || {
        frames.decode(2, Hash::Blake3, Output::Drop);
    })];
    for rate in [500, 1000, 2000, 4000, 8000] {
        for (volume, name) in volumes.iter().zip(["linear", "2 stripes", "4 stripes"]) {
            let name = format!("{name}, to a disk of {rate} MB/s");
            all.push(Contender::new(&name, move || {
                bring(volume, &PacedSink::new(rate * 1_000_000), 2);
            }));
        }
    }
    input.measure(&mut all);
    print("to a disk of some speed", image.len(), &all);
    #[expect(clippy::cast_precision_loss, reason = "a ratio is shown with three digits")]
    let bytes = frames.plain() as f64;
    println!(
        "| disk, MB/s | layout | time / max(decode + BLAKE3, the disk alone) |\n|---|---|---|"
    );
    let limit = all[0].seconds();
    let rates = [500.0, 1000.0, 2000.0, 4000.0, 8000.0];
    let runs =
        rates.into_iter().flat_map(|rate| ["linear", "2 stripes", "4 stripes"].map(|n| (rate, n)));
    for ((rate, name), run) in runs.zip(&all[1..]) {
        let alone = bytes / (rate * 1e6);
        println!("| {rate} | {name} | {:.2} |", run.seconds() / limit.max(alone));
    }
    println!();
}

/// Raw members to a set: in full, and on top of the set that it equals.
fn capturing(image: &[u8], sets: &Sets, stage: &Stage, input: &Input) {
    let chunk = ChunkSize::DEFAULT;
    let raw = stage.spread("member", image, 2);
    let volume = raw.volume(chunk);
    let open = |path| File::open(path).expect("a raw member");
    let files: Vec<File> = raw.paths().iter().map(open).collect();
    let mut all = Vec::new();
    for (name, parent, level) in
        [("full", None, Some(Encoder::DEFAULT_LEVEL)), ("unchanged", Some(sets), None)]
    {
        let (files, volume) = (&files, &volume);
        let bare = move || {
            for file in files {
                bare::encode(file, chunk.bytes() as usize, level, 2);
            }
        };
        let what = level.map_or(String::new(), |level| format!(" + zstd -{level}"));
        all.push(Contender::new(&format!("read + BLAKE3{what}, 2 threads"), bare));
        for n in [2, 1] {
            all.push(Contender::new(&format!("capture, {name}, 2 stripes, {n} jobs"), move || {
                stage.capture_and_forget(volume, chunk, parent, n);
            }));
        }
    }
    input.measure(&mut all);
    print("to a set", image.len(), &all);
}

fn sync(file: &File) {
    file.sync_all().expect("a sound disk");
}

fn check(set: &OpenSet, depth: Depth) {
    let reports = verify(set, depth, jobs(2), &Progress::default()).expect("threads");
    assert!(reports.iter().all(|file| file.findings.is_empty()), "a sound set");
}

/// One line for each; ratios are to the first.
fn print(title: &str, bytes: usize, all: &[Contender<'_>]) {
    let Some(first) = all.first() else { return };
    println!("| {title} | s | CPU s | GB/s | time / first |\n|---|---|---|---|---|");
    #[expect(clippy::cast_precision_loss, reason = "a rate is shown with three digits")]
    let gigabytes = bytes as f64 / 1e9;
    for one in all {
        let (s, cpu) = (one.seconds(), one.processor_seconds());
        let (rate, ratio) = (gigabytes / s, one.ratio_to(first));
        println!("| {} | {s:.3} | {cpu:.3} | {rate:.2} | {ratio:.2} |", one.name);
    }
    println!();
}
