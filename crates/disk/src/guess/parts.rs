//! What must be at a place, as bytes that are compared.

use super::place::{Place, Test, Verdict};

/// Bytes at an offset from a place.
pub(super) type Part = (usize, Vec<u8>);

/// All of these parts must be at a place.
struct All(Vec<Part>);

impl Test for All {
    fn verdict(&self, bytes: &[u8]) -> Verdict {
        let has = |(at, part): &Part| bytes.get(*at..).is_some_and(|bytes| bytes.starts_with(part));
        Verdict::of(self.0.iter().all(has))
    }
}

/// A place with these parts.
pub(super) fn place(offset: u64, parts: Vec<Part>) -> Place {
    let len = parts.iter().map(|(at, part)| at + part.len()).max().unwrap_or(0);
    Place { offset, len, test: Box::new(All(parts)) }
}
