//! btrfs (`fs/btrfs/disk-io.h`, `include/uapi/linux/btrfs_tree.h`): copies of the superblock at 64 KiB,
//! 64 MiB and 256 GiB, each of which says where it is, and nodes of trees with their addresses, which
//! the chunk tree translates.

use std::collections::{BTreeMap, BTreeSet};

use snapfmt::ReadAt;

use super::parts::{Part, place};
use super::place::Expected;
use super::scan::{Blocks, Scan};
use crate::fields::{array, le16, le32, le64};

/// Where the first superblock is.
pub(super) const FIRST: u64 = 64 << 10;
const MAGIC: &[u8] = b"_BHRfS_M";
/// Smallest node, which is also what nodes and superblocks are aligned to.
const UNIT: u64 = 4096;
const LEN: usize = 4096;
const HEADER_LEN: usize = 101;
const ITEM_LEN: usize = 25;
const KEY_LEN: usize = 17;
const CHUNK_LEN: usize = 48;
const STRIPE_LEN: usize = 32;

/// What of a superblock is used.
pub(super) struct Superblock {
    /// Where the filesystem starts in the volume, in bytes.
    start: u64,
    id: [u8; 16],
    node: usize,
    device: u64,
    system: Vec<Chunk>,
}

/// A range of addresses and where it is on the volume: once or twice.
struct Chunk {
    address: u64,
    length: u64,
    is_data: bool,
    at: Vec<u64>,
}

/// By the superblock in its place behind the beginning of a filesystem.
pub(super) fn expected(head: &dyn ReadAt, start: u64) -> Option<Expected<Superblock>> {
    let mut b = [0; LEN];
    head.read_exact_at(&mut b, start.checked_add(FIRST)?).ok()?;
    of_superblock(&b, start)
}

/// By the superblock of a volume whose first stripes are shorter than where that is: it is at the
/// beginning of one of them.
pub(super) fn expected_of_short_stripes(scan: &Scan<'_>) -> Option<Expected<Superblock>> {
    for member in scan.members {
        for offset in (0..FIRST).step_by(LEN) {
            let mut b = [0; LEN];
            if member.read_exact_at(&mut b, scan.start.checked_add(offset)?).is_ok()
                && let Some(found) = of_superblock(&b, 0)
            {
                return Some(found);
            }
        }
    }
    None
}

fn of_superblock(b: &[u8; LEN], start: u64) -> Option<Expected<Superblock>> {
    if b.get(0x40..0x48) != Some(MAGIC) || le64(b, 0x30)? != FIRST {
        return None;
    }
    let (id, size): ([u8; 16], u64) = (array(b, 0x20)?, le64(b, 0x70)?);
    let end = start.checked_add(size)?;
    let copies = [FIRST, 64 << 20, 256 << 30].into_iter().filter(|at| at + UNIT <= size);
    let superblock = |at: u64| {
        let own = at.to_le_bytes().to_vec();
        place(start + at, vec![(0x20, id.to_vec()), (0x30, own), (0x40, MAGIC.to_vec())])
    };
    let places = copies.map(superblock).collect();
    let node = usize::try_from(le32(b, 0x94)?).ok()?;
    if !(LEN..=65536).contains(&node) || !node.is_power_of_two() {
        return None;
    }
    let mut fs = Superblock { start, id, node, device: le64(b, 0xc9)?, system: Vec::new() };
    let used = usize::try_from(le32(b, 0xa0)?).ok()?;
    let mut rest = b.get(0x32b..)?.get(..used)?;
    while let Some((key, chunk)) = rest.split_at_checked(KEY_LEN) {
        let Some((chunk, len)) = fs.chunk(key, chunk) else { break };
        fs.system.push(chunk);
        rest = rest.get(KEY_LEN + len..).unwrap_or(&[]);
    }
    Some(Expected { filesystem: "btrfs", size: end, places, superblock: fs })
}

impl Superblock {
    /// A chunk by its key and its item, whose length comes with it.
    fn chunk(&self, key: &[u8], item: &[u8]) -> Option<(Chunk, usize)> {
        const CHUNK: u8 = 228;
        const DATA: u64 = 1;
        if key.get(8) != Some(&CHUNK) {
            return None;
        }
        let stripes = usize::from(le16(item, 44)?);
        let len = CHUNK_LEN + stripes * STRIPE_LEN;
        let stripes = item.get(CHUNK_LEN..len)?.chunks_exact(STRIPE_LEN);
        let own = stripes.filter(|stripe| le64(stripe, 0) == Some(self.device));
        let at = own.filter_map(|stripe| le64(stripe, 8)?.checked_add(self.start)).collect();
        let is_data = le64(item, 24)? & DATA != 0;
        let chunk = Chunk { address: le64(key, 9)?, length: le64(item, 0)?, is_data, at };
        Some((chunk, len))
    }

    /// The address of a node, if that is what these bytes are.
    fn address(&self, bytes: &[u8]) -> Option<u64> {
        let is_own = array(bytes, 0x20) == Some(self.id);
        // A superblock has its id in the same place.
        let is_node = bytes.get(0x40..0x48) != Some(MAGIC);
        if is_own && is_node { le64(bytes, 0x30) } else { None }
    }

    /// Nodes of all trees, as far as the chunk tree is found in one piece.
    pub(super) fn blocks(&self, scan: &Scan<'_>) -> Blocks {
        let system: Vec<u64> = self.system.iter().flat_map(|chunk| chunk.at.clone()).collect();
        let mut leaves = BTreeMap::new();
        scan.around(&system, self.node, |bytes| {
            const CHUNK_TREE: u64 = 3;
            if self.address(bytes).is_some()
                && le64(bytes, 88) == Some(CHUNK_TREE)
                && bytes.get(100) == Some(&0)
            {
                leaves.insert(le64(bytes, 80), self.chunks(bytes));
            }
        });
        // What is said last counts.
        let mut chunks = BTreeMap::new();
        let system = self.system.iter().map(|c| (c.address, c.length, c.at.clone()));
        chunks.extend(system.map(|(address, length, at)| (address, (length, at))));
        for chunk in leaves.into_values().flatten().filter(|chunk| !chunk.is_data) {
            chunks.insert(chunk.address, (chunk.length, chunk.at));
        }
        let places: Vec<u64> = chunks.values().flat_map(|(_, at)| at.clone()).collect();
        let mut addresses = BTreeSet::new();
        scan.around(&places, LEN, |bytes| addresses.extend(self.address(bytes)));
        let mut blocks = Blocks::default();
        for address in addresses {
            let Some((first, (length, at))) = chunks.range(..=address).next_back() else {
                continue;
            };
            for at in at.iter().filter(|_| address - first < *length) {
                let parts: Vec<Part> =
                    vec![(0x20, self.id.to_vec()), (0x30, address.to_le_bytes().to_vec())];
                blocks.add(at.saturating_add(address - first), parts);
            }
        }
        blocks
    }

    /// The chunks in a leaf of their tree.
    fn chunks(&self, leaf: &[u8]) -> Vec<Chunk> {
        let count = le32(leaf, 96).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        let items = leaf.get(HEADER_LEN..).unwrap_or(&[]).chunks_exact(ITEM_LEN).take(count);
        let chunk = |item: &[u8]| {
            let data = HEADER_LEN.checked_add(usize::try_from(le32(item, KEY_LEN)?).ok()?)?;
            Some(self.chunk(item.get(..KEY_LEN)?, leaf.get(data..)?)?.0)
        };
        items.filter_map(chunk).collect()
    }
}
