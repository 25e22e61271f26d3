//! NTFS (`fs/ntfs3/ntfs.h`): records of the file table with their numbers, a mirror of the first of
//! them, and a copy of the first sector behind the end.

use snapfmt::ReadAt;

use super::parts::place;
use super::place::Expected;
use super::scan::{Blocks, Scan};
use crate::fields::{array, le16, le32, le64};

/// What of the first sector is used.
pub(super) struct Boot {
    /// Where the file table starts in the volume, in bytes.
    table: u64,
    size: u64,
    cluster: u64,
    record: usize,
}

pub(super) fn expected(head: &dyn ReadAt, start: u64) -> Option<Expected<Boot>> {
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
    let mut tables = Vec::new();
    for table in [le64(&b, 48)?, le64(&b, 56)?] {
        let at = start.checked_add(table.checked_mul(cluster)?)?;
        tables.push(at);
        places.push(place(at, vec![(0, b"FILE".to_vec())]));
    }
    places.push(place(size.checked_sub(sector)?, vec![(0, b.get(..72)?.to_vec())]));
    // Clusters of a record or, as a negative number, the power of two that its bytes are.
    let record = match i8::from_le_bytes([*b.get(64)?]) {
        clusters @ 1.. => cluster.checked_mul(u64::from(clusters.unsigned_abs()))?,
        power => 1_u64.checked_shl(power.unsigned_abs().into())?,
    };
    let record = usize::try_from(record).ok().filter(|len| (256..=65536).contains(len))?;
    let boot = Boot { table: *tables.first()?, size, cluster, record };
    Some(Expected { filesystem: "NTFS", size, places, superblock: boot })
}

impl Boot {
    /// Records of the table's first run.
    pub(super) fn blocks(&self, scan: &Scan<'_>) -> Blocks {
        let mut found = Vec::new();
        let mut run = None;
        scan.around(&[self.table], self.record, |bytes| {
            if bytes.starts_with(b"FILE")
                && let Some(number) = le32(bytes, 44)
            {
                if number == 0 {
                    run = run.or(first_run(bytes));
                }
                found.push(number);
            }
        });
        let records = run.unwrap_or(0).saturating_mul(self.cluster) / self.record as u64;
        let mut blocks = Blocks::default();
        for number in found.into_iter().filter(|number| u64::from(*number) < records) {
            let at = self.table.saturating_add(u64::from(number) * self.record as u64);
            if at < self.size {
                blocks.add(at, vec![(0, b"FILE".to_vec()), (44, number.to_le_bytes().to_vec())]);
            }
        }
        blocks
    }
}

/// How many clusters the first run of a record's data has.
fn first_run(record: &[u8]) -> Option<u64> {
    const DATA: u32 = 0x80;
    let mut at = usize::from(le16(record, 20)?);
    loop {
        let (kind, len) = (le32(record, at)?, le32(record, at.checked_add(4)?)?);
        if kind == DATA && record.get(at.checked_add(8)?) == Some(&1) {
            let runs = at.checked_add(usize::from(le16(record, at.checked_add(32)?)?))?;
            let width = usize::from(record.get(runs)? & 0xf);
            let bytes = record.get(runs.checked_add(1)?..)?.get(..width)?;
            return Some(bytes.iter().rev().fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte)));
        }
        if kind == u32::MAX || len == 0 {
            return None;
        }
        at = at.checked_add(usize::try_from(len).ok()?)?;
    }
}
