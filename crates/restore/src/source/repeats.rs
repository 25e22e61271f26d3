//! Chunks that many records refer to, decoded once and not once for each.

use std::collections::VecDeque;

use snapfmt::{Digest, Stored};

/// A chunk of a file, by all that its proof rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ChunkKey {
    /// The file's address, while it is open.
    pub(super) file: usize,
    pub(super) stored: Stored,
    pub(super) digest: Digest,
    pub(super) len: usize,
}

/// How many chunks are remembered as read.
const REMEMBERED: usize = 32;

/// What a worker read last; and the plain bytes of one chunk that it read twice within that.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    read: VecDeque<ChunkKey>,
    kept: Option<ChunkKey>,
    plain: Vec<u8>,
}

impl Repeats {
    /// Fills `out` with the bytes of the chunk, if they are kept.
    pub(super) fn fill(&self, key: &ChunkKey, out: &mut [u8]) -> bool {
        let is_kept = self.kept.as_ref() == Some(key) && self.plain.len() == out.len();
        if is_kept {
            out.copy_from_slice(&self.plain);
        }
        is_kept
    }

    /// Takes note of a chunk that was read and proved. Copying costs nothing where no chunk comes twice.
    pub(super) fn note(&mut self, key: ChunkKey, plain: &[u8]) {
        if self.read.contains(&key) {
            self.plain.clear();
            self.plain.extend_from_slice(plain);
            self.kept = Some(key);
            return;
        }
        if self.read.len() >= REMEMBERED {
            self.read.pop_front();
        }
        self.read.push_back(key);
    }
}

#[cfg(test)]
mod tests {
    use snapfmt::{Digest, Stored};

    use super::{ChunkKey, Repeats};

    #[test]
    fn a_chunk_read_twice_is_kept_and_no_other_is_taken_for_it() {
        let key = |offset| ChunkKey {
            file: 1,
            stored: Stored { offset, len: 3, crc: 5 },
            digest: Digest::of(b"abcd"),
            len: 4,
        };
        let (mut repeats, mut out) = (Repeats::default(), *b"....");
        repeats.note(key(0), b"abcd");
        assert!(!repeats.fill(&key(0), &mut out));
        // Others in between are no matter.
        (1..9).for_each(|offset| repeats.note(key(offset), b"else"));
        repeats.note(key(0), b"abcd");
        assert!(repeats.fill(&key(0), &mut out) && out == *b"abcd");
        for other in [key(1), ChunkKey { file: 2, ..key(0) }, ChunkKey { len: 5, ..key(0) }] {
            assert!(!repeats.fill(&other, &mut out));
        }
    }
}
