//! What tells that members are laid out in one way and not in another.

use snapfmt::ReadAt;

use super::place::{Expected, Place};
use super::scan::{Blocks, Scan};
use super::{btrfs, ext, ntfs, xfs};

/// Most places that are compared.
const MOST: usize = 256;

/// What a volume that begins like this must have elsewhere.
pub(super) struct Evidence {
    pub(super) filesystem: &'static str,
    /// Bytes that the volume must have.
    pub(super) size: u64,
    pub(super) places: Vec<Place>,
    pub(super) further: Further,
}

/// Where else there is something, for whoever looks at the members.
pub(super) enum Further {
    /// Directories, in whatever order is tried.
    Ext(ext::Superblock),
    Xfs(xfs::Superblock),
    Btrfs(btrfs::Superblock),
    Ntfs(ntfs::Boot),
}

impl Evidence {
    /// By the first bytes of `head`, from `start` on; `None` if they are nothing that is known.
    pub(super) fn of(head: &dyn ReadAt, start: u64) -> Option<Self> {
        let evidence = ext::expected(head, start)
            .map(|found| Self::new(found, Further::Ext))
            .or_else(|| Some(Self::new(xfs::expected(head, start)?, Further::Xfs)))
            .or_else(|| Some(Self::new(btrfs::expected(head, start)?, Further::Btrfs)))
            .or_else(|| Some(Self::new(ntfs::expected(head, start)?, Further::Ntfs)))?;
        (!evidence.places.is_empty()).then_some(evidence)
    }

    /// The same where the first stripes are shorter than where a superblock is.
    pub(super) fn of_short_stripes(scan: &Scan<'_>) -> Option<Self> {
        Some(Self::new(btrfs::expected_of_short_stripes(scan)?, Further::Btrfs))
    }

    fn new<F>(found: Expected<F>, further: impl FnOnce(F) -> Further) -> Self {
        let Expected { filesystem, size, places, superblock } = found;
        Self { filesystem, size, places, further: further(superblock) }
    }

    /// With what is found on the members.
    pub(super) fn look_further(mut self, scan: &Scan<'_>) -> Self {
        let blocks = match &self.further {
            Further::Ext(_) => None,
            Further::Xfs(fs) => Some(fs.blocks(scan)),
            Further::Btrfs(fs) => Some(fs.blocks(scan)),
            Further::Ntfs(fs) => Some(fs.blocks(scan)),
        };
        self.places.extend(blocks.into_iter().flat_map(Blocks::into_places));
        self.thin_out();
        self
    }

    /// Keeps places from all over the volume.
    fn thin_out(&mut self) {
        self.places.sort_by_key(|place| place.offset);
        let step = self.places.len().div_ceil(MOST).max(1);
        let mut number = 0;
        self.places.retain(|_| {
            number += 1;
            (number - 1) % step == 0
        });
    }
}
