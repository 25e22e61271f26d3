//! The state id: a Merkle root over what a member contains, chunk by chunk.
//!
//! Leaf `i` is BLAKE3 of the plain bytes of chunk `i`, zeros and holes being zero bytes. Trees are
//! shaped as in RFC 6962, 2.1: of `n` leaves, the left subtree has the largest power of two below
//! `n`. The root is bound to the member's size and chunk size.

mod subtree;

use crate::geometry::{ChunkNo, Geometry};
use crate::ids::{Digest, Domain, StateId, finish, keyed};

pub use subtree::Subtree;

/// Builds a state id from the chunks of a member in order, runs of zeros in one step.
#[derive(Debug)]
pub struct StateBuilder {
    geometry: Geometry,
    /// Complete subtrees, left to right, with their levels, levels falling.
    stack: Vec<(u32, Digest)>,
    /// The next leaf.
    next: u32,
    /// The root of a complete tree of zero chunks, for each level.
    zeros: Vec<Digest>,
}

impl StateBuilder {
    /// An empty tree for a member of this geometry.
    pub fn new(geometry: Geometry) -> Self {
        Self { geometry, stack: Vec::with_capacity(32), next: 0, zeros: Vec::new() }
    }

    /// How many chunks have been added.
    pub const fn len(&self) -> u32 {
        self.next
    }

    /// Whether no chunk has been added.
    pub const fn is_empty(&self) -> bool {
        self.next == 0
    }

    /// Adds the next chunk, by the BLAKE3 of its plain bytes.
    pub fn push(&mut self, leaf: Digest) {
        self.add(0, leaf);
    }

    /// Adds the next `count` chunks as zeros. The last chunk of the member may be short.
    pub fn push_zeros(&mut self, count: u32) {
        let end = self.next.saturating_add(count).min(self.geometry.chunks());
        let last = self.geometry.chunks().saturating_sub(1);
        let short = self.geometry.chunk_len(ChunkNo(last)) < self.geometry.chunk_size().bytes();
        let full_end = if short { end.min(last) } else { end };
        while self.next < full_end {
            let fits = (full_end - self.next).ilog2();
            let level = if self.next == 0 { fits } else { fits.min(self.next.trailing_zeros()) };
            let root = self.zero_root(level);
            self.add(level, root);
        }
        if self.next < end {
            self.add(0, zero_digest(self.geometry.chunk_len(ChunkNo(last))));
        }
    }

    /// The id, once every chunk of the member has been added; `None` before.
    pub fn finish(mut self) -> Option<StateId> {
        if self.next != self.geometry.chunks() {
            return None;
        }
        let (_, mut root) = self.stack.pop()?;
        while let Some((_, left)) = self.stack.pop() {
            root = node(left, root);
        }
        let mut hasher = keyed(Domain::StateRoot);
        hasher.update(&self.geometry.size().to_le_bytes());
        hasher.update(&u64::from(self.geometry.chunk_size().bytes()).to_le_bytes());
        hasher.update(root.as_bytes());
        Some(StateId(finish(&hasher)))
    }

    fn add(&mut self, mut level: u32, mut root: Digest) {
        self.next = self.next.saturating_add(1 << level);
        while let Some(&(top, left)) = self.stack.last() {
            if top != level {
                break;
            }
            self.stack.pop();
            root = node(left, root);
            level += 1;
        }
        self.stack.push((level, root));
    }

    fn zero_root(&mut self, level: u32) -> Digest {
        let leaf = || zero_digest(self.geometry.chunk_size().bytes());
        let mut root = self.zeros.last().copied().unwrap_or_else(leaf);
        if self.zeros.is_empty() {
            self.zeros.push(root);
        }
        while self.zeros.len() <= level as usize {
            root = node(root, root);
            self.zeros.push(root);
        }
        self.zeros.get(level as usize).copied().unwrap_or(root)
    }
}

fn node(left: Digest, right: Digest) -> Digest {
    let mut both = [0; 64];
    for (to, from) in both.iter_mut().zip(left.as_bytes().iter().chain(right.as_bytes())) {
        *to = *from;
    }
    Digest::from_bytes(*blake3::keyed_hash(Domain::StateNode.key(), &both).as_bytes())
}

/// BLAKE3 of `len` zero bytes.
pub fn zero_digest(len: u32) -> Digest {
    const ZEROS: [u8; 16 << 10] = [0; 16 << 10];
    let mut hasher = blake3::Hasher::new();
    let mut left = len as usize;
    while left > 0 {
        let take = left.min(ZEROS.len());
        hasher.update(ZEROS.get(..take).unwrap_or(&ZEROS));
        left -= take;
    }
    finish(&hasher)
}

#[cfg(test)]
mod tests {
    use super::{StateBuilder, node, zero_digest};
    use crate::geometry::{ChunkSize, Geometry};
    use crate::ids::Digest;
    use proptest::prelude::{any, prop, proptest};

    fn naive(leaves: &[Digest]) -> Digest {
        match leaves {
            [one] => *one,
            many => {
                let split = many.len().next_power_of_two() / 2;
                node(naive(&many[..split]), naive(&many[split..]))
            }
        }
    }

    proptest! {
        #[test]
        fn runs_give_the_same_tree_as_single_chunks(
            runs in prop::collection::vec((any::<bool>(), 1_u32..40), 1..8),
            tail in 1_u64..=4096,
        ) {
            let chunks: u32 = runs.iter().map(|(_, n)| n).sum();
            let size = u64::from(chunks - 1) * 4096 + tail;
            let geometry = Geometry::new(size, ChunkSize::MIN, 1 << 28).unwrap();
            let mut leaves = Vec::new();
            let mut fast = StateBuilder::new(geometry);
            for &(zero, count) in &runs {
                for _ in 0..count {
                    let len = geometry.chunk_len(crate::ChunkNo(u32::try_from(leaves.len()).unwrap()));
                    leaves.push(if zero { zero_digest(len) } else { Digest::of(&leaves.len().to_le_bytes()) });
                }
                if zero {
                    fast.push_zeros(count);
                } else {
                    leaves[leaves.len() - count as usize..].iter().for_each(|leaf| fast.push(*leaf));
                }
            }
            let mut slow = StateBuilder::new(geometry);
            for leaf in &leaves {
                slow.push(*leaf);
            }
            let root = slow.stack.iter().rev().map(|(_, d)| *d).reduce(|right, left| node(left, right));
            assert_eq!(root, Some(naive(&leaves)));
            assert_eq!(fast.finish(), slow.finish());
        }
    }
}
