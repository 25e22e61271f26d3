//! What a source promises: extents without gaps that are true as far as they reach, and chunks that
//! are whose they say.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::{any, prop, proptest};
use restore::Progress;
use restore::engine::run;
use restore::source::{
    Chain, Extent, ExtentKind, NativeSource, PageCache, RawSource, Scratch, Source,
};
use snapfmt::{Digest, MemberNo};
use testing::hand::{Chunk, HandMember, HandSet};
use testing::lineage::Lineage;
use testing::memory::{MemorySource, volume_of, volume_over};
use testing::model::{Kind, MemberModel, Part, VolumeModel};
use testing::scenario::steps;
use testing::sinks::MemorySink;
use testing::{check, files, indices, noise, strict};

const CHUNK: usize = 4096;

/// Holds the extents of `range` against the member's bytes, those beyond the range included.
fn truthful(source: &dyn Source, bytes: &[u8], range: &Range<u64>) {
    let mut extents: Vec<Extent> = Vec::new();
    source.extents(range.clone(), &mut extents).unwrap();
    let mut scratch = Scratch::new().unwrap();
    let mut at = extents.first().unwrap().range.start;
    assert!(at <= range.start, "{range:?} is covered from {at}");
    for extent in &extents {
        assert_eq!(extent.range.start, at, "without gaps, in order");
        assert!(!extent.range.is_empty(), "{extent:?}");
        at = extent.range.end;
        match &extent.kind {
            ExtentKind::Zero | ExtentKind::Hole => {
                assert!(bytes[indices(&extent.range)].iter().all(|b| *b == 0), "{extent:?}");
            }
            ExtentKind::Data(chunk) => {
                let whole = &bytes[indices(&chunk.range)];
                let within =
                    chunk.range.start <= extent.range.start && extent.range.end <= chunk.range.end;
                assert!(within && chunk.len() <= source.largest_chunk() as usize, "{extent:?}");
                let mut plain = vec![0xEE; chunk.len()];
                source.read(chunk, &mut plain, &mut scratch).unwrap();
                // Of another generation's chunk only the part in the extent is this member's.
                let part = |all: &[u8]| {
                    let from = extent.range.start - chunk.range.start;
                    all[indices(&(from..from + extent.range.end - extent.range.start))].to_vec()
                };
                assert_eq!(part(&plain), part(whole));
                assert!(chunk.digest.is_none_or(|d| d == Digest::of(&plain)));
            }
            ExtentKind::Inherit => panic!("{extent:?} in a whole source"),
        }
    }
    assert!(at >= range.end, "{range:?} is covered to {at}");
}

fn pick(size: u64, (a, b): (u64, u64)) -> Range<u64> {
    let start = a % size;
    start..start + 1 + b % (size - start)
}

proptest! {
    #![proptest_config(testing::cases(24))]

    #[test]
    fn a_chain_tells_the_truth_wherever_it_is_asked(
        (chunk, steps) in steps(),
        places in prop::collection::vec(any::<(u64, u64)>(), 12),
    ) {
        let lineage = Lineage::new(chunk, &steps);
        let catalog = files::catalog(lineage.directory.path());
        for generation in &lineage.generations {
            let set = files::open_set(&catalog, &generation.set_id);
            let pages = Arc::new(PageCache::default());
            for (no, member) in (0..).map(MemberNo).zip(&generation.model.members) {
                let source = set.source(no, &pages).unwrap();
                assert_eq!(source.size(), member.size());
                truthful(&source, &member.bytes, &(0..member.size()));
                // A single byte is what a plan asks for.
                for (a, b) in &places {
                    truthful(&source, &member.bytes, &pick(member.size(), (*a, *b)));
                    truthful(&source, &member.bytes, &pick(member.size(), (*a, 0)));
                }
            }
        }
    }
}

#[test]
fn a_raw_file_tells_the_truth_wherever_it_is_asked() {
    let mut bytes = vec![0; 40 * CHUNK + 100];
    bytes[3 * CHUNK..9 * CHUNK + 5].copy_from_slice(&noise(1, 6 * CHUNK + 5));
    bytes[30 * CHUNK..31 * CHUNK].copy_from_slice(&noise(2, CHUNK));
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(bytes.len() as u64).unwrap();
    for run in [3 * CHUNK..9 * CHUNK + 5, 30 * CHUNK..31 * CHUNK] {
        files::overwrite(file.path(), run.start as u64, &bytes[run]);
    }
    let size = bytes.len() as u64;
    for unit in [4096, 5000, 1 << 20] {
        let source = RawSource::open(file.path(), unit).unwrap();
        truthful(&source, &bytes, &(0..size));
        for at in (0..size).step_by(1777) {
            truthful(&source, &bytes, &(at..at + 1));
            truthful(&source, &bytes, &(at..size));
        }
    }
}

/// Zeros that nobody has read are a lie.
#[test]
fn a_raw_file_that_became_shorter_is_an_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), noise(1, 20 * CHUNK)).unwrap();
    let source = RawSource::open(file.path(), 4096).unwrap();
    files::cut(file.path(), 10 * CHUNK as u64);
    let volume = volume_over(Box::new(source));
    let sink = MemorySink::new(volume.size());
    let result = run(&volume, 0..volume.size(), &sink, &strict(1), &Progress::default());
    assert!(result.is_err(), "{result:?}");
}

/// One cache may outlive the snapshots it was used for, and memory is used again.
#[test]
fn pages_of_a_dropped_snapshot_are_not_taken_for_anothers() {
    let directory = tempfile::tempdir().unwrap();
    let contents = [noise(1, 5 * CHUNK), noise(2, 5 * CHUNK)];
    let paths = [0, 1].map(|n| {
        let member = HandMember::full("vol-0", &contents[n], CHUNK);
        HandSet::single(&format!("dsnap-{n}"), CHUNK, member).write(directory.path()).remove(0).path
    });
    let pages = Arc::new(PageCache::default());
    for n in [0, 1, 1, 0, 1, 0, 0, 1] {
        let source = NativeSource::new(&paths[n], files::open(&paths[n]), pages.clone());
        truthful(&source, &contents[n], &(0..5 * CHUNK as u64));
    }
}

/// Layers whose chunks are cut differently: a native file over whatever its parent was made from.
#[test]
fn layers_may_be_cut_differently() {
    let old = MemberModel::of("vol-0", noise(1, 30 * CHUNK));
    let directory = tempfile::tempdir().unwrap();
    let parent = HandMember::full("vol-0", &old.bytes, CHUNK);
    let state = HandSet::single("dsnap-0", CHUNK, parent).write(directory.path())[0].state;
    let mut child = HandMember::inheriting("vol-0", &old.bytes, CHUNK, ("dsnap-0", state));
    let mut new = old.bytes.clone();
    for no in [0, 1, 3, 4, 9, 12, 13, 14, 29] {
        let range = no * CHUNK..(no + 1) * CHUNK;
        new[range.clone()].copy_from_slice(&noise(50 + no as u64, CHUNK));
        child.chunks[no] = Chunk::Data(new[range].to_vec());
    }
    new[20 * CHUNK..23 * CHUNK].fill(0);
    child.chunks[20..23].fill(Chunk::Zero);
    let path = HandSet::single("dsnap-1", CHUNK, child).write(directory.path()).remove(0).path;
    let chain = |cut| {
        let native = NativeSource::new(&path, files::open(&path), Arc::default());
        let layers = vec![
            (path.clone(), Box::new(native) as Box<dyn Source>),
            (Path::new("memory").to_owned(), Box::new(MemorySource::new(&old, cut))),
        ];
        Chain::new(layers).unwrap()
    };
    let mut first = MemberModel::of("vol-0", new);
    first.kinds[20 * CHUNK..23 * CHUNK].fill(Kind::Zero);
    let model = VolumeModel {
        members: vec![first, MemberModel::of("vol-1", noise(7, 30 * CHUNK))],
        layout: vec![
            Part::Striped(30, 3000, vec![(0, 5), (1, 0)]),
            Part::Linear(30 * CHUNK as u64 - 90_005, (0, 90_005)),
        ],
    };
    for cut in [1000, 4096, 8192, 3 * 4096, 50_000, 1 << 20] {
        let source = chain(cut);
        for at in (0..30 * CHUNK as u64).step_by(999) {
            truthful_parts(&source, &model.members[0].bytes, &(at..at + 1));
        }
        let volume = volume_of(&model, |no, member| match no {
            0 => Box::new(chain(cut)) as Box<dyn Source>,
            _ => Box::new(MemorySource::new(member, 4096)),
        });
        // The whole as one shard is read through the same carried chunks from end to end.
        check::restored_bytes(&volume, &model, &strict(1));
        check::restored_bytes(&volume, &model, &strict(3));
    }
}

/// As [`truthful`], where a chunk of an older layer also has bytes that are no longer true.
fn truthful_parts(source: &dyn Source, bytes: &[u8], range: &Range<u64>) {
    let mut extents = Vec::new();
    source.extents(range.clone(), &mut extents).unwrap();
    let [extent] = extents.as_slice() else { panic!("{extents:?}") };
    assert!(extent.range.start <= range.start && range.end <= extent.range.end);
    if let ExtentKind::Data(chunk) = &extent.kind {
        let mut plain = vec![0; chunk.len()];
        source.read(chunk, &mut plain, &mut Scratch::new().unwrap()).unwrap();
        let from = extent.range.start - chunk.range.start;
        let part = from..from + extent.range.end - extent.range.start;
        assert_eq!(plain[indices(&part)], bytes[indices(&extent.range)]);
    } else {
        assert!(bytes[indices(&extent.range)].iter().all(|b| *b == 0));
    }
}

#[test]
fn kinds_are_as_the_source_has_them() {
    let mut member = MemberModel::of("vol-0", noise(1, 10_000));
    member.bytes[2000..7000].fill(0);
    member.kinds[2000..4000].fill(Kind::Hole);
    member.kinds[4000..7000].fill(Kind::Zero);
    let source = MemorySource::new(&member, 3000);
    truthful(&source, &member.bytes, &(0..10_000));
    let mut extents = Vec::new();
    source.extents(3999..4001, &mut extents).unwrap();
    let ranges: Vec<_> = extents.iter().map(|e| e.range.clone()).collect();
    assert_eq!(ranges, [2000..4000, 4000..7000]);
}
