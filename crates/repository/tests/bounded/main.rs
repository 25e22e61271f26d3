//! What a job costs depends on its workers, its chunk size and the data there is, never on the size
//! of the volume.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

#[path = "../../../testing/counting.rs"]
mod counting;
mod on_demand;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use counting::{alone, measure};
use restore::engine::run;
use restore::source::{Chain, NativeSource, PageCache, Source};
use restore::{Layout, Progress, Report, Volume, VolumeMember};
use snapfmt::{Column, Consistency, ExtentMap, Limits, Mapping, MemberNo, Segment};
use snaprestore::capture::{CaptureRequest, Captured, Form, ParentSet, capture};
use snaprestore::catalog::OpenSet;
use snaprestore::stream::{StreamInput, StreamSet};
use snaprestore::verify::{Depth, verify};
use testing::hand::time_of;
use testing::memory::{Calls, Counted, SparseSource, volume_over};
use testing::sinks::CountingSink;
use testing::{chunk_size, files, jobs, strict};

const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;
/// Most bytes that two workers may hold with chunks of a MiB. A worker has a window, what it carries
/// to the next one, and the stored bytes of a chunk; a capture has two batches of chunks besides.
const MOST: usize = 96 << 20;

/// A member of 16 TiB, less a tail, with data in these chunks of a MiB.
fn sparse(data: &[u64], holes: bool) -> (Volume, Arc<Calls>) {
    let source = SparseSource {
        size: 16 * TIB - 12_345,
        chunk: 1 << 20,
        data: data.to_vec(),
        holes,
        version: 0,
    };
    let calls = Arc::new(Calls::default());
    let counted = Counted { source: Box::new(source), calls: calls.clone() };
    (volume_over(Box::new(counted)), calls)
}

/// Spread out, and some that follow each other.
fn some_chunks() -> Vec<u64> {
    let last = 16 * TIB / MIB - 1;
    let mut chunks: Vec<u64> = (0..40).map(|n| n * n * 9_000 + n).chain([5, 6, 7, last]).collect();
    chunks.sort_unstable();
    chunks.dedup();
    chunks
}

/// Captures a generation, each after the first on top of the one before.
fn captured(volume: &Volume, directory: &Path, generation: u64, chunk: u32) -> Captured {
    let form = Form { compact_zeros: true, dedup: false };
    captured_as(volume, directory, generation, chunk, form)
}

/// The same, in another form.
fn captured_as(
    volume: &Volume,
    directory: &Path,
    generation: u64,
    chunk: u32,
    form: Form,
) -> Captured {
    let catalog = files::catalog(directory);
    let below = generation.checked_sub(1).map(|n| {
        let entry = catalog.select(&files::by_id(&format!("dsnap-{n}"))).unwrap().entry;
        (entry, catalog.open_set(entry).unwrap())
    });
    let parent = below.as_ref().map(|(entry, open)| ParentSet { manifest: &entry.manifest, open });
    let request = CaptureRequest {
        directory: directory.join("sets"),
        set_id: format!("dsnap-{generation}").parse().unwrap(),
        source_volume_id: "vol-logical".parse().unwrap(),
        generation,
        time: time_of(generation),
        consistency: Consistency::Crash,
        tags: BTreeMap::new(),
        chunk_size: chunk_size(chunk as usize),
        level: 1,
        form,
        sectors: vec![(512, 512)],
        parent,
        tool: "tests".into(),
        jobs: jobs(2),
    };
    capture(volume, &request, &Progress::default()).unwrap()
}

/// Restores to nowhere: the report, what was asked of the allocator, bytes of data written.
fn restored(volume: &Volume) -> (Report, counting::Asked) {
    let progress = Progress::default();
    let sink = CountingSink::new(&progress, None);
    let (report, asked) =
        measure(|| run(volume, 0..volume.size(), &sink, &strict(2), &progress).unwrap());
    let (written, zeroed) = (&sink.written, &sink.zeroed);
    assert_eq!(written.load(Ordering::Relaxed), report.counts.data);
    assert_eq!(written.load(Ordering::Relaxed) + zeroed.load(Ordering::Relaxed), volume.size());
    (report, asked)
}

/// The set's only member as a volume, and what its newest file and the ones below are asked.
fn counted_chain(set: &OpenSet) -> (Volume, Arc<Calls>) {
    let calls = Arc::new(Calls::default());
    let pages = Arc::new(PageCache::default());
    let layers = set.chains[0].iter().map(|link| {
        let native = NativeSource::new(&link.path, link.snapshot.clone(), pages.clone());
        let counted = Counted { source: Box::new(native), calls: calls.clone() };
        (link.path.clone(), Box::new(counted) as Box<dyn Source>)
    });
    (volume_over(Box::new(Chain::new(layers.collect()).unwrap())), calls)
}

/// A few questions for each stretch of data, however much nothing there is between them.
fn questions(chunks: &[u64], layers: u64) -> u64 {
    // One by the plan and one by a worker for each window of the shard that holds a chunk (a shard
    // has up to 64 MiB), and for the stretches of zeros on both sides.
    (64 + 64 + 4) * layers * chunks.len() as u64
}

#[test]
fn restoring_a_huge_sparse_member_costs_what_it_holds() {
    alone(|| {
        for holes in [false, true] {
            let chunks = some_chunks();
            let (volume, calls) = sparse(&chunks, holes);
            let (report, asked) = restored(&volume);
            let data = chunks.len() as u64 * MIB - 12_345;
            let rest = volume.size() - data;
            let zeros = if holes { (0, rest) } else { (rest, 0) };
            assert_eq!(
                (report.counts.data, report.counts.zero, report.counts.hole),
                (data, zeros.0, zeros.1)
            );
            assert!(asked.most < MOST, "{asked:?}");
            assert!(calls.extents() < questions(&chunks, 1), "{calls:?}");
            assert_eq!(calls.reads(), chunks.len() as u64);
        }
    });
}

/// Full and incremental: written, verified, restored.
#[test]
fn a_huge_sparse_chain_costs_what_it_holds() {
    alone(|| {
        let directory = tempfile::tempdir().unwrap();
        let first = some_chunks();
        // Of the first chunks some are changed, some are gone, and there are new ones.
        let moved = first.iter().map(|n| if n % 3 == 0 { *n } else { n.saturating_sub(1) });
        let second: Vec<u64> = moved.collect::<BTreeSet<_>>().into_iter().collect();
        for (generation, chunks) in [(0, &first), (1, &second), (2, &first)] {
            let (volume, calls) = sparse(chunks, generation == 2);
            let (_, asked) = measure(|| captured(&volume, directory.path(), generation, 1 << 20));
            assert!(asked.most < MOST, "capture of generation {generation}: {asked:?}");
            // Each chunk of data, and each stretch of zeros cut where the parent's are.
            let most = 10 * (first.len() + second.len()) as u64;
            assert!(calls.extents() < most, "capture of generation {generation}: {calls:?}");
        }
        let catalog = files::catalog(directory.path());
        for (generation, chunks) in [(0, &first), (1, &second), (2, &first)] {
            let set = files::open_set(&catalog, &format!("dsnap-{generation}"));
            let (volume, calls) = counted_chain(&set);
            let (report, asked) = restored(&volume);
            let tail = if chunks.contains(&(16 * TIB / MIB - 1)) { 12_345 } else { 0 };
            assert_eq!(report.counts.data, chunks.len() as u64 * MIB - tail);
            assert!(asked.most < MOST, "restore of generation {generation}: {asked:?}");
            let all: Vec<u64> = first.iter().chain(&second).copied().collect();
            let most = questions(&all, generation + 1);
            assert!(calls.extents() < most, "restore of generation {generation}: {calls:?}");
            let (reports, asked) =
                measure(|| verify(&set, Depth::Full, jobs(2), &Progress::default()).unwrap());
            assert!(reports.iter().all(|r| r.findings.is_empty()));
            assert!(asked.most < MOST, "verify of generation {generation}: {asked:?}");
        }
    });
}

/// Bytes of data in every chunk, half of them in the parent: how much restoring that allocates.
fn dense(size: u64, chunk: u32) -> counting::Asked {
    let directory = tempfile::tempdir().unwrap();
    for version in 0..2 {
        let data = (0..size / u64::from(chunk)).collect();
        let source = SparseSource { size, chunk, data, holes: false, version };
        captured(&volume_over(Box::new(source)), directory.path(), version, chunk);
    }
    let catalog = files::catalog(directory.path());
    let set = files::open_set(&catalog, "dsnap-1");
    let chunks = size / u64::from(chunk);
    assert_eq!(set.own_files().map(|f| f.snapshot.index().totals.data).sum::<u64>(), chunks / 2);
    restored(&set.volume().unwrap()).1
}

/// The second volume has four times the chunks of the first, and some more shards.
#[test]
fn nothing_is_allocated_for_a_chunk() {
    alone(|| {
        for chunk in [64 << 10, 1 << 20] {
            let [few, many] = [24 * MIB, 96 * MIB].map(|size| dense(size, chunk));
            // 72 chunks more at least.
            assert!(many.times < few.times + 48, "chunks of {chunk}: {few:?}, then {many:?}");
            assert!(many.most < MOST, "{many:?}");
        }
    });
}

/// The same through a pipe, where records come before the index.
#[test]
fn nothing_is_allocated_for_a_chunk_of_a_pipe() {
    let streamed = |size: u64, chunk: u32| {
        let directory = tempfile::tempdir().unwrap();
        let data = (0..size / u64::from(chunk)).collect();
        let source = SparseSource { size, chunk, data, holes: false, version: 0 };
        let form = Form { compact_zeros: false, dedup: false };
        let written = captured_as(&volume_over(Box::new(source)), directory.path(), 0, chunk, form);
        let progress = Progress::default();
        let sink = CountingSink::new(&progress, None);
        let inputs = vec![StreamInput::file(&written.files[0].path)];
        let (report, asked) = measure(|| {
            let set = StreamSet::open(inputs, &Limits::DEFAULT, &progress).unwrap();
            set.restore(&sink).unwrap().report
        });
        assert_eq!((report.counts.data, sink.written.load(Ordering::Relaxed)), (size, size));
        asked
    };
    alone(|| {
        for chunk in [64 << 10, 1 << 20] {
            let [few, many] = [24 * MIB, 96 * MIB].map(|size| streamed(size, chunk));
            assert!(many.times < few.times + 48, "chunks of {chunk}: {few:?}, then {many:?}");
            assert!(many.most < MOST / 8, "{many:?}");
        }
    });
}

/// Stripes that fit no chunk: windows are as long as they may be, and each column carries a chunk
/// from one to the next.
#[test]
fn wide_stripes_stay_within_the_bound() {
    alone(|| {
        let columns: Vec<Column> =
            (0..24).map(|n| Column { member: MemberNo(n), offset: 1000 }).collect();
        let (stripe, rows, size) = (300_001, 40, 16 * MIB);
        let length = rows * u64::from(stripe) * columns.len() as u64;
        let mapping = Mapping::Striped { stripe, columns: &columns };
        let segment = Segment { start: 0, length, mapping };
        let map = ExtentMap::new(length, &[size; 24], [segment], &Limits::DEFAULT).unwrap();
        let members = (0..24).map(|n| VolumeMember {
            volume_id: format!("vol-{n}").parse().unwrap(),
            source: Arc::new(SparseSource {
                size,
                chunk: 1 << 20,
                data: (0..16).collect(),
                holes: false,
                version: 0,
            }),
        });
        let volume = Volume::new(Layout::new(map), members.collect()).unwrap();
        let (report, asked) = restored(&volume);
        assert_eq!(report.counts.data, length);
        assert!(asked.most < MOST, "{asked:?}");
    });
}
