//! The lines of a journal: words, then `#` and the CRC-32 of everything before it in that line.

use std::ops::Range;

use snapfmt::crc32;

use super::Binding;

const MAGIC: &str = "snaprestore journal 1";

/// The head of a journal. Its two lines are written together.
pub(super) fn head(binding: &Binding) -> String {
    let Binding { volume, range } = binding;
    sealed(MAGIC) + &sealed(&format!("bytes {} {} of {volume}", range.start, range.end))
}

/// A line behind the head.
#[derive(Debug)]
pub(super) enum Line<'t> {
    /// What the target is.
    Target(&'t str),
    /// These bytes of it are durable.
    Done(Range<u64>),
}

impl Line<'_> {
    pub(super) fn to_text(&self) -> String {
        match self {
            // A line break in a path would be a line of its own.
            Self::Target(target) => sealed(&format!("target {}", target.replace('\n', " "))),
            Self::Done(range) => sealed(&format!("done {} {}", range.start, range.end)),
        }
    }
}

fn sealed(text: &str) -> String {
    format!("{text} #{:08x}\n", crc32(text.as_bytes()))
}

/// Reads lines as long as they are sound.
pub(super) struct Lines<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Lines<'t> {
    pub(super) const fn new(text: &'t [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// How many bytes the sound lines have that were read.
    pub(super) const fn sound(&self) -> u64 {
        self.at as u64
    }

    /// Whether this may be a journal that a crash cut off in its head.
    pub(super) fn begins_like_a_journal(&self) -> bool {
        let whole = sealed(MAGIC);
        let len = self.text.len().min(whole.len());
        self.text.get(..len) == whole.as_bytes().get(..len)
    }

    /// What the journal is bound to.
    pub(super) fn head(&mut self) -> Option<Binding> {
        if self.line()? != MAGIC {
            return None;
        }
        let mut words = self.line()?.split(' ');
        let mut word = || words.next();
        let (_bytes, start, end, _of) = (word()?, word()?, word()?, word()?);
        let volume = word()?.to_owned();
        Some(Binding { volume, range: start.parse().ok()?..end.parse().ok()? })
    }

    /// The next line; `None` at the end or where a line is not sound.
    pub(super) fn next(&mut self) -> Option<Line<'t>> {
        let before = self.at;
        let line = self.line().and_then(|line| match line.split_once(' ')? {
            ("target", target) => Some(Line::Target(target)),
            ("done", range) => {
                let (start, end) = range.split_once(' ')?;
                Some(Line::Done(start.parse().ok()?..end.parse().ok()?))
            }
            _ => None,
        });
        if line.is_none() {
            self.at = before;
        }
        line
    }

    fn line(&mut self) -> Option<&'t str> {
        let rest = self.text.get(self.at..)?;
        let len = rest.iter().position(|byte| *byte == b'\n')?;
        let line = std::str::from_utf8(rest.get(..len)?).ok()?;
        let (text, crc) = line.rsplit_once(" #")?;
        if u32::from_str_radix(crc, 16).ok()? != crc32(text.as_bytes()) {
            return None;
        }
        self.at += len + 1;
        Some(text)
    }
}
