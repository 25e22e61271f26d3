//! The extent map: which byte range of the logical volume lives where.

mod stored;

use std::ops::Range;

use crate::geometry::MemberNo;
use crate::layout_error::LayoutError;
use crate::limits::Limits;

pub(crate) use stored::{EncodedMap, ExtentMapParser, ExtentMapRoot};

/// One column of a segment: where on which member it starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Column {
    /// The member.
    pub member: MemberNo,
    /// Byte offset on the member.
    pub offset: u64,
}

/// Where a segment's bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mapping<'a> {
    /// Nowhere: they read as zeros.
    Unmapped,
    /// On one member, in order.
    Linear(Column),
    /// On several members in turn, `stripe` bytes each.
    Striped {
        /// Stripe size in bytes.
        stripe: u32,
        /// The members, in order.
        columns: &'a [Column],
    },
}

/// One byte range of the logical volume.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment<'a> {
    /// First logical byte.
    pub start: u64,
    /// Length in bytes, not zero.
    pub length: u64,
    /// Where the bytes are.
    pub mapping: Mapping<'a>,
}

impl Segment<'_> {
    /// The first logical byte after the segment.
    pub const fn end(&self) -> u64 {
        self.start.saturating_add(self.length)
    }
}

/// A segment as it is kept: 32 bytes however many columns it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct FlatSegment {
    start: u64,
    length: u64,
    stripe: u32,
    first_column: u32,
    columns: u32,
}

/// A validated layout: sorted, contiguous, within every member, and no member byte used twice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExtentMap {
    size: u64,
    segments: Vec<FlatSegment>,
    columns: Vec<Column>,
}

impl ExtentMap {
    /// Checks `segments` against the logical size and the members' sizes (bytes, by number).
    pub fn new<'a>(
        size: u64,
        member_sizes: &[u64],
        segments: impl IntoIterator<Item = Segment<'a>>,
        limits: &Limits,
    ) -> std::result::Result<Self, LayoutError> {
        let mut map = Self { size, segments: Vec::new(), columns: Vec::new() };
        for segment in segments {
            map.push(segment, limits)?;
        }
        map.check(member_sizes, limits)?;
        Ok(map)
    }

    fn push(
        &mut self,
        segment: Segment<'_>,
        limits: &Limits,
    ) -> std::result::Result<(), LayoutError> {
        let (stripe, columns): (u32, &[Column]) = match &segment.mapping {
            Mapping::Unmapped => (0, &[]),
            Mapping::Linear(column) => (0, std::slice::from_ref(column)),
            Mapping::Striped { stripe, columns } => (*stripe, columns),
        };
        let no = index_u32(self.segments.len());
        let width = index_u32(columns.len());
        if matches!(segment.mapping, Mapping::Striped { .. }) && width < 2 {
            let length = segment.length;
            return Err(LayoutError::Stripes { segment: no, length, stripe, columns: width });
        }
        self.segments.push(FlatSegment {
            start: segment.start,
            length: segment.length,
            stripe,
            first_column: index_u32(self.columns.len()),
            columns: width,
        });
        self.columns.extend_from_slice(columns);
        self.check_counts(limits)
    }

    fn check_counts(&self, limits: &Limits) -> std::result::Result<(), LayoutError> {
        for (found, max) in
            [(self.segments.len(), limits.segments), (self.columns.len(), limits.columns)]
        {
            if found as u64 > u64::from(max) {
                return Err(LayoutError::Count { found: found as u64, max: max.into() });
            }
        }
        Ok(())
    }

    fn check(&self, member_sizes: &[u64], limits: &Limits) -> std::result::Result<(), LayoutError> {
        if self.segments.is_empty() {
            return Err(LayoutError::Count { found: 0, max: limits.segments.into() });
        }
        let mut used = Vec::with_capacity(self.columns.len());
        let mut next = 0_u64;
        for (no, segment) in (0..).zip(self.segments()) {
            if segment.start != next {
                let found = segment.start;
                return Err(LayoutError::NotContiguous { segment: no, found, expected: next });
            }
            if segment.length == 0 {
                return Err(LayoutError::Empty { segment: no });
            }
            let end = segment.start.checked_add(segment.length);
            next = end.ok_or(LayoutError::Size { found: u64::MAX, expected: self.size })?;
            check_segment(no, &segment, member_sizes, limits, &mut used)?;
        }
        if next != self.size {
            return Err(LayoutError::Size { found: next, expected: self.size });
        }
        check_injective(used)
    }

    /// The logical size in bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// How many segments there are, at least one.
    pub fn len(&self) -> usize {
        self.segments.len()
    }

    /// Never: a layout has at least one segment.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// The segments in order.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = Segment<'_>> {
        self.segments.iter().map(|flat| self.view(flat))
    }

    /// The `n`-th segment.
    pub fn segment(&self, n: usize) -> Option<Segment<'_>> {
        self.segments.get(n).map(|flat| self.view(flat))
    }

    /// The number of the segment that holds logical byte `offset`, by binary search.
    pub fn find(&self, offset: u64) -> Option<usize> {
        if offset >= self.size {
            return None;
        }
        self.segments.partition_point(|s| s.start <= offset).checked_sub(1)
    }

    fn view(&self, flat: &FlatSegment) -> Segment<'_> {
        let first = flat.first_column as usize;
        let columns = self.columns.get(first..first.saturating_add(flat.columns as usize));
        let mapping = match columns.unwrap_or(&[]) {
            [] => Mapping::Unmapped,
            [one] => Mapping::Linear(*one),
            columns => Mapping::Striped { stripe: flat.stripe, columns },
        };
        Segment { start: flat.start, length: flat.length, mapping }
    }
}

fn index_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn check_segment(
    no: u32,
    segment: &Segment<'_>,
    member_sizes: &[u64],
    limits: &Limits,
    used: &mut Vec<(MemberNo, Range<u64>, u32)>,
) -> std::result::Result<(), LayoutError> {
    let (columns, per_column): (&[Column], u64) = match &segment.mapping {
        Mapping::Unmapped => return Ok(()),
        Mapping::Linear(column) => (std::slice::from_ref(column), segment.length),
        Mapping::Striped { stripe, columns } => {
            let row = u64::from(*stripe).checked_mul(columns.len() as u64).unwrap_or(0);
            if row == 0 || !segment.length.is_multiple_of(row) {
                return Err(LayoutError::Stripes {
                    segment: no,
                    length: segment.length,
                    stripe: *stripe,
                    columns: index_u32(columns.len()),
                });
            }
            if *stripe < limits.shortest_stripe {
                let (stripe, min) = (*stripe, limits.shortest_stripe);
                return Err(LayoutError::ShortStripe { segment: no, stripe, min });
            }
            (columns, segment.length / columns.len() as u64)
        }
    };
    for column in columns {
        let member = column.member;
        let Some(&size) = member_sizes.get(member.index()) else {
            let members = index_u32(member_sizes.len());
            return Err(LayoutError::NoMember { segment: no, member, members });
        };
        let end = column.offset.saturating_add(per_column);
        // A sum that saturates must not pass for a member that ends there.
        if end > size || end == u64::MAX {
            return Err(LayoutError::OutOfRange { segment: no, member, end, size });
        }
        used.push((member, column.offset..end, no));
    }
    Ok(())
}

fn check_injective(
    mut used: Vec<(MemberNo, Range<u64>, u32)>,
) -> std::result::Result<(), LayoutError> {
    used.sort_unstable_by_key(|(member, range, _)| (*member, range.start));
    for pair in used.windows(2) {
        if let [(a, before, first), (b, after, second)] = pair
            && a == b
            && after.start < before.end
        {
            let offset = after.start;
            return Err(LayoutError::Overlap {
                first: *first,
                second: *second,
                member: *a,
                offset,
            });
        }
    }
    Ok(())
}
