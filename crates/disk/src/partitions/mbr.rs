//! Partition tables of DOS, their sectors parsed by `mbrman`. The chain of logical partitions is
//! followed here: the library's own walk believes any length and any sum.

use std::io::Cursor;
use std::ops::Range;

use mbrman::{MBRHeader, MBRPartitionEntry};
use snapfmt::ReadAt;

use super::{Flaw, MOST, Partition, Table, TableError, TableKind, sectors};

const SECTOR: usize = 512;
const FIRST_LOGICAL: u32 = 5;
/// The type of the one partition that keeps others off a disk with a GPT.
const PROTECTIVE: u8 = 0xee;

pub(super) fn read(disk: &dyn ReadAt, sector: u32) -> Result<Table, TableError> {
    let header = table_at(disk, 0)?.ok_or(TableError::Damaged)?;
    let id = u32::from_le_bytes(header.disk_signature);
    let (mut partitions, mut flaws) = (Vec::new(), Vec::new());
    let mut is_protective = false;
    for (number, entry) in (1..).zip(entries(&header)) {
        if entry.is_extended() {
            if let Some(extended) = range(entry, 0, sector) {
                flaws.extend(logical(disk, &extended, sector, id, &mut partitions)?);
            }
        } else if entry.sys == PROTECTIVE {
            is_protective = true;
        } else if entry.is_used() {
            partitions.extend(partition(number, entry, 0, sector, id));
        }
    }
    partitions.sort_by_key(|p| p.number);
    if is_protective {
        flaws.push(Flaw::GptLost);
    }
    Ok(Table {
        kind: TableKind::Mbr,
        uuid: (id != 0).then(|| format!("{id:08x}")),
        sector,
        partitions,
        flaws,
    })
}

/// Each link has one partition, relative to itself, and the way to the next link, relative to the
/// extended partition. Links go forward only, as every partitioning tool writes them: where they do not,
/// what was found before is kept.
fn logical(
    disk: &dyn ReadAt,
    extended: &Range<u64>,
    sector: u32,
    id: u32,
    found: &mut Vec<Partition>,
) -> Result<Option<Flaw>, TableError> {
    let mut at = extended.start;
    for number in FIRST_LOGICAL.. {
        let broken = Some(Flaw::BrokenChain { offset: at });
        let Some(link) = table_at(disk, at)? else {
            // An extended partition without any logical one may have no table either.
            return Ok(if number == FIRST_LOGICAL { None } else { broken });
        };
        if link.partition_1.is_used() {
            let base = at / u64::from(sector);
            found.extend(partition(number, &link.partition_1, base, sector, id));
        }
        if !link.partition_2.is_used() || link.partition_2.starting_lba == 0 {
            return Ok(None);
        }
        let step = u64::from(link.partition_2.starting_lba) * u64::from(sector);
        let Some(next) = extended.start.checked_add(step) else { return Ok(broken) };
        // Links without a partition count as well.
        let is_long = number >= FIRST_LOGICAL + MOST;
        if next <= at || next >= extended.end || is_long {
            return Ok(broken);
        }
        at = next;
    }
    Ok(None)
}

/// The table in the sector at `offset`, if there is one.
fn table_at(disk: &dyn ReadAt, offset: u64) -> Result<Option<MBRHeader>, TableError> {
    if offset.checked_add(SECTOR as u64).is_none_or(|end| end > disk.len()) {
        return Ok(None);
    }
    let mut sector = [0; SECTOR];
    disk.read_exact_at(&mut sector, offset)?;
    // Without the magic number at the end of the sector it is none.
    Ok(MBRHeader::read_from(&mut Cursor::new(&sector[..])).ok())
}

fn entries(header: &MBRHeader) -> [&MBRPartitionEntry; 4] {
    [&header.partition_1, &header.partition_2, &header.partition_3, &header.partition_4]
}

/// The bytes of an entry that counts from sector `base`.
fn range(entry: &MBRPartitionEntry, base: u64, sector: u32) -> Option<Range<u64>> {
    let first = base.checked_add(entry.starting_lba.into())?;
    sectors(first, entry.sectors.into(), sector)
}

fn partition(
    number: u32,
    entry: &MBRPartitionEntry,
    base: u64,
    sector: u32,
    id: u32,
) -> Option<Partition> {
    Some(Partition {
        number,
        range: range(entry, base, sector)?,
        kind: format!("{:02x}", entry.sys),
        // As the kernel makes it: the disk's id and the number (block/partitions/msdos.c).
        uuid: (id != 0).then(|| format!("{id:08x}-{number:02x}")),
        name: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISK: usize = 16 << 20;
    const MIB: u32 = 2048;

    fn entry(kind: u8, first: u32, count: u32) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[4] = kind;
        bytes[8..12].copy_from_slice(&first.to_le_bytes());
        bytes[12..].copy_from_slice(&count.to_le_bytes());
        bytes
    }

    fn write(disk: &mut [u8], at: u32, entries: &[[u8; 16]]) {
        let at = at as usize * SECTOR;
        for (n, entry) in entries.iter().enumerate() {
            disk[at + 446 + 16 * n..][..16].copy_from_slice(entry);
        }
        disk[at + 510..at + 512].copy_from_slice(&[0x55, 0xaa]);
    }

    /// Two primary partitions and an extended one with two logical ones.
    fn disk() -> Vec<u8> {
        let mut disk = vec![0; DISK];
        disk[440..444].copy_from_slice(&0xdead_beef_u32.to_le_bytes());
        let primary =
            [entry(0x83, MIB, MIB), entry(0x8e, 2 * MIB, MIB), entry(5, 4 * MIB, 12 * MIB)];
        write(&mut disk, 0, &primary);
        write(&mut disk, 4 * MIB, &[entry(0x83, MIB, MIB), entry(5, 4 * MIB, 3 * MIB)]);
        write(&mut disk, 8 * MIB, &[entry(0xfd, MIB, 2 * MIB)]);
        disk
    }

    #[test]
    fn primary_and_logical_partitions() {
        let table = Table::read(&disk(), 512).unwrap().unwrap();
        let found: Vec<_> = table
            .partitions
            .iter()
            .map(|p| (p.number, p.range.start >> 20, p.range.end >> 20, p.kind.as_str()))
            .collect();
        assert_eq!(found, [(1, 1, 2, "83"), (2, 2, 3, "8e"), (5, 5, 6, "83"), (6, 9, 11, "fd")]);
        assert_eq!(table.uuid.as_deref(), Some("deadbeef"));
        assert_eq!(table.partitions[2].uuid.as_deref(), Some("deadbeef-05"));
    }

    #[test]
    fn sectors_of_4_kib_are_counted_as_such() {
        let mut disk = vec![0; DISK];
        write(&mut disk, 0, &[entry(0x83, 256, 256)]);
        let table = Table::read(&disk, 4096).unwrap().unwrap();
        assert_eq!(table.partitions[0].range, 1 << 20..2 << 20);
    }

    #[test]
    fn what_stands_before_a_broken_link_is_kept() {
        for next in [entry(5, 0x10, 1), entry(5, 20 * MIB, 1), entry(5, u32::MAX, 1)] {
            let mut disk = disk();
            write(&mut disk, 8 * MIB, &[entry(0xfd, MIB, MIB), next]);
            let table = Table::read(&disk, 512).unwrap().unwrap();
            assert_eq!(table.flaws, [Flaw::BrokenChain { offset: 8 << 20 }]);
            assert_eq!(table.partitions.len(), 4);
        }
        let mut disk = disk();
        disk[8 * 2048 * SECTOR + 510] = 0;
        let table = Table::read(&disk, 512).unwrap().unwrap();
        assert_eq!(table.flaws, [Flaw::BrokenChain { offset: 8 << 20 }]);
        let numbers: Vec<u32> = table.partitions.iter().map(|p| p.number).collect();
        assert_eq!(numbers, [1, 2, 5]);
    }

    #[test]
    fn what_protects_a_gpt_is_no_partition() {
        let mut disk = vec![0; DISK];
        write(&mut disk, 0, &[entry(PROTECTIVE, 1, 16 * MIB - 1)]);
        let table = Table::read(&disk, 512).unwrap().unwrap();
        assert_eq!((table.partitions, table.flaws), (Vec::new(), vec![Flaw::GptLost]));
    }

    #[test]
    fn a_chain_without_partitions_is_no_longer_than_another() {
        let mut disk = disk();
        for n in 0..20_000 {
            write(&mut disk, 4 * MIB + n, &[entry(0, 0, 0), entry(5, n + 1, 1)]);
        }
        let flaws = Table::read(&disk, 512).unwrap().unwrap().flaws;
        assert!(
            matches!(flaws[..], [Flaw::BrokenChain { offset }] if offset < 5 << 20),
            "{flaws:?}"
        );
    }

    #[test]
    fn an_extended_partition_may_be_empty() {
        let mut disk = disk();
        disk[4 * 2048 * SECTOR + 510] = 0;
        assert_eq!(Table::read(&disk, 512).unwrap().unwrap().partitions.len(), 2);
    }

    #[test]
    fn sums_beyond_all_numbers_are_no_partition() {
        let mut disk = vec![0; DISK];
        write(&mut disk, 0, &[entry(0x83, u32::MAX, u32::MAX), entry(5, u32::MAX, u32::MAX)]);
        let table = Table::read(&disk, 512).unwrap().unwrap();
        assert_eq!(table.partitions, []);
        assert_eq!(table.flaws.len(), 1);
    }
}
