//! What the parent has, chunk by chunk, from its digests alone.

use std::ops::Range;
use std::sync::Arc;

use snapfmt::{CheckedManifest, Digest, Geometry, MemberNo};

use super::ParentSet;
use restore::ranges::length;
use restore::source::{Chain, Extent, ExtentKind, PageCache, ReadError, Source};

/// What a child may inherit at a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Inheritable {
    /// Nothing: there is no parent, or it ends before.
    Nothing,
    /// Zeros.
    Zeros,
    /// A chunk whose plain bytes have this digest.
    Chunk(Digest),
}

/// One member of the parent set, read along with the child.
pub(super) struct ParentState {
    source: Chain,
    geometry: Geometry,
    /// Chunks below this may be inherited.
    limit: u32,
    extents: Vec<Extent>,
}

impl ParentState {
    /// The parent of the member that `manifest` is for.
    pub(super) fn open(
        parent: Option<&ParentSet<'_>>,
        manifest: &CheckedManifest,
        pages: &Arc<PageCache>,
    ) -> Option<Self> {
        let parent = parent?;
        let own = &manifest.own().volume_id;
        let (no, link) = (0..)
            .zip(parent.open.own_files())
            .find(|(_, l)| l.snapshot.manifest().own().volume_id == *own)?;
        let geometry = link.snapshot.geometry();
        let limit = geometry.inheritable(manifest.geometry().size());
        let source = parent.open.source(MemberNo(no), pages)?;
        Some(Self { source, geometry, limit, extents: Vec::new() })
    }

    /// What the chunks from `first` on are in the parent, and how many of them (at most `count`)
    /// are alike.
    pub(super) fn at(&mut self, first: u32, count: u32) -> Result<(Inheritable, u32), ReadError> {
        if first >= self.limit {
            return Ok((Inheritable::Nothing, count));
        }
        let chunk = u64::from(self.geometry.chunk_size().bytes());
        let start = u64::from(first) * chunk;
        let range: Range<u64> = start..(start + 1).min(self.geometry.size());
        self.extents.clear();
        self.source.extents(range, &mut self.extents)?;
        let alike = |extent: &Extent| {
            let chunks = length(&(start..extent.range.end)).div_ceil(chunk);
            u32::try_from(chunks).unwrap_or(u32::MAX).min(count).min(self.limit - first).max(1)
        };
        Ok(match self.extents.first() {
            Some(Extent { kind: ExtentKind::Data(chunk), .. }) => {
                (chunk.digest.map_or(Inheritable::Nothing, Inheritable::Chunk), 1)
            }
            Some(extent) => (Inheritable::Zeros, alike(extent)),
            None => (Inheritable::Nothing, 1),
        })
    }
}
