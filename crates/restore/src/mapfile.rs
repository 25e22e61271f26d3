//! GNU ddrescue map files (GNU ddrescue manual, "Mapfile structure").

use std::fmt::{self, Display};
use std::ops::Range;

use crate::ranges::RangeSet;

/// The map of a volume of `size` bytes: all of `tried` was read, but for `bad`; the rest was not looked
/// at. It is made while it is written: of a member under stripes it is long.
#[derive(Debug)]
pub struct Map<'m> {
    size: u64,
    tried: Range<u64>,
    bad: &'m RangeSet,
    comment: &'m str,
}

impl<'m> Map<'m> {
    /// What came of trying; `comment` is above it.
    pub fn new(size: u64, tried: &Range<u64>, bad: &'m RangeSet, comment: &'m str) -> Self {
        let tried = tried.start.min(size)..tried.end.min(size);
        Self { size, tried, bad, comment }
    }
}

impl Display for Map<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, ref tried, bad, comment } = *self;
        for line in comment.lines() {
            writeln!(f, "# {line}")?;
        }
        f.write_str("# current_pos  current_status  current_pass\n")?;
        let status = if *tried == (0..size) { '+' } else { '?' };
        writeln!(f, "0x{:08X}     {status}               1", tried.end)?;
        f.write_str("#      pos        size  status\n")?;
        block(f, 0..tried.start, '?')?;
        let mut at = tried.start;
        for range in bad.iter() {
            block(f, at..range.start, '+')?;
            block(f, range.clone(), '-')?;
            at = range.end;
        }
        block(f, at..tried.end, '+')?;
        block(f, tried.end..size, '?')
    }
}

fn block(f: &mut fmt::Formatter<'_>, range: Range<u64>, status: char) -> fmt::Result {
    if range.is_empty() {
        return Ok(());
    }
    writeln!(f, "0x{:08X}  0x{:08X}  {status}", range.start, range.end - range.start)
}

#[cfg(test)]
mod tests {
    use super::Map;

    #[test]
    fn blocks_cover_the_volume_without_a_gap() {
        let bad = [0..0x1000, 0x2000..0x3000].into_iter().collect();
        let map = Map::new(0x5000, &(0..0x5000), &bad, "two bad ranges").to_string();
        let blocks: Vec<_> = map.lines().skip(4).collect();
        assert_eq!(
            blocks,
            [
                "0x00000000  0x00001000  -",
                "0x00001000  0x00001000  +",
                "0x00002000  0x00001000  -",
                "0x00003000  0x00002000  +",
            ]
        );
    }

    #[test]
    fn what_was_not_tried_is_not_rescued() {
        let bad = std::iter::once(0x2000..0x3000).collect();
        let map = Map::new(0x5000, &(0x1000..0x4000), &bad, "a part").to_string();
        let lines: Vec<_> = map.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "0x00004000     ?               1",
                "#      pos        size  status",
                "0x00000000  0x00001000  ?",
                "0x00001000  0x00001000  +",
                "0x00002000  0x00001000  -",
                "0x00003000  0x00001000  +",
                "0x00004000  0x00001000  ?",
            ]
        );
    }
}
