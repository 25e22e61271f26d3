//! The unit in which segments count.

use std::collections::BTreeMap;

/// Largest extent and number of bytes that are believed.
pub(super) const MAX_BYTES: u64 = 1 << 62;

/// What segments count in.
pub(super) struct Extents {
    /// Bytes of an extent.
    pub(super) size: u64,
    /// Physical volumes by name.
    pub(super) pvs: BTreeMap<String, usize>,
    /// Where the extents of each are, in bytes.
    pub(super) ranges: Vec<(u64, u64)>,
}

impl Extents {
    /// So many extents in bytes.
    pub(super) fn bytes(&self, extents: u64) -> Option<u64> {
        extents.checked_mul(self.size).filter(|bytes| *bytes <= MAX_BYTES)
    }

    /// The physical volume of that name, and where on it an extent is.
    pub(super) fn pv(&self, name: &str, extent: u64) -> Option<(usize, Option<u64>)> {
        let number = *self.pvs.get(name)?;
        let (start, _) = *self.ranges.get(number)?;
        Some((number, self.bytes(extent).and_then(|bytes| start.checked_add(bytes))))
    }

    /// Where the last extent of a physical volume ends.
    pub(super) fn end(&self, number: usize) -> Option<u64> {
        self.ranges.get(number).map(|(_, end)| *end)
    }
}
