//! Thin pools: the metadata of the kernel's dm-thin target, which says where each volume's blocks
//! are (`drivers/md/dm-thin-metadata.c` and `drivers/md/persistent-data/`).

mod node;
mod superblock;

use std::sync::Arc;

use snapfmt::ReadAt;

use crate::fields::le64;
use crate::pieces::{MAX_PIECES, Pieces, PiecesError};
use node::Tree;
use superblock::Superblock;

/// Bytes of a block of metadata.
pub(crate) const BLOCK: u64 = 4096;
const BLOCK_LEN: usize = 4096;

/// What the group's metadata says of a pool, which its own must say, too.
pub(crate) struct Expected {
    /// Bytes of a block of data.
    pub(crate) block: u64,
    /// Which transaction it is at, if none is pending.
    pub(crate) transaction: Option<u64>,
}

/// Why the metadata of a pool cannot be believed.
#[derive(Debug, thiserror::Error)]
pub enum ThinError {
    /// Reading failed.
    #[error("block {block} of the pool's metadata cannot be read: {source}")]
    Io {
        /// Which block.
        block: u64,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// A block's checksum does not match.
    #[error(
        "block {block} of the pool's metadata has the checksum {found:#010x}, expected {expected:#010x}"
    )]
    Checksum {
        /// Which block.
        block: u64,
        /// What is stored.
        expected: u32,
        /// What the bytes have.
        found: u32,
    },
    /// A field says what cannot be.
    #[error("block {block} of the pool's metadata says {found} as {field}")]
    Field {
        /// Which block.
        block: u64,
        /// Which field.
        field: &'static str,
        /// What it says.
        found: u64,
    },
    /// The pool is not in the state that the group's metadata says.
    #[error("the pool's metadata says {found} as {field}, the volume group's {expected}")]
    Unfit {
        /// Which field.
        field: &'static str,
        /// What the group says.
        expected: u64,
        /// What the pool says.
        found: u64,
    },
    /// A tree is deeper or larger than the metadata can hold.
    #[error("a tree of the pool's metadata has more than {max} {what}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How many there can be.
        max: u64,
    },
    /// The pool does not have the volume.
    #[error("the pool's metadata has no device {0}")]
    NoDevice(u64),
}

/// What speaks against a pool whose metadata is sound block by block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ThinDoubt {
    /// The kernel found something wrong and wanted it to be checked.
    #[error("the kernel wanted its metadata to be checked first")]
    NeedsCheck,
    /// Its metadata is a step before or behind the group's.
    #[error("its metadata is at transaction {found}, the volume group's is at {expected}")]
    Transaction {
        /// What the group says.
        expected: u64,
        /// What the pool says.
        found: u64,
    },
}

/// A volume of a pool.
pub(crate) struct ThinVolume {
    /// Its blocks and where each is in the pool's data, in order: runs of (block, data block, count).
    runs: Vec<(u64, u64, u64)>,
    block: u64,
    data: Arc<Pieces>,
    /// What speaks against it.
    pub(crate) doubts: Vec<ThinDoubt>,
}

impl ThinVolume {
    /// Reads where the blocks of `device` are. `metadata` are the bytes of the pool's metadata,
    /// `data` is where its data are.
    pub(crate) fn read(
        metadata: &dyn ReadAt,
        expected: &Expected,
        device: u64,
        data: Arc<Pieces>,
    ) -> Result<Self, ThinError> {
        let superblock = Superblock::read(metadata)?;
        let doubts = superblock.check(expected)?;
        let tree = Tree { bytes: metadata, blocks: superblock.blocks };
        let number = |value: &[u8]| le64(value, 0).unwrap_or(0);
        let root = tree.find(superblock.mappings, 8, device, number)?;
        let root = root.ok_or(ThinError::NoDevice(device))?;
        let mapped = tree.find(superblock.details, 24, device, number)?;
        let mapped = mapped.ok_or(ThinError::NoDevice(device))?;
        let mut runs: Vec<(u64, u64, u64)> = Vec::new();
        let mut count = 0;
        tree.walk(root, 8, |block, value| {
            // The low 24 bits are when the block was written.
            let at = number(value) >> 24;
            count += 1;
            if let Some((b, d, n)) = runs.last_mut()
                && (*b + *n, *d + *n) == (block, at)
            {
                *n += 1;
                return Ok(());
            }
            if runs.len() >= MAX_PIECES {
                return Err(ThinError::TooMuch { what: "runs of blocks", max: MAX_PIECES as u64 });
            }
            runs.push((block, at, 1));
            Ok(())
        })?;
        if mapped != count {
            let field = "the number of the volume's blocks";
            return Err(ThinError::Unfit { field, expected: mapped, found: count });
        }
        Ok(Self { runs, block: expected.block, data, doubts })
    }

    /// Appends the volume's first `length` bytes. What the pool has no block for is `origin`'s, and
    /// zeros where that has nothing either.
    pub(crate) fn push_onto(
        &self,
        out: &mut Pieces,
        length: u64,
        origin: Option<&Pieces>,
    ) -> Result<(), PiecesError> {
        let mut at = 0;
        for (block, data, count) in &self.runs {
            let size = |blocks: u64| blocks.checked_mul(self.block).ok_or(PiecesError::Size);
            let start = size(*block)?.min(length);
            let end = size(block.saturating_add(*count))?.min(length);
            push_origin(out, origin, at..start)?;
            let from = size(*data)?;
            out.push_slice(&self.data, &(from..from.saturating_add(end - start)))?;
            at = end;
        }
        push_origin(out, origin, at..length)
    }
}

fn push_origin(
    out: &mut Pieces,
    origin: Option<&Pieces>,
    range: std::ops::Range<u64>,
) -> Result<(), PiecesError> {
    let known = origin.map_or(0, Pieces::size).clamp(range.start, range.end);
    if let Some(origin) = origin
        && known > range.start
    {
        out.push_slice(origin, &(range.start..known))?;
    }
    out.push_zeros(range.end - known)
}
