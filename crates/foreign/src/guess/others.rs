//! XFS, btrfs and NTFS: copies of superblocks, and headers that say where they are.

use restore::snapfmt::ReadAt;

use super::evidence::{Evidence, Place, Test as Any};
use crate::fields::{array, le16, le64};

/// What must be at a place: bytes at offsets from it.
pub(super) struct Test(Vec<(usize, Vec<u8>)>);

impl Test {
    pub(super) fn holds(&self, bytes: &[u8]) -> bool {
        let has = |(at, part): &(usize, Vec<u8>)| {
            bytes.get(*at..).is_some_and(|bytes| bytes.starts_with(part))
        };
        self.0.iter().all(has)
    }
}

pub(super) fn evidence(head: &dyn ReadAt, start: u64) -> Option<Evidence> {
    xfs(head, start).or_else(|| btrfs(head, start)).or_else(|| ntfs(head, start))
}

fn place(offset: u64, len: usize, parts: Vec<(usize, Vec<u8>)>) -> Place {
    Place { offset, len, test: Any::Other(Test(parts)) }
}

/// Every allocation group begins with a copy of the superblock, followed in sectors of their own by
/// two headers that have the group's number (`fs/xfs/libxfs/xfs_format.h`).
fn xfs(head: &dyn ReadAt, start: u64) -> Option<Evidence> {
    const MAX_GROUPS: u64 = 1 << 20;
    let mut b = [0; 512];
    head.read_exact_at(&mut b, start).ok()?;
    if !b.starts_with(b"XFSB") {
        return None;
    }
    let half = |at| array(&b, at).map(u32::from_be_bytes);
    let block = u64::from(half(4)?);
    let blocks = array(&b, 8).map(u64::from_be_bytes)?;
    let uuid: [u8; 16] = array(&b, 32)?;
    let (group_blocks, groups) = (u64::from(half(84)?), u64::from(half(88)?));
    let sector = u64::from(array(&b, 102).map(u16::from_be_bytes)?);
    if !(512..=65536).contains(&block) || !(512..=32768).contains(&sector) || groups > MAX_GROUPS {
        return None;
    }
    let mut places = Vec::new();
    for group in 0..groups {
        let at = start.checked_add(group.checked_mul(group_blocks.checked_mul(block)?)?)?;
        let number = u32::try_from(group).ok()?.to_be_bytes().to_vec();
        if group > 0 {
            let copy = vec![(0, b"XFSB".to_vec()), (32, uuid.to_vec())];
            places.push(place(at, 512, copy));
        }
        for (n, magic) in [(1, b"XAGF"), (2, b"XAGI")] {
            let header = vec![(0, magic.to_vec()), (8, number.clone())];
            places.push(place(at.checked_add(n * sector)?, 512, header));
        }
    }
    let size = start.checked_add(blocks.checked_mul(block)?)?;
    Some(Evidence { filesystem: "XFS", size, places, ext: None })
}

/// Copies of the superblock at 64 MiB and 256 GiB, each of which says where it is
/// (`fs/btrfs/disk-io.h`).
fn btrfs(head: &dyn ReadAt, start: u64) -> Option<Evidence> {
    const FIRST: u64 = 64 << 10;
    let mut b = [0; 512];
    head.read_exact_at(&mut b, start.checked_add(FIRST)?).ok()?;
    if array(&b, 0x40) != Some(*b"_BHRfS_M") {
        return None;
    }
    let (id, size): ([u8; 16], u64) = (array(&b, 0x20)?, le64(&b, 0x70)?);
    let copies = [64 << 20, 256 << 30].into_iter().filter(|at| at + 4096 <= size);
    let places = copies.map(|at: u64| {
        let own = at.to_le_bytes().to_vec();
        let parts = vec![(0x20, id.to_vec()), (0x30, own), (0x40, b"_BHRfS_M".to_vec())];
        place(start + at, 512, parts)
    });
    Some(Evidence {
        filesystem: "btrfs",
        size: start.checked_add(size)?,
        places: places.collect(),
        ext: None,
    })
}

/// The first records of the file table and of its mirror, and a copy of the first sector behind the
/// end (`fs/ntfs3/ntfs.h`).
fn ntfs(head: &dyn ReadAt, start: u64) -> Option<Evidence> {
    let mut b = [0; 512];
    head.read_exact_at(&mut b, start).ok()?;
    if array(&b, 3) != Some(*b"NTFS    ") {
        return None;
    }
    let sector = u64::from(le16(&b, 11)?);
    let cluster = sector.checked_mul(u64::from(*b.get(13)?))?;
    let sectors = le64(&b, 40)?;
    if !(256..=4096).contains(&sector) || cluster == 0 {
        return None;
    }
    let size = start.checked_add(sectors.checked_add(1)?.checked_mul(sector)?)?;
    let mut places = Vec::new();
    for table in [le64(&b, 48)?, le64(&b, 56)?] {
        let at = start.checked_add(table.checked_mul(cluster)?)?;
        places.push(place(at, 512, vec![(0, b"FILE".to_vec())]));
    }
    let copy = vec![(0, b.get(..72)?.to_vec())];
    places.push(place(size.checked_sub(sector)?, 512, copy));
    Some(Evidence { filesystem: "NTFS", size, places, ext: None })
}
