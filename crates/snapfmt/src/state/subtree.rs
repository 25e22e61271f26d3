//! A part of the tree that is carried from one generation of a member to the next: what changes costs its
//! own way to the root, and what stays costs nothing.

use std::ops::Range;

use super::{StateBuilder, node, zero_digest};
use crate::geometry::ChunkSize;
use crate::ids::Digest;

/// Levels between the leaves and the root.
const LEVELS: u32 = 16;

/// A complete subtree over [`Subtree::SPAN`] chunks.
#[derive(Debug)]
pub struct Subtree {
    /// The root is at 1, the children of `n` are at `2n` and `2n + 1`.
    nodes: Vec<Digest>,
    /// Whether a node is over zeros alone and its children are yet to be told so.
    is_uniform: Vec<bool>,
    /// The nodes that were set since the tree was settled, by level.
    set: Vec<Vec<usize>>,
    /// The root of a tree of zero chunks, by level.
    zeros: Vec<Digest>,
}

impl Subtree {
    /// How many chunks it is over.
    pub const SPAN: u32 = 1 << LEVELS;

    /// A tree whose leaves are not known yet.
    pub fn new(chunk_size: ChunkSize) -> Self {
        let nodes = 2 * Self::SPAN as usize;
        let leaf = zero_digest(chunk_size.bytes());
        let zeros = std::iter::successors(Some(leaf), |root| Some(node(*root, *root)));
        Self {
            nodes: vec![Digest::default(); nodes],
            is_uniform: vec![false; nodes],
            set: vec![Vec::new(); LEVELS as usize + 1],
            zeros: zeros.take(LEVELS as usize + 1).collect(),
        }
    }

    /// Sets leaf `at` to the BLAKE3 of a chunk's plain bytes.
    pub fn set(&mut self, at: u32, leaf: Digest) {
        self.put(0, at, leaf);
    }

    /// Sets leaves to those of zero chunks of full length.
    pub fn set_zeros(&mut self, leaves: Range<u32>) {
        for (level, at) in complete(leaves) {
            let root = self.zero_root(level);
            self.put(level, at, root);
        }
    }

    /// Adds the first `count` leaves, all of which are known, to a state.
    pub fn add_to(&mut self, state: &mut StateBuilder, count: u32) {
        self.settle();
        for (level, at) in complete(0..count.min(Self::SPAN)) {
            let place = place(level, at);
            self.tell_children(level, place);
            state.add(level, self.node(place));
        }
    }

    fn put(&mut self, level: u32, at: u32, root: Digest) {
        let place = place(level, at);
        self.tell_children(level, place);
        self.write(place, root, level > 0);
        if let Some(set) = self.set.get_mut(level as usize) {
            set.push(place);
        }
    }

    /// Makes the nodes above and beside `place`, which is on `level`, say what they are.
    fn tell_children(&mut self, level: u32, place: usize) {
        for above in (level + 1..=LEVELS).rev() {
            let parent = place >> (above - level);
            if self.is_uniform.get(parent) == Some(&true) {
                let root = self.zero_root(above - 1);
                self.write(2 * parent, root, above > 1);
                self.write(2 * parent + 1, root, above > 1);
                let above = self.node(parent);
                self.write(parent, above, false);
            }
        }
    }

    /// Computes every node above those that were set.
    fn settle(&mut self) {
        let mut below: Vec<usize> = Vec::new();
        for level in 0..=LEVELS {
            for place in below.iter().copied() {
                if self.is_uniform.get(place) != Some(&true) {
                    let root = node(self.node(2 * place), self.node(2 * place + 1));
                    self.write(place, root, false);
                }
            }
            if let Some(set) = self.set.get_mut(level as usize) {
                below.append(set);
            }
            for place in &mut below {
                *place /= 2;
            }
            below.sort_unstable();
            below.dedup();
        }
    }

    fn write(&mut self, place: usize, root: Digest, is_uniform: bool) {
        if let Some(node) = self.nodes.get_mut(place) {
            *node = root;
        }
        if let Some(flag) = self.is_uniform.get_mut(place) {
            *flag = is_uniform;
        }
    }

    fn node(&self, place: usize) -> Digest {
        self.nodes.get(place).copied().unwrap_or_default()
    }

    fn zero_root(&self, level: u32) -> Digest {
        self.zeros.get(level as usize).copied().unwrap_or_default()
    }
}

/// Where the tree that begins with leaf `at` is.
const fn place(level: u32, at: u32) -> usize {
    ((Subtree::SPAN + at) >> level) as usize
}

/// The largest complete trees that make up a run of leaves: their levels and first leaves.
fn complete(leaves: Range<u32>) -> impl Iterator<Item = (u32, u32)> {
    let end = leaves.end.min(Subtree::SPAN);
    let mut at = leaves.start;
    std::iter::from_fn(move || {
        let fits = end.checked_sub(at)?.checked_ilog2()?;
        let level = if at == 0 { fits } else { fits.min(at.trailing_zeros()) };
        let first = at;
        at += 1 << level;
        Some((level, first))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, proptest};

    use super::Subtree;
    use crate::geometry::{ChunkSize, Geometry};
    use crate::ids::Digest;
    use crate::state::{StateBuilder, zero_digest};

    proptest! {
        #[test]
        fn what_is_carried_on_is_what_is_built_anew(
            generations in prop::collection::vec(
                (prop::collection::vec((0_u32..900, 1_u32..300, any::<bool>()), 0..6), 1_u32..1000),
                1..6,
            ),
        ) {
            let zero = zero_digest(4096);
            let mut leaves = vec![zero; 1000];
            let mut tree = Subtree::new(ChunkSize::MIN);
            tree.set_zeros(0..Subtree::SPAN);
            for (generation, (changes, count)) in generations.iter().enumerate() {
                for &(start, len, is_zero) in changes {
                    let range = start..(start + len).min(1000);
                    for at in range.clone() {
                        let data = Digest::of(format!("{generation} {at}").as_bytes());
                        leaves[at as usize] = if is_zero { zero } else { data };
                        if !is_zero {
                            tree.set(at, data);
                        }
                    }
                    if is_zero {
                        tree.set_zeros(range);
                    }
                }
                let size = u64::from(*count) * 4096;
                let geometry = Geometry::new(size, ChunkSize::MIN, 1 << 28).unwrap();
                let (mut carried, mut anew) =
                    (StateBuilder::new(geometry), StateBuilder::new(geometry));
                tree.add_to(&mut carried, *count);
                leaves.iter().take(*count as usize).for_each(|leaf| anew.push(*leaf));
                assert_eq!(carried.finish(), anew.finish());
            }
        }
    }
}
