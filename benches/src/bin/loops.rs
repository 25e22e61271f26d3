//! One bare loop as a process of its own, so that it can be timed like any other program.
#![forbid(unsafe_code)]
#![expect(clippy::expect_used, reason = "stops with a message")]

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use repository::MappedFile;
use repository::catalog::{Catalog, Lookup, OpenSet, Selection};
use restore::sink::NullSink;
use snaprestore_benches::bare::{self, Frames, Hash, Output};
use snaprestore_benches::{STRIPE, bring};

/// The least that any program must do with a set, by two threads.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Decode every chunk
    Decode { set: PathBuf },
    /// Decode every chunk and hash it with BLAKE3
    Hash { set: PathBuf },
    /// Read every chunk and compute its CRC-32
    Crc { set: PathBuf },
    /// The engine, to nothing
    Engine {
        set: PathBuf,
        #[arg(long, default_value_t = 2)]
        jobs: usize,
    },
    /// Write to a new file what the chunks hold, from a raw image that is in memory, and fsync
    Write {
        set: PathBuf,
        image: PathBuf,
        target: PathBuf,
        /// Past the page cache.
        #[arg(long)]
        direct: bool,
        /// Ask for room for all of it before the first write.
        #[arg(long)]
        room: bool,
        /// Bytes of one write.
        #[arg(long, default_value_t = 1 << 20)]
        piece: usize,
        /// Threads.
        #[arg(long, default_value_t = 2)]
        threads: usize,
    },
    /// Decode, hash and write each chunk, one after the other in each thread, and fsync
    Restore {
        set: PathBuf,
        target: PathBuf,
        /// Past the page cache.
        #[arg(long)]
        direct: bool,
        /// Ask for room for all of it before the first write.
        #[arg(long)]
        room: bool,
        /// Bytes of one write.
        #[arg(long, default_value_t = 1 << 20)]
        piece: usize,
    },
    /// Spread a raw image over so many members in stripes of 64 KiB
    Spread { image: PathBuf, directory: PathBuf, width: usize },
}

fn main() {
    match Options::parse().what {
        What::Decode { set } => frames(&set).decode(2, Hash::No, Output::Drop),
        What::Hash { set } => frames(&set).decode(2, Hash::Blake3, Output::Drop),
        What::Crc { set } => frames(&set).checksum(2),
        What::Engine { set, jobs } => {
            let volume = open(&set).volume().expect("a volume");
            bring(&volume, &NullSink, jobs);
        }
        What::Write { set, image, target, direct, room, piece, threads } => {
            let image = MappedFile::map(&File::open(image).expect("the image")).expect("a map");
            let (frames, file) = onto(&set, &target, direct, room);
            frames.write(&image, &file, piece, threads);
            file.sync_all().expect("a sound disk");
        }
        What::Restore { set, target, direct, room, piece } => {
            let (frames, file) = onto(&set, &target, direct, room);
            frames.decode(2, Hash::Blake3, Output::Write(&file, piece));
            file.sync_all().expect("a sound disk");
        }
        What::Spread { image, directory, width } => {
            spread(&image, &directory, width).expect("room for the members");
        }
    }
}

fn open(path: &Path) -> OpenSet {
    let catalog = Catalog::open(&[path.to_owned()], &Lookup::default());
    let chosen = catalog.select(&Selection::default()).expect("a set");
    catalog.open_set(chosen.entry).expect("a whole set")
}

fn frames(path: &Path) -> Frames {
    Frames::of(&open(path))
}

/// What is to be written, and the new file that it goes to.
fn onto(set: &Path, target: &Path, direct: bool, room: bool) -> (Frames, File) {
    let set = open(set);
    let size = set.volume().expect("a volume").size();
    let file = bare::create(target, size, direct).expect("a new file");
    let frames = Frames::of(&set);
    if room {
        frames.reserve(&file);
    }
    (frames, file)
}

/// Members named by their number, sparse where the image has zeros.
fn spread(image: &Path, directory: &Path, width: usize) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    fs::create_dir_all(directory)?;
    let image = File::open(image)?;
    let stripe = u64::from(STRIPE);
    let rows = image.metadata()?.len() / (stripe * width as u64);
    let mut piece = vec![0; STRIPE as usize];
    for place in 0..width as u64 {
        let mut member = File::create(directory.join(format!("{place}.raw")))?;
        for row in 0..rows {
            image.read_exact_at(&mut piece, (row * width as u64 + place) * stripe)?;
            if piece.iter().any(|byte| *byte != 0) {
                member.write_all_at(&piece, row * stripe)?;
            }
        }
        member.set_len(rows * stripe)?;
        member.flush()?;
    }
    Ok(())
}
