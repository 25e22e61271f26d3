//! Reading on demand holds its cache and a chunk for each thread; an overlay, some of its map.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use restore::Volume;
use restore::image::{Image, ImageError, Run, WritableImage};
use restore::overlay::{Medium, Overlay};
use restore::reader::{Options, Reader};

use crate::counting::{alone, measure};
use crate::support::memory::{SparseSource, volume_over};
use crate::support::{files, jobs, noise};
use crate::{MIB, TIB, captured};

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

/// Nothing, and much of it.
struct Void;

impl Image for Void {
    fn size(&self) -> u64 {
        16 * TIB
    }

    fn read_at(&self, _: u64, out: &mut [u8]) -> Result<(), ImageError> {
        out.fill(0);
        Ok(())
    }

    fn run_at(&self, _: u64) -> Result<Run, ImageError> {
        Ok(Run { end: self.size(), is_data: false })
    }
}

/// A file that is not made durable: tens of thousands of scattered blocks take a disk a minute.
struct Unsynced(File);

impl Medium for Unsynced {
    fn len(&self) -> io::Result<u64> {
        Medium::len(&self.0)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn give_back(&self, range: Range<u64>) {
        self.0.give_back(range);
    }

    fn next_data(&self, offset: u64, end: u64) -> io::Result<u64> {
        self.0.next_data(offset, end)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_overlay_holds_a_part_of_its_map() {
    alone(|| {
        let (medium, path) = (Unsynced(tempfile::tempfile().unwrap()), Path::new("unsynced"));
        Overlay::format(&medium, path, "c", Void.size()).unwrap();
        let overlay = Overlay::on(Arc::new(medium), path, "c", Arc::new(Void)).unwrap();
        let place = |n: u64| n * 90 * MIB + 4096 * (n % 100);
        let ((), asked) = measure(|| {
            for n in 0..16_000 {
                overlay.write_at(place(n), &n.to_le_bytes()).unwrap();
            }
            for n in 0..16_000_u64 {
                let mut word = [0; 8];
                overlay.read_at(place(n), &mut word).unwrap();
                assert_eq!(word, n.to_le_bytes());
            }
        });
        assert!(asked.most < 12 << 20, "{asked:?}");
    });
}
