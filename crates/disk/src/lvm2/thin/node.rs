//! B-trees of a pool's metadata (`drivers/md/persistent-data/dm-btree-internal.h`).

use snapfmt::ReadAt;

use super::{BLOCK, BLOCK_LEN, ThinError};
use crate::fields::{le32, le64};

const HEADER_LEN: usize = 32;
const KEY_LEN: usize = 8;
const INTERNAL: u32 = 1;
const LEAF: u32 = 2;
/// Deepest tree: a node has at least two children, and there are less than 2^34 blocks; real ones
/// have hundreds and are four deep.
const MAX_DEPTH: usize = 34;

/// What a block is, which its checksum depends on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Checked {
    Superblock,
    Node,
}

impl Checked {
    const fn salt(self) -> u32 {
        match self {
            Self::Superblock => 160_774,
            Self::Node => 121_107,
        }
    }
}

/// Reads a block and proves its checksum and that it is in its place.
pub(super) fn read_block(
    bytes: &dyn ReadAt,
    block: u64,
    checked: Checked,
) -> Result<[u8; BLOCK_LEN], ThinError> {
    let mut buf = [0; BLOCK_LEN];
    let offset = block.checked_mul(BLOCK);
    let offset = offset.ok_or(ThinError::Field { block, field: "its number", found: block })?;
    bytes.read_exact_at(&mut buf, offset).map_err(|source| ThinError::Io { block, source })?;
    let (_, rest) = buf.split_at(4);
    let expected = le32(&buf, 0).unwrap_or(0);
    // The kernel does not invert the result (`dm_bm_checksum`).
    let found = !crc32c::crc32c(rest) ^ checked.salt();
    if found != expected {
        return Err(ThinError::Checksum { block, expected, found });
    }
    let own = le64(&buf, 8).unwrap_or(0);
    if own != block {
        return Err(ThinError::Field { block, field: "its own number", found: own });
    }
    Ok(buf)
}

/// The trees of one pool.
pub(super) struct Tree<'d> {
    pub(super) bytes: &'d dyn ReadAt,
    /// Blocks of metadata; no tree has more nodes.
    pub(super) blocks: u64,
}

/// A node with its entries in order.
struct Node {
    bytes: [u8; BLOCK_LEN],
    leaf: bool,
    entries: usize,
    /// Where values start.
    values: usize,
    value_len: usize,
}

impl Node {
    fn read(tree: &Tree<'_>, block: u64, leaf_value_len: usize) -> Result<Self, ThinError> {
        let bad = |field, found| ThinError::Field { block, field, found };
        if block == 0 || block >= tree.blocks {
            return Err(bad("its number", block));
        }
        let bytes = read_block(tree.bytes, block, Checked::Node)?;
        let half = |at| le32(&bytes, at).unwrap_or(0);
        let leaf = match half(4) {
            INTERNAL => false,
            LEAF => true,
            other => return Err(bad("its kind", other.into())),
        };
        let value_len = if leaf { leaf_value_len } else { 8 };
        if half(24) as usize != value_len {
            return Err(bad("the length of its values", half(24).into()));
        }
        let (entries, most) = (half(16), half(20));
        let room = (BLOCK_LEN - HEADER_LEN) / (KEY_LEN + value_len);
        if most as usize > room || entries > most || (entries == 0 && !leaf) {
            return Err(bad("the number of its entries", entries.into()));
        }
        let values = HEADER_LEN + KEY_LEN * most as usize;
        Ok(Self { leaf, entries: entries as usize, values, value_len, bytes })
    }

    fn key(&self, n: usize) -> u64 {
        le64(&self.bytes, HEADER_LEN + KEY_LEN * n).unwrap_or(0)
    }

    fn value(&self, n: usize) -> &[u8] {
        let start = self.values + self.value_len * n;
        self.bytes.get(start..start + self.value_len).unwrap_or(&[])
    }
}

impl Tree<'_> {
    /// Calls `entry` for each key and value in the tree below `root`, in order of the keys, until it
    /// fails.
    pub(super) fn walk(
        &self,
        root: u64,
        value_len: usize,
        mut entry: impl FnMut(u64, &[u8]) -> Result<(), ThinError>,
    ) -> Result<(), ThinError> {
        let mut visits = 0;
        let mut last = None;
        let mut stack = vec![(self.visit(root, value_len, &mut visits)?, root, 0)];
        while let Some((node, block, next)) = stack.last_mut() {
            if node.leaf {
                for n in 0..node.entries {
                    let key = node.key(n);
                    if last.is_some_and(|last| key <= last) {
                        let (block, field) = (*block, "a key out of order");
                        return Err(ThinError::Field { block, field, found: key });
                    }
                    last = Some(key);
                    entry(key, node.value(n))?;
                }
                stack.pop();
            } else if *next < node.entries {
                let child = le64(node.value(*next), 0).unwrap_or(0);
                *next += 1;
                if stack.len() >= MAX_DEPTH {
                    return Err(ThinError::TooMuch { what: "levels", max: MAX_DEPTH as u64 });
                }
                stack.push((self.visit(child, value_len, &mut visits)?, child, 0));
            } else {
                stack.pop();
            }
        }
        Ok(())
    }

    /// What `take` makes of the value of `key`, if the tree below `root` has it.
    pub(super) fn find<T>(
        &self,
        root: u64,
        value_len: usize,
        key: u64,
        take: impl Fn(&[u8]) -> T,
    ) -> Result<Option<T>, ThinError> {
        let mut block = root;
        for _ in 0..MAX_DEPTH {
            let node = Node::read(self, block, value_len)?;
            let not_beyond = (0..node.entries).take_while(|n| node.key(*n) <= key).count();
            let Some(last) = not_beyond.checked_sub(1) else { return Ok(None) };
            if node.leaf {
                return Ok((node.key(last) == key).then(|| take(node.value(last))));
            }
            block = le64(node.value(last), 0).unwrap_or(0);
        }
        Err(ThinError::TooMuch { what: "levels", max: MAX_DEPTH as u64 })
    }

    fn visit(&self, block: u64, value_len: usize, visits: &mut u64) -> Result<Node, ThinError> {
        *visits += 1;
        if *visits > self.blocks {
            return Err(ThinError::TooMuch { what: "nodes", max: self.blocks });
        }
        Node::read(self, block, value_len)
    }
}
