//! A layout as the tests understand it: a list of segments, walked piece by piece in a plain loop. It
//! shares nothing with the product's arithmetic except the text of `layout.toml`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;
use std::path::Path;

use super::{Outcome, ensure, scratch};

/// Where a segment's bytes are.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Striped { stripe: u64, columns: Vec<Column> },
    Linear { column: Column },
    Unmapped,
}

/// One member's part of a segment.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) member: String,
    pub(crate) offset: u64,
}

impl Column {
    fn new((member, offset): (&str, u64)) -> Self {
        Self { member: member.to_owned(), offset }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) start: u64,
    pub(crate) length: u64,
    pub(crate) kind: Kind,
}

/// A run of logical bytes that lies in one place.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) logical: Range<u64>,
    /// The member and the offset in it, unless the piece is unmapped.
    pub(crate) place: Option<Column>,
}

/// Segments from 0 on without a gap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    pub(crate) segments: Vec<Segment>,
}

impl Layout {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Appends a striped segment; `columns` are members and the offset in each.
    pub(crate) fn striped(self, length: u64, stripe: u64, columns: &[(&str, u64)]) -> Self {
        let columns = columns.iter().copied().map(Column::new).collect();
        self.with(length, Kind::Striped { stripe, columns })
    }

    pub(crate) fn linear(self, length: u64, column: (&str, u64)) -> Self {
        self.with(length, Kind::Linear { column: Column::new(column) })
    }

    pub(crate) fn unmapped(self, length: u64) -> Self {
        self.with(length, Kind::Unmapped)
    }

    fn with(mut self, length: u64, kind: Kind) -> Self {
        // An empty segment is no segment: callers may pass a part that happens to be nothing.
        if length > 0 {
            self.segments.push(Segment { start: self.logical_size(), length, kind });
        }
        self
    }

    pub(crate) fn logical_size(&self) -> u64 {
        self.segments.last().map_or(0, |s| s.start + s.length)
    }

    /// The smallest size each member can have.
    pub(crate) fn member_sizes(&self) -> BTreeMap<String, u64> {
        let mut sizes = BTreeMap::new();
        for segment in &self.segments {
            let (columns, each) = match &segment.kind {
                Kind::Striped { columns, .. } => {
                    (columns.as_slice(), segment.length / columns.len() as u64)
                }
                Kind::Linear { column } => (std::slice::from_ref(column), segment.length),
                Kind::Unmapped => continue,
            };
            for column in columns {
                let size = sizes.entry(column.member.clone()).or_insert(0);
                *size = (*size).max(column.offset + each);
            }
        }
        sizes
    }

    /// All pieces in logical order; one for each stripe unit.
    pub(crate) fn pieces(&self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for segment in &self.segments {
            let end = segment.start + segment.length;
            match &segment.kind {
                Kind::Unmapped => pieces.push(Piece { logical: segment.start..end, place: None }),
                Kind::Linear { column } => {
                    pieces.push(Piece { logical: segment.start..end, place: Some(column.clone()) });
                }
                Kind::Striped { stripe, columns } => {
                    let mut at = segment.start;
                    let mut row = 0;
                    while at < end {
                        for column in columns {
                            let offset = column.offset + row * stripe;
                            let place = Column { member: column.member.clone(), offset };
                            pieces.push(Piece { logical: at..at + stripe, place: Some(place) });
                            at += stripe;
                        }
                        row += 1;
                    }
                }
            }
        }
        pieces
    }

    /// The logical ranges a range of a member shows up in, sorted, touching ones merged.
    pub(crate) fn logical_ranges(&self, member: &str, range: &Range<u64>) -> Vec<Range<u64>> {
        let mut found: Vec<Range<u64>> = Vec::new();
        for piece in self.pieces() {
            let Some(place) = piece.place.filter(|place| place.member == member) else {
                continue;
            };
            let from = range.start.max(place.offset);
            let to = range.end.min(place.offset + (piece.logical.end - piece.logical.start));
            if from >= to {
                continue;
            }
            let start = piece.logical.start + (from - place.offset);
            let end = start + (to - from);
            match found.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => found.push(start..end),
            }
        }
        found
    }

    /// Writes it as the `layout.toml` of the contract.
    pub(crate) fn write(&self, path: &Path) -> Outcome {
        let mut text = format!("version = 1\nlogical_size = {}\n", self.logical_size());
        for segment in &self.segments {
            write!(
                text,
                "\n[[segment]]\nstart = {}\nlength = {}\n",
                segment.start, segment.length
            )?;
            match &segment.kind {
                Kind::Unmapped => text.push_str("kind = \"unmapped\"\n"),
                Kind::Linear { column } => {
                    writeln!(text, "kind = \"linear\"\ncolumns = [ {} ]", entry(column))?;
                }
                Kind::Striped { stripe, columns } => {
                    let columns: Vec<String> = columns.iter().map(entry).collect();
                    let columns = columns.join(", ");
                    writeln!(
                        text,
                        "kind = \"striped\"\nstripe = {stripe}\ncolumns = [ {columns} ]"
                    )?;
                }
            }
        }
        scratch::write(path, text.as_bytes())
    }

    /// Reads a `layout.toml` back, by a TOML parser and nothing else.
    pub(crate) fn read(path: &Path) -> Outcome<Self> {
        let text = String::from_utf8(scratch::read(path)?)?;
        let table: toml::Table = text.parse().map_err(|e| format!("{}: {e}", path.display()))?;
        let number = |value: Option<&toml::Value>| -> Outcome<u64> {
            let number = value.and_then(toml::Value::as_integer).ok_or("no such number")?;
            Ok(u64::try_from(number)?)
        };
        let mut layout = Self::new();
        for segment in table.get("segment").and_then(toml::Value::as_array).ok_or("no segment")? {
            let given = segment.get("columns").and_then(toml::Value::as_array);
            let mut columns = Vec::new();
            for column in given.into_iter().flatten() {
                let member =
                    column.get("member").and_then(toml::Value::as_str).ok_or("no member")?;
                let offset = number(column.get("offset"))?;
                columns.push(Column { member: member.to_owned(), offset });
            }
            let kind = match segment.get("kind").and_then(toml::Value::as_str) {
                Some("striped") => {
                    Kind::Striped { stripe: number(segment.get("stripe"))?, columns }
                }
                Some("linear") => Kind::Linear { column: columns.pop().ok_or("no column")? },
                Some("unmapped") => Kind::Unmapped,
                other => return Err(format!("{}: kind {other:?}", path.display()).into()),
            };
            let start = number(segment.get("start"))?;
            ensure!(start == layout.logical_size(), "{}: a hole at {start}", path.display());
            layout = layout.with(number(segment.get("length"))?, kind);
        }
        let size = number(table.get("logical_size"))?;
        ensure!(size == layout.logical_size(), "{}: logical_size {size}", path.display());
        Ok(layout)
    }
}

fn entry(column: &Column) -> String {
    format!("{{ member = \"{}\", offset = {} }}", column.member, column.offset)
}
