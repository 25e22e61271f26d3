//! The journal of an unfinished restore, read as its text says and by nothing of the product.

use std::ops::Range;
use std::path::Path;

use super::{Outcome, ensure, scratch};

/// What a journal says is durable: sorted ranges that do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Journal {
    pub(crate) done: Vec<Range<u64>>,
}

impl Journal {
    /// Reads `done START END #crc` lines; a line that was cut off counts for nothing, no file for no line.
    pub(crate) fn read(path: &Path) -> Outcome<Self> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = String::from_utf8(scratch::read(path)?)?;
        let mut done = Vec::new();
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let words: Vec<&str> = line.split_whitespace().collect();
            if let ["done", start, end, seal] = words[..] {
                ensure!(seal.len() == 9 && seal.starts_with('#'), "no checksum: {line:?}");
                done.push(start.parse()?..end.parse()?);
            }
        }
        Ok(Self::of(done))
    }

    fn of(mut ranges: Vec<Range<u64>>) -> Self {
        ranges.sort_by_key(|range| range.start);
        let mut done: Vec<Range<u64>> = Vec::new();
        for range in ranges {
            match done.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => done.push(range),
            }
        }
        Self { done }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.done.iter().map(|range| range.end - range.start).sum()
    }

    /// Whether all of the range is durable.
    pub(crate) fn covers(&self, range: &Range<u64>) -> bool {
        self.done.iter().any(|done| done.start <= range.start && range.end <= done.end)
    }

    /// Whether nothing of the range is.
    pub(crate) fn misses(&self, range: &Range<u64>) -> bool {
        self.done.iter().all(|done| range.end <= done.start || done.end <= range.start)
    }

    /// It says all that an earlier look at it said.
    pub(crate) fn goes_on_from(&self, earlier: &Self) -> Outcome {
        let lost = earlier.done.iter().find(|range| !self.covers(range));
        ensure!(lost.is_none(), "the journal forgot {lost:?}: {earlier:?}, then {self:?}");
        Ok(())
    }
}
