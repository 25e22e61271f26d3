//! What is written is read back, whatever the form, and the bytes depend on the content alone.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

#[path = "support/cases.rs"]
mod cases;
mod support;

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};

use snapfmt::scan::{Found, Scan};
use snapfmt::verify::Depth;
use snapfmt::{Limits, ReadAt, Record, Totals};

use support::{MemberSpec, Part, Piece, SetSpec, Written, noise, state_of, text, verify};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text(u64),
    Noise(u64),
    Zero,
    Hole,
    /// What the parent has.
    Same,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Stream,
    Compact,
    Dedup,
    Incremental,
}

#[derive(Clone, Debug)]
struct Model {
    form: Form,
    chunk_size: u32,
    /// One entry for each chunk.
    chunks: Vec<Kind>,
    /// Length of the last chunk.
    tail: u32,
    level: i32,
}

impl Model {
    fn size(&self) -> usize {
        (self.chunks.len() - 1) * self.chunk_size as usize + self.tail as usize
    }

    /// What the parent of an incremental one holds: text, but zeros in every third chunk.
    fn parent(&self) -> Vec<u8> {
        let mut plain = text(1000, self.size());
        let chunks = plain.chunks_mut(self.chunk_size as usize);
        chunks.step_by(3).for_each(|chunk| chunk.fill(0));
        plain
    }

    fn pieces(&self) -> Vec<Piece> {
        let parent = self.parent();
        let parts = parent.chunks(self.chunk_size as usize);
        let piece = |(kind, same): (&Kind, &[u8])| {
            let len = same.len();
            match kind {
                Kind::Text(seed) => Piece::Data(text(*seed, len)),
                Kind::Noise(seed) => Piece::Data(noise(*seed, len)),
                Kind::Zero => Piece::Zero(len as u64),
                Kind::Hole => Piece::Hole(len as u64),
                Kind::Same if self.form != Form::Incremental => Piece::Zero(len as u64),
                Kind::Same if same.iter().all(|b| *b == 0) => Piece::InheritZeros(len as u64),
                Kind::Same => Piece::Inherit(same.to_vec()),
            }
        };
        self.chunks.iter().zip(parts).map(piece).collect()
    }

    fn set(&self, pieces: Vec<Piece>) -> SetSpec {
        let full = MemberSpec::full("v", pieces);
        let member = match self.form {
            Form::Stream => full,
            Form::Compact => MemberSpec { stream: false, ..full },
            Form::Dedup => MemberSpec { stream: false, dedup: true, ..full },
            Form::Incremental => {
                let state = state_of(&self.parent(), self.chunk_size);
                MemberSpec::child("v", full.pieces, "dsnap-parent", state)
            }
        };
        SetSpec { level: self.level, ..SetSpec::single(self.chunk_size, member) }
    }
}

fn models() -> impl Strategy<Value = Model> {
    let kind = prop_oneof![
        // Few seeds, so that chunks repeat.
        (0..4_u64).prop_map(Kind::Text),
        any::<u64>().prop_map(Kind::Noise),
        Just(Kind::Zero),
        Just(Kind::Zero),
        Just(Kind::Hole),
        Just(Kind::Same),
    ];
    let form = prop_oneof![
        Just(Form::Stream),
        Just(Form::Compact),
        Just(Form::Dedup),
        Just(Form::Incremental)
    ];
    (form, 12..16_u32, vec(kind, 1..40), any::<u32>(), 1..10).prop_map(
        |(form, log, chunks, tail, level)| {
            let chunk_size = 1 << log;
            Model { form, chunk_size, chunks, tail: 1 + tail % chunk_size, level }
        },
    )
}

/// Runs of a kind in one call instead of one for each chunk.
fn joined(pieces: &[Piece]) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::new();
    for piece in pieces {
        match (joined.last_mut(), piece) {
            (Some(Piece::Zero(len)), Piece::Zero(more))
            | (Some(Piece::Hole(len)), Piece::Hole(more))
            | (Some(Piece::InheritZeros(len)), Piece::InheritZeros(more)) => *len += more,
            (Some(Piece::Data(bytes)), Piece::Data(more)) => bytes.extend_from_slice(more),
            _ => joined.push(piece.clone()),
        }
    }
    joined
}

fn scanned(file: &dyn ReadAt) -> Vec<Record> {
    let mut ended = false;
    let records = Scan::start(file, &Limits::DEFAULT).unwrap().filter_map(|found| match found {
        Found::Record(record) => Some(record),
        Found::End => {
            ended = true;
            None
        }
        Found::Skipped { from, to } => panic!("{from} to {to} is no frame"),
    });
    let records = records.collect();
    assert!(ended);
    records
}

fn totals(pieces: &[Piece], chunk_size: u32) -> Totals {
    let mut totals = Totals::default();
    for piece in pieces {
        let count = piece.len().div_ceil(chunk_size.into());
        match piece {
            Piece::Data(_) => totals.data += count,
            Piece::Zero(_) => totals.zero += count,
            Piece::Hole(_) => totals.hole += count,
            Piece::Inherit(_) | Piece::InheritZeros(_) => {}
        }
    }
    totals
}

proptest! {
    #![proptest_config(cases::cases(192))]

    #[test]
    fn a_member_is_read_back(model in models()) {
        let pieces = model.pieces();
        let set = model.set(pieces.clone());
        let plain = set.members[0].plain();
        let written = set.write_one();
        let snapshot = written.open();

        prop_assert_eq!(verify(&snapshot, Depth::Full).len(), 0);
        prop_assert_eq!(verify(&snapshot, Depth::Quick).len(), 0);
        let parent = if model.form == Form::Incremental { model.parent() } else { Vec::new() };
        assert!(support::read_back(&snapshot, &parent) == plain, "other bytes");
        prop_assert_eq!(snapshot.footer().state, state_of(&plain, model.chunk_size));
        prop_assert_eq!(snapshot.extent_map().unwrap(), set.extent_map());
        let found = snapshot.index().totals;
        prop_assert_eq!(Totals { records: 0, ..found }, totals(&pieces, model.chunk_size));
        let records: Vec<_> = snapshot.records().collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(records.len() as u64, found.records);
        prop_assert_eq!(scanned(&written.bytes), records.clone());
        if model.form == Form::Stream {
            let (map, footer) = (set.extent_map(), *snapshot.footer());
            let streamed = support::streamed(written.bytes.as_slice()).unwrap();
            prop_assert_eq!(streamed, support::Streamed { map, records, footer });
        }

        // Stock zstd reads every file, and gives the raw image of a stream.
        let stock = zstd::decode_all(written.bytes.as_slice()).unwrap();
        assert!(model.form != Form::Stream || stock == plain, "stock zstd gives other bytes");
    }

    #[test]
    fn the_same_content_gives_the_same_bytes(model in models()) {
        let pieces = model.pieces();
        let Written { bytes, .. } = model.set(pieces.clone()).write_one();
        assert!(model.set(pieces.clone()).write_one().bytes == bytes, "not repeatable");
        assert!(model.set(joined(&pieces)).write_one().bytes == bytes, "calls leave traces");
    }

    #[test]
    fn a_layout_is_read_back(parts in vec((0..3_u32, 1..50_u64), 1..30)) {
        // Each part takes the next bytes of both members.
        let mut at = 0;
        let layout = parts.into_iter().map(|(kind, len)| {
            let (start, len) = (at, len * 512);
            at += if kind == 0 { 0 } else { len };
            match kind {
                0 => Part::Unmapped(len),
                1 => Part::Linear(len, (0, start)),
                _ => Part::Striped(len * 2, 512, vec![(1, start), (0, start)]),
            }
        });
        let layout = layout.collect();
        let size = at.max(512);
        let member = |name| MemberSpec::compact(name, vec![Piece::Zero(size)]);
        let set = SetSpec {
            layout,
            members: vec![member("a"), member("b")],
            ..SetSpec::single(4096, member("a"))
        };
        for written in set.write() {
            let snapshot = written.open();
            prop_assert_eq!(snapshot.extent_map().unwrap(), set.extent_map());
            prop_assert_eq!(verify(&snapshot, Depth::Full).len(), 0);
        }
    }
}

#[test]
fn an_index_of_several_pages_and_directories_is_read_back() {
    let chunk = |n: u64| match n % 64 {
        0 => Piece::Data(text(n % 7, 4096)),
        even if even % 2 == 0 => Piece::Hole(4096),
        _ => Piece::Zero(4096),
    };
    let chunks = 1024 * 1024 + 1500;
    let member = MemberSpec::compact("v", (0..chunks).map(chunk).collect());
    let set = SetSpec { level: 1, ..SetSpec::single(4096, member) };
    let written = set.write_one();
    let snapshot = written.open();
    assert_eq!(snapshot.index().pages.len(), 2);
    assert_eq!(verify(&snapshot, Depth::Quick).len(), 0);
    let mut next = 0;
    for record in snapshot.records() {
        let record = record.unwrap();
        assert_eq!(record.first.0, next);
        next = record.end();
    }
    assert_eq!(u64::from(next), chunks);
}

#[test]
fn a_layout_of_several_pages_is_read_back() {
    let segments = 5000;
    let layout = (0..segments).map(|n| Part::Striped(1024, 512, vec![(0, n * 512), (1, n * 512)]));
    let member = |name| MemberSpec::compact(name, vec![Piece::Zero(segments * 512)]);
    let set = SetSpec {
        layout: layout.collect(),
        members: vec![member("a"), member("b")],
        ..SetSpec::single(4096, member("a"))
    };
    let snapshot = set.write()[1].open();
    assert_eq!(snapshot.extent_map().unwrap(), set.extent_map());
    assert_eq!(verify(&snapshot, Depth::Full).len(), 0);
    assert!(snapshot.footer().extent_map_copy > 0);
}
