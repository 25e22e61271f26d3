//! What a scan gives back of a file that is cut off, damaged, or holds other snapshots.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]

#[path = "support/cases.rs"]
mod cases;
mod support;

use std::io;
use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::{any, proptest};

use snapfmt::scan::{Found, Scan};
use snapfmt::{Limits, PROJECT_MAGIC, ReadAt, Record};

use support::forge::{Forge, RECORD, u64_at};
use support::{MemberSpec, Piece, SetSpec, Written, noise, state_of, text};

const HEADERS: u64 = 128;

/// All kinds of records, in stream form or not.
fn sample(stream: bool) -> Written {
    let pieces = vec![
        Piece::Data(text(1, 2 * 4096)),
        Piece::Zero(8192),
        Piece::Hole(8192),
        Piece::Data(noise(2, 3 * 4096)),
        Piece::Zero(4096),
        Piece::Data(text(1, 4096)),
        Piece::Hole(4096),
        Piece::Data(text(5, 300)),
    ];
    let member =
        if stream { MemberSpec::full("v", pieces) } else { MemberSpec::compact("v", pieces) };
    SetSpec::single(4096, member).write_one()
}

fn incremental() -> Written {
    let parent = text(9, 6 * 4096);
    let state = state_of(&parent, 4096);
    let pieces = vec![
        Piece::Inherit(parent[..2 * 4096].to_vec()),
        Piece::Zero(4096),
        Piece::Inherit(parent[3 * 4096..4 * 4096].to_vec()),
        Piece::Hole(4096),
        Piece::Data(text(3, 4096)),
    ];
    SetSpec::single(4096, MemberSpec::child("v", pieces, "dsnap-parent", state)).write_one()
}

fn samples() -> [Written; 3] {
    [sample(true), sample(false), incremental()]
}

/// The records and the bytes of each: header and own frame.
fn expected(written: &Written) -> Vec<(Record, Range<u64>)> {
    let mut at = written.footer.records;
    let place = |record: snapfmt::Result<Record>| {
        let record = record.unwrap();
        let start = at;
        at += HEADERS + record.own_frame().map_or(0, |stored| u64::from(stored.len));
        (record, start..at)
    };
    let all: Vec<_> = written.open().records().map(place).collect();
    assert_eq!(at, written.footer.index);
    all
}

fn scan(file: &dyn ReadAt) -> Vec<Found> {
    Scan::start(file, &Limits::DEFAULT).unwrap().collect()
}

fn records(found: &[Found]) -> Vec<Record> {
    let record = |found: &Found| match found {
        Found::Record(record) => Some(*record),
        _ => None,
    };
    found.iter().filter_map(record).collect()
}

fn ends(found: &[Found]) -> bool {
    matches!(found.last(), Some(Found::End))
}

#[test]
fn a_file_cut_anywhere_gives_back_every_record_before_the_cut() {
    for written in samples() {
        let all = expected(&written);
        for cut in written.footer.records..written.bytes.len() as u64 {
            let file = written.bytes[..usize::try_from(cut).unwrap()].to_vec();
            let found = scan(&file);
            let whole: Vec<_> =
                all.iter().filter(|(_, place)| place.end <= cut).map(|(r, _)| *r).collect();
            assert_eq!(records(&found), whole, "cut at {cut}");
            // The first frame behind the records says that there are no more.
            assert_eq!(ends(&found), cut >= written.footer.index + 64, "cut at {cut}");
        }
    }
}

#[test]
fn a_lost_index_costs_no_record() {
    for written in samples() {
        let all: Vec<_> = expected(&written).into_iter().map(|(record, _)| record).collect();
        let (index, root) = (written.footer.index, written.footer.root);
        for range in [index..root, index..root + 500, index..written.bytes.len() as u64 - 232] {
            let mut file = written.bytes.clone();
            let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
            file[range].fill(0x55);
            let found = scan(&file);
            assert_eq!(records(&found), all);
            assert!(ends(&found));
        }
    }
}

#[test]
fn a_damaged_head_is_replaced_by_the_tail() {
    let written = sample(true);
    let all: Vec<_> = expected(&written).into_iter().map(|(record, _)| record).collect();
    let mut file = written.bytes.clone();
    file[..usize::try_from(written.footer.records).unwrap()].fill(0);
    let scan = Scan::start(&file, &Limits::DEFAULT).unwrap();
    assert_eq!(scan.extent_map().unwrap(), written.open().extent_map().unwrap());
    assert_eq!(scan.footer(), Some(written.footer));
    assert_eq!(scan.manifest(), written.open().manifest());
    assert_eq!(records(&scan.collect::<Vec<_>>()), all);
}

#[test]
fn a_damaged_header_costs_its_own_record_only() {
    for written in samples() {
        let all = expected(&written);
        for (lost, (record, place)) in all.iter().enumerate() {
            for at in [0, 17, 64, 100, 127] {
                let mut file = written.bytes.clone();
                file[usize::try_from(place.start).unwrap() + at] ^= 0x40;
                let found = scan(&file);
                let mut kept: Vec<_> = all.iter().map(|(record, _)| *record).collect();
                kept.remove(lost);
                assert_eq!(records(&found), kept, "{record:?}");
                assert!(ends(&found));
                let gap = found.iter().find_map(|f| match f {
                    Found::Skipped { from, to } => Some(*from..*to),
                    _ => None,
                });
                assert_eq!(gap.as_ref(), Some(place), "{record:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(cases::cases(300))]

    #[test]
    fn damage_costs_the_records_it_touches_only(
        which in 0..3_usize,
        holes in vec((any::<u64>(), 1..600_u64, any::<u8>()), 1..4),
    ) {
        let written = &samples()[which];
        let all = expected(written);
        let (start, end) = (written.footer.records, written.footer.index);
        let mut file = written.bytes.clone();
        let mut damage = Vec::new();
        for (at, len, xor) in holes {
            let from = start + at % (end - start);
            let to = (from + len).min(end);
            for at in from..to {
                file[usize::try_from(at).unwrap()] ^= xor | 1;
            }
            damage.push(from..to);
        }
        let touched = |place: &Range<u64>| {
            damage.iter().any(|d| d.start < place.start + HEADERS && place.start < d.end)
        };
        let kept: Vec<_> =
            all.iter().filter(|(_, place)| !touched(place)).map(|(r, _)| *r).collect();
        let found = records(&scan(&file));
        // Two holes may undo each other, so more may be found, but nothing that was not there.
        assert!(kept.iter().all(|record| found.contains(record)));
        assert!(found.iter().all(|record| all.iter().any(|(r, _)| r == record)));
    }
}

/// A medium on which some bytes cannot be read.
struct Failing {
    bytes: Vec<u8>,
    bad: Range<u64>,
}

impl ReadAt for Failing {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        if offset < self.bad.end && self.bad.start < offset + buf.len() as u64 {
            return Err(io::Error::other("bad sector"));
        }
        self.bytes.read_exact_at(buf, offset)
    }
}

#[test]
fn an_unreadable_sector_costs_the_headers_in_it_only() {
    let member = MemberSpec::full("v", vec![Piece::Data(noise(1, 64 * 4096))]);
    let written = SetSpec::single(4096, member).write_one();
    let all = expected(&written);
    for bad in [8192..8192 + 512, 40960..45056, 4096 * 7..4096 * 11] {
        let file = Failing { bytes: written.bytes.clone(), bad: bad.clone() };
        let found = scan(&file);
        // What shares a 4096-byte sector with the bad bytes may be lost too.
        let bad = bad.start / 4096 * 4096..bad.end.next_multiple_of(4096);
        let readable =
            |place: &Range<u64>| place.start + HEADERS <= bad.start || bad.end <= place.start;
        let kept: Vec<_> =
            all.iter().filter(|(_, place)| readable(place)).map(|(r, _)| *r).collect();
        assert!(kept.len() < all.len() && kept.len() > 55);
        let found = records(&found);
        assert!(kept.iter().all(|record| found.contains(record)), "{bad:?}");
    }
}

/// A volume of `size` bytes that holds `file` in the middle of bytes that do not compress.
fn around(file: &[u8], size: usize) -> Vec<u8> {
    let mut volume = noise(77, size);
    volume[5000..5000 + file.len()].copy_from_slice(file);
    volume
}

fn headers_in(bytes: &[u8]) -> usize {
    bytes.windows(8).filter(|window| *window == PROJECT_MAGIC).count()
}

/// Destroys every record header of `file`, so that a scan has to search all of it.
fn without_headers(written: &Written) -> Vec<u8> {
    let mut file = written.bytes.clone();
    for (_, place) in expected(written) {
        file[usize::try_from(place.start).unwrap() + 20] ^= 1;
    }
    file
}

#[test]
fn a_snapshot_inside_the_volume_is_not_taken_for_the_file() {
    let inner = {
        let pieces = vec![Piece::Data(noise(3, 10 * 4096)), Piece::Zero(1 << 20)];
        SetSpec::single(4096, MemberSpec::full("v", pieces)).write_one()
    };
    let volume = around(&inner.bytes, 40 * 4096);
    let member = MemberSpec::full("v", vec![Piece::Data(volume)]);
    let outer = SetSpec::single(4096, member).write_one();
    let own = Forge::of(&outer.bytes).frames.len();
    assert!(headers_in(&outer.bytes) >= own + 9, "foreign headers stand in the file as they are");
    assert_foreign_headers_are_ignored(&outer);
}

#[test]
fn not_even_one_with_the_same_manifest_is_taken_for_the_file() {
    // What a volume holds that keeps its own backups, written by a run with the same arguments.
    let size = 60 * 4096;
    let inner = {
        let pieces = vec![Piece::Data(noise(4, 8 * 4096)), Piece::Zero(size - 8 * 4096)];
        SetSpec::single(4096, MemberSpec::compact("v", pieces)).write_one()
    };
    let volume = around(&inner.bytes, usize::try_from(size).unwrap());
    let member = MemberSpec::compact("v", vec![Piece::Data(volume)]);
    let outer = SetSpec::single(4096, member).write_one();
    assert_eq!(inner.bytes[32..48], outer.bytes[32..48], "the tags are equal");
    assert!(headers_in(&outer.bytes) > Forge::of(&outer.bytes).frames.len() + 9);
    assert_foreign_headers_are_ignored(&outer);
}

fn assert_foreign_headers_are_ignored(outer: &Written) {
    let all: Vec<_> = expected(outer).into_iter().map(|(record, _)| record).collect();
    let index = usize::try_from(outer.footer.index).unwrap();
    // The index is gone: every record is still found, and no other.
    assert_eq!(records(&scan(&outer.bytes[..index].to_vec())), all);
    // All headers are gone: nothing is found.
    let found = scan(&without_headers(outer));
    assert_eq!(records(&found), []);
    assert!(ends(&found));
    // One in two is gone.
    let mut file = outer.bytes.clone();
    for (_, place) in expected(outer).iter().step_by(2) {
        file[usize::try_from(place.start).unwrap() + 40] ^= 1;
    }
    let kept: Vec<_> = all.iter().skip(1).step_by(2).copied().collect();
    assert_eq!(records(&scan(&file)), kept);
}

#[test]
fn a_frame_that_does_not_follow_its_header_is_no_record() {
    let mut forge = Forge::of(&sample(true).bytes);
    let good = scan(&forge.bytes_unfixed());
    let record = &mut forge.frame(RECORD, 3).payload;
    let moved = u64_at(record, 16) + 1;
    record[16..24].copy_from_slice(&moved.to_le_bytes());
    let found = scan(&forge.bytes_unfixed());
    assert_eq!(records(&found).len() + 1, records(&good).len());
}
