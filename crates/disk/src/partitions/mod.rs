//! The partitions of a disk: GUID partition tables and those of DOS. Reads only; what a table says is
//! checked against the disk before it is believed.

mod gpt;
mod mbr;

use snapfmt::Offset;
use std::io;
use std::ops::Range;

use snapfmt::ReadAt;

use crate::signature::{Contents, Kind, gpt_header};

/// Logical partitions and GPT entries beyond this many are refused: no disk has so many.
const MOST: u32 = 1024;

/// A partition table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// How it is written.
    pub kind: TableKind,
    /// Its id, in the form partitioning tools show it.
    pub uuid: Option<String>,
    /// Size of the sectors it counts in, in bytes.
    pub sector: u32,
    /// The partitions in use, by number; each lies within the disk.
    pub partitions: Vec<Partition>,
    /// What is wrong with it although it can be used.
    pub flaws: Vec<Flaw>,
}

/// How a partition table is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TableKind {
    /// A GUID partition table (UEFI specification, chapter 5.3).
    Gpt,
    /// A table in the master boot record, as DOS made it.
    Mbr,
}

/// One partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Partition {
    /// Its number as the kernel counts: logical partitions of an MBR begin at 5.
    pub number: u32,
    /// Its bytes of the disk.
    pub range: Range<u64>,
    /// Its type: a GUID, or two hexadecimal digits.
    pub kind: String,
    /// Its own id, where it has one.
    pub uuid: Option<String>,
    /// The name it was given: untrusted text.
    pub name: Option<String>,
}

/// What is wrong with a table that can be used all the same.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Flaw {
    /// The first copy is damaged; the one at the end was read.
    #[error("the first copy of the partition table is damaged, the one at the end was taken")]
    PrimaryDamaged,
    /// The copy at the end is damaged or not there: the disk may be cut off, or have grown.
    #[error("the copy of the partition table at the end of the disk is damaged or not there")]
    BackupDamaged,
    /// The two copies name different partitions.
    #[error("the two copies of the partition table differ, the first was taken")]
    CopiesDiffer,
    /// A partition reaches beyond the disk and is left out.
    #[error("partition {number} reaches to byte {end}, the disk has {size}", end = Offset(*end))]
    BeyondEnd {
        /// Its number.
        number: u32,
        /// The first byte after it.
        end: u64,
        /// Size of the disk in bytes.
        size: u64,
    },
    /// The extended partition's chain of tables is broken or has no end; what comes after is left out.
    #[error("the chain of logical partitions is broken at byte {offset}", offset = Offset(*offset))]
    BrokenChain {
        /// Where the link is that leads nowhere.
        offset: u64,
    },
    /// What protects a GPT is there, the GPT is not.
    #[error("protective MBR, but no GPT: its partitions are lost")]
    GptLost,
    /// A GPT is there beside an MBR with partitions that does not protect it.
    #[error(
        "the GPT with a header at {offset} is left over from before and does not count: the MBR has partitions and does \
         not protect it", offset = Offset(*offset)
    )]
    OldGpt {
        /// Where a header of it is, in bytes.
        offset: u64,
    },
    /// Two partitions have bytes in common.
    #[error("partitions {first} and {second} overlap")]
    Overlap {
        /// The one that begins first.
        first: u32,
        /// The other.
        second: u32,
    },
}

/// Why a partition table that is there cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The disk cannot be read.
    #[error("the partition table cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Neither copy is sound.
    #[error("both copies of the partition table are damaged")]
    Damaged,
}

impl Table {
    /// The partition table of a disk whose logical sectors have `sector` bytes, if it has one. A GPT
    /// is found with sectors of 512 and of 4096 bytes, whatever the disk's are.
    pub fn read(disk: &dyn ReadAt, sector: u32) -> Result<Option<Self>, TableError> {
        let contents = Contents::of(disk);
        if contents == Contents::Unreadable {
            let mut byte = [0];
            disk.read_exact_at(&mut byte, 0)?;
        }
        let has = |kind| contents.signatures().iter().any(|s| s.kind == kind);
        let mut table = if has(Kind::Gpt) {
            gpt::read(disk, sector)?
        } else if has(Kind::Mbr) {
            let mut table = mbr::read(disk, sector)?;
            table.flaws.extend(gpt_header(disk).map(|offset| Flaw::OldGpt { offset }));
            table
        } else {
            return Ok(None);
        };
        table.keep_within(disk.len());
        table.find_overlaps();
        Ok(Some(table))
    }

    /// Partition `number`.
    pub fn partition(&self, number: u32) -> Option<&Partition> {
        self.partitions.iter().find(|p| p.number == number)
    }

    /// Whether it has partitions, and its first copy is sound.
    pub fn is_in_use(&self) -> bool {
        !self.partitions.is_empty() && !self.flaws.contains(&Flaw::PrimaryDamaged)
    }

    fn keep_within(&mut self, size: u64) {
        let flaws = &mut self.flaws;
        self.partitions.retain(|partition| {
            let end = partition.range.end;
            let is_within = end <= size;
            if !is_within {
                flaws.push(Flaw::BeyondEnd { number: partition.number, end, size });
            }
            is_within
        });
    }

    fn find_overlaps(&mut self) {
        let mut by_start: Vec<&Partition> = self.partitions.iter().collect();
        by_start.sort_by_key(|p| (p.range.start, p.number));
        // The one that reaches farthest of those that begin before.
        let mut before: Option<&Partition> = None;
        for partition in by_start {
            if let Some(first) = before.filter(|p| p.range.end > partition.range.start) {
                let (first, second) = (first.number, partition.number);
                self.flaws.push(Flaw::Overlap { first, second });
            }
            if before.is_none_or(|p| p.range.end < partition.range.end) {
                before = Some(partition);
            }
        }
    }
}

/// Bytes `first * sector` up to `(first + count) * sector`; `None` if that is none, or too many.
fn sectors(first: u64, count: u64, sector: u32) -> Option<Range<u64>> {
    let start = first.checked_mul(sector.into())?;
    let end = first.checked_add(count)?.checked_mul(sector.into())?;
    (count > 0).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_table_is_none() {
        assert_eq!(Table::read(&vec![0; 1 << 20], 512).unwrap(), None);
        assert_eq!(Table::read(&vec![7; 1 << 20], 512).unwrap(), None);
        assert_eq!(Table::read(&Vec::new(), 512).unwrap(), None);
    }

    #[test]
    fn partitions_beyond_the_end_are_left_out_and_overlaps_named() {
        let partition =
            |number, range| Partition { number, range, kind: "83".into(), uuid: None, name: None };
        let mut table = Table {
            kind: TableKind::Mbr,
            uuid: None,
            sector: 512,
            partitions: vec![
                partition(1, 512..2048),
                partition(2, 1024..4096),
                partition(3, 0..9999),
                partition(4, 1024..1536),
                partition(5, 2048..4096),
            ],
            flaws: Vec::new(),
        };
        table.keep_within(4096);
        table.find_overlaps();
        assert_eq!(table.partitions.len(), 4);
        let beyond = Flaw::BeyondEnd { number: 3, end: 9999, size: 4096 };
        let overlap = |first, second| Flaw::Overlap { first, second };
        assert_eq!(table.flaws, [beyond, overlap(1, 2), overlap(2, 4), overlap(2, 5)]);
    }
}
