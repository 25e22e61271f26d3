//! GNU ddrescue map files (GNU ddrescue manual, "Mapfile structure").

use std::fmt::Write;
use std::ops::Range;

use crate::ranges::RangeSet;

/// The map of a volume of `size` bytes: all of `tried` was read, but for `bad`; the rest nobody has looked at.
pub fn render(size: u64, tried: &Range<u64>, bad: &RangeSet, comment: &str) -> String {
    let mut out = String::new();
    for line in comment.lines() {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "# {line}");
    }
    out.push_str("# current_pos  current_status  current_pass\n");
    let tried = tried.start.min(size)..tried.end.min(size);
    let status = if tried == (0..size) { '+' } else { '?' };
    let _ = writeln!(out, "0x{:08X}     {status}               1", tried.end);
    out.push_str("#      pos        size  status\n");
    block(&mut out, 0..tried.start, '?');
    let mut at = tried.start;
    for range in bad.iter() {
        block(&mut out, at..range.start, '+');
        block(&mut out, range.clone(), '-');
        at = range.end;
    }
    block(&mut out, at..tried.end, '+');
    block(&mut out, tried.end..size, '?');
    out
}

fn block(out: &mut String, range: Range<u64>, status: char) {
    if !range.is_empty() {
        let _ = writeln!(out, "0x{:08X}  0x{:08X}  {status}", range.start, range.end - range.start);
    }
}

#[cfg(test)]
mod tests {
    use super::render;

    #[test]
    fn blocks_cover_the_volume_without_a_gap() {
        let map = render(
            0x5000,
            &(0..0x5000),
            &[0..0x1000, 0x2000..0x3000].into_iter().collect(),
            "two bad ranges",
        );
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
        let map = render(0x5000, &(0x1000..0x4000), &bad, "a part");
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
