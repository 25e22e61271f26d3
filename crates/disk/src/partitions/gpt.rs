//! GUID partition tables, by `gptman`.

use std::io::{self, Read, Seek, SeekFrom};

use gptman::{GPTHeader, GPTPartitionEntry};
use snapfmt::ReadAt;

use super::{Flaw, MOST, Partition, Table, TableError, TableKind, sectors};

/// A table as one of its copies has it.
struct Copy {
    sector: u32,
    header: GPTHeader,
    entries: Vec<GPTPartitionEntry>,
}

pub(super) fn read(disk: &dyn ReadAt, sector: u32) -> Result<Table, TableError> {
    let sizes = [sector, if sector == 4096 { 512 } else { 4096 }];
    let at_start = |sector: u32| copy_at(disk, sector.into(), sector);
    let at_end = |sector: u32| {
        let last = (disk.len() / u64::from(sector)).checked_sub(1)?;
        copy_at(disk, last * u64::from(sector), sector)
    };
    let first = sizes.into_iter().find_map(at_start);
    let (copy, flaw) = if let Some(first) = first {
        let flaw = match at_end(first.sector) {
            None => Some(Flaw::BackupDamaged),
            Some(last) if last.entries != first.entries => Some(Flaw::CopiesDiffer),
            Some(_) => None,
        };
        (first, flaw)
    } else {
        let last = sizes.into_iter().find_map(at_end).ok_or(TableError::Damaged)?;
        (last, Some(Flaw::PrimaryDamaged))
    };
    let partitions = (1..).zip(&copy.entries).filter_map(|(n, e)| partition(n, e, copy.sector));
    Ok(Table {
        kind: TableKind::Gpt,
        uuid: Some(guid(copy.header.disk_guid)),
        sector: copy.sector,
        partitions: partitions.collect(),
        flaws: flaw.into_iter().collect(),
    })
}

fn partition(number: u32, entry: &GPTPartitionEntry, sector: u32) -> Option<Partition> {
    if entry.is_unused() {
        return None;
    }
    let name = entry.partition_name.as_str();
    Some(Partition {
        number,
        range: sectors(entry.starting_lba, entry.size().ok()?, sector)?,
        kind: guid(entry.partition_type_guid),
        uuid: Some(guid(entry.unique_partition_guid)),
        name: (!name.is_empty()).then(|| name.to_owned()),
    })
}

/// The copy whose header is at `offset`; `None` if its checksums or its sizes are not right. The
/// sizes are looked at before the library believes them.
fn copy_at(disk: &dyn ReadAt, offset: u64, sector: u32) -> Option<Copy> {
    let mut reader = Reader { disk, at: offset };
    let header = GPTHeader::read_from(&mut reader).ok()?;
    let count = header.number_of_partition_entries;
    let entry = u64::from(header.size_of_partition_entry);
    let bytes = entry.checked_mul(count.into())?;
    let start = header.partition_entry_lba.checked_mul(sector.into())?;
    let is_sound = count <= MOST && entry >= 128 && start.checked_add(bytes)? <= disk.len();
    if !is_sound {
        return None;
    }
    let entries = header.read_partitions(&mut reader, sector.into()).ok()?;
    Some(Copy { sector, header, entries })
}

/// The first three parts of a GUID are little-endian (UEFI specification, appendix A).
fn guid(bytes: [u8; 16]) -> String {
    let mut ordered = bytes;
    for part in [0..4, 4..6, 6..8] {
        if let Some(part) = ordered.get_mut(part) {
            part.reverse();
        }
    }
    crate::signature::uuid(ordered).unwrap_or_else(|| "00000000-0000-0000-0000-000000000000".into())
}

/// A disk as the library reads it.
struct Reader<'d> {
    disk: &'d dyn ReadAt,
    at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.disk.len().saturating_sub(self.at);
        let len = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
        let (buf, _) = buf.split_at_mut(len);
        self.disk.read_exact_at(buf, self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}

impl Seek for Reader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.disk.len().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use gptman::GPT;

    use super::*;

    const DISK: usize = 8 << 20;

    fn disk(sector: u32) -> Vec<u8> {
        let mut cursor = Cursor::new(vec![0; DISK]);
        let mut gpt = GPT::new_from(&mut cursor, sector.into(), [0x11; 16]).unwrap();
        let per_mib = (1 << 20) / u64::from(sector);
        for (number, start, name) in [(1, 1, "boot"), (3, 3, "data")] {
            gpt[number] = GPTPartitionEntry {
                partition_type_guid: [0x22; 16],
                unique_partition_guid: [u8::try_from(number).unwrap(); 16],
                starting_lba: start * per_mib,
                ending_lba: (start + 2) * per_mib - 1,
                attribute_bits: 0,
                partition_name: name.into(),
            };
        }
        gpt.write_into(&mut cursor).unwrap();
        GPT::write_protective_mbr_into(&mut cursor, sector.into()).unwrap();
        cursor.into_inner()
    }

    fn found(disk: &[u8], sector: u32) -> Table {
        Table::read(&disk.to_vec(), sector).unwrap().unwrap()
    }

    #[test]
    fn partitions_with_either_sector_size() {
        for written in [512, 4096] {
            for said in [512, 4096] {
                let table = found(&disk(written), said);
                assert_eq!((table.kind, table.sector), (TableKind::Gpt, written));
                assert_eq!(table.flaws, []);
                let [boot, data] = table.partitions.as_slice() else { panic!("{table:?}") };
                assert_eq!((boot.number, boot.range.clone()), (1, 1 << 20..3 << 20));
                assert_eq!((data.number, data.range.clone()), (3, 3 << 20..5 << 20));
                assert_eq!(data.name.as_deref(), Some("data"));
                assert_eq!(data.uuid.as_deref(), Some("03030303-0303-0303-0303-030303030303"));
            }
        }
    }

    #[test]
    fn either_copy_will_do_and_the_loss_is_said() {
        let whole = disk(512);
        let partitions = found(&whole, 512).partitions;
        for (at, flaw) in [
            (512 + 60, Flaw::PrimaryDamaged),
            (1024 + 40, Flaw::PrimaryDamaged),
            (DISK - 512 + 60, Flaw::BackupDamaged),
        ] {
            let mut broken = whole.clone();
            broken[at] ^= 1;
            let table = found(&broken, 512);
            assert_eq!((&table.partitions, table.flaws), (&partitions, vec![flaw]));
        }
        let cut = whole[..DISK / 2].to_vec();
        let flaws = found(&cut, 512).flaws;
        assert!(matches!(flaws[..], [Flaw::BackupDamaged, Flaw::BeyondEnd { number: 3, .. }]));
        let mut broken = whole;
        broken[512 + 60] ^= 1;
        broken[DISK - 512 + 60] ^= 1;
        assert!(matches!(Table::read(&broken, 512), Err(TableError::Damaged)));
    }

    /// Neither the kernel nor libblkid takes a GPT without an entry that protects it.
    #[test]
    fn a_gpt_left_over_from_before_the_mbr() {
        for lost in [None, Some(512), Some(DISK - 512)] {
            let mut disk = disk(512);
            if let Some(header) = lost {
                disk[header..header + 512].fill(0);
            }
            disk[446..462].fill(0);
            (disk[450], disk[455], disk[459]) = (0x83, 0x20, 0x08);
            let table = found(&disk, 512);
            assert_eq!(table.kind, TableKind::Mbr);
            let ranges: Vec<_> = table.partitions.iter().map(|p| p.range.clone()).collect();
            assert_eq!(ranges, std::slice::from_ref(&(4 << 20..5 << 20)));
            let offset = if lost == Some(512) { DISK as u64 - 512 } else { 512 };
            assert_eq!(table.flaws, [Flaw::OldGpt { offset }], "{lost:?}");
        }
    }

    #[test]
    fn a_header_that_claims_too_much_is_not_believed() {
        for (field, value) in [(80, u32::MAX), (84, u32::MAX), (76, u32::MAX), (84, 1)] {
            let mut hostile = disk(512);
            for header in [512, DISK - 512] {
                hostile[header + field..header + field + 4].copy_from_slice(&value.to_le_bytes());
                let mut parsed = hostile[header..header + 92].to_vec();
                parsed[16..20].fill(0);
                let sum = crc32(&parsed).to_le_bytes();
                hostile[header + 16..header + 20].copy_from_slice(&sum);
            }
            assert!(matches!(Table::read(&hostile, 512), Err(TableError::Damaged)), "{field}");
        }
    }

    /// The CRC-32 of zlib, bit by bit.
    fn crc32(bytes: &[u8]) -> u32 {
        let step = |crc: u32| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc));
        !bytes.iter().fold(!0, byte)
    }
}
