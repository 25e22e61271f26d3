//! `layout.toml`: an extent map as text, and the layouts that need none.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use snapfmt::{Column, ExtentMap, LayoutError, Limits, Mapping, MemberNo, Segment, VolumeId};

use host::ByteSize;

/// The file version this reads and writes.
const VERSION: u32 = 1;

/// Why a layout could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LayoutFileError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// It is not the TOML it should be.
    #[error("{}: line {line}: {}", path.display(), source.message())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Which of its lines.
        line: usize,
        /// What is wrong there.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// It has a version that is not known.
    #[error("{}: layout version {found} is not supported, version {VERSION} is", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: u32,
    },
    /// It names a member that is not there.
    #[error("{}: segment {segment} names member {member:?}, which is not given", path.display())]
    UnknownMember {
        /// The file.
        path: PathBuf,
        /// Which segment.
        segment: usize,
        /// The name.
        member: String,
    },
    /// A segment has the wrong number of columns, or a stripe where there is none.
    #[error("{}: segment {segment} is {kind} with {columns} columns and {stripe} stripe size", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// Which segment.
        segment: usize,
        /// What it says it is.
        kind: &'static str,
        /// Its columns.
        columns: usize,
        /// Whether it has a stripe size: `a` or `no`.
        stripe: &'static str,
    },
    /// A member has no bytes to make a volume of.
    #[error("member {member} ({:?}) is empty", volume_id.as_str())]
    EmptyMember {
        /// Which member.
        member: MemberNo,
        /// Its volume id.
        volume_id: VolumeId,
    },
    /// The members cannot be striped as they are.
    #[error(
        "striping needs members of equal size: member {member} ({:?}) has {found} bytes, the first has {expected}",
        volume_id.as_str()
    )]
    UnequalSizes {
        /// Which member.
        member: MemberNo,
        /// Its volume id.
        volume_id: VolumeId,
        /// Its size.
        found: u64,
        /// The first one's size.
        expected: u64,
    },
    /// The segments are no layout.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileToml {
    version: u32,
    logical_size: ByteSize,
    #[serde(default)]
    segment: Vec<SegmentToml>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SegmentToml {
    start: ByteSize,
    length: ByteSize,
    kind: Kind,
    stripe: Option<ByteSize>,
    #[serde(default)]
    columns: Vec<ColumnToml>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Unmapped,
    Linear,
    Striped,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnToml {
    member: String,
    offset: ByteSize,
}

/// Members by number: id and size in bytes.
pub type MemberSizes = [(VolumeId, u64)];

/// Reads a layout file for these members.
pub fn read(
    path: &Path,
    members: &MemberSizes,
    limits: &Limits,
) -> Result<ExtentMap, LayoutFileError> {
    let io = |source| LayoutFileError::Io { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(io)?;
    parse(&text, path, members, limits)
}

/// Parses a layout file's text; `path` is for messages.
pub fn parse(
    text: &str,
    path: &Path,
    members: &MemberSizes,
    limits: &Limits,
) -> Result<ExtentMap, LayoutFileError> {
    let toml = |source: toml::de::Error| {
        let before = source.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let (path, line) = (path.to_owned(), before.matches('\n').count() + 1);
        LayoutFileError::Toml { path, line, source: Box::new(source) }
    };
    let file: FileToml = toml::from_str(text).map_err(toml)?;
    if file.version != VERSION {
        return Err(LayoutFileError::Version { path: path.to_owned(), found: file.version });
    }
    let columns: Vec<Vec<Column>> = file
        .segment
        .iter()
        .enumerate()
        .map(|(n, s)| s.columns.iter().map(|c| column(c, n, path, members)).collect())
        .collect::<Result<_, _>>()?;
    let segments: Vec<Segment<'_>> = file
        .segment
        .iter()
        .zip(&columns)
        .enumerate()
        .map(|(n, (s, columns))| segment(s, columns, n, path))
        .collect::<Result<_, _>>()?;
    let sizes: Vec<u64> = members.iter().map(|(_, size)| *size).collect();
    Ok(ExtentMap::new(file.logical_size.0, &sizes, segments, limits)?)
}

fn column(
    toml: &ColumnToml,
    segment: usize,
    path: &Path,
    members: &MemberSizes,
) -> Result<Column, LayoutFileError> {
    let found = (0..).zip(members).find(|(_, (id, _))| id.as_str() == toml.member);
    match found {
        Some((no, _)) => Ok(Column { member: MemberNo(no), offset: toml.offset.0 }),
        None => Err(LayoutFileError::UnknownMember {
            path: path.to_owned(),
            segment,
            member: toml.member.clone(),
        }),
    }
}

fn segment<'c>(
    toml: &SegmentToml,
    columns: &'c [Column],
    number: usize,
    path: &Path,
) -> Result<Segment<'c>, LayoutFileError> {
    let mapping = match (toml.kind, columns, toml.stripe) {
        (Kind::Unmapped, [], None) => Mapping::Unmapped,
        (Kind::Linear, [one], None) => Mapping::Linear(*one),
        (Kind::Striped, [_, _, ..], Some(ByteSize(stripe))) => {
            Mapping::Striped { stripe: u32::try_from(stripe).unwrap_or(0), columns }
        }
        (kind, columns, stripe) => {
            return Err(LayoutFileError::Shape {
                path: path.to_owned(),
                segment: number,
                kind: match kind {
                    Kind::Unmapped => "unmapped",
                    Kind::Linear => "linear",
                    Kind::Striped => "striped",
                },
                columns: columns.len(),
                stripe: if stripe.is_some() { "a" } else { "no" },
            });
        }
    };
    Ok(Segment { start: toml.start.0, length: toml.length.0, mapping })
}

/// The text of a layout file for this map.
pub fn render(map: &ExtentMap, members: &MemberSizes) -> String {
    let mut out = format!("version = {VERSION}\nlogical_size = {}\n", map.size());
    for segment in map.segments() {
        let (kind, stripe) = match segment.mapping {
            Mapping::Unmapped => ("unmapped", None),
            Mapping::Linear(_) => ("linear", None),
            Mapping::Striped { stripe, .. } => ("striped", Some(stripe)),
        };
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "\n[[segment]]\nstart = {}\nlength = {}\nkind = \"{kind}\"\n",
            segment.start, segment.length
        );
        if let Some(stripe) = stripe {
            let _ = writeln!(out, "stripe = {stripe}");
        }
        let columns = crate::layout::columns(&segment);
        if !columns.is_empty() {
            out.push_str("columns = [\n");
            for c in columns {
                let id = members.get(c.member.index()).map_or("", |(id, _)| id.as_str());
                let id = toml::Value::from(id);
                let _ = writeln!(out, "  {{ member = {id}, offset = {} }},", c.offset);
            }
            out.push_str("]\n");
        }
    }
    out
}

/// The members one after the other.
pub fn linear(members: &MemberSizes, limits: &Limits) -> Result<ExtentMap, LayoutFileError> {
    let sizes = all_sizes(members)?;
    let mut start = 0_u64;
    let segments = (0..).zip(&sizes).map(|(no, &length)| {
        let column = Column { member: MemberNo(no), offset: 0 };
        let segment = Segment { start, length, mapping: Mapping::Linear(column) };
        start = start.saturating_add(length);
        segment
    });
    let segments: Vec<_> = segments.collect();
    Ok(ExtentMap::new(start, &sizes, segments, limits)?)
}

/// The members striped over; what is left of each behind its last whole stripe follows in turn.
pub fn striped(
    stripe: u32,
    members: &MemberSizes,
    limits: &Limits,
) -> Result<ExtentMap, LayoutFileError> {
    let sizes = all_sizes(members)?;
    let each = sizes.first().copied().unwrap_or(0);
    if let Some((no, (id, found))) = (0..).zip(members).find(|(_, (_, size))| *size != each) {
        let (member, volume_id) = (MemberNo(no), id.clone());
        let (found, expected) = (*found, each);
        return Err(LayoutFileError::UnequalSizes { member, volume_id, found, expected });
    }
    let whole = each - each % u64::from(stripe.max(1));
    let columns: Vec<Column> =
        (0..).zip(&sizes).map(|(no, _)| Column { member: MemberNo(no), offset: 0 }).collect();
    let mut segments = Vec::new();
    let mut start = 0;
    if whole > 0 {
        start = whole.saturating_mul(columns.len() as u64);
        let mapping = Mapping::Striped { stripe, columns: &columns };
        segments.push(Segment { start: 0, length: start, mapping });
    }
    if whole < each {
        for column in &columns {
            let mapping = Mapping::Linear(Column { offset: whole, ..*column });
            segments.push(Segment { start, length: each - whole, mapping });
            start = start.saturating_add(each - whole);
        }
    }
    Ok(ExtentMap::new(start, &sizes, segments, limits)?)
}

/// The sizes of members that are all to be used.
fn all_sizes(members: &MemberSizes) -> Result<Vec<u64>, LayoutFileError> {
    match (0..).zip(members).find(|(_, (_, size))| *size == 0) {
        Some((no, (id, _))) => {
            Err(LayoutFileError::EmptyMember { member: MemberNo(no), volume_id: id.clone() })
        }
        None => Ok(members.iter().map(|(_, size)| *size).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::{linear, parse, render, striped};
    use snapfmt::{Limits, VolumeId};
    use std::path::Path;

    fn members(sizes: &[u64]) -> Vec<(VolumeId, u64)> {
        let id = |n: usize| format!("vol-\"{n}\"").parse().unwrap();
        sizes.iter().enumerate().map(|(n, size)| (id(n), *size)).collect()
    }

    #[test]
    fn a_layout_is_read_back_from_its_text() {
        let pair = members(&[8000, 8000]);
        for map in [
            linear(&pair, &Limits::DEFAULT).unwrap(),
            striped(512, &pair, &Limits::DEFAULT).unwrap(),
        ] {
            let text = render(&map, &pair);
            assert_eq!(
                parse(&text, Path::new("l"), &pair, &Limits::DEFAULT).unwrap(),
                map,
                "{text}"
            );
        }
    }

    #[test]
    fn tails_of_striped_members_follow_in_turn() {
        let map = striped(512, &members(&[800, 800]), &Limits::DEFAULT).unwrap();
        let shape: Vec<_> = map.segments().map(|s| (s.start, s.length)).collect();
        assert_eq!(shape, [(0, 1024), (1024, 288), (1312, 288)]);
        assert!(striped(512, &members(&[800, 801]), &Limits::DEFAULT).is_err());
        let short = striped(511, &members(&[800, 800]), &Limits::DEFAULT).unwrap_err().to_string();
        assert!(short.contains("stripes of 511 bytes, 512 is the least"), "{short}");
    }

    #[test]
    fn sizes_may_be_written_with_units_and_mistakes_are_named() {
        let good = "version = 1\nlogical_size = \"1K\"\n[[segment]]\nstart = 0\nlength = 1024\nkind = \"unmapped\"\n";
        let read = |text: &str| parse(text, Path::new("l.toml"), &members(&[1]), &Limits::DEFAULT);
        assert_eq!(read(good).unwrap().size(), 1024);
        let unknown =
            good.replace("unmapped\"", "linear\"\ncolumns = [{ member = \"x\", offset = 0 }]");
        assert!(read(&unknown).unwrap_err().to_string().contains("\"x\""));
        assert!(read(&good.replace("length = 1024", "length = 1023")).is_err());
        assert!(read(&good.replace("version = 1", "version = 2")).is_err());
    }
}
