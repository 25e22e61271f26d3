//! A volume read on demand gives what a restore would, whoever asks for what and when.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::collections::HashSet;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use proptest::prelude::{any, prop, proptest};
use restore::image::{Image, ImageBytes, ImageError};
use restore::reader::{Options, Reader};
use restore::source::{ChunkRef, Extent, Proof, ReadError, Scratch, Source};
use restore::survey::survey;
use restore::{Progress, Volume};
use snapfmt::ReadAt;
use testing::check::same;
use testing::files::{self, Place, flip};
use testing::hand::{HandMember, HandSet};
use testing::lineage::Lineage;
use testing::memory::{Calls, Counted, MemorySource, SparseSource, part, volume_of, volume_over};
use testing::model::{Kind, MemberModel, Part, VolumeModel, each_byte};
use testing::scenario::steps;
use testing::{index, indices, jobs, noise};

const CHUNK: usize = 64 << 10;

fn reader(volume: Volume, cache: usize, threads: usize) -> Reader {
    reader_of(Arc::new(volume), cache, threads)
}

fn reader_of(volume: Arc<Volume>, cache: usize, threads: usize) -> Reader {
    Reader::new(volume, &Options { cache: cache as u64, threads: jobs(threads) }).unwrap()
}

fn read(image: &dyn Image, range: &Range<u64>) -> Result<Vec<u8>, ImageError> {
    // What a read leaves untouched must not pass for zeros.
    let mut out = vec![0xA5; index(range.end - range.start)];
    image.read_at(range.start, &mut out).map(|()| out)
}

fn expect(image: &dyn Image, bytes: &[u8], range: &Range<u64>) {
    same(&read(image, range).unwrap(), part(bytes, range), range.start);
}

/// Every run by itself: to the byte what the model has.
fn runs(reader: &Reader, kinds: &[Option<Kind>]) {
    let counts = survey(reader.volume(), 0..reader.size(), &Progress::default()).unwrap();
    let (mut at, mut data) = (0, 0);
    while at < reader.size() {
        let run = reader.run_at(at).unwrap();
        assert!(run.end > at && run.end <= reader.size(), "from {at}: {run:?}");
        for (byte, kind) in (at..).zip(&kinds[indices(&(at..run.end))]) {
            assert_eq!(*kind == Some(Kind::Data), run.is_data, "byte {byte} of {run:?} from {at}");
        }
        data += if run.is_data { run.end - at } else { 0 };
        at = run.end;
    }
    assert_eq!(data, counts.data);
}

proptest! {
    #![proptest_config(testing::cases(64))]

    #[test]
    fn any_bytes_of_every_generation_are_read(
        (chunk, steps) in steps(),
        cache in 0_usize..8,
        threads in 1_usize..4,
        places in prop::collection::vec(any::<(u64, u64)>(), 12),
    ) {
        let lineage = Lineage::new(chunk, &steps);
        let catalog = files::catalog(lineage.directory.path());
        for generation in &lineage.generations {
            let volume = files::open_set(&catalog, &generation.set_id).volume().unwrap();
            let (bytes, kinds) = (generation.model.bytes(), generation.model.kinds());
            let size = bytes.len() as u64;
            let reader = reader(volume, cache * chunk, threads);
            for (a, b) in &places {
                let (a, b) = (a % (size + 1), b % (size + 1));
                expect(&reader, &bytes, &(a.min(b)..a.max(b)));
                expect(&reader, &bytes, &(a..size.min(a + 700)));
            }
            runs(&reader, &kinds);
            let counts = reader.counts();
            assert_eq!((counts.reads, counts.damaged), (2 * places.len() as u64, 0));
        }
    }
}

/// A striped volume with zeros and a piece that nothing is mapped to, in chunks of 64 KiB.
fn striped() -> VolumeModel {
    let member = |n: u64| {
        let mut member = MemberModel::of(&format!("vol-{n}"), noise(n, 40 * CHUNK));
        for (kind, place) in [(Kind::Zero, 5 * CHUNK..9 * CHUNK), (Kind::Hole, 700_000..1_000_003)]
        {
            member.bytes[place.clone()].fill(0);
            member.kinds[place].fill(kind);
        }
        member
    };
    let columns = vec![(0, 4096), (1, 0), (2, 100)];
    let layout = vec![
        Part::Striped(70, 20_000, columns),
        Part::Unmapped(300_000),
        Part::Linear(1_000_000, (1, 1_500_000)),
    ];
    VolumeModel { members: (0..3).map(member).collect(), layout }
}

fn in_memory(model: &VolumeModel) -> Volume {
    volume_of(model, |_, member| Box::new(MemorySource::new(member, u32::try_from(CHUNK).unwrap())))
}

#[test]
fn many_threads_read_what_one_would() {
    let model = striped();
    let bytes = model.bytes();
    let size = bytes.len() as u64;
    for cache in [0, 3 * CHUNK, 16 * CHUNK, 64 << 20] {
        let reader = reader(in_memory(&model), cache, 2);
        thread::scope(|scope| {
            for n in 0..8_u64 {
                let (reader, bytes) = (&reader, &bytes);
                scope.spawn(move || {
                    let places = noise(n, 8 * 200);
                    for place in places.chunks_exact(8) {
                        let at = u64::from_le_bytes(place.try_into().unwrap());
                        let (at, len) = (at % size, at >> 48);
                        expect(reader, bytes, &(at..size.min(at + len)));
                    }
                    // Then from end to end, in steps of its own.
                    let step = 30_000 + 7_000 * n;
                    for at in (0..size).step_by(index(step)) {
                        expect(reader, bytes, &(at..size.min(at + step)));
                    }
                });
            }
        });
        runs(&reader, &model.kinds());
    }
}

/// Holds every read up until so many threads have come, or for a while.
struct Slow {
    source: Box<dyn Source>,
    asked: Arc<Barrier>,
}

impl Source for Slow {
    fn size(&self) -> u64 {
        self.source.size()
    }

    fn largest_chunk(&self) -> u32 {
        self.source.largest_chunk()
    }

    fn extents(&self, range: Range<u64>, out: &mut Vec<Extent>) -> Result<(), ReadError> {
        self.source.extents(range, out)?;
        // All of them know the chunk before the first reads it.
        self.asked.wait();
        Ok(())
    }

    fn read(
        &self,
        chunk: &ChunkRef,
        out: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<Proof, ReadError> {
        thread::sleep(Duration::from_millis(100));
        self.source.read(chunk, out, scratch)
    }
}

/// Eight threads want the same chunk at once: one reads it, and what comes of it is for all.
#[test]
fn a_chunk_is_read_by_one_thread_for_all_who_wait() {
    let member = MemberModel::of("vol-0", noise(1, 3 * CHUNK));
    for (cache, fails) in [(CHUNK, false), (CHUNK - 1, false), (CHUNK, true), (0, true)] {
        let source = MemorySource::new(&member, u32::try_from(CHUNK).unwrap());
        let source = if fails { source.failing_at(0) } else { source };
        let calls = Arc::new(Calls::default());
        let counted = Counted { source: Box::new(source), calls: calls.clone() };
        let asked = Arc::new(Barrier::new(8));
        let slow = Slow { source: Box::new(counted), asked };
        let reader = reader(volume_over(Box::new(slow)), cache, 1);
        let wrong = AtomicU64::new(0);
        thread::scope(|scope| {
            for n in 0..8 {
                let (reader, wrong, member) = (&reader, &wrong, &member);
                scope.spawn(move || {
                    let range = CHUNK as u64 + n..CHUNK as u64 + 5000;
                    match read(reader, &range) {
                        Ok(found) => same(&found, part(&member.bytes, &range), range.start),
                        Err(ImageError::Damaged(_)) => drop(wrong.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => panic!("{error}"),
                    }
                });
            }
        });
        let counts = reader.counts();
        let what = format!("cache {cache}, fails {fails}: {counts:?}");
        assert_eq!((calls.reads(), counts.loads, counts.hits), (1, 1, 7), "{what}");
        let failed = if fails { 8 } else { 0 };
        assert_eq!((wrong.into_inner(), counts.damaged), (failed, failed), "{what}");
        assert_eq!(reader.damage().len(), usize::from(fails), "{what}");
    }
}

fn counted(member: &MemberModel) -> (Volume, Arc<Calls>) {
    let source = Box::new(MemorySource::new(member, u32::try_from(CHUNK).unwrap()));
    let calls = Arc::new(Calls::default());
    (volume_over(Box::new(Counted { source, calls: calls.clone() })), calls)
}

/// The bytes in the cache are what was read last, and never more than it may hold.
#[test]
fn the_cache_keeps_what_fits_and_was_used_last() {
    let member = MemberModel::of("vol-0", noise(1, 40 * CHUNK));
    let (volume, calls) = counted(&member);
    let reader = reader(volume, 4 * CHUNK + 100, 1);
    let touch = |chunk: usize| {
        let before = calls.reads();
        let at = (chunk * CHUNK) as u64 + 77;
        expect(&reader, &member.bytes, &(at..at + 3));
        calls.reads() > before
    };
    // Far from each other, so that nobody takes it for reading in sequence.
    for chunk in [0, 30, 10, 20] {
        assert!(touch(chunk), "chunk {chunk}");
    }
    for chunk in [30, 10, 20, 0] {
        assert!(!touch(chunk), "chunk {chunk} was there");
    }
    assert!(touch(5), "a fifth one drives out the first of them");
    assert!(!touch(10) && !touch(20) && !touch(0) && !touch(5) && touch(30));
    assert_eq!(reader.counts().read_ahead, 0);
}

/// What is read through from end to end gives way before what was read here and there.
#[test]
fn reading_much_in_sequence_does_not_drive_out_the_rest() {
    let member = MemberModel::of("vol-0", noise(1, 500 * CHUNK));
    let (volume, calls) = counted(&member);
    let reader = reader(volume, 64 * CHUNK, 1);
    let here_and_there: Vec<u64> = (0..8).map(|n| ((n * 23 + 300) * CHUNK) as u64).collect();
    let look = || {
        let before = calls.reads();
        for at in &here_and_there {
            expect(&reader, &member.bytes, &(*at..at + 9));
        }
        calls.reads() - before
    };
    assert_eq!(look(), 8);
    let step = CHUNK as u64 / 2;
    for at in (0..200 * CHUNK as u64).step_by(index(step)) {
        expect(&reader, &member.bytes, &(at..at + step));
    }
    assert_eq!(look(), 0);
}

#[test]
fn reading_in_sequence_is_read_ahead_and_each_chunk_once() {
    let model = striped();
    let bytes = model.bytes();
    let size = bytes.len() as u64;
    let calls = Arc::new(Calls::default());
    let volume = volume_of(&model, |_, member| {
        let source = Box::new(MemorySource::new(member, u32::try_from(CHUNK).unwrap()));
        Box::new(Counted { source, calls: calls.clone() })
    });
    let reader = reader(volume, 8 << 20, 3);
    for at in (0..size).step_by(10_000) {
        expect(&reader, &bytes, &(at..size.min(at + 10_000)));
        // The threads must have a chance, however loaded the machine is.
        thread::sleep(Duration::from_micros(200));
    }
    let counts = reader.counts();
    assert!(counts.read_ahead > 20, "{counts:?}");
    assert_eq!(counts.loads, calls.reads());
    let mut needed = HashSet::new();
    each_byte(&model.layout, |place| {
        if let Some((member, at)) =
            place.filter(|(m, at)| model.members[*m].kinds[*at] == Kind::Data)
        {
            needed.insert((member, at / CHUNK));
        }
    });
    assert_eq!(counts.loads, needed.len() as u64, "{counts:?}");
}

#[test]
fn what_is_read_here_and_there_is_not_read_ahead() {
    let member = MemberModel::of("vol-0", noise(1, 400 * CHUNK));
    let (volume, calls) = counted(&member);
    let reader = reader(volume, 64 << 20, 2);
    let places = noise(5, 8 * 3000);
    for place in places.chunks_exact(8) {
        let at = u64::from_le_bytes(place.try_into().unwrap()) % (reader.size() / 4096) * 4096;
        expect(&reader, &member.bytes, &(at..at + 4096));
    }
    let counts = reader.counts();
    assert!(counts.read_ahead <= 8, "{counts:?}");
    assert_eq!(counts.hits + counts.loads - counts.read_ahead, 3000, "{counts:?}");
    assert!(calls.reads() <= 400);
}

/// In the middle of reading ahead: the threads let go of the volume before the drop is over.
#[test]
fn its_threads_end_with_it() {
    let member = MemberModel::of("vol-0", noise(1, 400 * CHUNK));
    for reads in [0, 1, 9, 30] {
        let volume = Arc::new(counted(&member).0);
        let reader = reader_of(volume.clone(), 32 << 20, 4);
        for at in (0..reads).map(|n| n * CHUNK as u64) {
            expect(&reader, &member.bytes, &(at..at + CHUNK as u64));
        }
        drop(reader);
        assert_eq!(Arc::strong_count(&volume), 1, "after {reads} reads");
    }
}

/// A set of one member by hand, one of whose chunks is damaged.
#[test]
fn damage_fails_the_reads_that_touch_it_and_no_others() {
    let bytes = noise(1, 40 * CHUNK + 999);
    let size = bytes.len() as u64;
    let directory = tempfile::tempdir().unwrap();
    let member = HandMember::full("vol-0", &bytes, CHUNK);
    let path = HandSet::single("dsnap-0", CHUNK, member).write(directory.path()).remove(0).path;
    let lost = 13 * CHUNK as u64..14 * CHUNK as u64;
    flip(&path, Place::Chunk(13));
    let catalog = files::catalog(directory.path());
    let reader = reader(files::open_set(&catalog, "dsnap-0").volume().unwrap(), 1 << 20, 2);
    let mut failed = 0;
    for start in (0..size).step_by(4096) {
        let range = start..size.min(start + 4096);
        if !lost.contains(&start) {
            expect(&reader, &bytes, &range);
            continue;
        }
        failed += 1;
        let error = read(&reader, &range).unwrap_err();
        let text = error.to_string();
        let named = text.contains(&path.display().to_string()) && text.contains("chunk 13 ");
        assert!(matches!(error, ImageError::Damaged(_)) && named, "{text}");
    }
    // To the byte, and where only a part of what is asked for is lost.
    expect(&reader, &bytes, &(lost.start - 5..lost.start));
    expect(&reader, &bytes, &(lost.end..lost.end + 5));
    for range in [lost.end - 1..lost.end, lost.start - 5..lost.start + 1, 0..size] {
        assert!(matches!(read(&reader, &range), Err(ImageError::Damaged(_))), "{range:?}");
        failed += 1;
    }
    assert_eq!(reader.counts().damaged, failed);
    let [damage] = reader.damage().try_into().unwrap();
    assert_eq!((&damage.range, damage.logical), (&lost, vec![lost.clone()]));
    assert!(reader.run_at(lost.start).unwrap().is_data, "the index says so");
    // Mended meanwhile: what was damaged is not held against it.
    flip(&path, Place::Chunk(13));
    expect(&reader, &bytes, &(0..size));
}

#[test]
fn a_damaged_index_page_costs_what_it_lists() {
    let chunk = 4096;
    let bytes = noise(1, 1500 * chunk);
    let directory = tempfile::tempdir().unwrap();
    let member = HandMember::full("vol-0", &bytes, chunk);
    let path = HandSet::single("dsnap-0", chunk, member).write(directory.path()).remove(0).path;
    flip(&path, Place::IndexPage(0));
    let catalog = files::catalog(directory.path());
    let reader = reader(files::open_set(&catalog, "dsnap-0").volume().unwrap(), 1 << 20, 2);
    let good = 1024 * chunk as u64;
    for at in (0..reader.size()).step_by(3000) {
        let range = at..reader.size().min(at + 50);
        if at < good {
            assert!(matches!(read(&reader, &range), Err(ImageError::Damaged(_))), "{range:?}");
            assert!(matches!(reader.run_at(at), Err(ImageError::Damaged(_))), "{range:?}");
        } else {
            expect(&reader, &bytes, &range);
            assert!(reader.run_at(at).unwrap().is_data);
        }
    }
    let damage = reader.damage();
    assert_eq!(damage.len(), 256, "bounded");
    assert!(damage.iter().all(|d| d.range.end - d.range.start <= 2 * chunk as u64));
}

#[test]
fn what_is_beyond_the_end_is_refused() {
    let member = MemberModel::of("vol-0", noise(1, 5000));
    let reader = reader(counted(&member).0, 1 << 20, 1);
    for range in [4990..5001, 5001..5001, u64::MAX - 1..u64::MAX] {
        let error = read(&reader, &range).unwrap_err();
        assert!(matches!(error, ImageError::Beyond { size: 5000, .. }), "{error}");
    }
    assert!(matches!(reader.run_at(5000), Err(ImageError::Beyond { .. })));
    expect(&reader, &member.bytes, &(5000..5000));
    let owned = ImageBytes(Arc::new(reader) as Arc<dyn Image>);
    let mut out = [0; 10];
    owned.read_exact_at(&mut out, 4990).unwrap();
    assert_eq!(out, member.bytes[4990..]);
    let beyond = owned.read_exact_at(&mut out, 4991).unwrap_err();
    assert_eq!(beyond.kind(), std::io::ErrorKind::UnexpectedEof);
}

/// However large a hole is, it is one question.
#[test]
fn a_hole_of_many_tib_is_one_run() {
    const TIB: u64 = 1 << 40;
    for holes in [true, false] {
        let source = SparseSource {
            size: 64 * TIB,
            chunk: 1 << 20,
            data: vec![3, 4, 40 << 20],
            holes,
            version: 0,
        };
        let calls = Arc::new(Calls::default());
        let counted = Counted { source: Box::new(source), calls: calls.clone() };
        let reader = reader(volume_over(Box::new(counted)), 1 << 20, 1);
        let mut runs = Vec::new();
        let mut at = 0;
        while at < reader.size() {
            let run = reader.run_at(at).unwrap();
            runs.push((at..run.end, run.is_data));
            at = run.end;
        }
        let expected = [
            (0..3 << 20, false),
            (3 << 20..5 << 20, true),
            (5 << 20..40 * TIB, false),
            (40 * TIB..40 * TIB + (1 << 20), true),
            (40 * TIB + (1 << 20)..64 * TIB, false),
        ];
        assert_eq!(runs, expected);
        assert!(calls.extents() < 40, "{} questions", calls.extents());
        assert_eq!(calls.reads(), 0);
        assert_eq!(read(&reader, &(50 * TIB..50 * TIB + 4096)).unwrap(), [0; 4096]);
    }
}
