//! Whether the members of a volume are of one moment, and laid together as they were.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;

use disk::agreement::{self, Disagreement};
use restore::Volume;
use restore::image::ImageBytes;
use restore::reader::{Options, Reader};
use restore::snapfmt::Mapping;

/// What the reader keeps of decoded chunks, in bytes.
const CACHE: u64 = 16 << 20;

/// What of the filesystems on a volume of several members does not agree; what cannot be read, or is not known,
/// speaks for nothing. Costs no more than [`agreement::MOST_READS`] reads and [`agreement::MOST_BYTES`] bytes.
pub fn disagreement(volume: &Volume) -> Option<Disagreement> {
    if !has_several_members(volume) {
        return None;
    }
    let volume = Volume::new(volume.layout().clone(), volume.members().to_vec()).ok()?;
    let options = Options { cache: CACHE, threads: NonZeroUsize::MIN };
    let reader = Reader::new(Arc::new(volume), &options).ok()?;
    agreement::disagreement(&ImageBytes(&reader))
}

/// What was not put together of several members cannot be in a wrong way.
fn has_several_members(volume: &Volume) -> bool {
    let mut used = BTreeSet::new();
    for segment in volume.layout().map().segments() {
        match &segment.mapping {
            Mapping::Unmapped => {}
            Mapping::Linear(column) => drop(used.insert(column.member)),
            Mapping::Striped { columns, .. } => used.extend(columns.iter().map(|c| c.member)),
        }
        if used.len() > 1 {
            return true;
        }
    }
    false
}
