//! What must be at a place, as bytes that are compared.

use super::evidence::{Place, Test as Any};

/// Bytes at an offset from a place.
pub(super) type Part = (usize, Vec<u8>);

/// What must be at a place: all of these parts.
pub(super) struct Test(Vec<Part>);

impl Test {
    pub(super) fn holds(&self, bytes: &[u8]) -> bool {
        let has = |(at, part): &Part| bytes.get(*at..).is_some_and(|bytes| bytes.starts_with(part));
        self.0.iter().all(has)
    }
}

/// A place with these parts.
pub(super) fn place(offset: u64, parts: Vec<Part>) -> Place {
    let len = parts.iter().map(|(at, part)| at + part.len()).max().unwrap_or(0);
    Place { offset, len, test: Any::Parts(Test(parts)) }
}
