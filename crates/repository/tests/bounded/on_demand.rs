//! Reading on demand holds its cache and a chunk for each thread.

use std::sync::Arc;
use std::thread;

use restore::Volume;
use restore::image::Image;
use restore::reader::{Options, Reader};

use crate::counting::{alone, measure};
use crate::{MIB, captured};
use testing::memory::{SparseSource, volume_over};
use testing::{files, jobs, noise};

/// A set all of whose chunks hold data.
fn dense(size: u64, chunk: u32) -> (tempfile::TempDir, Volume) {
    let directory = tempfile::tempdir().unwrap();
    let data = (0..size / u64::from(chunk)).collect();
    let source = SparseSource { size, chunk, data, holes: false, version: 0 };
    captured(&volume_over(Box::new(source)), directory.path(), 0, chunk);
    let catalog = files::catalog(directory.path());
    let volume = files::open_set(&catalog, "dsnap-0").volume().unwrap();
    (directory, volume)
}

/// Half of the threads read in sequence, the others here and there.
fn read(reader: &Reader, threads: u64) {
    let size = reader.size();
    thread::scope(|scope| {
        for n in 0..threads {
            scope.spawn(move || {
                let mut page = [0; 4096];
                let places = noise(n, 8 * 500);
                for (step, place) in (0..).zip(places.chunks_exact(8)) {
                    let random = u64::from_le_bytes(place.try_into().unwrap());
                    let ordered = n * 8 * MIB + step * (64 << 10);
                    let at = if n % 2 == 0 { ordered } else { random } % (size - 4096);
                    reader.read_at(at, &mut page).unwrap();
                }
            });
        }
    });
}

#[test]
fn reading_on_demand_holds_the_cache_and_a_chunk_for_each_thread() {
    alone(|| {
        let (_directory, volume) = dense(96 * MIB, 1 << 20);
        let volume = Arc::new(volume);
        for cache in [0, 2 * MIB, 16 * MIB] {
            let (threads, ahead) = (4, 2);
            let options = Options { cache, threads: jobs(2) };
            let (reader, asked) = measure(|| {
                let reader = Reader::new(volume.clone(), &options).unwrap();
                read(&reader, threads);
                reader
            });
            // A chunk plain and as it is stored, and a decoder; buffers that wait; index pages.
            let each = (threads + ahead) * (2 * MIB + MIB / 2);
            let most = cache + each + 6 * MIB;
            assert!((asked.most as u64) < most, "cache {cache}: {asked:?}, bound {most}");
            assert!(reader.counts().loads > 100, "{:?}", reader.counts());
        }
    });
}

#[test]
fn nothing_is_allocated_for_a_read_of_what_is_cached() {
    alone(|| {
        let (_directory, volume) = dense(8 * MIB, 64 << 10);
        let options = Options { cache: 16 * MIB, threads: jobs(1) };
        let reader = Reader::new(Arc::new(volume), &options).unwrap();
        let mut all = vec![0; 8 << 20];
        reader.read_at(0, &mut all).unwrap();
        let mut page = [0; 4096];
        let loads = reader.counts().loads;
        let ((), asked) = measure(|| {
            for n in 0..2000 {
                reader.read_at(n * 1_234_567 % (8 * MIB - 4096), &mut page).unwrap();
            }
        });
        assert!(asked.times < 20, "{asked:?}");
        assert_eq!(reader.counts().loads, loads);
    });
}
