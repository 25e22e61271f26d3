//! Places of a volume where a filesystem must have something that can be recognised.

use snapfmt::ReadAt;

use super::scan::{Blocks, Scan};
use super::{btrfs, ext, ntfs, parts, xfs};

/// Most places that are compared.
const MOST: usize = 256;

/// A place of the volume, small enough to be in one stripe, and what must be there.
pub(super) struct Place {
    /// First byte of the volume.
    pub(super) offset: u64,
    /// How many bytes are looked at.
    pub(super) len: usize,
    pub(super) test: Test,
}

/// What must be at a place.
pub(super) enum Test {
    Ext(ext::Test),
    Parts(parts::Test),
}

/// What was found at a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// What must be there.
    Fits,
    /// Nothing that speaks for or against it.
    Nothing,
    /// Something else.
    Differs,
}

impl Verdict {
    pub(super) const fn of(fits: bool) -> Self {
        if fits { Self::Fits } else { Self::Differs }
    }
}

impl Test {
    pub(super) fn verdict(&self, bytes: &[u8]) -> Verdict {
        match self {
            Self::Ext(test) => test.verdict(bytes),
            Self::Parts(test) => Verdict::of(test.holds(bytes)),
        }
    }
}

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
        let evidence = ext::evidence(head, start)
            .or_else(|| xfs::evidence(head, start))
            .or_else(|| btrfs::evidence(head, start))
            .or_else(|| ntfs::evidence(head, start))?;
        (!evidence.places.is_empty()).then_some(evidence)
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
