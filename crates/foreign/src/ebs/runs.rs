//! Many block numbers in little memory: ascending, as runs of neighbours with one value.

use std::ops::Range;

/// A run of neighbouring blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Run<T> {
    pub first: u32,
    pub count: u32,
    /// How many blocks stand before it.
    pub before: u32,
    pub value: T,
}

impl<T> Run<T> {
    /// The number after the last.
    pub(super) const fn end(&self) -> u32 {
        self.first.saturating_add(self.count)
    }

    pub(super) const fn range(&self) -> Range<u32> {
        self.first..self.end()
    }
}

/// Ascending block numbers, each with a value; 16 bytes a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Runs<T> {
    runs: Vec<Run<T>>,
}

impl<T> Default for Runs<T> {
    fn default() -> Self {
        Self { runs: Vec::new() }
    }
}

impl<T: Copy + PartialEq> Runs<T> {
    /// None yet, but room for so many runs.
    pub(super) fn with_capacity(runs: usize) -> Self {
        Self { runs: Vec::with_capacity(runs) }
    }

    /// Gives back the room for more.
    pub(super) fn shrink_to_fit(&mut self) {
        self.runs.shrink_to_fit();
    }

    /// Adds a block behind all others; `false` when it is not behind them.
    #[must_use]
    pub(super) fn push(&mut self, block: u32, value: T) -> bool {
        self.append(block, 1, value)
    }

    fn append(&mut self, first: u32, count: u32, value: T) -> bool {
        if first.checked_add(count).is_none() {
            return false;
        }
        let before = self.len();
        match self.runs.last_mut() {
            Some(last) if first < last.end() => return false,
            Some(last) if first == last.end() && last.value == value => last.count += count,
            _ => self.runs.push(Run { first, count, before, value }),
        }
        true
    }

    /// Adds all blocks of `other`, which must be behind these.
    #[must_use]
    pub(super) fn extend(&mut self, other: &Self) -> bool {
        other.runs.iter().all(|run| self.append(run.first, run.count, run.value))
    }

    /// How many blocks there are.
    pub(super) fn len(&self) -> u32 {
        self.runs.last().map_or(0, |run| run.before.saturating_add(run.count))
    }

    /// The first and the last block.
    pub(super) fn bounds(&self) -> Option<(u32, u32)> {
        Some((self.runs.first()?.first, self.runs.last()?.end().saturating_sub(1)))
    }

    /// The runs that end after `block`, the first of which may hold it.
    pub(super) fn from(&self, block: u32) -> &[Run<T>] {
        let at = self.runs.partition_point(|run| run.end() <= block);
        self.runs.get(at..).unwrap_or_default()
    }

    /// The value of a block, and its place among all of them.
    pub(super) fn get(&self, block: u32) -> Option<(T, u32)> {
        let run = self.from(block).first().filter(|run| run.first <= block)?;
        Some((run.value, run.before.saturating_add(block - run.first)))
    }

    /// All of them.
    pub(super) fn runs(&self) -> &[Run<T>] {
        &self.runs
    }

    /// Those of the blocks `range` that are not here.
    pub(super) fn gaps(&self, range: Range<u32>) -> impl Iterator<Item = Range<u32>> {
        let mut at = range.start;
        let mut held = self.from(at).iter();
        std::iter::from_fn(move || {
            while at < range.end {
                let next = held.next().map_or(range.end..range.end, Run::range);
                let gap = at..next.start.min(range.end);
                at = next.end;
                if !gap.is_empty() {
                    return Some(gap);
                }
            }
            None
        })
    }

    /// The first block that only one of both has, or that both have with different values.
    pub(super) fn first_difference(&self, other: &Self) -> Option<u32> {
        let mut others = other.runs.iter();
        for run in &self.runs {
            match others.next() {
                None => return Some(run.first),
                Some(other) if run == other => {}
                Some(other) if run.first != other.first => return Some(run.first.min(other.first)),
                Some(other) if run.value != other.value => return Some(run.first),
                Some(other) => return Some(run.end().min(other.end())),
            }
        }
        others.next().map(|other| other.first)
    }

    /// The first block that `other` does not have.
    pub(super) fn first_not_in<U: Copy + PartialEq>(&self, other: &Runs<U>) -> Option<u32> {
        self.runs.iter().find_map(|run| other.gaps(run.range()).next()).map(|gap| gap.start)
    }
}

/// Blocks without values: of ranges that do not overlap, in any order.
impl FromIterator<Range<u32>> for Runs<()> {
    fn from_iter<I: IntoIterator<Item = Range<u32>>>(ranges: I) -> Self {
        let mut ranges: Vec<_> = ranges.into_iter().filter(|range| !range.is_empty()).collect();
        // Most often these are two rows in order, one behind the other, which this sort merges.
        ranges.sort_by_key(|range| range.start);
        let mut runs = Self::with_capacity(ranges.len());
        for Range { start, end } in ranges {
            let is_behind = runs.append(start, end - start, ());
            debug_assert!(is_behind, "{start}..{end} overlaps another range");
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::{Run, Runs};
    use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, proptest};
    use std::collections::BTreeMap;

    fn runs(of: &BTreeMap<u32, bool>) -> Runs<bool> {
        let mut runs = Runs::default();
        assert!(of.iter().all(|(block, value)| runs.push(*block, *value)));
        runs
    }

    fn numbers<T: Copy + PartialEq>(runs: &Runs<T>) -> Vec<(u32, T)> {
        let of = |run: &Run<T>| run.range().zip(std::iter::repeat(run.value)).collect::<Vec<_>>();
        runs.runs().iter().flat_map(of).collect()
    }

    fn blocks() -> impl Strategy<Value = BTreeMap<u32, bool>> {
        prop::collection::btree_map(0..60_u32, any::<bool>(), 0..40)
    }

    proptest! {
        #[test]
        fn runs_are_what_a_map_is(map in blocks(), other in blocks(), block in 0..70_u32) {
            let (all, others) = (runs(&map), runs(&other));
            prop_assert_eq!(numbers(&all), map.clone().into_iter().collect::<Vec<_>>());
            prop_assert_eq!(all.len() as usize, map.len());
            let place = map.range(..block).count();
            let expected = map.get(&block).map(|value| (*value, u32::try_from(place).unwrap()));
            prop_assert_eq!(all.get(block), expected);
            let absent = map.keys().find(|block| !other.contains_key(block)).copied();
            prop_assert_eq!(all.first_not_in(&others), absent);
            let differs = |block: &&u32| map.get(block) != other.get(block);
            let different = map.keys().chain(other.keys()).filter(differs).min().copied();
            prop_assert_eq!(all.first_difference(&others), different);
            let bounds = map.keys().next().copied().zip(map.keys().next_back().copied());
            prop_assert_eq!(all.bounds(), bounds);
        }

        #[test]
        fn gaps_are_what_a_map_lacks(map in blocks(), start in 0..70_u32, len in 0..70_u32) {
            let range = start..start + len;
            let gaps: Vec<_> = runs(&map).gaps(range.clone()).collect();
            prop_assert!(gaps.iter().all(|gap| !gap.is_empty()));
            prop_assert!(gaps.windows(2).all(|pair| pair[0].end < pair[1].start));
            let lacked: Vec<_> = range.filter(|block| !map.contains_key(block)).collect();
            prop_assert_eq!(gaps.iter().cloned().flatten().collect::<Vec<_>>(), lacked.clone());
            let again: Runs<()> = gaps.into_iter().rev().collect();
            prop_assert_eq!(numbers(&again).into_iter().map(|(n, ())| n).collect::<Vec<_>>(), lacked);
        }

        #[test]
        fn only_what_is_behind_is_taken(map in blocks(), block in 0..70_u32) {
            let mut all = runs(&map);
            let behind = map.keys().next_back().is_none_or(|last| *last < block);
            prop_assert_eq!(all.push(block, true), behind);
        }
    }

    #[test]
    fn the_last_number_does_not_wrap() {
        let mut all = Runs::default();
        assert!(all.push(u32::MAX - 1, ()));
        assert!(!all.push(u32::MAX, ()));
        assert_eq!(all.bounds(), Some((u32::MAX - 1, u32::MAX - 1)));
    }
}
