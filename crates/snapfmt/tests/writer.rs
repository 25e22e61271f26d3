//! A writer refuses what would make a file that readers refuse.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use snapfmt::{
    CheckedManifest, ChunkNo, Digest, Encoder, ExtentMap, Limits, SnapshotId, SnapshotWriter,
    Stored, WriteError,
};

use support::{MemberSpec, Piece, SetSpec, noise, spill, state_of};

type Writer = SnapshotWriter<Vec<u8>, std::io::Cursor<Vec<u8>>>;

fn set(member: MemberSpec) -> SetSpec {
    SetSpec::single(4096, member)
}

fn full() -> SetSpec {
    set(MemberSpec::full("v", vec![Piece::Zero(3 * 4096)]))
}

fn deduplicated() -> SetSpec {
    set(MemberSpec::compact("v", vec![Piece::Zero(3 * 4096)]))
}

fn create(set: &SetSpec, map: &ExtentMap) -> Result<Writer, WriteError> {
    let manifest = CheckedManifest::check(set.manifest(0), &Limits::DEFAULT).unwrap();
    SnapshotWriter::create(Vec::new(), spill(), manifest, map)
}

fn writer(set: &SetSpec) -> Writer {
    create(set, &set.extent_map()).unwrap()
}

fn frame(plain: &[u8]) -> (Digest, Vec<u8>) {
    let mut frame = Vec::new();
    let size = snapfmt::ChunkSize::MIN;
    Encoder::new(1, size).unwrap().encode(plain, &mut frame).unwrap();
    (Digest::of(plain), frame)
}

fn text<T>(result: Result<T, WriteError>) -> String {
    result.err().unwrap().to_string()
}

#[test]
fn chunks_come_in_order_and_within_the_member() {
    let (digest, stored) = frame(&noise(1, 4096));
    let mut full = writer(&full());
    assert_eq!(text(full.data(ChunkNo(1), digest, &stored)), "chunk 1 was given, chunk 0 is next");
    full.data(ChunkNo(0), digest, &stored).unwrap();
    assert_eq!(text(full.zeros(ChunkNo(0), 1)), "chunk 0 was given, chunk 1 is next");
    assert_eq!(text(full.zeros(ChunkNo(1), 3)), "chunk 4 was given, chunk 3 is next");
    assert_eq!(
        text(full.hole(ChunkNo(1), u32::MAX)),
        "chunk 4294967295 was given, chunk 3 is next"
    );
    full.hole(ChunkNo(1), 2).unwrap();
    assert_eq!(text(full.data(ChunkNo(3), digest, &stored)), "chunk 4 was given, chunk 3 is next");
    full.finish().unwrap();
}

#[test]
fn every_chunk_must_be_given() {
    let mut writer = writer(&full());
    writer.zeros(ChunkNo(0), 2).unwrap();
    assert_eq!(text(writer.finish()), "chunk 2 was given, chunk 3 is next");
}

#[test]
fn only_an_incremental_snapshot_inherits() {
    let digest = Digest::of(b"x");
    let mut full = writer(&full());
    assert!(text(full.inherit(ChunkNo(0), digest)).contains("cannot be inherited"));
    assert!(text(full.inherit_zeros(ChunkNo(0), 1)).contains("cannot be inherited"));
    let state = state_of(&[1; 4096], 4096);
    let child = set(MemberSpec::child("v", vec![Piece::Zero(4096)], "dsnap-parent", state));
    let mut child = writer(&child);
    assert_eq!(text(child.inherit_zeros(ChunkNo(0), 2)), "chunk 2 was given, chunk 1 is next");
    child.inherit(ChunkNo(0), digest).unwrap();
    child.finish().unwrap();
}

#[test]
fn a_reference_names_a_frame_that_was_written() {
    let (digest, stored) = frame(&noise(1, 4096));
    let mut full = writer(&full());
    let place = full.data(ChunkNo(0), digest, &stored).unwrap();
    assert!(text(full.reference(ChunkNo(1), digest, place)).contains("referenced"));
    let mut compact = writer(&deduplicated());
    let place = compact.data(ChunkNo(0), digest, &stored).unwrap();
    for offset in [0, place.offset + 1, u64::MAX] {
        let wild = Stored { offset, ..place };
        assert!(text(compact.reference(ChunkNo(1), digest, wild)).contains("referenced"));
    }
    compact.reference(ChunkNo(1), digest, place).unwrap();
}

#[test]
fn a_frame_has_bounds() {
    let mut full = writer(&full());
    let digest = Digest::of(b"x");
    assert!(text(full.data(ChunkNo(0), digest, &[])).contains("stored length is 0"));
    let long = vec![0; Limits::stored_bytes(4096) as usize + 1];
    assert!(text(full.data(ChunkNo(0), digest, &long)).contains("stored length is 5137"));
}

#[test]
fn the_extent_map_is_the_one_in_the_manifest() {
    let other = set(MemberSpec::full("v", vec![Piece::Zero(4096)])).extent_map();
    let error = text(create(&full(), &other));
    assert_eq!(error, "the extent map root does not fit the manifest");
}

#[test]
fn a_manifest_has_bounds() {
    let mut long = full();
    long.tags = [("key".to_owned(), "x".repeat(1 << 20))].into();
    assert!(text(create(&long, &long.extent_map())).contains("the limit is 1048576"));
}

#[test]
fn the_seal_names_the_whole_set() {
    let unsealed = || {
        let mut writer = writer(&full());
        writer.zeros(ChunkNo(0), 3).unwrap();
        writer.finish().unwrap()
    };
    let own = unsealed().snapshot_id();
    let other = SnapshotId(Digest::of(b"other"));
    for ids in [&[][..], &[other], &[own, own]] {
        assert_eq!(text(unsealed().seal(ids)), "the seal does not fit the manifest");
    }
    unsealed().seal(&[own]).unwrap();
}
