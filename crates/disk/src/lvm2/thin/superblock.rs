//! The superblock of a pool's metadata (`struct thin_disk_superblock`).

use snapfmt::ReadAt;

use super::node::{Checked, read_block};
use super::{BLOCK, Expected, ThinDoubt, ThinError};
use crate::fields::{le32, le64};
use crate::lvm2::SECTOR;

const MAGIC: u64 = 27_022_010;
/// The flag that the kernel found something wrong (`THIN_METADATA_NEEDS_CHECK_FLAG`).
const NEEDS_CHECK: u32 = 1;

/// What of it is used.
#[derive(Debug)]
pub(super) struct Superblock {
    transaction: u64,
    /// Whether the kernel wanted it to be checked.
    needs_check: bool,
    /// Bytes of a block of data.
    block: u64,
    /// Blocks of metadata.
    pub(super) blocks: u64,
    /// Root of the tree of volumes, whose values are roots of trees of blocks.
    pub(super) mappings: u64,
    /// Root of the tree of what is known of each volume.
    pub(super) details: u64,
}

impl Superblock {
    pub(super) fn read(metadata: &dyn ReadAt) -> Result<Self, ThinError> {
        let bytes = read_block(metadata, 0, Checked::Superblock)?;
        let word = |at| le64(&bytes, at).unwrap_or(0);
        let half = |at| le32(&bytes, at).unwrap_or(0);
        let bad = |field, found| ThinError::Field { block: 0, field, found };
        if word(32) != MAGIC {
            return Err(bad("its magic number", word(32)));
        }
        if !(1..=2).contains(&half(40)) {
            return Err(bad("its version", half(40).into()));
        }
        if half(360) != 0 {
            return Err(bad("features that are not known", half(360).into()));
        }
        if u64::from(half(340)) * SECTOR != BLOCK {
            return Err(bad("sectors of a metadata block", half(340).into()));
        }
        let blocks = word(344);
        if blocks == 0 || blocks > metadata.len() / BLOCK {
            return Err(bad("the number of metadata blocks", blocks));
        }
        Ok(Self {
            transaction: word(48),
            needs_check: half(4) & NEEDS_CHECK != 0,
            block: u64::from(half(336)) * SECTOR,
            blocks,
            mappings: word(320),
            details: word(328),
        })
    }

    /// Compares it with what the volume group says, and gives what is in doubt. Of a machine that stopped
    /// while a volume was made or removed, the one is a step ahead of the other.
    pub(super) fn check(&self, expected: &Expected) -> Result<Vec<ThinDoubt>, ThinError> {
        let unfit = |field, expected, found| Err(ThinError::Unfit { field, expected, found });
        if self.block != expected.block {
            return unfit("bytes of a block", expected.block, self.block);
        }
        let mut doubts = Vec::new();
        if self.needs_check {
            doubts.push(ThinDoubt::NeedsCheck);
        }
        let found = self.transaction;
        match expected.transaction {
            Some(expected) if expected.abs_diff(found) > 1 => {
                return unfit("its transaction", expected, found);
            }
            Some(expected) if expected != found => {
                doubts.push(ThinDoubt::Transaction { expected, found });
            }
            _ => {}
        }
        Ok(doubts)
    }
}
