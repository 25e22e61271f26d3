//! Many block numbers in little memory: ascending, as runs of neighbours with one value.

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

    /// All blocks with their values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, T)> {
        self.runs.iter().flat_map(|run| (run.first..run.end()).map(|block| (block, run.value)))
    }

    /// The first block that `other` does not have.
    pub(super) fn first_not_in<U: Copy + PartialEq>(&self, other: &Runs<U>) -> Option<u32> {
        for run in &self.runs {
            let mut at = run.first;
            for held in other.from(at) {
                if held.first > at || at >= run.end() {
                    break;
                }
                at = held.end();
            }
            if at < run.end() {
                return Some(at);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Runs;
    use proptest::prelude::{Strategy, any, prop, prop_assert_eq, proptest};
    use std::collections::BTreeMap;

    fn runs(of: &BTreeMap<u32, bool>) -> Runs<bool> {
        let mut runs = Runs::default();
        assert!(of.iter().all(|(block, value)| runs.push(*block, *value)));
        runs
    }

    fn blocks() -> impl Strategy<Value = BTreeMap<u32, bool>> {
        prop::collection::btree_map(0..60_u32, any::<bool>(), 0..40)
    }

    proptest! {
        #[test]
        fn runs_are_what_a_map_is(map in blocks(), other in blocks(), block in 0..70_u32) {
            let (all, others) = (runs(&map), runs(&other));
            prop_assert_eq!(all.iter().collect::<BTreeMap<_, _>>(), map.clone());
            prop_assert_eq!(all.len() as usize, map.len());
            let place = map.range(..block).count();
            let expected = map.get(&block).map(|value| (*value, u32::try_from(place).unwrap()));
            prop_assert_eq!(all.get(block), expected);
            let absent = map.keys().find(|block| !other.contains_key(block)).copied();
            prop_assert_eq!(all.first_not_in(&others), absent);
            let bounds = map.keys().next().copied().zip(map.keys().next_back().copied());
            prop_assert_eq!(all.bounds(), bounds);
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
