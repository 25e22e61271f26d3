//! Bytes that compress like the content of a filesystem: files of many sizes and kinds behind each
//! other, the same for the same seed.

use crate::{KIB, MIB};

/// Files start at multiples of this, and zeros fill the rest.
const BLOCK: usize = 4096;
const WORDS: u64 = 8192;

/// Good enough to draw data with, and the same everywhere (`SplitMix64`).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// Draws from `seed` on.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }

    /// A place in something of `len` elements.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// Bytes that do not compress.
    pub fn fill(&mut self, out: &mut [u8]) {
        for piece in out.chunks_mut(8) {
            let bytes = self.draw().to_le_bytes();
            piece.copy_from_slice(&bytes[..piece.len()]);
        }
    }
}

/// A volume's content, `bytes` long: at zstd level 3 about 2.2 times as long as stored.
pub fn image(bytes: usize, seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let words = Words::new(&mut rng);
    let mut out = Vec::with_capacity(bytes + BLOCK);
    while out.len() < bytes {
        let len = file_length(&mut rng).min(bytes - out.len());
        let kind = rng.below(100);
        match kind {
            0..45 => words.text(&mut rng, &mut out, len),
            45..70 => table(&mut rng, &mut out, len),
            70..75 => copy(&mut rng, &mut out, len),
            _ => {
                let from = out.len();
                out.resize(from + len, 0);
                rng.fill(&mut out[from..]);
            }
        }
        out.resize(out.len().next_multiple_of(BLOCK), 0);
    }
    out.truncate(bytes);
    out
}

/// From 1 KiB to 8 MiB, each doubling as likely as the next: most files are small, most bytes are
/// in large ones.
fn file_length(rng: &mut Rng) -> usize {
    let least = KIB << rng.below(13);
    usize::try_from((least + rng.below(least)).min(8 * MIB)).unwrap_or(BLOCK)
}

/// Rows as databases and programs have them: fields that count, repeat and vary.
fn table(rng: &mut Rng, out: &mut Vec<u8>, len: usize) {
    let end = out.len() + len;
    let (mut id, width) = (rng.below(1 << 20), 24 + rng.index(40));
    let mut row = vec![0; width];
    rng.fill(&mut row);
    while out.len() < end {
        id += 1 + rng.below(3);
        row[..4].copy_from_slice(&id.to_le_bytes()[..4]);
        let value = rng.draw().to_le_bytes();
        let (at, count) = (4 + rng.index(width - 12), 2 + rng.index(6));
        row[at..at + count].copy_from_slice(&value[..count]);
        out.extend_from_slice(&row);
    }
    out.truncate(end);
}

/// Another version of something that is there already.
fn copy(rng: &mut Rng, out: &mut Vec<u8>, len: usize) {
    let len = len.min(out.len());
    let from = rng.index(out.len() - len + 1);
    let to = out.len();
    out.extend_from_within(from..from + len);
    for _ in 0..len / BLOCK {
        let at = to + rng.index(len);
        let end = (at + 16).min(out.len());
        rng.fill(&mut out[at..end]);
    }
}

/// A vocabulary in which few words are frequent and many are rare.
struct Words {
    text: Vec<Vec<u8>>,
    /// A word for each 16 bits drawn.
    by_frequency: Vec<u16>,
}

impl Words {
    fn new(rng: &mut Rng) -> Self {
        let text = (0..WORDS).map(|_| word(rng)).collect();
        let mut by_frequency = Vec::with_capacity(1 << 16);
        // Zipf's law: the n-th word is as frequent as the first divided by n.
        let first = 7100;
        for n in 0..WORDS {
            let share = usize::try_from(first / (n + 1)).unwrap_or(0).max(1);
            by_frequency.extend(std::iter::repeat_n(u16::try_from(n).unwrap_or(0), share));
        }
        by_frequency.truncate(1 << 16);
        by_frequency.resize(1 << 16, 0);
        Self { text, by_frequency }
    }

    fn text(&self, rng: &mut Rng, out: &mut Vec<u8>, len: usize) {
        let end = out.len() + len;
        while out.len() < end {
            let mut bits = rng.draw();
            for _ in 0..4 {
                let number = usize::from(self.by_frequency[usize::from(low_16(bits))]);
                out.extend_from_slice(&self.text[number]);
                bits >>= 16;
                out.push(if bits.trailing_zeros() >= 4 { b'\n' } else { b' ' });
            }
        }
        out.truncate(end);
    }
}

fn low_16(bits: u64) -> u16 {
    let [a, b, ..] = bits.to_le_bytes();
    u16::from_le_bytes([a, b])
}

fn word(rng: &mut Rng) -> Vec<u8> {
    let letters = b"etaoinshrdlcumwfgypbvkjxqz";
    (0..3 + rng.index(8)).map(|_| letters[rng.index(26).min(rng.index(26))]).collect()
}
