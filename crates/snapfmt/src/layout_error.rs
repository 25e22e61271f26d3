//! What can be wrong with a layout.

use crate::Offset;
use crate::geometry::MemberNo;

/// Why a list of segments is no layout.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LayoutError {
    /// There are no segments, or more than the limit.
    #[error("{found} segments or columns, from 1 to {max} are possible")]
    Count {
        /// How many there are.
        found: u64,
        /// How many there may be.
        max: u64,
    },
    /// A segment does not start where the one before ends.
    #[error(
        "segment {segment} starts at {found}, expected {expected}: segments follow each other without gap or overlap (a gap is an unmapped segment)", found = Offset(*found), expected = Offset(*expected)
    )]
    NotContiguous {
        /// Which segment.
        segment: u32,
        /// Where it starts.
        found: u64,
        /// Where the one before ends.
        expected: u64,
    },
    /// The segments do not end at the volume's size.
    #[error("the segments end at {found}, the logical size is {expected}")]
    Size {
        /// Where they end.
        found: u64,
        /// The logical size.
        expected: u64,
    },
    /// A segment has no length.
    #[error("segment {segment} has no length")]
    Empty {
        /// Which segment.
        segment: u32,
    },
    /// A striped segment's shape is impossible.
    #[error(
        "segment {segment}: {length} bytes in stripes of {stripe} over {columns} columns; two or more columns, a stripe, and whole rows are needed (a tail is a segment of its own)"
    )]
    Stripes {
        /// Which segment.
        segment: u32,
        /// Its length in bytes.
        length: u64,
        /// Its stripe size in bytes.
        stripe: u32,
        /// Its columns.
        columns: u32,
    },
    /// A striped segment's stripes are shorter than a sector.
    #[error("segment {segment} has stripes of {stripe} bytes, {min} is the least")]
    ShortStripe {
        /// Which segment.
        segment: u32,
        /// Its stripe size in bytes.
        stripe: u32,
        /// The least that is possible.
        min: u32,
    },
    /// A column names a member that is not there.
    #[error("segment {segment} names member {member} of {members}")]
    NoMember {
        /// Which segment.
        segment: u32,
        /// The member it names.
        member: MemberNo,
        /// How many there are.
        members: u32,
    },
    /// A column reaches beyond its member's end.
    #[error("segment {segment} reaches byte {end} of member {member}, which has {size}", end = Offset(*end))]
    OutOfRange {
        /// Which segment.
        segment: u32,
        /// The member.
        member: MemberNo,
        /// Where the column ends.
        end: u64,
        /// The member's size in bytes.
        size: u64,
    },
    /// Two columns share bytes of a member.
    #[error("segments {first} and {second} both use byte {offset} of member {member}", offset = Offset(*offset))]
    Overlap {
        /// One segment.
        first: u32,
        /// The other.
        second: u32,
        /// The member.
        member: MemberNo,
        /// The first byte that both use.
        offset: u64,
    },
}
