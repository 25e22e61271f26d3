//! Dividing a restore among processes, on one machine or several.

use std::ops::Range;
use std::str::FromStr;

use snapfmt::Mapping;

use crate::aligned::ALIGN;
use crate::plan::{MIN_WINDOW, window_bytes};
use crate::ranges::length;
use crate::volume::Volume;

/// One of several parts of a restore, each done by a process of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    number: u32,
    count: u32,
}

/// Text that is no part.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("I/N is expected, with I from 1 to N")]
pub struct NotAPart;

impl FromStr for Part {
    type Err = NotAPart;

    fn from_str(text: &str) -> Result<Self, NotAPart> {
        let (number, count) = text.split_once('/').ok_or(NotAPart)?;
        let part = Self {
            number: number.parse().map_err(|_| NotAPart)?,
            count: count.parse().map_err(|_| NotAPart)?,
        };
        if (1..=part.count).contains(&part.number) { Ok(part) } else { Err(NotAPart) }
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.number, self.count)
    }
}

impl Part {
    /// Which one, from 1 on.
    pub const fn number(self) -> u32 {
        self.number
    }

    /// How many there are.
    pub const fn count(self) -> u32 {
        self.count
    }

    /// Whether it is the last one.
    pub const fn is_last(self) -> bool {
        self.number == self.count
    }

    /// The part of `range`, which lies in the volume, that is this one's. All parts together are the
    /// range; where two meet, a block of 4096 bytes begins, so that no two processes write to one,
    /// and if possible a window of the volume, so that no chunk is decoded twice.
    pub fn of(self, volume: &Volume, range: &Range<u64>) -> Range<u64> {
        let border = |number: u32| {
            if number == self.count {
                return range.end;
            }
            let bytes = u128::from(length(range)) * u128::from(number) / u128::from(self.count);
            let at = range.start + u64::try_from(bytes).unwrap_or(u64::MAX);
            border_before(volume, at).clamp(range.start, range.end)
        };
        border(self.number - 1)..border(self.number)
    }
}

/// The last point up to byte `at` where writing can be divided. Those of a segment are windows if
/// all of them begin a block; else they are a grid of their own, from the segment's first block on,
/// so that no byte has a later point than the bytes behind it.
fn border_before(volume: &Volume, at: u64) -> u64 {
    let align = ALIGN as u64;
    let map = volume.layout().map();
    let Some(segment) = map.find(at).and_then(|number| map.segment(number)) else { return at };
    let window = match segment.mapping {
        Mapping::Unmapped => MIN_WINDOW,
        _ => window_bytes(volume, &segment),
    };
    if segment.start.is_multiple_of(align) && window.is_multiple_of(align) {
        return segment.start + (at - segment.start) / window * window;
    }
    (at - at % MIN_WINDOW).max(segment.start - segment.start % align)
}
