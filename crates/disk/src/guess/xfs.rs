//! XFS (`fs/xfs/libxfs/xfs_format.h`): every allocation group begins with a copy of the superblock,
//! followed in sectors of their own by two headers that have the group's number; inodes and blocks of
//! trees and directories say where they are.

use std::ops::Range;

use snapfmt::ReadAt;

use super::parts::place;
use super::place::Expected;
use super::scan::{Blocks, Scan};
use crate::fields::array;

/// Most groups; each has at least 16 MiB, usually many GiB.
const MAX_GROUPS: u64 = 1 << 16;
/// Unit of addresses in blocks, in bytes.
const SECTOR: u64 = 512;

/// What of a superblock is used.
pub(crate) struct Superblock {
    /// Where the filesystem starts in the volume, in bytes.
    start: u64,
    size: u64,
    block: u64,
    group_blocks: u64,
    groups: u64,
    inode: u64,
    /// Bits of an inode's number that are its place in its block, and its block's in its group.
    in_block: u32,
    in_group: u32,
    sector: u64,
    uuid: [u8; 16],
    /// Where the log begins, as a group and a block of it, and how many blocks it has; nowhere if it is on another
    /// device.
    log: (u64, u64),
}

pub(super) fn expected(head: &dyn ReadAt, start: u64) -> Option<Expected<Superblock>> {
    let fs = Superblock::read(head, start)?;
    let mut places = Vec::new();
    for group in 0..fs.groups {
        let at = fs.at(group, 0)?;
        let number = u32::try_from(group).ok()?.to_be_bytes().to_vec();
        if group > 0 {
            places.push(place(at, vec![(0, b"XFSB".to_vec()), (32, fs.uuid.to_vec())]));
        }
        for (n, magic) in [(1, b"XAGF"), (2, b"XAGI")] {
            let header = vec![(0, magic.to_vec()), (8, number.clone())];
            places.push(place(at.checked_add(n * fs.sector)?, header));
        }
    }
    Some(Expected { filesystem: "XFS", size: start + fs.size, places, superblock: fs })
}

impl Superblock {
    pub(crate) fn read(head: &dyn ReadAt, start: u64) -> Option<Self> {
        let mut b = [0; 512];
        head.read_exact_at(&mut b, start).ok()?;
        if !b.starts_with(b"XFSB") {
            return None;
        }
        let half = |at| array(&b, at).map(u32::from_be_bytes);
        let short = |at| array(&b, at).map(u16::from_be_bytes).map(u64::from);
        let byte = |at| b.get(at).copied().map(u32::from);
        let block = u64::from(half(4)?);
        let blocks = array(&b, 8).map(u64::from_be_bytes)?;
        let uuid: [u8; 16] = array(&b, 32)?;
        let (group_blocks, groups) = (u64::from(half(84)?), u64::from(half(88)?));
        let sector = short(102)?;
        if !(512..=65536).contains(&block)
            || !(512..=32768).contains(&sector)
            || groups > MAX_GROUPS
        {
            return None;
        }
        let size = blocks.checked_mul(block)?;
        start.checked_add(size)?;
        let (inode, in_block, in_group) = (short(104)?, byte(123)?, byte(124)?);
        if in_block > 16 || in_group > 32 {
            return None;
        }
        let log = (array(&b, 48).map(u64::from_be_bytes)?, u64::from(half(96)?));
        Some(Self {
            start,
            size,
            block,
            group_blocks,
            groups,
            inode,
            in_block,
            in_group,
            sector,
            uuid,
            log,
        })
    }

    /// Where the log is in the volume; `None` if it is on another device.
    pub(crate) fn log(&self) -> Option<Range<u64>> {
        let (first, blocks) = self.log;
        let start = self.at(first >> self.in_group, first & ((1 << self.in_group) - 1))?;
        let end = start.checked_add(blocks.checked_mul(self.block)?)?;
        (first > 0 && end <= self.start + self.size).then_some(start..end)
    }

    /// Where a group's block is in the volume.
    fn at(&self, group: u64, block: u64) -> Option<u64> {
        let blocks = group.checked_mul(self.group_blocks)?.checked_add(block)?;
        self.start.checked_add(blocks.checked_mul(self.block)?)
    }

    /// Blocks of trees and directories, and blocks of inodes.
    pub(super) fn blocks(&self, scan: &Scan<'_>) -> Blocks {
        let groups: Vec<u64> = (0..self.groups).filter_map(|group| self.at(group, 0)).collect();
        let mut blocks = Blocks::default();
        let unit = usize::try_from(self.block).unwrap_or(4096);
        scan.around(&groups, unit, |bytes| {
            let found = self.addressed(bytes).or_else(|| self.inode(bytes));
            if let Some((at, magic, field)) = found
                && at < self.start + self.size
                && let Some(own) = array::<8>(bytes, field)
            {
                let magic = bytes.get(..magic).unwrap_or(&[]).to_vec();
                blocks.add(at, vec![(0, magic), (field, own.to_vec())]);
            }
        });
        blocks
    }

    /// Where a block says it is, how long its magic number is, and which field says it.
    fn addressed(&self, bytes: &[u8]) -> Option<(u64, usize, usize)> {
        let field = match &array::<4>(bytes, 0)? {
            b"AB3B" | b"AB3C" | b"IAB3" | b"FIB3" | b"RMB3" | b"R3FC" => 16,
            b"XDB3" | b"XDD3" => 8,
            b"BMA3" => 24,
            _ => return None,
        };
        let own = array(bytes, field).map(u64::from_be_bytes)?;
        Some((self.start.checked_add(own.checked_mul(SECTOR)?)?, 4, field))
    }

    /// The same of the first inode in a block; those before version 3 do not say it.
    fn inode(&self, bytes: &[u8]) -> Option<(u64, usize, usize)> {
        const NUMBER: usize = 152;
        if !bytes.starts_with(b"IN") || bytes.get(4) != Some(&3) {
            return None;
        }
        let number = array(bytes, NUMBER).map(u64::from_be_bytes)?;
        let (block, place) = (number >> self.in_block, number & ((1 << self.in_block) - 1));
        let at = self.at(block >> self.in_group, block & ((1 << self.in_group) - 1))?;
        Some((at.checked_add(place * self.inode)?, 2, NUMBER))
    }
}
