//! Sets of bytes, as ranges.

use std::ops::Range;

/// Bytes as sorted ranges that neither overlap nor touch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RangeSet(Vec<Range<u64>>);

impl RangeSet {
    /// Adds the bytes `range`, whether some of them are in the set or not.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let from = self.0.partition_point(|r| r.end < range.start);
        let to = self.0.partition_point(|r| r.start <= range.end);
        let touched = self.0.get(from..to).unwrap_or(&[]);
        let start = touched.first().map_or(range.start, |r| r.start.min(range.start));
        let end = touched.last().map_or(range.end, |r| r.end.max(range.end));
        self.0.splice(from..to, std::iter::once(start..end));
    }

    /// Takes in the bytes of another set, in about the time of reading both: however they lie among each
    /// other, none is moved for each that comes.
    pub fn merge(&mut self, other: Self) {
        if self.is_empty() {
            *self = other;
            return;
        }
        self.0.extend(other.0);
        // Of two sorted runs this is one pass.
        self.0.sort_by_key(|range| range.start);
        self.0.dedup_by(|next, last| {
            let touches = next.start <= last.end;
            if touches {
                last.end = last.end.max(next.end);
            }
            touches
        });
    }

    /// The end of the run of bytes in the set that byte `at` lies in.
    pub fn end_from(&self, at: u64) -> Option<u64> {
        let next = self.0.partition_point(|r| r.end <= at);
        self.0.get(next).filter(|r| r.start <= at).map(|r| r.end)
    }

    /// The first byte of the set that is not before `at`.
    pub fn next_from(&self, at: u64) -> Option<u64> {
        let next = self.0.partition_point(|r| r.end <= at);
        self.0.get(next).map(|r| r.start.max(at))
    }

    /// Whether every byte of `range` is in the set.
    pub fn covers(&self, range: &Range<u64>) -> bool {
        range.is_empty() || self.end_from(range.start).is_some_and(|end| end >= range.end)
    }

    /// How many bytes are in the set.
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(length).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ranges, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Range<u64>> {
        self.0.iter()
    }
}

impl FromIterator<Range<u64>> for RangeSet {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut set = Self::default();
        ranges.into_iter().for_each(|range| set.insert(range));
        set
    }
}

impl Extend<Range<u64>> for RangeSet {
    fn extend<I: IntoIterator<Item = Range<u64>>>(&mut self, ranges: I) {
        ranges.into_iter().for_each(|range| self.insert(range));
    }
}

/// A range in pieces of `most` bytes, the last one as short as it is.
pub fn steps(range: &Range<u64>, most: u64) -> impl Iterator<Item = Range<u64>> + use<> {
    let Range { mut start, end } = range.clone();
    std::iter::from_fn(move || {
        let step = start..start.saturating_add(most).min(end);
        start = step.end;
        (!step.is_empty()).then_some(step)
    })
}

/// The part of `range` that lies in `within`.
pub fn clip(range: &Range<u64>, within: &Range<u64>) -> Range<u64> {
    let start = range.start.max(within.start);
    start..range.end.min(within.end).max(start)
}

/// Length of a range in bytes.
pub const fn length(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}

#[cfg(test)]
mod tests {
    use super::RangeSet;
    use proptest::prelude::{any, prop, proptest};

    proptest! {
        #[test]
        fn a_set_of_ranges_is_a_set_of_bytes(
            inserted in prop::collection::vec((0_u8..120, 0_u8..9), 0..24),
            at in any::<u8>(),
        ) {
            let mut bytes = [false; 256];
            let mut set = RangeSet::default();
            for (start, len) in inserted {
                let range = u64::from(start)..u64::from(start) + u64::from(len);
                bytes[usize::from(start)..usize::from(start) + usize::from(len)].fill(true);
                set.insert(range);
            }
            let held = |n: usize| bytes.get(n).copied().unwrap_or(false);
            let at = usize::from(at);
            let run_end = (at..=256).find(|n| !held(*n)).filter(|_| held(at)).map(|n| n as u64);
            assert_eq!(set.end_from(at as u64), run_end);
            assert_eq!(set.next_from(at as u64), (at..256).find(|n| held(*n)).map(|n| n as u64));
            assert_eq!(set.bytes(), (0..256).filter(|n| held(*n)).count() as u64);
            let ranges: Vec<_> = set.iter().cloned().collect();
            assert!(ranges.windows(2).all(|w| w[0].end < w[1].start), "{ranges:?}");
            assert_eq!(set.covers(&(at as u64..at as u64 + 3)), (at..at + 3).all(held));
        }

        #[test]
        fn merging_is_inserting_one_by_one(
            ours in prop::collection::vec((0_u64..120, 0_u64..9), 0..24),
            theirs in prop::collection::vec((0_u64..120, 0_u64..9), 0..24),
        ) {
            let set = |of: &[(u64, u64)]| of.iter().map(|(at, len)| *at..at + len).collect();
            let mut merged: RangeSet = set(&ours);
            merged.merge(set(&theirs));
            assert_eq!(merged, set(&[ours, theirs].concat()));
        }
    }

    /// Inserted one by one, this would take hours.
    #[test]
    fn sets_that_alternate_merge_soon() {
        let set = |from: u64| (0..1 << 20).map(|n| n * 100 + from).map(|at| at..at + 10).collect();
        let mut merged: RangeSet = set(0);
        merged.merge(set(50));
        assert_eq!(merged.iter().count(), 1 << 21);
    }
}
