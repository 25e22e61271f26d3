//! The logical volume: a layout and one source for each member.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use snapfmt::{Column, ExtentMap, LayoutError, Limits, Mapping, MemberNo, Segment, VolumeId};

use crate::layout::{Layout, columns};
use crate::source::{Extent, ReadCause, ReadError, Source};

/// One member: who it is and what holds its content.
#[derive(Clone)]
pub struct VolumeMember {
    /// The underlying volume's id.
    pub volume_id: VolumeId,
    /// Its content.
    pub source: Arc<dyn Source>,
}

/// What every command takes: restore, verify, hash, capture and on-demand reads.
pub struct Volume {
    layout: Layout,
    members: Vec<VolumeMember>,
}

/// A layout that does not fit its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the layout needs bytes up to {needed} of member {member}, its source has {found}")]
pub struct LayoutMismatch {
    /// Which member.
    pub member: MemberNo,
    /// The end of the bytes the layout uses.
    pub needed: u64,
    /// The source's size; 0 when there is no such member.
    pub found: u64,
}

impl Volume {
    /// Joins a layout and its members, which are in the order of the layout's member numbers.
    pub fn new(layout: Layout, members: Vec<VolumeMember>) -> Result<Self, LayoutMismatch> {
        for segment in layout.map().segments() {
            let columns = columns(&segment);
            for column in columns {
                let needed = column.offset + segment.length / columns.len() as u64;
                let found = members.get(column.member.index()).map_or(0, |m| m.source.size());
                if needed > found {
                    return Err(LayoutMismatch { member: column.member, needed, found });
                }
            }
        }
        Ok(Self { layout, members })
    }

    /// Member `no` as a volume of its own: all of its bytes, in order.
    pub fn alone(&self, no: MemberNo) -> Result<Self, LayoutError> {
        let Some(member) = self.members.get(no.index()) else {
            let members = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
            return Err(LayoutError::NoMember { segment: 0, member: no, members });
        };
        Self::of_one(member.clone())
    }

    /// A volume that is all of one member, in order.
    pub fn of_one(member: VolumeMember) -> Result<Self, LayoutError> {
        let size = member.source.size();
        let mapping = Mapping::Linear(Column { member: MemberNo(0), offset: 0 });
        let whole = (size > 0).then_some(Segment { start: 0, length: size, mapping });
        let map = ExtentMap::new(size, &[size], whole, &Limits::DEFAULT)?;
        Ok(Self { layout: Layout::new(map), members: vec![member] })
    }

    /// The layout.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The members, by number.
    pub fn members(&self) -> &[VolumeMember] {
        &self.members
    }

    /// Member `no`, which the validated layout names.
    pub fn member(&self, no: MemberNo) -> &VolumeMember {
        match self.members.get(no.index()) {
            Some(member) => member,
            None => unreachable!("Volume::new has seen every member of the layout"),
        }
    }

    /// Size in bytes.
    pub const fn size(&self) -> u64 {
        self.layout.size()
    }

    /// Appends what a member says of `range`, which must be something of every byte.
    pub(crate) fn extents(
        &self,
        member: MemberNo,
        range: &Range<u64>,
        extents: &mut Vec<Extent>,
    ) -> Result<(), ReadError> {
        let from = extents.len();
        self.member(member).source.extents(range.clone(), extents)?;
        let mut at = range.start;
        for extent in extents.iter().skip(from) {
            if extent.range.start > at {
                break;
            }
            at = at.max(extent.range.end);
        }
        if at < range.end { Err(self.unresolved(member, at)) } else { Ok(()) }
    }

    /// Bytes of which a source says nothing, or that they are a parent's. A source has no name of its
    /// own; the volume it holds has.
    pub(crate) fn unresolved(&self, member: MemberNo, start: u64) -> ReadError {
        let name = self.member(member).volume_id.as_str();
        ReadError::new(Path::new(name), ReadCause::NoParent { start })
    }
}

impl std::fmt::Debug for Volume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Volume").field("layout", &self.layout).finish_non_exhaustive()
    }
}
