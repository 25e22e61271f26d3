//! Pure arithmetic between the logical volume and its members, both ways.

use std::convert::Infallible;
use std::ops::Range;

use snapfmt::{Column, ExtentMap, Mapping, MemberNo, Segment, VolumeId};

use crate::ranges::{clip, length};

/// Bytes of the logical volume.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogicalRange(pub Range<u64>);

/// Bytes of a member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberRange {
    /// Which member.
    pub member: MemberNo,
    /// Which of its bytes.
    pub range: Range<u64>,
}

/// A validated extent map with what is needed to answer in both directions by binary search.
#[derive(Clone, Debug)]
pub struct Layout {
    map: ExtentMap,
    /// For each column its member bytes, the segment and its place there; sorted by member bytes.
    reverse: Vec<Reverse>,
}

#[derive(Clone, Debug)]
struct Reverse {
    member: MemberNo,
    range: Range<u64>,
    segment: usize,
    column: usize,
}

impl Layout {
    /// Takes a validated map.
    pub fn new(map: ExtentMap) -> Self {
        let mut reverse = Vec::new();
        for (number, segment) in map.segments().enumerate() {
            for (place, column) in columns(&segment).iter().enumerate() {
                let end = column.offset + segment.length / columns(&segment).len() as u64;
                reverse.push(Reverse {
                    member: column.member,
                    range: column.offset..end,
                    segment: number,
                    column: place,
                });
            }
        }
        reverse.sort_unstable_by_key(|r| (r.member, r.range.start));
        Self { map, reverse }
    }

    /// The segments.
    pub const fn map(&self) -> &ExtentMap {
        &self.map
    }

    /// Size of the logical volume in bytes.
    pub const fn size(&self) -> u64 {
        self.map.size()
    }

    /// Where logical byte `offset` is: the member bytes from there on as far as they are
    /// contiguous. `None` where nothing is mapped.
    pub fn to_member(&self, offset: u64) -> Option<MemberRange> {
        let segment = self.map.segment(self.map.find(offset)?)?;
        let at = offset - segment.start;
        let (column, local, run) = match segment.mapping {
            Mapping::Unmapped => return None,
            Mapping::Linear(column) => (column, at, segment.length - at),
            Mapping::Striped { stripe, columns } => {
                let stripe = u64::from(stripe);
                let width = columns.len() as u64;
                let (row, within) = (at / (stripe * width), at % (stripe * width));
                let place = usize::try_from(within / stripe).ok()?;
                let inside = within % stripe;
                (*columns.get(place)?, row * stripe + inside, stripe - inside)
            }
        };
        let start = column.offset + local;
        Some(MemberRange { member: column.member, range: start..start + run })
    }

    /// Where the segment of logical byte `offset` ends.
    pub(crate) fn segment_end(&self, offset: u64) -> u64 {
        let segment = self.map.find(offset).and_then(|n| self.map.segment(n));
        segment.map_or(self.map.size(), |segment| segment.end())
    }

    /// Which logical bytes a member's byte `offset` is, as far as they are contiguous. `None` where
    /// the layout does not use it.
    pub fn to_logical(&self, member: MemberNo, offset: u64) -> Option<LogicalRange> {
        let after = self.reverse.partition_point(|r| (r.member, r.range.start) <= (member, offset));
        let found = self.reverse.get(after.checked_sub(1)?)?;
        if found.member != member || offset >= found.range.end {
            return None;
        }
        let segment = self.map.segment(found.segment)?;
        let view = ColumnView::new(&segment, found.column)?;
        let (logical, run) = view.logical_of(offset);
        Some(LogicalRange(logical..logical + run.min(found.range.end - offset)))
    }

    /// All logical bytes that the member bytes `range` are, in order of the member.
    pub fn logical_ranges(&self, member: MemberNo, range: &Range<u64>) -> Vec<Range<u64>> {
        let mut out = Vec::new();
        let joined = self.scatter(member, range, |_, logical| {
            push_joined(&mut out, logical);
            Ok::<_, Infallible>(())
        });
        let Ok(()) = joined;
        out
    }

    /// Calls `piece` for each stretch of the member bytes `range` that is contiguous in the logical
    /// volume, in order of the member, until it fails: the member bytes and the logical bytes, of
    /// equal length. Bytes that the layout does not use are passed over.
    pub fn scatter<E>(
        &self,
        member: MemberNo,
        range: &Range<u64>,
        mut piece: impl FnMut(Range<u64>, Range<u64>) -> Result<(), E>,
    ) -> Result<(), E> {
        let from =
            self.reverse.partition_point(|r| (r.member, r.range.end) <= (member, range.start));
        for found in self.reverse.iter().skip(from) {
            if found.member != member || found.range.start >= range.end {
                break;
            }
            if let Some(segment) = self.map.segment(found.segment)
                && let Some(view) = ColumnView::new(&segment, found.column)
            {
                view.try_scatter(&clip(range, &found.range), &mut piece)?;
            }
        }
        Ok(())
    }
}

/// Appends a range, joining it to the last one where they touch.
pub(crate) fn push_joined(ranges: &mut Vec<Range<u64>>, next: Range<u64>) {
    match ranges.last_mut() {
        Some(last) if last.end == next.start => last.end = next.end,
        _ => ranges.push(next),
    }
}

/// The columns of a segment: none, one, or those of its stripes.
pub(crate) fn columns<'a>(segment: &'a Segment<'a>) -> &'a [Column] {
    match &segment.mapping {
        Mapping::Unmapped => &[],
        Mapping::Linear(column) => std::slice::from_ref(column),
        Mapping::Striped { columns, .. } => columns,
    }
}

/// A segment in one line of text; `ids` are those of the members.
pub fn describe(segment: &Segment<'_>, ids: &[VolumeId]) -> String {
    let place = |c: &Column| {
        let id = ids.get(c.member.index()).map_or("?", VolumeId::as_str);
        format!("{}@{}", id.escape_debug(), c.offset)
    };
    let what = match &segment.mapping {
        Mapping::Unmapped => "unmapped, reads as zeros".to_owned(),
        Mapping::Linear(column) => format!("linear on {}", place(column)),
        Mapping::Striped { stripe, columns } => {
            let places: Vec<String> = columns.iter().map(place).collect();
            format!("striped by {stripe} over {}", places.join(", "))
        }
    };
    format!("{} + {}: {what}", segment.start, segment.length)
}

/// One column of a segment: the arithmetic between its member bytes and logical bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ColumnView {
    pub(crate) member: MemberNo,
    /// First member byte.
    offset: u64,
    /// First logical byte of the segment.
    start: u64,
    /// Bytes of a stripe; the whole column when linear.
    stripe: u64,
    /// Bytes of a row of stripes.
    row: u64,
    /// Where in a row this column's stripe starts.
    shift: u64,
}

impl ColumnView {
    pub(crate) fn new(segment: &Segment<'_>, place: usize) -> Option<Self> {
        let columns = columns(segment);
        let column = columns.get(place)?;
        let stripe = match segment.mapping {
            Mapping::Striped { stripe, .. } => u64::from(stripe),
            _ => segment.length,
        };
        Some(Self {
            member: column.member,
            offset: column.offset,
            start: segment.start,
            stripe,
            row: stripe * columns.len() as u64,
            shift: stripe * place as u64,
        })
    }

    /// The columns that have bytes of the logical bytes `window` of the segment, which is not empty: no
    /// more than it has stripes, however wide the segment is.
    pub(crate) fn below<'s>(
        segment: &'s Segment<'s>,
        window: &Range<u64>,
    ) -> impl Iterator<Item = Self> + 's {
        let width = columns(segment).len();
        let stripe = match segment.mapping {
            Mapping::Striped { stripe, .. } => u64::from(stripe).max(1),
            _ => segment.length.max(1),
        };
        let first = (window.start - segment.start) / stripe;
        let stripes = (window.end - 1 - segment.start) / stripe - first + 1;
        (first..first + stripes.min(width as u64))
            .filter_map(move |n| usize::try_from(n % width as u64).ok())
            .filter_map(|place| Self::new(segment, place))
    }

    /// The member bytes behind the logical bytes `window` of the segment.
    pub(crate) fn member_range(&self, window: &Range<u64>) -> Range<u64> {
        self.member_bytes_before(window.start)..self.member_bytes_before(window.end)
    }

    /// The member offset behind all this column's bytes below logical byte `logical`.
    fn member_bytes_before(&self, logical: u64) -> u64 {
        let at = logical - self.start;
        let in_row = (at % self.row).saturating_sub(self.shift).min(self.stripe);
        self.offset + at / self.row * self.stripe + in_row
    }

    /// The logical byte that member byte `offset` is, and how many follow it without a break.
    fn logical_of(&self, offset: u64) -> (u64, u64) {
        let local = offset - self.offset;
        let inside = local % self.stripe;
        let logical = self.start + local / self.stripe * self.row + self.shift + inside;
        (logical, self.stripe - inside)
    }

    /// The first logical byte of this column at or after member byte `offset`; the segment's `end`
    /// when the column ends there.
    pub(crate) fn logical_at_or_after(&self, offset: u64, end: u64) -> u64 {
        self.logical_of(offset).0.min(end)
    }

    /// Calls `piece` for each stretch of the member bytes `range` that is contiguous in the logical
    /// volume: the member bytes and the logical bytes, of equal length.
    pub(crate) fn scatter(
        &self,
        range: &Range<u64>,
        mut piece: impl FnMut(Range<u64>, Range<u64>),
    ) {
        let Ok(()) = self.try_scatter::<Infallible>(range, &mut |part, logical| {
            piece(part, logical);
            Ok(())
        });
    }

    /// The same, until `piece` fails.
    fn try_scatter<E>(
        &self,
        range: &Range<u64>,
        piece: &mut impl FnMut(Range<u64>, Range<u64>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut at = range.start;
        while at < range.end {
            let (logical, run) = self.logical_of(at);
            let run = run.min(length(&(at..range.end)));
            piece(at..at + run, logical..logical + run)?;
            at += run;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{ColumnView, Layout};
    use proptest::prelude::{prop, proptest};
    use snapfmt::{Column, ExtentMap, Limits, Mapping, MemberNo, Segment};

    /// A volume of segments: (kind: 0 unmapped, 1 linear, else width; rows; stripe).
    fn build(shape: &[(usize, u64, u32)]) -> (Layout, Vec<u64>) {
        let mut free = [0_u64; 5];
        let mut start = 0;
        let mut owned = Vec::new();
        for &(width, rows, stripe) in shape {
            let columns: Vec<Column> = (0..width)
                .map(|m| {
                    let offset = free[m] + 7;
                    free[m] = offset + rows * u64::from(stripe);
                    Column { member: MemberNo(u32::try_from(m).unwrap()), offset }
                })
                .collect();
            let length = rows * u64::from(stripe) * width.max(1) as u64;
            owned.push((start, length, stripe, columns));
            start += length;
        }
        let segments = owned.iter().map(|(start, length, stripe, columns)| Segment {
            start: *start,
            length: *length,
            mapping: match columns.as_slice() {
                [] => Mapping::Unmapped,
                [one] => Mapping::Linear(*one),
                columns => Mapping::Striped { stripe: *stripe, columns },
            },
        });
        let sizes: Vec<u64> = free.iter().map(|f| f + 3).collect();
        let limits = Limits { shortest_stripe: 1, ..Limits::DEFAULT };
        (Layout::new(ExtentMap::new(start, &sizes, segments, &limits).unwrap()), sizes)
    }

    proptest! {
        #[test]
        fn both_directions_agree_byte_by_byte(
            shape in prop::collection::vec((0_usize..5, 1_u64..4, 1_u32..9), 1..5),
        ) {
            let (layout, sizes) = build(&shape);
            let mut used = 0;
            for logical in 0..layout.size() {
                let Some(at) = layout.to_member(logical) else { continue };
                let back = layout.to_logical(at.member, at.range.start).unwrap();
                assert_eq!(back.0.start, logical);
                for step in 0..at.range.end - at.range.start {
                    let there = layout.to_member(logical + step).unwrap();
                    assert_eq!((there.member, there.range.start), (at.member, at.range.start + step));
                }
                used += 1;
            }
            let mapped: u64 = (0..).zip(&sizes).map(|(m, size)| {
                let ranges = layout.logical_ranges(MemberNo(m), &(0..*size));
                ranges.iter().map(|r| r.end - r.start).sum::<u64>()
            }).sum();
            assert_eq!(mapped, used);
        }

        #[test]
        fn any_window_scatters_onto_itself(
            width in 1_usize..5, rows in 1_u64..5, stripe in 1_u32..9, a in 0_u64..200, b in 0_u64..200,
        ) {
            let (layout, _) = build(&[(0, 2, 5), (width, rows, stripe)]);
            let segment = layout.map().segment(1).unwrap();
            let pick = |x: u64| segment.start + x % (segment.length + 1);
            let window = pick(a).min(pick(b))..pick(a).max(pick(b));
            let mut hit = vec![0_u8; usize::try_from(layout.size()).unwrap()];
            for place in 0..width {
                let view = ColumnView::new(&segment, place).unwrap();
                view.scatter(&view.member_range(&window), |_, logical| {
                    for byte in logical {
                        hit[usize::try_from(byte).unwrap()] += 1;
                    }
                });
            }
            for (byte, hits) in (0..).zip(hit) {
                assert_eq!(hits, u8::from(window.contains(&byte)), "byte {byte}");
            }
        }
    }
}
