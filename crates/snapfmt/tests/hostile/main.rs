//! Files made to hurt: every claim is refused quickly and before memory is spent on it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]

mod counting;
#[path = "../support/mod.rs"]
mod support;

use std::io;
use std::sync::Arc;

use snapfmt::scan::{Found, Scan};
use snapfmt::verify::Depth;
use snapfmt::{FormatError, Limits, ReadAt};

use counting::bounded;
use support::forge::{
    FOOTER, Forge, Frame, INDEX_ROOT, MANIFEST, MAP_ROOT, RECORD, SEAL, SEGMENTS, u64_at,
};
use support::{InOrder, MemberSpec, Part, Piece, SetSpec, noise, text};

fn refused(name: &str, file: &Arc<dyn ReadAt>) -> FormatError {
    let checked = bounded(name, || support::check(Arc::clone(file), Depth::Full));
    bounded(name, || {
        if let Ok(scan) = Scan::start(&**file, &Limits::DEFAULT) {
            let _ = scan.extent_map();
            assert!(scan.count() < 2000, "{name}: scan does not end");
        }
    });
    let streamed = bounded(name, || support::streamed(InOrder { file: &**file, at: 0 }));
    assert!(streamed.is_err(), "{name}: accepted from a pipe");
    checked.expect_err(name)
}

fn assert_refused(name: &str, file: Vec<u8>, expected: &str) {
    let error = refused(name, &(Arc::new(file) as Arc<dyn ReadAt>)).to_string();
    assert!(error.contains(expected), "{name}: {error}");
}

fn sample() -> SetSpec {
    let pieces = vec![
        Piece::Data(text(1, 4096)),
        Piece::Zero(8192),
        Piece::Data(noise(2, 4096)),
        Piece::Data(text(3, 999)),
    ];
    let member = MemberSpec::full("a", pieces);
    let other = MemberSpec::full("b", vec![Piece::Zero(8192)]);
    SetSpec {
        layout: vec![
            Part::Striped(16384, 1024, vec![(0, 0), (1, 0)]),
            Part::Linear(4096, (0, 8192)),
            Part::Unmapped(512),
            Part::Linear(512, (0, 12288)),
        ],
        members: vec![member.clone(), other],
        ..SetSpec::single(4096, member)
    }
}

fn forge() -> Forge {
    Forge::of(&sample().write()[0].bytes)
}

fn put<const N: usize>(at: usize, bytes: [u8; N]) -> impl Fn(&mut Vec<u8>) {
    move |payload| payload[at..at + N].copy_from_slice(&bytes)
}

fn put_record<const N: usize>(at: usize, bytes: [u8; N]) -> impl Fn(&mut [u8]) {
    move |payload| payload[at..at + N].copy_from_slice(&bytes)
}

#[test]
fn the_forge_changes_nothing_by_itself() {
    for set in [sample(), SetSpec::single(4096, sample().members.remove(0))] {
        for written in set.write() {
            assert!(Forge::of(&written.bytes).bytes() == written.bytes);
            assert!(Forge::of(&written.bytes).bytes_unfixed() == written.bytes);
        }
    }
    let longer = forge().edit_manifest("snapfmt tests", "a tool with a longer name").bytes();
    support::check(Arc::new(longer), Depth::Full).unwrap();
}

#[test]
fn manifest_claims() {
    let deep = format!("\"tool\": {}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let cases = [
        ("member size", "\"size\": 17383", "\"size\": 18446744073709551615", "member size is"),
        ("member chunks", "\"size\": 17383", "\"size\": 1099511631872", "member size is"),
        ("member of no size", "\"size\": 17383", "\"size\": 0", "member size is 0"),
        ("beyond u64", "\"size\": 17383", "\"size\": 37778931862957161709568", "is not valid"),
        ("negative", "\"size\": 17383", "\"size\": -1", "is not valid"),
        ("chunk size", "\"chunk_size\": 4096", "\"chunk_size\": 9223372036854775808", "not valid"),
        ("chunk power", "\"chunk_size\": 4096", "\"chunk_size\": 5000", "not a power of two"),
        ("no logical size", "\"logical_size\": 21504", "\"logical_size\": 0", "must not be zero"),
        ("logical", "\"logical_size\": 21504", "\"logical_size\": 9223372036854775807", "limit"),
        ("other logical", "\"logical_size\": 21504", "\"logical_size\": 512", "disagrees with"),
        ("member number", "\"member\": 0", "\"member\": 4294967295", "member is 4294967295"),
        (
            "duplicate",
            "\"stream\":",
            "\"stream\": false, \"stream\":",
            "key \"stream\" stands twice",
        ),
        ("escaped", "\"stream\":", "\"str\\u0065am\": false, \"stream\":", "stands twice"),
        ("nested duplicate", "\"version\": 1", "\"version\": 1, \"version\": 1", "stands twice"),
        (
            "in an unknown field",
            "\"tool\":",
            "\"x\": [{\"y\": 1, \"y\": 2}], \"tool\":",
            "stands twice",
        ),
        ("two of one volume", "\"volume_id\": \"b\"", "\"volume_id\": \"a\"", "stands once"),
        ("feature", "\"required\": []", "\"required\": [\"warp\"]", "needs the feature \"warp\""),
        ("newer", "\"version\": 1", "\"version\": 2", "format version 2 is not supported"),
        ("older", "\"version\": 1", "\"version\": 0", "format version 0 is not supported"),
        ("deep", "\"tool\": \"snapfmt tests\"", &deep, "recursion limit"),
        ("trailing", "\n}\n", "\n}\n{}", "trailing characters"),
        ("id", "\"id\": \"dsnap-test\"", "\"id\": \"a\\nb\"", "no control characters"),
        ("empty id", "\"id\": \"dsnap-test\"", "\"id\": \"\"", "1 to 255 bytes"),
        ("sector", "\"logical_sector\": 512", "\"logical_sector\": 0", "power of two"),
        ("time", "2024-02-03T04:05:06Z", "2024-02-30T04:05:06Z", "is not valid"),
        ("no word of a parent", ",\n        \"parent\": null", "", "missing field `parent`"),
        ("dedup in stream form", "\"dedup\": false", "\"dedup\": true", "stream form excludes"),
    ];
    for (name, from, to, expected) in cases {
        let file = forge().edit_manifest(from, to).bytes();
        assert_refused(name, file, expected);
    }
    let member = "{ \"volume_id\": \"v\", \"size\": 1, \"logical_sector\": 512, \"physical_sector\": 512, \"parent\": null },";
    let roster = format!("\"members\": [{}", member.repeat(1024));
    let file = forge().edit_manifest("\"members\": [", &roster).bytes();
    assert_refused("too many members", file, "number of members is 1026, the limit is 1024");
    let file = forge().edit(MANIFEST, |json| json.resize((1 << 20) + 1, b' ')).bytes();
    assert_refused("long manifest", file, "payload length is 1048577, the limit is 1048576");
}

#[test]
fn nesting_has_one_limit() {
    let nested = |depth: usize| {
        // The object of the manifest is the first level.
        let lists = format!("\"x\": {}{}, \"tool\":", "[".repeat(depth - 1), "]".repeat(depth - 1));
        forge().edit_manifest("\"tool\":", &lists).bytes()
    };
    support::check(Arc::new(nested(127)), Depth::Full).unwrap();
    assert_refused("128 levels", nested(128), "recursion limit");
}

#[test]
fn one_content_has_one_encoding() {
    let split = two_pages().edit_record(1, put_record(8, [2])).bytes();
    assert_refused("a run in two records", split, "a run that goes on is one record");
    let mut no_copy = forge();
    let root = no_copy.frames.iter().position(|f| f.kind == INDEX_ROOT).unwrap();
    let mut at = 0;
    no_copy.frames.retain(|f| {
        at += 1;
        at <= root || ![MAP_ROOT, SEGMENTS, support::forge::COLUMNS].contains(&f.kind)
    });
    no_copy.edit(FOOTER, put(40, [0; 8]));
    assert_refused("no copy of the extent map", no_copy.bytes(), "is repeated in the tail");
}

/// A file of any length: the given bytes, then zeros.
struct Long(Vec<u8>, u64);

impl ReadAt for Long {
    fn len(&self) -> u64 {
        self.1
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.1) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let footer = self.1 - 232;
        for (at, byte) in (offset..).zip(buf) {
            // The footer stands at the end, wherever that is.
            let from = if at >= footer { at - footer + self.0.len() as u64 - 232 } else { at };
            *byte = usize::try_from(from).ok().and_then(|n| self.0.get(n)).copied().unwrap_or(0);
        }
        Ok(())
    }
}

#[test]
fn a_manifest_as_long_as_a_header_can_say() {
    let mut forge = forge();
    let mut file = forge.bytes();
    let tag = file[32..48].to_vec();
    let mut head = support::forge::header(forge.frame(MANIFEST, 0), 0, &tag);
    for len in [u32::MAX - 56, u32::MAX - 55, u32::MAX, 1 << 31] {
        head[4..8].copy_from_slice(&len.wrapping_add(56).to_le_bytes());
        head[20..24].copy_from_slice(&len.to_le_bytes());
        let crc = crc32fast::hash(&head[..60]);
        head[60..].copy_from_slice(&crc.to_le_bytes());
        file[..64].copy_from_slice(&head);
        assert_refused("alone", file.clone(), "manifest at offset 0 (0x0)");
        // The same with all those bytes there: a footer at the end of 2 TiB.
        let end = 2_u64 << 40;
        let at = file.len() - 232;
        let mut footer = Frame::new(FOOTER, 1, file[at + 64..].to_vec());
        for (field, back) in [(2, 5000), (3, 5000), (4, 4000), (6, 3000)] {
            footer.payload[field * 8..][..8].copy_from_slice(&(end - back).to_le_bytes());
        }
        footer.payload[40..48].fill(0);
        let mut long = file.clone();
        long[at..at + 64].copy_from_slice(&support::forge::header(&footer, end - 232, &tag));
        long[at + 64..].copy_from_slice(&footer.payload);
        let error = refused("long", &(Arc::new(Long(long, end)) as Arc<dyn ReadAt>)).to_string();
        assert!(error.starts_with("manifest at offset 0 (0x0)"), "{error}");
    }
}

#[test]
fn record_claims() {
    let cases: [(&str, usize, &[u8], &str); 12] = [
        ("chunk beyond the end", 0, &u32::MAX.to_le_bytes(), "end of run"),
        ("run beyond the end", 4, &u32::MAX.to_le_bytes(), "end of run"),
        ("empty run", 4, &[0; 4], "length of run is 0"),
        ("two chunks of data", 4, &[2, 0, 0, 0], "length of run is 2"),
        ("unknown kind", 8, &[9], "kind is 9"),
        ("unknown codec", 9, &[7], "codec is 7"),
        ("data without a frame", 9, &[0], "stored offset"),
        ("reference in a stream", 10, &[1, 0], "flags is 1"),
        ("unknown flag", 10, &[0, 0x80], "flags is 32768"),
        ("frame beyond the file", 16, &u64::MAX.to_le_bytes(), "end of stored bytes"),
        ("frame beyond any chunk", 24, &u32::MAX.to_le_bytes(), "stored length is 4294967295"),
        ("reserved", 28, &[1], "reserved field is 1"),
    ];
    for (name, at, bytes, expected) in cases {
        let change = |record: &mut [u8]| record[at..at + bytes.len()].copy_from_slice(bytes);
        assert_refused(name, forge().edit_record(0, change).bytes(), expected);
    }
    let other = forge().edit_record(1, put_record(24, 18_u32.to_le_bytes())).bytes();
    assert_refused("short zero frame", other, "zero frame of chunk 1 at");
    let digest = forge().edit_record(1, put_record(32, [1])).bytes();
    assert_refused("zeros with a digest", digest, "must be zero in a run");
    let backwards = forge().edit_record(2, put_record(0, 0_u32.to_le_bytes())).bytes();
    assert_refused("out of order", backwards, "sorted and do not overlap");
}

#[test]
fn frames_that_hold_more_or_less_than_their_chunk() {
    let frame = |plain: &[u8], with: &dyn Fn(&mut zstd::bulk::Compressor<'_>)| {
        let mut zstd = zstd::bulk::Compressor::new(1).unwrap();
        zstd.include_checksum(true).unwrap();
        with(&mut zstd);
        zstd.compress(plain).unwrap()
    };
    let nothing = |_: &mut zstd::bulk::Compressor<'_>| {};
    let good = text(1, 4096);
    let two = [frame(&good[..9], &nothing), frame(&good[9..], &nothing)].concat();
    let mut stuffed = frame(&good, &nothing);
    stuffed.extend_from_slice(b"\x50\x2a\x4d\x18\0\0\0\0");
    let cases = [
        ("a bomb", frame(&vec![0; 100 << 20], &nothing), "does not state the chunk's length"),
        ("one byte less", frame(&good[1..], &nothing), "does not state the chunk's length"),
        ("other bytes", frame(&noise(9, 4096)[..], &nothing), "stored length"),
        ("other text", frame(&text(9, 4096), &nothing), "BLAKE3 is"),
        ("two frames", two, "does not state the chunk's length"),
        ("a frame and more", stuffed, "not exactly one frame"),
        ("no zstd", vec![0; 100], "does not state the chunk's length"),
        ("nothing", Vec::new(), "stored length is 0"),
        (
            "no content size",
            frame(&good, &|zstd| zstd.include_contentsize(false).unwrap()),
            "does not state the chunk's length",
        ),
        (
            "no checksum",
            frame(&good, &|zstd| zstd.include_checksum(false).unwrap()),
            "has no checksum",
        ),
    ];
    for (name, stored, expected) in cases {
        let mut forge = forge();
        let len = u32::try_from(stored.len()).unwrap().to_le_bytes();
        forge.edit_record(0, put_record(24, len));
        forge.frame(RECORD, 0).behind = stored;
        let bytes = forge.bytes();
        if name == "other bytes" {
            // It is incompressible and still fits: only the digest tells.
            assert_refused(name, bytes, "BLAKE3 is");
            continue;
        }
        assert_refused(name, bytes, expected);
    }
}

#[test]
fn a_frame_that_lies_about_its_length() {
    // The header says 4096, the blocks give more: an RLE block of 128 KiB.
    let mut stored = b"\x28\xb5\x2f\xfd\x64\x00\x0f".to_vec();
    stored.extend_from_slice(&[0x03, 0x00, 0x10, 0, 0, 0, 0, 0]);
    let mut forge = forge();
    let len = u32::try_from(stored.len()).unwrap().to_le_bytes();
    forge.edit_record(0, put_record(24, len));
    forge.frame(RECORD, 0).behind = stored;
    assert_refused("lying frame", forge.bytes(), "chunk 0 at offset");
}

/// More records than fit one index page.
fn two_pages() -> Forge {
    let pieces = (0..1500).map(|n| if n % 2 == 0 { Piece::Zero(4096) } else { Piece::Hole(4096) });
    let member = MemberSpec::compact("v", pieces.collect());
    Forge::of(&SetSpec::single(4096, member).write_one().bytes)
}

#[test]
fn index_claims() {
    let max4 = u32::MAX.to_le_bytes();
    let max8 = u64::MAX.to_le_bytes();
    let near = (u64::MAX - 100).to_le_bytes();
    let root: [(&str, usize, &[u8], &str); 12] = [
        ("pages", 0, &max4, "number of entries is 1, expected 4294967295"),
        ("reserved", 4, &[1], "reserved field"),
        ("records", 8, &max8, "disagrees with the index page"),
        ("data chunks", 16, &max8, "number of chunks"),
        ("zero chunks", 24, &max8, "number of chunks"),
        ("hole chunks", 32, &max8, "number of chunks"),
        ("first", 40, &max4, "directory entry"),
        ("end", 44, &max4, "disagrees with the index directory page"),
        ("count", 48, &max4, "number of entries is 1, expected 4294967295"),
        ("offset", 56, &max8, "is cut off"),
        ("offset near the end", 56, &near, "is cut off"),
        ("records offset", 64, &max8, "disagrees with the index root"),
    ];
    for (name, at, bytes, expected) in root {
        let change = |p: &mut Vec<u8>| p[at..at + bytes.len()].copy_from_slice(bytes);
        let file = forge().edit(INDEX_ROOT, change).bytes();
        assert_refused(name, file, expected);
    }
    let directory: [(&str, usize, &[u8], &str); 5] = [
        ("count", 8, &max4, "is 4294967295, expected 1024"),
        ("offset", 16, &max8, "the offset named for it is"),
        ("offset near the end", 16, &near, "the offset named for it is"),
        ("records offset", 24, &max8, "disagrees with the index root"),
        ("records offset of the second page", 64 + 24, &max8, "index page at offset"),
    ];
    for (name, at, bytes, expected) in directory {
        let change = |p: &mut Vec<u8>| p[at..at + bytes.len()].copy_from_slice(bytes);
        let file = two_pages().edit(support::forge::DIRECTORY, change).bytes();
        assert_refused(name, file, expected);
    }
}

#[test]
fn extent_map_claims() {
    let max4 = u32::MAX.to_le_bytes();
    let max8 = u64::MAX.to_le_bytes();
    let root: [(&str, usize, &[u8], &str); 4] = [
        ("segments", 8, &max4, "number of segments is 4294967295, the limit is"),
        ("columns", 12, &max4, "number of columns is 4294967295, the limit is"),
        ("as many as allowed", 8, &(1_u32 << 18).to_le_bytes(), "number of pages is 2"),
        ("size", 0, &max8, "disagrees with the manifest"),
    ];
    let apply = |kind, at: usize, bytes: &[u8]| {
        let change = |p: &mut Vec<u8>| p[at..at + bytes.len()].copy_from_slice(bytes);
        forge().edit(kind, change).bytes()
    };
    for (name, at, bytes, expected) in root {
        assert_refused(name, apply(MAP_ROOT, at, bytes), expected);
    }
    let segments: [(&str, usize, &[u8], &str); 13] = [
        ("gap", 32, &[1], "starts at 16385 (0x4001), expected 16384 (0x4000)"),
        ("no length", 8, &[0; 8], "segment 0 has no length"),
        ("longest", 8, &max8, "segment 0: 18446744073709551615 bytes in stripes"),
        ("sum beyond u64", 40, &max8, "segments end at 18446744073709551615"),
        ("beyond the member", 40, &(1_u64 << 40).to_le_bytes(), "reaches byte"),
        ("no stripe", 16, &[0; 4], "must fit its columns and stripe"),
        ("short stripe", 16, &256_u32.to_le_bytes(), "stripes of 256 bytes, 512 is the least"),
        ("longest stripe", 16, &max4, "in stripes of 4294967295"),
        ("broken row", 16, &1025_u32.to_le_bytes(), "whole rows"),
        ("first column", 20, &max4, "columns stand in the order of segments"),
        ("columns", 24, &max4, "columns stand in the order of segments"),
        ("kind", 28, &[9], "segment kind is 9"),
        ("reserved", 29, &[1], "reserved bytes are zero"),
    ];
    for (name, at, bytes, expected) in segments {
        assert_refused(name, apply(SEGMENTS, at, bytes), expected);
    }
    let columns: [(&str, usize, &[u8], &str); 5] = [
        ("overlap", 40, &[0; 8], "both use byte 0 (0x0) of member 0"),
        ("within a segment", 16, &[0; 4], "both use byte 0 (0x0) of member 0"),
        ("no member", 0, &max4, "names member 4294967295 of 2"),
        ("end of u64", 8, &max8, "reaches byte 18446744073709551615"),
        ("reserved", 4, &[1], "reserved field is 1"),
    ];
    for (name, at, bytes, expected) in columns {
        assert_refused(name, apply(support::forge::COLUMNS, at, bytes), expected);
    }
}

#[test]
fn tail_claims() {
    for field in 0..7 {
        for value in [u64::MAX, u64::MAX - 63, 1 << 63, 1] {
            let mut forge = forge();
            forge.edit(FOOTER, put(field * 8, value.to_le_bytes()));
            assert_refused(&format!("offset {field} is {value}"), forge.bytes(), " at offset ");
        }
    }
    let seal = forge().edit(SEAL, |p| p.resize(1 << 20, 0)).bytes();
    assert_refused("long seal", seal, "seal at offset");
    let two = forge().edit(SEAL, |p| p.truncate(32)).bytes();
    assert_refused("short seal", two, "payload length is 32, expected 64");
    let state = forge().edit(FOOTER, put(56, [0; 32])).bytes();
    assert_refused("another state", state, "footer at offset");
}

#[test]
fn appended_frames() {
    let add = |forge: &mut Forge, kind: u16, flags: u16, payload: Vec<u8>| {
        forge.frames.push(Frame::new(kind, flags, payload));
    };
    let footer = |forge: &mut Forge, last: u64| {
        let mut payload = forge.frame(FOOTER, 0).payload.clone();
        payload[..8].copy_from_slice(&last.to_le_bytes());
        payload
    };
    let first = forge().bytes();
    let first_at = first.len() as u64 - 232;
    let mut good = forge();
    add(&mut good, 700, 0, noise(1, 3000));
    let second = footer(&mut good, first_at);
    add(&mut good, FOOTER, 1, second.clone());
    support::check(Arc::new(good.bytes()), Depth::Full).unwrap();

    let mut unlinked = good.clone();
    unlinked.frames.last_mut().unwrap().payload[..8].fill(0);
    assert_refused("footer that names none", unlinked.bytes(), "the offset named for it is 0");
    let mut other = good.clone();
    other.frames.last_mut().unwrap().payload[60] ^= 1;
    assert_refused("footer that says other things", other.bytes(), "disagrees with the footer");
    let mut required = good.clone();
    required.frame(700, 0).flags = 1;
    assert_refused("frame that must be known", required.bytes(), "frame kind 700");
    let mut known = good.clone();
    known.frame(700, 0).kind = support::forge::COLUMNS;
    assert_refused("another column page", known.bytes(), "footer at offset");

    let mut many = forge();
    for n in 0..70 {
        let next = footer(&mut many, first_at + n * 232);
        add(&mut many, FOOTER, 1, next);
    }
    assert_refused("footers without end", many.bytes(), "number of footers is 65");

    // A footer inside a frame's payload: the file ends in one, but no walk comes upon it.
    let mut inside = forge();
    let at = first_at + 232 + 64;
    let hidden = Frame::new(FOOTER, 1, second);
    let mut payload = support::forge::header(&hidden, at, &first[32..48]).to_vec();
    payload.extend_from_slice(&hidden.payload);
    add(&mut inside, 700, 0, payload);
    assert_refused("hidden footer", inside.bytes_unfixed(), "footer at offset");
}

#[test]
fn nothing_but_bad_headers_is_scanned_in_one_go() {
    let mut forge = forge();
    let at = forge.frames.iter().position(|f| f.kind == RECORD).unwrap();
    forge.frames.truncate(at);
    let mut bad = Frame::new(RECORD, 1, vec![0; 64]);
    bad.payload[8] = 9;
    forge.frames.extend(std::iter::repeat_n(bad, 100_000));
    let file = forge.bytes_unfixed();
    let found = bounded("scan", || {
        let scan = Scan::start(&file, &Limits::DEFAULT).unwrap();
        scan.filter(|found| matches!(found, Found::Record(_))).count()
    });
    assert_eq!(found, 0);
}

#[test]
fn files_that_are_none() {
    for len in [0, 1, 7, 8, 15, 16, 63, 64, 231, 232, 500] {
        assert_refused("zeros", vec![0; len], "is not a snaprestore snapshot");
        assert_refused("noise", noise(7, len), "is not a snaprestore snapshot");
    }
    let all = Long(forge().bytes(), u64::MAX);
    assert!(u64_at(&all.0, 0) != 0);
    let error = refused("as long as can be", &(Arc::new(all) as Arc<dyn ReadAt>));
    assert!(error.to_string().contains("footer at offset"), "{error}");
}
