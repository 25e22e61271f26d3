//! Restores the newest snapshot set below a directory to a raw image:
//! `cargo run --release -p snaprestore --example restore_image -- testdata/demo volume.img`
#![expect(clippy::print_stdout, reason = "an example shows what came out")]

use std::error::Error;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use host::entry::Entry;
use restore::engine::{Options, run};
use restore::sink::{ImageOptions, ImageSink, Sink};
use restore::{Progress, Report};
use snaprestore::catalog::{Catalog, Lookup, Selection};

fn restore_newest(paths: &[PathBuf], target: &Path) -> Result<Report, Box<dyn Error>> {
    let catalog = Catalog::open(paths, &Lookup::default());
    let newest = catalog.select(&Selection::default())?.entry;
    let volume = catalog.open_set(newest)?.volume()?; // complete, or an error that says what is not
    let sink = ImageSink::create(&Entry::at(target)?, volume.size(), ImageOptions::default())?;
    let jobs = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let options = Options::new(jobs);
    let report = run(&volume, 0..volume.size(), &sink, &options, &Progress::default())?;
    Box::new(sink).finish()?; // durable; only now is there a file under the target's name
    Ok(report)
}

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [from, target] = paths.as_slice() else {
        return Err("usage: restore_image SNAPSHOTS TARGET".into());
    };
    let counts = restore_newest(std::slice::from_ref(from), target)?.counts;
    println!("{} bytes of data, {} proved by BLAKE3", counts.data, counts.by_digest);
    Ok(())
}
