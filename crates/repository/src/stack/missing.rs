//! A member that is not there.

use std::ops::Range;
use std::path::PathBuf;

use restore::snapfmt::VolumeId;
use restore::source::{
    ChunkRef, Extent, ExtentKind, Proof, ReadCause, ReadError, Scratch, Source, StoredAt,
};

/// Why bytes of a member are not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Absence {
    /// The member is missing, or is not to be believed.
    Member,
    /// The member ends before them.
    Cut,
    /// They are not in sync.
    Stale,
    /// The member lists them as bad.
    Bad,
    /// Of several copies none is there and current.
    Copies,
}

impl Absence {
    const fn text(self) -> &'static str {
        match self {
            Self::Member => "this member is not there",
            Self::Cut => "this member is cut off before these bytes",
            Self::Stale => "these bytes of this member are not in sync",
            Self::Bad => "this member lists these bytes as bad blocks",
            Self::Copies => "no copy of these bytes is there and in sync",
        }
    }
}

/// The place of a member that is not there, or cannot be believed: all of its bytes are damaged.
#[derive(Debug)]
pub struct MissingSource {
    name: PathBuf,
    size: u64,
    why: Absence,
}

/// How much is tried to be read at once, in bytes.
const UNIT: u32 = 1 << 20;

impl MissingSource {
    /// A member of `size` bytes.
    pub fn new(volume_id: &VolumeId, size: u64, why: Absence) -> Self {
        Self { name: volume_id.as_str().into(), size, why }
    }
}

impl Source for MissingSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn largest_chunk(&self) -> u32 {
        UNIT
    }

    fn extents(&self, range: Range<u64>, out: &mut Vec<Extent>) -> Result<(), ReadError> {
        let unit = u64::from(UNIT);
        let mut start = range.start - range.start % unit;
        while start < range.end {
            let end = start.saturating_add(unit).min(self.size);
            let at = StoredAt { offset: start, len: UNIT, crc: 0 };
            let kind = ExtentKind::Data(ChunkRef::new(start..end, None, at));
            out.push(Extent { range: start..end, kind });
            start = end;
        }
        Ok(())
    }

    fn read(&self, _: &ChunkRef, _: &mut [u8], _: &mut Scratch) -> Result<Proof, ReadError> {
        Err(ReadError::new(&self.name, ReadCause::NotThere { why: self.why.text() }))
    }
}
