//! BLAKE3 as its paper has it (section 2), plain and slow: there is no stock tool for it on most machines.

const IV: [u32; 8] = [
    0x6A09_E667,
    0xBB67_AE85,
    0x3C6E_F372,
    0xA54F_F53A,
    0x510E_527F,
    0x9B05_688C,
    0x1F83_D9AB,
    0x5BE0_CD19,
];
const PERMUTATION: [usize; 16] = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
const BLOCK: usize = 64;
const CHUNK: usize = 1024;
const CHUNK_START: u32 = 1;
const CHUNK_END: u32 = 2;
const PARENT: u32 = 4;
const ROOT: u32 = 8;

/// The hash of some bytes, in hexadecimal.
pub(crate) fn blake3(bytes: &[u8]) -> String {
    let words = subtree(bytes, 0, ROOT);
    words.iter().fold(String::new(), |text, word| {
        // The bytes of a word are written lowest first.
        format!("{text}{:08x}", word.swap_bytes())
    })
}

/// The chaining value of a subtree that begins with chunk `first`.
fn subtree(bytes: &[u8], first: u64, root: u32) -> [u32; 8] {
    if bytes.len() <= CHUNK {
        return chunk(bytes, first, root);
    }
    // The left one is the largest whole tree that leaves something for the right one.
    let chunks = bytes.len().div_ceil(CHUNK);
    let left = chunks.next_power_of_two() / 2;
    let (a, b) = bytes.split_at(left * CHUNK);
    let mut block = [0; 16];
    block[..8].copy_from_slice(&subtree(a, first, 0));
    block[8..].copy_from_slice(&subtree(b, first + left as u64, 0));
    compress(&IV, &block, 0, BLOCK, PARENT | root)
}

fn chunk(bytes: &[u8], number: u64, root: u32) -> [u32; 8] {
    let mut value = IV;
    let blocks = bytes.len().div_ceil(BLOCK).max(1);
    for nth in 0..blocks {
        let part = &bytes[nth * BLOCK..bytes.len().min((nth + 1) * BLOCK)];
        let mut padded = [0; BLOCK];
        padded[..part.len()].copy_from_slice(part);
        let mut block = [0; 16];
        for (word, four) in block.iter_mut().zip(padded.chunks_exact(4)) {
            *word = four.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        }
        let start = if nth == 0 { CHUNK_START } else { 0 };
        let end = if nth + 1 == blocks { CHUNK_END | root } else { 0 };
        value = compress(&value, &block, number, part.len(), start | end);
    }
    value
}

fn compress(value: &[u32; 8], block: &[u32; 16], number: u64, len: usize, flags: u32) -> [u32; 8] {
    let mut v = [0; 16];
    v[..8].copy_from_slice(value);
    v[8..12].copy_from_slice(&IV[..4]);
    let (low, high) = (number & 0xFFFF_FFFF, number >> 32);
    let rest = [low, high, len as u64].map(|n| u32::try_from(n).unwrap_or_default());
    v[12..15].copy_from_slice(&rest);
    v[15] = flags;
    let mut message = *block;
    for _ in 0..7 {
        for (nth, [a, b, c, d]) in [
            [0, 4, 8, 12],
            [1, 5, 9, 13],
            [2, 6, 10, 14],
            [3, 7, 11, 15],
            [0, 5, 10, 15],
            [1, 6, 11, 12],
            [2, 7, 8, 13],
            [3, 4, 9, 14],
        ]
        .into_iter()
        .enumerate()
        {
            for (word, [x, y]) in [(message[2 * nth], [16, 12]), (message[2 * nth + 1], [8, 7])] {
                v[a] = v[a].wrapping_add(v[b]).wrapping_add(word);
                v[d] = (v[d] ^ v[a]).rotate_right(x);
                v[c] = v[c].wrapping_add(v[d]);
                v[b] = (v[b] ^ v[c]).rotate_right(y);
            }
        }
        message = PERMUTATION.map(|from| message[from]);
    }
    std::array::from_fn(|n| v[n] ^ v[n + 8])
}
