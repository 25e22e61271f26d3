//! Mistakes of callers: what is asked for and cannot be is an error, or nothing, and never a panic.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::path::Path;

use restore::Progress;
use restore::engine::run;
use restore::sink::NullSink;
use restore::source::{ChunkRef, ExtentKind, ReadCause, Scratch, Source, StoredAt};
use snapfmt::{ChunkNo, LayoutError, MemberNo};
use snaprestore::catalog::CatalogError;
use testing::files::{self, by_id};
use testing::hand::{HandFile, HandMember, HandSet};
use testing::{noise, strict};

const CHUNK: usize = 4096;

fn write(directory: &Path, id: &str, member: HandMember) -> HandFile {
    HandSet::single(id, CHUNK, member).write(directory).remove(0)
}

fn full(directory: &Path, id: &str, seed: u64) -> HandFile {
    write(directory, id, HandMember::full("vol-0", &noise(seed, 3 * CHUNK), CHUNK))
}

#[test]
fn a_set_is_opened_by_its_own_catalog() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    full(one.path(), "dsnap-0", 1);
    full(two.path(), "dsnap-1", 2);
    // One id, and another content.
    let again = tempfile::tempdir().unwrap();
    full(again.path(), "dsnap-0", 3);
    let empty = tempfile::tempdir().unwrap();
    let own = files::catalog(one.path());
    let entry = own.select(&by_id("dsnap-0")).unwrap().entry;
    for other in [&two, &again, &empty] {
        match files::catalog(other.path()).open_set(entry) {
            Err(CatalogError::NotOfThisCatalog { set_id }) => {
                assert_eq!(set_id.as_str(), "dsnap-0");
            }
            result => panic!("{result:?}"),
        }
    }
    own.open_set(entry).unwrap();
}

#[test]
fn a_chunk_is_read_from_the_source_that_named_it() {
    let directory = tempfile::tempdir().unwrap();
    let parent = full(directory.path(), "dsnap-0", 1);
    let bytes = noise(1, 3 * CHUNK);
    let member = HandMember::inheriting("vol-0", &bytes, CHUNK, ("dsnap-0", parent.state));
    let child = write(directory.path(), "dsnap-1", member);
    let link = |file: &HandFile| (file.path.clone(), files::open(&file.path));
    let (long, short) =
        (files::chain(&[link(&child), link(&parent)]), files::chain(&[link(&parent)]));
    let mut extents = Vec::new();
    long.extents(0..1, &mut extents).unwrap();
    let Some(ExtentKind::Data(chunk)) = extents.pop().map(|extent| extent.kind) else {
        panic!("no data")
    };
    let (mut scratch, mut out) = (Scratch::new().unwrap(), vec![0; CHUNK]);
    long.read(&chunk, &mut out, &mut scratch).unwrap();
    assert_eq!(out, bytes[..CHUNK]);
    let error = short.read(&chunk, &mut out, &mut scratch).unwrap_err();
    assert!(matches!(error.cause, ReadCause::NoSuchChunk), "{error}");
    short.will_need(&chunk);
    // Made up, or with a buffer of another length.
    for offset in [0, 64, u64::MAX] {
        let at = StoredAt { offset, len: 100, crc: 0 };
        let chunk = ChunkRef::new(u64::MAX - 1..u64::MAX, None, at);
        short.read(&chunk, &mut out, &mut scratch).unwrap_err();
    }
    for range in [0..0, 3 * CHUNK as u64..u64::MAX, u64::MAX - 1..u64::MAX] {
        long.extents(range, &mut extents).unwrap();
        assert!(extents.is_empty(), "{extents:?}");
    }
    long.read(&chunk, &mut [0; 5], &mut scratch).unwrap_err();
}

#[test]
fn ranges_and_numbers_beyond_the_end_are_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = full(directory.path(), "dsnap-0", 1);
    let volume = files::open_set(&files::catalog(directory.path()), "dsnap-0").volume().unwrap();
    let size = volume.size();
    let runs = [
        (0..size + 10, size),
        (size..size + 1, 0),
        (size + 5..u64::MAX, 0),
        (u64::MAX..u64::MAX, 0),
    ];
    for (range, data) in runs {
        let report = run(&volume, range, &NullSink, &strict(2), &Progress::default()).unwrap();
        assert_eq!(report.counts.data, data);
    }
    let error = volume.alone(MemberNo(1)).unwrap_err();
    assert!(matches!(error, LayoutError::NoMember { .. }), "{error}");
    let snapshot = files::open(&file.path);
    let geometry = snapshot.geometry();
    for no in [geometry.chunks(), u32::MAX] {
        assert_eq!(geometry.chunk_len(ChunkNo(no)), 0);
        assert!(geometry.bytes(ChunkNo(no), u32::MAX).is_empty());
    }
    assert!(snapshot.extent_map().unwrap().segment(usize::MAX).is_none());
}
