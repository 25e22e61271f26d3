//! The zstd frames a file is made of: what stock zstd and a decoder with little memory rely on.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]

mod support;

use std::sync::Arc;

use snapfmt::verify::Depth;
use snapfmt::{ChunkSize, Decoder, Digest, Encoder, MAX_WINDOW_LOG, ReadAt, Stored, Structure};

use support::{MemberSpec, Piece, SetSpec, check, noise, text};

const GIB: u64 = 1 << 30;

/// The window that a frame asks for (RFC 8878, 3.1.1.1), in bytes.
fn window(frame: &[u8]) -> u64 {
    assert_eq!(frame[..4], [0x28, 0xb5, 0x2f, 0xfd]);
    let single_segment = frame[4] & 0x20 != 0;
    if single_segment {
        return zstd::zstd_safe::get_frame_content_size(frame).unwrap().unwrap();
    }
    let base = 1_u64 << (10 + (frame[5] >> 3));
    base + base / 8 * u64::from(frame[5] & 7)
}

fn strict(frame: &[u8], plain: &[u8]) -> snapfmt::Result<()> {
    let stored =
        Stored { offset: 0, len: u32::try_from(frame.len()).unwrap(), crc: crc32fast::hash(frame) };
    let file = Arc::new(frame.to_vec());
    let mut out = vec![0; plain.len()];
    let file: &dyn ReadAt = &*file;
    let digest = Digest::of(plain);
    Decoder::strict().unwrap().decode(file, &stored, &digest, Structure::File, &mut out)?;
    assert!(out == plain);
    Ok(())
}

#[test]
fn every_level_makes_frames_that_the_strict_decoder_takes() {
    let mut frame = Vec::new();
    for log in [12, 16, 18] {
        let size = ChunkSize::try_from(1_u32 << log).unwrap();
        let len = 1_usize << log;
        let half = [noise(1, len / 2), text(1, len / 2)].concat();
        let plains = [noise(2, len), text(2, len), half, vec![7; len], text(3, 1), noise(4, 255)];
        for level in (1..=19).chain([-5, 22]) {
            let mut encoder = Encoder::new(level, size).unwrap();
            for plain in &plains {
                encoder.encode(plain, &mut frame).unwrap();
                assert!(window(&frame) <= 8 << 20);
                strict(&frame, plain).unwrap();
            }
        }
    }
}

#[test]
fn the_longest_chunks_keep_to_a_window_of_8_mib() {
    let mut frame = Vec::new();
    let tail = (8 << 20) + 1;
    for level in [1, 3, 19] {
        let mut encoder = Encoder::new(level, ChunkSize::MAX).unwrap();
        // High levels take seconds for a chunk of this size unless it is dull.
        let mut plain = vec![7; 16 << 20];
        plain[..1 << 20].copy_from_slice(&noise(5, 1 << 20));
        for plain in [&plain[..], &plain[..tail], &plain[..8 << 20]] {
            encoder.encode(plain, &mut frame).unwrap();
            assert!(window(&frame) <= 1 << MAX_WINDOW_LOG, "level {level}: {}", window(&frame));
            strict(&frame, plain).unwrap();
        }
    }
}

#[test]
fn a_frame_with_a_longer_window_is_refused() {
    let plain = text(6, 16 << 20);
    let mut zstd = zstd::bulk::Compressor::new(1).unwrap();
    zstd.include_checksum(true).unwrap();
    zstd.window_log(24).unwrap();
    let frame = zstd.compress(&plain).unwrap();
    let error = strict(&frame, &plain).unwrap_err().to_string();
    assert!(error.contains("window is over 8 MiB"), "{error}");
}

#[test]
fn a_chunk_of_another_length_is_not_encoded() {
    let mut encoder = Encoder::new(1, ChunkSize::MIN).unwrap();
    let mut frame = Vec::new();
    assert!(encoder.encode(&[], &mut frame).is_err());
    assert!(encoder.encode(&[0; 4097], &mut frame).is_err());
}

#[test]
fn zeros_beyond_64_gib_are_cut_at_each_gib() {
    let size = 64 * GIB + 5 * (1 << 20) + 77;
    let pieces = vec![Piece::Zero(size / 2 / GIB * GIB), Piece::Hole(size - size / 2 / GIB * GIB)];
    let written = SetSpec::single(1 << 20, MemberSpec::full("v", pieces)).write_one();
    check(Arc::new(written.bytes.clone()), Depth::Full).unwrap();
    let snapshot = written.open();
    let mut plain = 0;
    let mut lengths = Vec::new();
    for record in snapshot.records() {
        let stored = record.unwrap().own_frame().unwrap();
        let from = usize::try_from(stored.offset).unwrap();
        let frame = &written.bytes[from..from + stored.len as usize];
        assert_eq!(window(frame), 128 << 10);
        let len = zstd::zstd_safe::get_frame_content_size(frame).unwrap().unwrap();
        lengths.push(len);
        plain += len;
    }
    assert_eq!(plain, size);
    assert_eq!(lengths.len(), 65);
    assert!(lengths[..64].iter().all(|len| *len == GIB));
    assert!(written.bytes.len() < 3 << 20, "about 32 KiB a GiB");
}

#[test]
fn runs_of_many_lengths_cost_one_pass_over_their_zeros() {
    // Nearly a GiB each, none like the other: hashing each from its start would take minutes.
    let mut pieces = Vec::new();
    for n in 0..600 {
        pieces.push(Piece::Zero(GIB - (n + 1) * (1 << 20)));
        pieces.push(Piece::Data(vec![1; 1 << 20]));
    }
    let start = std::time::Instant::now();
    let written = SetSpec::single(1 << 20, MemberSpec::full("v", pieces)).write_one();
    check(Arc::new(written.bytes), Depth::Quick).unwrap();
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}
