//! The canonical zstd frames of zeros: what stands behind a zero or hole run in a `stream` file, so
//! that stock zstd writes the zeros this reader merely knows of.
//!
//! A frame has a descriptor (content size of 8 bytes, checksum, no single segment), a window of
//! 128 KiB and RLE blocks of 128 KiB, the last one shorter where needed (RFC 8878, 3.1.1).

use std::sync::{Mutex, PoisonError};

use xxhash_rust::xxh64::Xxh64;

/// Most plain bytes one frame stands for: 1 GiB, about 32 KiB stored.
pub const MAX_PLAIN: u64 = 1 << 30;

const ZSTD_MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
/// Frame header descriptor: content size field of 8 bytes (bits 7-6 = 3), checksum (bit 2).
const DESCRIPTOR: u8 = 0b1100_0100;
/// Window descriptor: exponent 7, mantissa 0, so 2^(10+7) = 128 KiB.
const WINDOW: u8 = 7 << 3;
const BLOCK: u64 = 128 << 10;
const RLE: u32 = 1;
const HEAD_LEN: u64 = 4 + 1 + 1 + 8;
/// Zeros between two kept states of the hash.
const STEP: u64 = 1 << 20;

/// The stored length of the frame for `plain` zero bytes.
pub const fn encoded_len(plain: u64) -> u64 {
    HEAD_LEN + plain.div_ceil(BLOCK) * 4 + 4
}

/// Replaces `out` by the frame for `plain` zero bytes, 1 to [`MAX_PLAIN`].
pub fn encode(plain: u64, out: &mut Vec<u8>) {
    debug_assert!((1..=MAX_PLAIN).contains(&plain));
    out.clear();
    out.extend_from_slice(&ZSTD_MAGIC);
    out.extend_from_slice(&[DESCRIPTOR, WINDOW]);
    out.extend_from_slice(&plain.to_le_bytes());
    let mut left = plain;
    while left > 0 {
        let len = left.min(BLOCK);
        left -= len;
        // Block header: last block (bit 0), type (bits 1-2), regenerated size (bits 3-23).
        let header = u32::from(left == 0) | (RLE << 1) | ((len as u32) << 3);
        let [a, b, c, _] = header.to_le_bytes();
        out.extend_from_slice(&[a, b, c, 0]);
    }
    let [a, b, c, d, ..] = xxh64_of_zeros(plain).to_le_bytes();
    out.extend_from_slice(&[a, b, c, d]);
}

/// XXH64 of `len` zero bytes, [`MAX_PLAIN`] at most.
///
/// A sparse volume has thousands of long runs of as many lengths. The state of the hash is kept at
/// every [`STEP`], so that all of them together cost one pass over a GiB and a step for each.
fn xxh64_of_zeros(len: u64) -> u64 {
    static STATES: Mutex<Vec<Xxh64>> = Mutex::new(Vec::new());
    let steps = usize::try_from(len.min(MAX_PLAIN) / STEP).unwrap_or(0);
    let mut hasher = {
        // A panic elsewhere cannot leave a state half updated: each is pushed whole.
        let mut states = STATES.lock().unwrap_or_else(PoisonError::into_inner);
        while states.len() <= steps {
            let mut next = states.last().cloned();
            match &mut next {
                Some(hasher) => add_zeros(hasher, STEP),
                none => *none = Some(Xxh64::new(0)),
            }
            states.extend(next);
        }
        states.get(steps).cloned().unwrap_or_else(|| Xxh64::new(0))
    };
    add_zeros(&mut hasher, len - steps as u64 * STEP);
    hasher.digest()
}

fn add_zeros(hasher: &mut Xxh64, len: u64) {
    const ZEROS: [u8; 16 << 10] = [0; 16 << 10];
    let mut left = len;
    while left > 0 {
        let take = usize::try_from(left).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
        hasher.update(ZEROS.get(..take).unwrap_or(&ZEROS));
        left -= take as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_PLAIN, STEP, encode, encoded_len, xxh64_of_zeros};

    #[test]
    fn zstd_gives_back_the_zeros() {
        for len in [1, 511, 4096, 128 << 10, (128 << 10) + 1, 5_000_000] {
            let mut frame = Vec::new();
            encode(len, &mut frame);
            assert_eq!(frame.len() as u64, encoded_len(len));
            let plain = zstd::decode_all(frame.as_slice()).unwrap();
            assert_eq!(plain.len() as u64, len);
            assert!(plain.iter().all(|b| *b == 0));
        }
    }

    #[test]
    fn kept_states_give_the_same_hash_in_any_order() {
        for len in [STEP * 5 + 3, STEP - 1, STEP, STEP + 1, 1, STEP * 9, STEP * 5 + 3] {
            let zeros = vec![0; usize::try_from(len).unwrap()];
            assert_eq!(xxh64_of_zeros(len), xxhash_rust::xxh64::xxh64(&zeros, 0), "{len}");
        }
    }

    #[test]
    fn the_longest_frame_passes_the_checks_of_zstd() {
        let mut frame = Vec::new();
        encode(MAX_PLAIN, &mut frame);
        let mut plain = zstd::stream::read::Decoder::new(frame.as_slice()).unwrap();
        let len = std::io::copy(&mut plain, &mut std::io::sink()).unwrap();
        assert_eq!(len, MAX_PLAIN);
    }
}
