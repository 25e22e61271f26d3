//! Every bit of every byte of a file is covered by a check, and no cut-off file passes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]

mod support;

use std::sync::Arc;

use snapfmt::verify::{Depth, check_state, check_structure};
use snapfmt::{FOOTER_BYTES, Fault, Limits, Structure};

use support::forge::{FOOTER, Forge, Frame};
use support::{MemberSpec, Part, Piece, SetSpec, check, noise, state_of, text};

/// Data, zeros, a hole and an odd tail in stream form.
fn stream() -> SetSpec {
    let pieces = vec![
        Piece::Data(text(1, 4096)),
        Piece::Zero(8192),
        Piece::Hole(4096),
        Piece::Data(noise(2, 100)),
    ];
    SetSpec::single(4096, MemberSpec::full("v", pieces))
}

/// Runs without frames and a chunk that is named twice.
fn compact() -> SetSpec {
    let pieces = vec![
        Piece::Data(text(3, 4096)),
        Piece::Hole(1 << 20),
        Piece::Zero(1 << 20),
        Piece::Data(text(3, 4096)),
        Piece::Zero(5),
    ];
    SetSpec::single(4096, MemberSpec::compact("v", pieces))
}

fn incremental() -> SetSpec {
    let parent = text(4, 5 * 4096);
    let state = state_of(&parent, 4096);
    let pieces = vec![
        Piece::Inherit(parent[..4096].to_vec()),
        Piece::Data(text(5, 4096)),
        Piece::Inherit(parent[2 * 4096..3 * 4096].to_vec()),
        Piece::Zero(4096),
        Piece::Inherit(parent[4 * 4096..].to_vec()),
    ];
    SetSpec::single(4096, MemberSpec::child("v", pieces, "dsnap-parent", state))
}

/// An increment without changes: no record, no index page.
fn unchanged() -> SetSpec {
    let parent = text(6, 4096);
    let state = state_of(&parent, 4096);
    let member = MemberSpec::child("v", vec![Piece::Inherit(parent)], "dsnap-parent", state);
    SetSpec::single(4096, member)
}

/// Two members under a striped, a linear and an unmapped segment.
fn pair() -> SetSpec {
    let a = MemberSpec::full("a", vec![Piece::Data(text(7, 4096)), Piece::Data(text(8, 512))]);
    let b = MemberSpec::full("b", vec![Piece::Zero(4096)]);
    SetSpec {
        layout: vec![
            Part::Striped(8192, 1024, vec![(0, 0), (1, 0)]),
            Part::Linear(512, (0, 4096)),
            Part::Unmapped(512),
        ],
        members: vec![a.clone(), b],
        ..SetSpec::single(4096, a)
    }
}

/// A file that something was added to: a frame of a kind nobody knows, and a second footer.
fn appended() -> Vec<u8> {
    let mut forge = Forge::of(&unchanged().write_one().bytes);
    let first = forge.bytes().len() as u64 - FOOTER_BYTES;
    let mut footer = forge.frame(FOOTER, 0).payload.clone();
    footer[..8].copy_from_slice(&first.to_le_bytes());
    forge.frames.push(Frame::new(40_000, 0, noise(1, 50)));
    forge.frames.push(Frame::new(FOOTER, 1, footer));
    forge.bytes()
}

#[test]
fn every_bit_of_an_appended_file() {
    assert_every_bit_is_covered(&appended(), Depth::Full);
}

/// A signal ends the check of an index, however long that is.
#[test]
fn a_check_that_is_over_reads_no_further() {
    let mut bytes = stream().write_one().bytes;
    let index = support::open(&bytes).unwrap().footer().index;
    bytes[usize::try_from(index).unwrap() + 60] ^= 1;
    let snapshot = support::open(&bytes).unwrap();
    for (is_over, found) in [(false, true), (true, false)] {
        assert_eq!(check_structure(&snapshot, || is_over).is_err(), found);
        assert_eq!(check_state(&snapshot, || is_over).is_err(), found);
    }
}

fn assert_every_bit_is_covered(file: &[u8], depth: Depth) {
    check(Arc::new(file.to_vec()), depth).expect("the file is good");
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut bytes = file.to_vec();
            bytes[at] ^= 1 << bit;
            let error = check(Arc::new(bytes), depth)
                .expect_err(&format!("byte {at} of {}, bit {bit} is not covered", file.len()));
            assert_ne!(error.what, Structure::File, "byte {at}, bit {bit}: {error}");
            assert!(error.at <= at as u64, "byte {at}, bit {bit}: {error}");
        }
    }
}

fn assert_no_prefix_passes(file: &[u8]) {
    for len in 0..file.len() {
        let prefix = file[..len].to_vec();
        let error = support::open(&prefix).expect_err(&format!("cut at {len}"));
        assert!(matches!(error.fault, Fault::NotASnapshot) == (len < 16), "cut at {len}: {error}");
        // What is left is looked at without a panic.
        let Ok(mut scan) = snapfmt::scan::Scan::start(&prefix, &Limits::DEFAULT) else { continue };
        assert!(scan.by_ref().count() < 20, "cut at {len}");
        assert!(scan.footer().is_none(), "cut at {len}");
        drop(scan.extent_map());
    }
}

macro_rules! covered {
    ($($name:ident: $set:expr, $depth:expr;)*) => {
        $(#[test]
        fn $name() {
            for written in $set.write() {
                assert_every_bit_is_covered(&written.bytes, $depth);
            }
        })*
    };
}

covered! {
    every_bit_of_a_stream_file_by_the_full_check: stream(), Depth::Full;
    every_bit_of_a_stream_file_by_the_quick_check: stream(), Depth::Quick;
    every_bit_of_a_compact_file_by_the_full_check: compact(), Depth::Full;
    every_bit_of_a_compact_file_by_the_quick_check: compact(), Depth::Quick;
    every_bit_of_an_incremental_file_by_the_full_check: incremental(), Depth::Full;
    every_bit_of_an_incremental_file_by_the_quick_check: incremental(), Depth::Quick;
    every_bit_of_an_unchanged_file: unchanged(), Depth::Full;
    every_bit_of_a_pair_by_the_full_check: pair(), Depth::Full;
    every_bit_of_a_pair_by_the_quick_check: pair(), Depth::Quick;
}

#[test]
fn no_prefix_of_a_file_passes() {
    for set in [stream(), compact(), incremental(), unchanged(), pair()] {
        for written in set.write() {
            assert_no_prefix_passes(&written.bytes);
        }
    }
}

#[test]
fn bytes_behind_the_footer_do_not_pass() {
    let mut file = stream().write_one().bytes;
    file.push(0);
    assert!(support::open(&file).is_err());
}
