//! A generation of a lineage must come back exactly as the model has it, whichever way it is read.

use std::ops::Range;
use std::path::Path;

use host::entry::Entry;
use repository::catalog::{Catalog, OpenSet};
use repository::verify::{Depth, verify};
use restore::engine::{Options, run};
use restore::sink::{ImageOptions, ImageSink, Sink};
use restore::{Progress, Report, Volume};
use snapfmt::{Content, MemberNo};

use super::lineage::{Generation, Lineage, Stored};
use super::memory::part;
use super::model::{VolumeModel, each_byte, tally};
use super::sinks::MemorySink;
use super::{files, jobs, strict};

/// How to read.
#[derive(Clone, Debug)]
pub struct Reading {
    pub jobs: usize,
    /// Stretches of the volume: two places each, taken modulo its size.
    pub ranges: Vec<(u64, u64)>,
}

/// Checks generation `n` in every way.
pub fn generation(lineage: &Lineage, catalog: &Catalog, n: usize, reading: &Reading) {
    let generation = &lineage.generations[n];
    let set = files::open_set(catalog, &generation.set_id);
    assert_eq!(stored(&set), generation.stored, "what the files say of each chunk");
    let volume = set.volume().unwrap();
    let options = strict(reading.jobs);
    restored(&volume, &generation.model, &reading.ranges, &options);
    image(&volume, &generation.model, lineage.directory.path(), &options);
    arithmetic(&volume, &generation.model);
    verified(&set, reading.jobs);
    by_stock_zstd(&set, generation);
}

/// What each member's own file says of each chunk.
pub fn stored(set: &OpenSet) -> Vec<Vec<Stored>> {
    let of = |snapshot: &snapfmt::Snapshot| {
        let mut chunks = vec![Stored::Inherit; snapshot.geometry().chunks() as usize];
        for record in snapshot.records().map(Result::unwrap) {
            let what = match record.content {
                Content::Data { .. } => Stored::Data,
                Content::Zero { .. } => Stored::Zero,
                Content::Hole { .. } => Stored::Hole,
            };
            chunks[record.first.0 as usize..record.end() as usize].fill(what);
        }
        chunks
    };
    set.own_files().map(|file| of(&file.snapshot)).collect()
}

/// The whole volume and stretches of it, into memory.
pub fn restored(
    volume: &Volume,
    model: &VolumeModel,
    ranges: &[(u64, u64)],
    options: &Options<'_>,
) {
    let (bytes, kinds) = (model.bytes(), model.kinds());
    let size = bytes.len() as u64;
    assert_eq!(volume.size(), size);
    let pick = |(a, b): (u64, u64)| {
        (a % (size + 1)).min(b % (size + 1))..(a % (size + 1)).max(b % (size + 1))
    };
    let whole = std::iter::once(0..size);
    let all = whole.chain(ranges.iter().copied().map(pick));
    for (range, ordered) in all.flat_map(|range| [(range.clone(), false), (range, true)]) {
        let sink = MemorySink::new(size);
        let sink = if ordered { sink.ordered_from(range.start) } else { sink };
        let progress = Progress::default();
        let report = run(volume, range.clone(), &sink, options, &progress).unwrap();
        let back = sink.into_bytes(&range);
        same(part(&back, &range), part(&bytes, &range), range.start);
        let counts = tally(&kinds[super::indices(&range)]);
        counted(&report, counts, &range);
        let length = range.end - range.start;
        assert_eq!((progress.total(), progress.done()), (length, length));
        assert_eq!(progress.data(), counts.data);
    }
}

/// The whole volume's bytes and no more: for sources that prove and count otherwise.
pub fn restored_bytes(volume: &Volume, model: &VolumeModel, options: &Options<'_>) {
    let whole = 0..volume.size();
    let sink = MemorySink::new(whole.end);
    run(volume, whole.clone(), &sink, options, &Progress::default()).unwrap();
    same(&sink.into_bytes(&whole), &model.bytes(), 0);
}

/// Compares without printing megabytes.
pub fn same(found: &[u8], expected: &[u8], start: u64) {
    assert_eq!(found.len(), expected.len(), "length");
    let differs = found.iter().zip(expected).position(|(a, b)| a != b);
    if let Some(at) = differs {
        let (a, b) = (found[at], expected[at]);
        panic!("byte {} is {a:#04x}, expected {b:#04x}", start + at as u64);
    }
}

fn counted(report: &Report, expected: super::model::Tally, range: &Range<u64>) {
    let counts = &report.counts;
    let found = super::model::Tally {
        data: counts.data,
        zero: counts.zero,
        hole: counts.hole,
        unmapped: counts.unmapped,
    };
    assert_eq!(found, expected, "counts of {range:?}");
    let sum = counts.data + counts.zero + counts.hole + counts.unmapped;
    assert_eq!(sum, range.end - range.start, "the counts add up");
    assert_eq!(counts.by_digest + counts.by_crc + counts.unproved, counts.data, "proofs add up");
    assert_eq!(counts.stored > 0, counts.data > 0, "stored bytes are read for data and only then");
    assert!(report.damage.is_empty() && report.damaged_ranges().is_empty());
}

/// The whole volume into a file.
fn image(volume: &Volume, model: &VolumeModel, directory: &Path, options: &Options<'_>) {
    let target = directory.join("restored.raw");
    let sink = ImageSink::create(
        &Entry::at(&target).unwrap(),
        volume.size(),
        ImageOptions { replace: true, ..ImageOptions::default() },
    )
    .unwrap();
    run(volume, 0..volume.size(), &sink, options, &Progress::default()).unwrap();
    Box::new(sink).finish().unwrap();
    same(&std::fs::read(&target).unwrap(), &model.bytes(), 0);
}

/// The layout's answers to single offsets.
fn arithmetic(volume: &Volume, model: &VolumeModel) {
    let layout = volume.layout();
    let mut logical = 0_u64;
    each_byte(&model.layout, |place| {
        // A prime step: every place in a stripe and a chunk has its turn.
        if logical.is_multiple_of(61) {
            let found = layout.to_member(logical).map(|m| (m.member.index(), m.range.start));
            assert_eq!(found, place.map(|(member, at)| (member, at as u64)), "byte {logical}");
            if let Some((member, at)) = place {
                let no = MemberNo(u32::try_from(member).unwrap());
                let back = layout.to_logical(no, at as u64).map(|l| l.0.start);
                assert_eq!(back, Some(logical), "member {member} byte {at}");
            }
        }
        logical += 1;
    });
}

/// Both depths find nothing, in as many files as the set needs.
fn verified(set: &OpenSet, workers: usize) {
    for depth in [Depth::Quick, Depth::Full] {
        let progress = Progress::default();
        let reports = verify(set, depth, jobs(workers), &progress).unwrap();
        for report in &reports {
            assert!(report.findings.is_empty(), "{}: {:?}", report.path.display(), report.findings);
        }
        assert_eq!(reports.len(), set.all_files().count());
        assert_eq!(progress.done(), progress.total());
    }
}

/// A full file in stream form is its member's raw image to anyone who has zstd.
fn by_stock_zstd(set: &OpenSet, generation: &Generation) {
    for (file, member) in set.own_files().zip(&generation.model.members) {
        if file.snapshot.manifest().stream {
            let stream = std::fs::File::open(&file.path).unwrap();
            same(&zstd::stream::decode_all(stream).unwrap(), &member.bytes, 0);
        }
    }
}
