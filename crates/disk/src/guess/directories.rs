//! Directories of an ext filesystem: each inode of one says where its first block is, and that begins
//! with the directory's own number.

use snapfmt::ReadAt;

use super::ext::Superblock;
use crate::fields::{array, le16, le32};

/// Groups, inodes of a group, and directories that are looked at.
const MOST_GROUPS: u64 = 64;
const MOST_INODES: u32 = 2048;
const MOST: usize = 64;

/// How many directories were looked at, and how many of them begin as they must.
pub(super) fn directories(volume: &dyn ReadAt, fs: &Superblock) -> (usize, usize) {
    let (mut checked, mut found) = (0, 0);
    for group in 0..fs.groups.min(MOST_GROUPS) {
        let Some((table, used)) = table(volume, fs, group) else { continue };
        let mut inode = vec![0; fs.inode];
        for n in 0..used.min(MOST_INODES) {
            if checked >= MOST {
                return (checked, found);
            }
            let offset = table.saturating_add(u64::from(n) * fs.inode as u64);
            if volume.read_exact_at(&mut inode, offset).is_err() {
                break;
            }
            let number = u64::from(fs.inodes_per_group) * group + u64::from(n) + 1;
            if let Some(block) = directory_block(&inode).and_then(|block| fs.at(block)) {
                checked += 1;
                found += usize::from(begins(volume, fs.start + block, number));
            }
        }
    }
    (checked, found)
}

/// Where a group's inodes are, in bytes, and how many of them may be used.
fn table(volume: &dyn ReadAt, fs: &Superblock, group: u64) -> Option<(u64, u32)> {
    let mut d = vec![0; fs.descriptor];
    let first = fs.start + fs.at(fs.first + 1)?;
    volume.read_exact_at(&mut d, first + group * fs.descriptor as u64).ok()?;
    let high = if fs.descriptor >= 64 { le32(&d, 0x28)? } else { 0 };
    let table = fs.at(u64::from(high) << 32 | u64::from(le32(&d, 8)?))?;
    let unused = u32::from(le16(&d, 0x1c)?);
    Some((fs.start + table, fs.inodes_per_group.saturating_sub(unused)))
}

/// The first block of a directory whose inode this is; `None` if it is something else.
fn directory_block(inode: &[u8]) -> Option<u64> {
    const DIRECTORY: u16 = 0x4000;
    const INLINE: u32 = 0x1000_0000;
    const EXTENTS: u32 = 0x8_0000;
    let (mode, links, flags) = (le16(inode, 0)?, le16(inode, 0x1a)?, le32(inode, 0x20)?);
    if mode & 0xf000 != DIRECTORY || links == 0 || flags & INLINE != 0 {
        return None;
    }
    if flags & EXTENTS == 0 {
        return le32(inode, 0x28).map(u64::from);
    }
    // A header of 12 bytes, here of a tree without further levels, then the first extent.
    let is_leaf = le16(inode, 0x28)? == 0xf30a && le16(inode, 0x2e)? == 0;
    let starts = le32(inode, 0x34)? == 0 && le16(inode, 0x2a)? > 0;
    let high = u64::from(le16(inode, 0x3a)?) << 32;
    (is_leaf && starts).then_some(high | u64::from(le32(inode, 0x3c)?))
}

/// Whether a directory's entry for itself is there.
fn begins(volume: &dyn ReadAt, offset: u64, number: u64) -> bool {
    let mut entry = [0; 12];
    volume.read_exact_at(&mut entry, offset).is_ok()
        && le32(&entry, 0).map(u64::from) == Some(number)
        && le16(&entry, 4) == Some(12)
        && array(&entry, 8) == Some(*b".\0\0\0")
}
