//! ext2, ext3 and ext4 (`Documentation/filesystems/ext4/`): backup superblocks, group descriptors and
//! bitmaps, with their checksums where there are any.

use snapfmt::ReadAt;

use super::place::{Expected, Place, Test as Any, Verdict};
use crate::fields::{array, le16, le32};

/// Where the superblock is, in bytes, and how long.
const SUPERBLOCK: u64 = 1024;
const LEN: usize = 1024;
/// Most groups: 2^32 blocks of a volume in groups of at least 256.
const MAX_GROUPS: u64 = 1 << 24;
/// Copies of the superblock that are looked at.
const MOST_COPIES: usize = 4096;
/// Inodes of a group that are looked at.
const MOST_INODES: u32 = 4096;

/// What must be at a place.
pub(super) enum Test {
    /// A copy of the superblock.
    Backup { uuid: [u8; 16], group: u16 },
    /// Group descriptors, the first of this group.
    Descriptors { fs: Shared, group: u64, count: usize },
    /// A bitmap.
    Bitmap(Bitmap),
    /// Inodes of this length, the first with this number.
    Inodes { seed: u32, len: usize, first: u32 },
}

/// A bitmap by its first bytes, and what the descriptor of its group says of them.
pub(crate) struct Bitmap {
    /// Its block.
    pub(crate) block: u64,
    /// Of inodes: the first block of them, and how many may be in use.
    pub(crate) inodes: Option<(u64, u32)>,
    len: usize,
    says: Says,
}

enum Says {
    /// Their checksum, or half of it.
    Checksum { seed: u32, low: u16, high: Option<u16> },
    /// How many of their bits are not set.
    Free(u32),
}

/// What descriptors are checked with.
#[derive(Clone, Copy)]
pub(super) struct Shared {
    seed: Option<u32>,
    blocks: u64,
    len: usize,
}

/// What of a superblock is used.
pub(crate) struct Superblock {
    /// Where the filesystem starts in the volume, in bytes.
    pub(super) start: u64,
    pub(crate) block: u64,
    blocks: u64,
    pub(crate) first: u64,
    per_group: u64,
    clusters_per_group: u64,
    pub(super) inodes_per_group: u32,
    pub(crate) inode: usize,
    pub(super) groups: u64,
    pub(crate) descriptor: usize,
    /// Features that only writers need to know.
    read_only: u32,
    has_meta_groups: bool,
    /// The first inode that is not the filesystem's own, counted from 0.
    pub(crate) first_inode: u32,
    /// Whether inodes may have lost their last name and be in use.
    pub(crate) has_orphans: bool,
    uuid: [u8; 16],
    seed: Option<u32>,
}

/// A CRC-32C as the kernel continues it: nothing inverted.
fn chain(seed: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, bytes)
}

impl Superblock {
    pub(crate) fn read(head: &dyn ReadAt, start: u64) -> Option<Self> {
        let mut b = [0; LEN];
        head.read_exact_at(&mut b, start.checked_add(SUPERBLOCK)?).ok()?;
        if le16(&b, 0x38)? != 0xef53 {
            return None;
        }
        let block = 1024_u64.checked_shl(le32(&b, 0x18)?).filter(|b| (1024..=65536).contains(b))?;
        let (incompatible, read_only) = (le32(&b, 0x60)?, le32(&b, 0x64)?);
        let is_64bit = incompatible & 0x80 != 0;
        let high = if is_64bit { u64::from(le32(&b, 0x150)?) << 32 } else { 0 };
        let blocks = high | u64::from(le32(&b, 0x4)?);
        let (first, per_group) = (u64::from(le32(&b, 0x14)?), u64::from(le32(&b, 0x20)?));
        if per_group < 256 || per_group > block * 8 || blocks <= first {
            return None;
        }
        let groups = (blocks - first).div_ceil(per_group);
        let descriptor = if is_64bit { usize::from(le16(&b, 0xfe)?) } else { 32 };
        let is_sound = (32..=1024).contains(&descriptor) && descriptor.is_power_of_two();
        if groups > MAX_GROUPS || !is_sound || blocks.checked_mul(block).is_none() {
            return None;
        }
        let uuid: [u8; 16] = array(&b, 0x68)?;
        let own_seed = incompatible & 0x2000 != 0;
        let seed = if own_seed { le32(&b, 0x270)? } else { chain(!0, &uuid) };
        Some(Self {
            start,
            block,
            blocks,
            first,
            per_group,
            clusters_per_group: u64::from(le32(&b, 0x24)?),
            inodes_per_group: le32(&b, 0x28)?,
            inode: usize::from(le16(&b, 0x58)?),
            groups,
            descriptor,
            read_only,
            has_meta_groups: incompatible & 0x10 != 0,
            first_inode: le32(&b, 0x54)?.saturating_sub(1).max(10),
            has_orphans: le32(&b, 0xe8)? != 0 || read_only & 0x1_0000 != 0,
            uuid,
            seed: (read_only & 0x400 != 0).then_some(seed),
        })
    }

    /// Whether a group has a copy of the superblock.
    fn has_copy(&self, group: u64) -> bool {
        let is_power = |of: u64| {
            let mut power = of;
            while power < group {
                power *= of;
            }
            power == group
        };
        group == 1 || self.read_only & 1 == 0 || is_power(3) || is_power(5) || is_power(7)
    }

    /// Where a block is, in bytes from the start of the filesystem.
    pub(crate) fn at(&self, block: u64) -> Option<u64> {
        (block < self.blocks).then(|| block * self.block)
    }

    /// How many blocks the descriptors fill, one after the other; `None` where they are spread over the groups.
    pub(crate) fn descriptor_blocks(&self) -> Option<u64> {
        let in_block = self.block / self.descriptor as u64;
        (!self.has_meta_groups).then(|| self.groups.div_ceil(in_block))
    }

    /// The descriptors in such a block.
    pub(crate) fn descriptors<'b>(
        &self,
        number: u64,
        block: &'b [u8],
    ) -> impl Iterator<Item = &'b [u8]> {
        let before = number.saturating_mul(self.block / self.descriptor as u64);
        let count = usize::try_from(self.groups.saturating_sub(before)).unwrap_or(usize::MAX);
        block.chunks_exact(self.descriptor).take(count)
    }

    /// The bitmaps of a group by its descriptor. A group that was never used has none on the disk (`bg_flags`).
    pub(crate) fn bitmaps(&self, descriptor: &[u8]) -> Vec<Bitmap> {
        let is_long = self.descriptor >= 64;
        let half = |at| le16(descriptor, at).unwrap_or(0);
        let high = |at| is_long.then(|| half(at));
        let wide = |low, high| {
            let high = if is_long { le32(descriptor, high).unwrap_or(0) } else { 0 };
            u64::from(high) << 32 | u64::from(le32(descriptor, low).unwrap_or(0))
        };
        // Only with checksums a group says what of it was never used.
        let is_told = self.read_only & 0x410 != 0;
        let flags = if is_told { half(0x12) } else { 0 };
        let unused = if is_told { u32::from(half(0x1c)) } else { 0 };
        let used = self.inodes_per_group.saturating_sub(unused);
        let of = |says: Says, bits: u64, block, inodes| {
            let len = usize::try_from(bits / 8).ok().filter(|len| *len as u64 <= self.block)?;
            Some(Bitmap { block, inodes, len, says })
        };
        // The checksum and how much is free, each by the places of its lower and upper half.
        let count = |low, upper| u32::from(high(upper).unwrap_or(0)) << 16 | u32::from(half(low));
        let says = |sum: (usize, usize), free: (usize, usize)| match self.seed {
            Some(seed) => Says::Checksum { seed, low: half(sum.0), high: high(sum.1) },
            None => Says::Free(count(free.0, free.1)),
        };
        let blocks = says((0x18, 0x38), (0xc, 0x2c));
        let blocks = of(blocks, self.clusters_per_group, wide(0, 0x20), None);
        let inodes = says((0x1a, 0x3a), (0xe, 0x2e));
        let table = Some((wide(8, 0x28), used));
        let inodes = of(inodes, u64::from(self.inodes_per_group), wide(4, 0x24), table);
        let blocks = blocks.filter(|_| flags & 2 == 0);
        let inodes = inodes.filter(|_| flags & 1 == 0);
        blocks.into_iter().chain(inodes).collect()
    }
}

pub(super) fn expected(head: &dyn ReadAt, start: u64) -> Option<Expected<Superblock>> {
    let fs = Superblock::read(head, start)?;
    let mut places = Vec::new();
    let mut add = |at: Option<u64>, len: usize, test: Test| {
        if let Some(at) = at {
            places.push(Place { offset: start + at, len, test: Box::new(test) });
        }
    };
    for group in (1..fs.groups).filter(|group| fs.has_copy(*group)).take(MOST_COPIES) {
        let test = Test::Backup { uuid: fs.uuid, group: u16::try_from(group & 0xffff).ok()? };
        add(fs.at(fs.first + group * fs.per_group), LEN, test);
    }
    if !fs.has_meta_groups {
        let len = usize::try_from(fs.block).ok()?;
        let in_block = fs.block / fs.descriptor as u64;
        let shared = Shared { seed: fs.seed, blocks: fs.blocks, len: fs.descriptor };
        for number in 0..fs.groups.div_ceil(in_block) {
            let group = number * in_block;
            let count = usize::try_from((fs.groups - group).min(in_block)).ok()?;
            let test = Test::Descriptors { fs: shared, group, count };
            add(fs.at(fs.first + 1 + number), len, test);
        }
        tables(&fs, head, start, &mut add);
    }
    let size = start.checked_add(fs.blocks.checked_mul(fs.block)?)?;
    let filesystem = "ext2, ext3 or ext4";
    Some(Expected { filesystem, size, places, superblock: fs })
}

/// The bitmaps and inodes of the groups whose descriptors are in the first block of them.
fn tables(
    fs: &Superblock,
    head: &dyn ReadAt,
    start: u64,
    add: &mut impl FnMut(Option<u64>, usize, Test),
) {
    let Some(seed) = fs.seed else { return };
    let mut block = vec![0; usize::try_from(fs.block).unwrap_or(0)];
    let Some(at) = fs.at(fs.first + 1) else { return };
    if head.read_exact_at(&mut block, start + at).is_err() {
        return;
    }
    let groups = usize::try_from(fs.groups).unwrap_or(0);
    for (group, d) in (0..).zip(block.chunks_exact(fs.descriptor).take(groups)) {
        for bitmap in fs.bitmaps(d) {
            add(fs.at(bitmap.block), bitmap.len, Test::Bitmap(bitmap));
        }
        let half = |at| le16(d, at).unwrap_or(0);
        let high = if fs.descriptor >= 64 { le32(d, 0x28).unwrap_or(0) } else { 0 };
        let table = u64::from(high) << 32 | u64::from(le32(d, 8).unwrap_or(0));
        let unused = u32::from(half(0x1c));
        let used = fs.inodes_per_group.saturating_sub(unused).min(MOST_INODES);
        let first = fs.inodes_per_group.saturating_mul(group).saturating_add(1);
        inodes(fs, seed, table, first..first.saturating_add(used), add);
    }
}

/// A table of inodes, block by block.
fn inodes(
    fs: &Superblock,
    seed: u32,
    table: u64,
    numbers: std::ops::Range<u32>,
    add: &mut impl FnMut(Option<u64>, usize, Test),
) {
    let (Ok(len), true) = (usize::try_from(fs.block), fs.inode >= 128) else { return };
    let Some(in_block) = u32::try_from(len / fs.inode).ok().filter(|n| *n > 0) else { return };
    for (block, first) in (0..).zip(numbers.step_by(in_block as usize)) {
        let at = table.checked_add(block).and_then(|block| fs.at(block));
        add(at, len, Test::Inodes { seed, len: fs.inode, first });
    }
}

/// Whether an inode has its checksum (`fs/ext4/inode.c`, `ext4_inode_csum`).
fn is_inode(seed: u32, number: u32, bytes: &[u8]) -> bool {
    const LOW: usize = 0x7c;
    const HIGH: usize = 0x82;
    let part = |from: usize, to: usize| bytes.get(from..to).unwrap_or(&[]);
    let seed = chain(chain(seed, &number.to_le_bytes()), part(0x64, 0x68));
    let mut sum = chain(chain(seed, part(0, LOW)), &[0, 0]);
    sum = chain(sum, part(LOW + 2, 128));
    let has_high = bytes.len() > 128 && le16(bytes, 128).is_some_and(|extra| extra >= 4);
    if has_high {
        sum = chain(chain(sum, part(128, HIGH)), &[0, 0]);
        sum = chain(sum, part(HIGH + 2, bytes.len()));
    } else {
        sum = chain(sum, part(128, bytes.len()));
    }
    let halves = sum.to_le_bytes();
    let low = le16(&halves, 0) == le16(bytes, LOW);
    low && (!has_high || le16(&halves, 2) == le16(bytes, HIGH))
}

impl Any for Test {
    fn verdict(&self, bytes: &[u8]) -> Verdict {
        match self {
            Self::Backup { uuid, group } => Verdict::of(
                le16(bytes, 0x38) == Some(0xef53)
                    && array(bytes, 0x68) == Some(*uuid)
                    && le16(bytes, 0x5a) == Some(*group),
            ),
            Self::Descriptors { fs, group, count } => {
                let mut all = (*group..).zip(bytes.chunks_exact(fs.len).take(*count));
                Verdict::of(all.all(|(group, bytes)| fs.is_descriptor(group, bytes)))
            }
            Self::Bitmap(bitmap) => Verdict::of(bitmap.is(bytes)),
            Self::Inodes { seed, len, first } => {
                let all = (*first..).zip(bytes.chunks_exact(*len));
                let mut used = all.filter(|(_, inode)| inode.iter().any(|byte| *byte != 0));
                match used.next() {
                    None => Verdict::Nothing,
                    Some((number, inode)) => Verdict::of(
                        is_inode(*seed, number, inode)
                            && used.all(|(number, inode)| is_inode(*seed, number, inode)),
                    ),
                }
            }
        }
    }
}

impl Bitmap {
    /// Whether these bytes are what the descriptor speaks of.
    pub(crate) fn is(&self, bytes: &[u8]) -> bool {
        let bytes = bytes.get(..self.len).unwrap_or(bytes);
        match self.says {
            Says::Checksum { seed, low, high } => {
                let sum = chain(seed, bytes).to_le_bytes();
                le16(&sum, 0) == Some(low) && high.is_none_or(|high| le16(&sum, 2) == Some(high))
            }
            Says::Free(free) => bytes.iter().map(|byte| byte.count_zeros()).sum::<u32>() == free,
        }
    }
}

impl Shared {
    /// With a checksum, that; without one, places that can be.
    fn is_descriptor(&self, group: u64, bytes: &[u8]) -> bool {
        const CHECKSUM: usize = 0x1e;
        let Some(seed) = self.seed else {
            let place = |at| le32(bytes, at).map_or(0, u64::from);
            return [0, 4, 8].into_iter().all(|at| (1..self.blocks).contains(&place(at)));
        };
        let number = u32::try_from(group).unwrap_or(u32::MAX).to_le_bytes();
        let (before, after) = (bytes.get(..CHECKSUM), bytes.get(CHECKSUM + 2..));
        let (Some(before), Some(after)) = (before, after) else { return false };
        let sum = chain(chain(chain(chain(seed, &number), before), &[0, 0]), after);
        le16(&sum.to_le_bytes(), 0) == le16(bytes, CHECKSUM)
    }
}
