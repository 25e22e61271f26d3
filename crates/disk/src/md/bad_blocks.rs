//! Blocks that a member lists as bad: what is there is not what the array holds, and another copy counts.

use std::ops::Range;

use super::array::{Array, Member};
use super::layout;

/// Some bytes that a member lists as bad, by their place on its device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bad {
    /// Which bytes.
    pub range: Range<u64>,
    /// The place of a member that holds a copy of them, and where on its device that begins.
    pub copy: Option<(usize, u64)>,
}

impl Array {
    /// What the member in a place lists as bad of what counts of it, up to byte `reach` of its device.
    pub fn bad_of(&self, place: usize, reach: u64) -> Vec<Bad> {
        let Some(own) = self.members.get(place) else { return Vec::new() };
        let Some((start, _)) = own.data else { return Vec::new() };
        let end = start.saturating_add(own.good).min(reach);
        let copies = layout::copies(self).unwrap_or(1);
        let first = place - place % copies.max(1);
        let others: Vec<(usize, &Member)> = (first..first.saturating_add(copies))
            .zip(self.members.iter().skip(first))
            .filter(|(n, _)| *n != place)
            .collect();
        let mut found = Vec::new();
        let mut at = start;
        for bad in &own.bad {
            at = at.max(bad.start);
            while at < bad.end.min(end) {
                let runs = others
                    .iter()
                    .filter_map(|(n, other)| other.run(at - start).map(|run| (run, *n)));
                let (length, copy) =
                    match runs.max_by_key(|((length, is_good, _), _)| (*is_good, *length)) {
                        Some(((length, true, offset), n)) => (length, Some((n, offset))),
                        Some(((length, false, _), _)) => (length, None),
                        None => (u64::MAX, None),
                    };
                let range = at..at.saturating_add(length).min(bad.end).min(end);
                at = range.end;
                found.push(Bad { range, copy });
            }
        }
        found
    }
}

impl Member {
    /// From a byte of its data on: how many are all good or all bad, which of both, and where they are on its device.
    fn run(&self, byte: u64) -> Option<(u64, bool, u64)> {
        let (start, _) = self.data?;
        let left = self.good.checked_sub(byte).filter(|left| *left > 0)?;
        let at = start.checked_add(byte)?;
        let next = self.bad.iter().find(|bad| bad.end > at);
        Some(match next {
            Some(bad) if bad.start <= at => (left.min(bad.end - at), false, at),
            Some(bad) => (left.min(bad.start - at), true, at),
            None => (left, true, at),
        })
    }
}
