//! Targets and what their safety costs: sync points of the journal at several distances, overwriting
//! in place, and keeping what is right already.
#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has to stop")]

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use host::entry::Entry;
use restore::job::{JournalAt, Restore, Target};
use restore::journal::SyncPoints;
use restore::sink::Io;
use restore::{Progress, Volume};
use snapfmt::ChunkSize;
use snaprestore_benches::rates::{Rates, throughput};
use snaprestore_benches::stage::Stage;
use snaprestore_benches::{MIB, SEED, VOLUME, bytes_text, criterion, data, forget, jobs};

fn targets(c: &mut Criterion<Rates>) {
    let stage = Stage::new(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let image = data::image(VOLUME, SEED);
    let sets = stage.capture("set", &stage.spread("member", &image, 2), ChunkSize::DEFAULT, None);
    let volume = sets.volume(false);
    let target = stage.path("target.raw");
    let mut group = c.benchmark_group("targets");
    group.throughput(throughput(sets.logical, sets.all_stored()));
    for (name, io) in [("direct", Io::Auto), ("buffered", Io::Buffered)] {
        for every in [None, Some(256), Some(64), Some(16), Some(4)] {
            let distance = every.map_or_else(
                || "no journal".to_owned(),
                |mib| format!("sync points every {}", bytes_text(mib * MIB)),
            );
            group.bench_function(format!("new image, {name}, {distance}"), |b| {
                b.iter_batched(
                    || forget(&target),
                    |()| bring(&volume, new(&target), io, every.map(|mib| at(&target, mib * MIB))),
                    BatchSize::PerIteration,
                );
            });
        }
    }
    for delta in [false, true] {
        let name = if delta { "in place, --delta, equal already" } else { "in place" };
        group.bench_function(name, |b| {
            b.iter(|| bring(&volume, over(&target, delta), Io::Auto, None));
        });
    }
    group.finish();
    forget(&target);
}

fn new(target: &Path) -> Target {
    Target::image(target).expect("its directory")
}

fn over(target: &Path, delta: bool) -> Target {
    let file = File::options().read(true).write(true).open(target).expect("a target");
    Target::InPlace { file, path: target.to_owned(), delta, preallocate: false }
}

fn at(target: &Path, bytes: u64) -> JournalAt {
    let mut path = target.to_owned().into_os_string();
    path.push(".journal");
    let points = SyncPoints { bytes, time: Duration::from_secs(3600) };
    let entry = Entry::at(Path::new(&path)).expect("its directory");
    JournalAt { entry, volume: "bench".to_owned(), points, restart: false }
}

fn bring(volume: &Volume, target: Target, io: Io, journal: Option<JournalAt>) {
    let request = Restore { journal, io, ..Restore::whole(volume, target, jobs(2)) };
    let restored = request.run(&Progress::default()).expect("a sound set and room for it");
    restored.publish().expect("a name for the image");
}

criterion_group! { name = benches; config = criterion(); targets = targets }
criterion_main!(benches);
