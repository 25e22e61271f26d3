//! EBS snapshots that lie on a disk as blocks: what list-snapshot-blocks, list-changed-blocks,
//! get-snapshot-block and describe-snapshots gave, saved as files, and what flexible-snapshot-proxy
//! (awslabs) makes of them.
//!
//! What blocks are called and what answers hold is described in `docs/FOREIGN.md`. Facts of the APIs are
//! from the EBS and EC2 API references; block size and behaviour of lists were seen with real answers.

mod agree;
mod answer;
mod blocks;
mod checksum;
mod describe;
mod dump;
mod entries;
mod fields;
mod find;
mod folder;
mod gather;
mod lost;
mod names;
mod pages;
mod proof;
mod proxy;
mod read;
mod runs;
mod sets;
mod source;
mod text;

use std::path::PathBuf;

use crate::backup::{Backups, Fault};
use crate::limits::Limits;
use crate::walk::{Walked, walk};
use crate::within::Roots;

pub use answer::{Answer, Kind, Listed, Page};
pub use describe::{Described, Tags};
pub use names::BLOCKS;

/// Bytes of a block of an EBS snapshot (EBS direct APIs, `BlockSize`): 512 KiB.
pub const BLOCK_SIZE: u64 = 512 << 10;
/// The same, where a length is meant.
const BLOCK_LEN: u32 = 512 << 10;

/// Looks for EBS snapshots under `paths`, and the sets they make; gives the snapshot files that lie among
/// them, too.
pub(crate) fn find(paths: &[PathBuf], limits: &Limits) -> (Backups, Vec<PathBuf>) {
    let roots = Roots::of(paths);
    let mut tree = find::Tree::new(roots, limits);
    let Walked { faults: mut unreadable, snapshots, strange } = walk(paths, limits, &mut tree);
    let mut found = tree.finish(&mut unreadable);
    found.warnings.extend(strange.into_warnings());
    (sets::sets(found, unreadable, limits), snapshots)
}

/// Parses a text as the answers it holds, as if it were too long to be held; for tests and fuzzing.
///
/// # Errors
///
/// A text that is not JSON, or an answer that cannot be right.
pub fn parse(text: &[u8], limits: &Limits) -> Result<Vec<Answer>, serde_json::Error> {
    read::streamed(text, limits, &mut |_, _| ())
}

/// How many blocks a volume of `size` bytes has.
const fn block_count(size: u64) -> u64 {
    size / BLOCK_SIZE
}

/// A size in GiB, as answers give it, in bytes.
fn gib(size: u64, limits: &Limits) -> Result<u64, Fault> {
    let bytes = size.checked_mul(1 << 30).filter(|bytes| (1..=limits.volume_size).contains(bytes));
    bytes.ok_or(Fault::VolumeSize { found: size, max: limits.volume_size >> 30 })
}
