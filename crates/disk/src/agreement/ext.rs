//! ext2, ext3 and ext4: the descriptor of a group and its two bitmaps are blocks of their own, far from each
//! other, and change together.

use crate::filesystem::State;
use snapfmt::ReadAt;

use super::What;
use crate::fields::le16;
use crate::guess::ext::Superblock;

/// Most blocks of descriptors that are read, most bitmaps, and most blocks of inodes.
const MOST_BLOCKS: u64 = 48;
const MOST_BITMAPS: usize = 160;
const MOST_TABLES: usize = 224;

/// Bitmaps all over the filesystem, beside what their descriptors and inodes say. What is to be replayed from a
/// journal may be in place for one of them and not for the other: only of a filesystem left in order they must
/// agree.
pub(super) fn bitmaps(volume: &dyn ReadAt, state: State) -> Option<What> {
    let fs = Superblock::read(volume, 0).filter(|_| state == State::Clean)?;
    let mut found = Vec::new();
    let blocks = fs.descriptor_blocks()?;
    let step = usize::try_from(blocks.div_ceil(MOST_BLOCKS)).ok()?.max(1);
    for number in (0..blocks).step_by(step) {
        let bytes = block(volume, &fs, fs.first.checked_add(1 + number)?)?;
        found.extend(fs.descriptors(number, &bytes).flat_map(|d| fs.bitmaps(d)));
    }
    // An odd step meets bitmaps of blocks and of inodes, which take turns.
    let step = found.len().div_ceil(MOST_BITMAPS) | 1;
    let looked_at = found.len().div_ceil(step).max(1);
    let (mut checked, mut differ) = (0, 0);
    for bitmap in found.into_iter().step_by(step) {
        // What was found so far counts, too, where the rest cannot be read.
        let Some(bits) = block(volume, &fs, bitmap.block) else { break };
        checked += 1;
        if !bitmap.is(&bits) {
            differ += 1;
        } else if let Some(inodes) = bitmap.inodes {
            let (tables, wrong) =
                tables(volume, &fs, inodes, &bits, (MOST_TABLES / looked_at).max(1));
            checked += tables;
            differ += wrong;
        }
    }
    (differ > 0).then_some(What::Bitmaps { differ, checked })
}

/// Some blocks of a group's inodes, and how many of them have an inode that is in use and free by the bitmap, or
/// the other way round.
fn tables(
    volume: &dyn ReadAt,
    fs: &Superblock,
    (first, used): (u64, u32),
    bits: &[u8],
    most: usize,
) -> (usize, usize) {
    let in_block = usize::try_from(fs.block).unwrap_or(0) / fs.inode.max(128);
    let blocks = if in_block == 0 { 0 } else { (used as usize).div_ceil(in_block) };
    let own = usize::try_from(fs.first_inode).unwrap_or(usize::MAX);
    let (mut checked, mut differ) = (0, 0);
    for n in (0..blocks).step_by(blocks.div_ceil(most).max(1)) {
        let Some(bytes) = first.checked_add(n as u64).and_then(|n| block(volume, fs, n)) else {
            break;
        };
        let is_free = |bit: usize| bits.get(bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 0);
        let inodes = (n * in_block..).zip(bytes.chunks_exact(fs.inode.max(128)));
        let mut inodes = inodes.skip_while(|(bit, _)| *bit < own);
        checked += 1;
        differ += usize::from(inodes.any(|(bit, inode)| match (is_free(bit), has_a_name(inode)) {
            (true, has_a_name) => has_a_name,
            // A file may have been open when its last name went.
            (false, has_a_name) => !has_a_name && !fs.has_orphans,
        }));
    }
    (checked, differ)
}

/// Whether an inode has a mode and links.
fn has_a_name(inode: &[u8]) -> bool {
    le16(inode, 0) != Some(0) && le16(inode, 0x1a) != Some(0)
}

fn block(volume: &dyn ReadAt, fs: &Superblock, number: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(fs.block).ok()?];
    volume.read_exact_at(&mut bytes, fs.at(number)?).ok()?;
    Some(bytes)
}
