//! What of a volume can be mounted: the filesystem on all of it, or those on its partitions.

use std::io;
use std::ops::Range;

use snapfmt::ReadAt;

use disk::filesystem::Filesystem;
use disk::partitions::{Table, TableError};
use disk::signature::{Contents, Signature};
use restore::image::{Image, ImageBytes};

/// A filesystem found on a volume.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// The number of its partition; `None` if it is on the volume itself.
    pub partition: Option<u32>,
    /// Its bytes of the volume.
    pub range: Range<u64>,
    /// What it says of itself.
    pub filesystem: Filesystem,
}

/// Why there is nothing that can be mounted, or too much.
#[derive(Debug, thiserror::Error)]
pub enum NothingToMount {
    /// The partition table is there and cannot be used.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A partition was asked for where there are none.
    #[error("there is no partition table, so no partition {number}")]
    NoTable {
        /// Which one.
        number: u32,
    },
    /// A partition that is not there was asked for.
    #[error("there is no partition {number}: {}", listed(there))]
    NoPartition {
        /// Which one.
        number: u32,
        /// Those that are there.
        there: Vec<u32>,
    },
    /// Nothing says which of several partitions is meant.
    #[error("{}: which one is meant?", listed(there))]
    Which {
        /// Those with filesystems.
        there: Vec<u32>,
    },
    /// There is something else than one filesystem.
    #[error("{}: {}", place(*partition), described(holds))]
    NotOne {
        /// Where; `None` for the volume itself.
        partition: Option<u32>,
        /// What is there.
        holds: Contents,
    },
}

fn listed(numbers: &[u32]) -> String {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    match numbers.as_slice() {
        [] => "there are no partitions with a filesystem".to_owned(),
        [one] => format!("there is partition {one}"),
        more => format!("there are partitions {}", more.join(", ")),
    }
}

fn place(partition: Option<u32>) -> String {
    partition.map_or_else(|| "the volume".to_owned(), |number| format!("partition {number}"))
}

fn described(holds: &Contents) -> String {
    match holds {
        Contents::Known(signatures) => {
            let all: Vec<String> = signatures.iter().map(Signature::to_string).collect();
            format!(
                "it holds {}, which is not one filesystem that can be mounted",
                all.join(" and ")
            )
        }
        Contents::Container(container) => format!("it is no disk ({container})"),
        Contents::Unknown => "what it holds is not known here".to_owned(),
        Contents::Blank => "it is blank".to_owned(),
        Contents::Unreadable => "its first bytes are damaged or cannot be read".to_owned(),
    }
}

/// The filesystems on these partitions or, if none are named, the one that can be meant: on the volume
/// itself, or on its only partition with one. The partition table counts in sectors of `sector` bytes.
pub fn find(
    image: &dyn Image,
    sector: u32,
    partitions: &[u32],
) -> Result<Vec<Found>, NothingToMount> {
    let whole = 0..image.size();
    if partitions.is_empty()
        && let Ok(found) = one_at(image, None, whole.clone())
    {
        return Ok(vec![found]);
    }
    let Some(table) = Table::read(&ImageBytes(image), sector)? else {
        return match partitions.first() {
            Some(number) => Err(NothingToMount::NoTable { number: *number }),
            None => one_at(image, None, whole).map(|found| vec![found]),
        };
    };
    if partitions.is_empty() {
        return the_only_one(image, &table).map(|found| vec![found]);
    }
    let numbered = |number: &u32| {
        let partition = table.partition(*number).ok_or_else(|| NothingToMount::NoPartition {
            number: *number,
            there: table.partitions.iter().map(|p| p.number).collect(),
        })?;
        one_at(image, Some(*number), partition.range.clone())
    };
    partitions.iter().map(numbered).collect()
}

/// All filesystems that can be seen, for warnings about them.
pub fn all(image: &dyn Image, sector: u32) -> Vec<Found> {
    if let Ok(found) = one_at(image, None, 0..image.size()) {
        return vec![found];
    }
    let table = Table::read(&ImageBytes(image), sector).unwrap_or_default();
    table.iter().flat_map(|table| on_partitions(image, table)).collect()
}

fn the_only_one(image: &dyn Image, table: &Table) -> Result<Found, NothingToMount> {
    let mut found: Vec<Found> = on_partitions(image, table).collect();
    match (found.pop(), found.as_slice()) {
        (Some(one), []) => Ok(one),
        (last, others) => {
            let there = others.iter().chain(&last).filter_map(|found| found.partition).collect();
            Err(NothingToMount::Which { there })
        }
    }
}

fn on_partitions(image: &dyn Image, table: &Table) -> impl Iterator<Item = Found> {
    let partitions = table.partitions.iter();
    partitions.filter_map(|p| one_at(image, Some(p.number), p.range.clone()).ok())
}

fn one_at(
    image: &dyn Image,
    partition: Option<u32>,
    range: Range<u64>,
) -> Result<Found, NothingToMount> {
    let window = Window { bytes: ImageBytes(image), range: range.clone() };
    let mut filesystems = Filesystem::find(&window);
    filesystems.retain(|found| crate::mount::kind_of(found.signature.kind).is_some());
    match (filesystems.pop(), filesystems.as_slice()) {
        (Some(filesystem), []) => Ok(Found { partition, range, filesystem }),
        _ => Err(NothingToMount::NotOne { partition, holds: Contents::of(&window) }),
    }
}

/// Some bytes of a volume as if they were all.
struct Window<'i> {
    bytes: ImageBytes<&'i dyn Image>,
    range: Range<u64>,
}

impl ReadAt for Window<'_> {
    fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let start = self.range.start.checked_add(offset);
        let end = start.and_then(|start| start.checked_add(buf.len() as u64));
        match (start, end) {
            (Some(start), Some(end)) if end <= self.range.end => {
                self.bytes.read_exact_at(buf, start)
            }
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
