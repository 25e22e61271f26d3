//! A strict reader of GNU ddrescue map files, by the format in its manual: comment lines, one status line, then blocks
//! that follow one another from 0.

use std::ops::Range;
use std::path::Path;

use super::{Outcome, ensure, scratch};

/// The blocks marked as bad (`-`), sorted, touching ones merged; everything else must be finished (`+`).
pub(crate) fn bad_ranges(path: &Path, size: u64) -> Outcome<Vec<Range<u64>>> {
    bad_ranges_in(path, size, &(0..size))
}

/// The same where only a part was tried: all before and behind it must be non-tried (`?`).
pub(crate) fn bad_ranges_in(
    path: &Path,
    size: u64,
    tried: &Range<u64>,
) -> Outcome<Vec<Range<u64>>> {
    let text = String::from_utf8(scratch::read(path)?)?;
    let context = |line: &str| format!("{}: line {line:?}", path.display());
    let mut lines = text.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty());
    let status = lines.next().ok_or_else(|| format!("{} has no status line", path.display()))?;
    let fields: Vec<&str> = status.split_whitespace().collect();
    ensure!((2..=3).contains(&fields.len()), "{}: not a status line", context(status));
    number(fields[0]).ok_or_else(|| context(status))?;
    ensure!(
        fields[1].len() == 1 && "?*/-FG+".contains(fields[1]),
        "{}: unknown current status",
        context(status)
    );
    let mut at = 0;
    let mut bad: Vec<Range<u64>> = Vec::new();
    for line in lines {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [start, len, state] = fields[..] else {
            return Err(format!("{}: not three fields", context(line)).into());
        };
        let start = number(start).ok_or_else(|| context(line))?;
        let len = number(len).ok_or_else(|| context(line))?;
        ensure!(start == at && len > 0, "{}: does not follow on {at:#x}", context(line));
        at += len;
        let is_tried = start >= tried.start && at <= tried.end;
        ensure!(is_tried || state == "?", "{}: nobody has tried that", context(line));
        match state {
            "+" => {}
            "?" if !is_tried && (at <= tried.start || start >= tried.end) => {}
            "-" => match bad.last_mut() {
                Some(last) if last.end == start => last.end = at,
                _ => bad.push(start..at),
            },
            _ => return Err(format!("{}: neither good nor bad", context(line)).into()),
        }
    }
    ensure!(at == size, "{} ends at {at}, not at {size}", path.display());
    Ok(bad)
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}
