//! A file read in one pass is accepted exactly when it is sound, and is then the file that is read by
//! position.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail loudly"
)]

mod support;

use std::io::{self, Read};
use std::sync::Arc;

use snapfmt::verify::Depth;
use snapfmt::{FOOTER_BYTES, Fault, Limits, NotStream, SnapshotStream, Structure};

use support::forge::{
    DIRECTORY, FOOTER, Forge, Frame, INDEX_PAGE, INDEX_ROOT, MAP_ROOT, RECORD, SEAL,
};
use support::{MemberSpec, Part, Piece, SetSpec, Streamed, noise, state_of, streamed, text};

/// Data, zeros, a hole and an odd tail; and a member of zeros beside it.
fn pair() -> SetSpec {
    let pieces = vec![
        Piece::Data(text(1, 4096)),
        Piece::Zero(8192),
        Piece::Hole(4096),
        Piece::Data(noise(2, 100)),
    ];
    let a = MemberSpec::full("a", pieces);
    let b = MemberSpec::full("b", vec![Piece::Zero(4096)]);
    SetSpec {
        layout: vec![
            Part::Striped(8192, 1024, vec![(0, 0), (1, 0)]),
            Part::Linear(12000, (0, 4096)),
            Part::Unmapped(512),
        ],
        members: vec![a.clone(), b],
        ..SetSpec::single(4096, a)
    }
}

fn small() -> Vec<u8> {
    pair().write().remove(0).bytes
}

/// Gives up to so many bytes at a time, more each time, and is interrupted now and then.
struct Drops<'b> {
    bytes: &'b [u8],
    most: usize,
    turn: usize,
}

impl Read for Drops<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.turn += 1;
        if self.turn.is_multiple_of(3) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let len = buf.len().min(1 + self.turn % self.most);
        self.bytes.read(&mut buf[..len])
    }
}

/// What the same file gives by position.
fn by_position(file: &[u8]) -> Streamed {
    let snapshot = support::open(file).unwrap();
    Streamed {
        map: snapshot.extent_map().unwrap(),
        records: snapshot.records().map(Result::unwrap).collect(),
        footer: *snapshot.footer(),
    }
}

#[test]
fn however_the_bytes_come_they_are_the_same_file() {
    for written in pair().write() {
        for most in [1, 7, 64, 5000, 1 << 20] {
            let reader = Drops { bytes: &written.bytes, most, turn: 0 };
            assert_eq!(streamed(reader).unwrap(), by_position(&written.bytes));
        }
    }
}

/// Several pages of the index and more than one of its directory.
#[test]
fn a_long_index_is_proved() {
    let chunk = |n: u64| match n % 500 {
        0 => Piece::Data(text(n, 4096)),
        even if even % 2 == 0 => Piece::Hole(4096),
        _ => Piece::Zero(4096),
    };
    for chunks in [1024, 1025, 3000, 1024 * 1024 + 1500] {
        let member = MemberSpec::full("v", (0..chunks).map(chunk).collect());
        let file = SetSpec { level: 1, ..SetSpec::single(4096, member) }.write_one().bytes;
        assert!(streamed(file.as_slice()).unwrap() == by_position(&file), "{chunks} chunks");
    }
}

#[test]
fn every_bit_of_every_byte_is_covered() {
    for written in pair().write() {
        let file = written.bytes;
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut bytes = file.clone();
                bytes[at] ^= 1 << bit;
                let error = streamed(bytes.as_slice())
                    .expect_err(&format!("byte {at} of {}, bit {bit} is not covered", file.len()));
                // Without its magics a file is none of ours.
                let foreign = at < 4 || (8..16).contains(&at);
                assert_eq!(error.what == Structure::File, foreign, "byte {at}: {error}");
                assert!(error.at <= at as u64, "byte {at}, bit {bit}: {error}");
            }
        }
    }
}

#[test]
fn no_prefix_passes_and_nothing_may_follow() {
    for written in pair().write() {
        let file = written.bytes;
        for len in 0..file.len() {
            let error = streamed(&file[..len]).expect_err(&format!("cut at {len}"));
            assert_ne!(error.what, Structure::File, "cut at {len}: {error}");
            assert!(matches!(error.fault, Fault::Truncated { .. }), "cut at {len}: {error}");
            assert!(error.at <= len as u64, "cut at {len}: {error}");
        }
        for tail in [&[0][..], &[0; 64], &file, &file[file.len() - 232..]] {
            let error = streamed(file.as_slice().chain(tail)).expect_err("a tail");
            assert_eq!(error.at, file.len() as u64, "{error}");
            assert_ne!(error.what, Structure::File, "{error}");
        }
    }
}

#[test]
fn what_fails_while_it_is_read_is_said_to_fail() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    let file = small();
    for len in [0, 70, 2000, file.len() - 1, file.len()] {
        let error = streamed(file[..len].chain(Broken)).unwrap_err();
        let Fault::Io(cause) = &error.fault else { panic!("{error}") };
        assert_eq!(cause.kind(), io::ErrorKind::ConnectionReset, "after {len} bytes");
    }
}

/// Frames of other programs and further footers are read as by position.
#[test]
fn an_appended_file_is_accepted() {
    let mut forge = Forge::of(&small());
    let mut end = forge.bytes().len() as u64;
    for n in 0..2 {
        let mut footer = forge.frame(FOOTER, 0).payload.clone();
        footer[..8].copy_from_slice(&(end - FOOTER_BYTES).to_le_bytes());
        forge.frames.push(Frame::new(40_000 + n, 0, noise(1, 50)));
        forge.frames.push(Frame::new(FOOTER, 1, footer));
        end = forge.bytes().len() as u64;
    }
    let file = forge.bytes();
    let mut expected = by_position(&file);
    expected.footer.previous = 0;
    assert_eq!(streamed(file.as_slice()).unwrap(), expected);
    // Before the first footer they have no place.
    let behind = forge.frames.len() - 5;
    forge.frames.insert(behind, Frame::new(40_000, 0, noise(1, 50)));
    assert!(streamed(forge.bytes().as_slice()).is_err());
    assert!(support::check(Arc::new(forge.bytes()), Depth::Full).is_err());
}

fn refused(set: &SetSpec) -> NotStream {
    let file = set.write_one().bytes;
    let error = SnapshotStream::open(file.as_slice(), &Limits::DEFAULT).unwrap_err();
    assert_eq!(error.what, Structure::Manifest);
    assert!(error.to_string().contains("only full ones in stream form"), "{error}");
    match error.fault {
        Fault::NotStream(form) => form,
        other => panic!("{other}"),
    }
}

#[test]
fn other_forms_are_refused() {
    let pieces = vec![Piece::Data(text(1, 4096))];
    let compact = MemberSpec { dedup: false, ..MemberSpec::compact("v", pieces.clone()) };
    let state = state_of(&text(2, 4096), 4096);
    let child = MemberSpec::child("v", pieces.clone(), "dsnap-parent", state);
    let single = |member| SetSpec::single(4096, member);
    assert_eq!(refused(&single(MemberSpec::compact("v", pieces))), NotStream::Deduplicated);
    assert_eq!(refused(&single(compact)), NotStream::Compact);
    assert_eq!(refused(&single(child)), NotStream::Incremental);
    let error = streamed(
        b"\x7fELF and so on, longer than one header is, so that it can be read whole".as_slice(),
    );
    assert!(matches!(error.unwrap_err().fault, Fault::NotASnapshot));
}

/// A change that a hostile writer makes, everything else being made right around it.
type Change = Box<dyn Fn(&mut Forge)>;

fn edit(kind: u16, change: impl Fn(&mut Vec<u8>) + 'static) -> Change {
    Box::new(move |forge| {
        forge.edit(kind, &change);
    })
}

fn put(kind: u16, at: usize, bits: u8) -> Change {
    edit(kind, move |payload| payload[at] ^= bits)
}

/// Leaves out `count` frames, from the `n`-th of a kind on.
fn drop_frames(kind: u16, n: usize, count: usize) -> Change {
    Box::new(move |forge| {
        let of_kind = |frame: &&(usize, &Frame)| frame.1.kind == kind;
        let all: Vec<_> = forge.frames.iter().enumerate().collect();
        let at = all.iter().filter(of_kind).nth(n).unwrap().0;
        forge.frames.drain(at..at + count);
    })
}

/// What a structure says of others must be true, and is refused where it is not, by position and in
/// one pass alike.
#[test]
fn lies_are_refused() {
    let many = (0..3000).map(|n| if n % 2 == 0 { Piece::Zero(4096) } else { Piece::Hole(4096) });
    let many = SetSpec::single(4096, MemberSpec::full("v", many.collect()));
    let many = many.write_one().bytes;
    let cases: Vec<(&str, &str, Change)> = vec![
        ("a hole in the index", "disagrees with the record header", put(INDEX_PAGE, 8, 1)),
        ("a hole in a header", "a run that goes on is one record", put(RECORD, 8, 1)),
        (
            "records elsewhere",
            "directory page at offset 643425 (0x9d161): disagrees with the index page",
            put(DIRECTORY, 24, 1),
        ),
        ("pages elsewhere", "disagrees with the index directory page", put(INDEX_ROOT, 40 + 16, 1)),
        ("totals", "disagrees with the index page", put(INDEX_ROOT, 16, 1)),
        (
            "footer: records",
            "record header at offset 1233 (0x4d1): the offset named for it",
            put(FOOTER, 8, 1),
        ),
        (
            "footer: index",
            "index page at offset 451233 (0x6e2a1): the offset named for it",
            put(FOOTER, 16, 1),
        ),
        ("footer: state", ": BLAKE3 is", put(FOOTER, 56, 1)),
        ("seal of two", "payload length is 64, expected 32", edit(SEAL, |p| p.resize(64, 7))),
        (
            "no record",
            "record of chunk 0 at offset 1233 (0x4d1): is missing",
            drop_frames(RECORD, 0, 1),
        ),
        (
            "no records",
            "record of chunk 0 at offset 1233 (0x4d1): is missing",
            drop_frames(RECORD, 0, 3000),
        ),
        ("a short page", "number of entries is 1023", edit(INDEX_PAGE, |p| p.truncate(64 * 1023))),
        ("no copy of the map", "a frame of kind 9 is there", drop_frames(MAP_ROOT, 1, 3)),
    ];
    for (name, expected, change) in cases {
        let mut forge = Forge::of(&many);
        change(&mut forge);
        let file = forge.bytes();
        assert!(file != many, "{name}: nothing was changed");
        let error = streamed(file.as_slice()).expect_err(name).to_string();
        assert!(error.contains(expected), "{name}: {error}");
        assert!(support::check(Arc::new(file), Depth::Full).is_err(), "{name}");
    }
}
