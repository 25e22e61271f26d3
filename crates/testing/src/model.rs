//! A logical volume over its members, byte by byte. It knows neither chunks of a format nor the
//! engine's arithmetic: it counts.

use snapfmt::{Column, ExtentMap, Limits, Mapping, MemberNo, Segment};

use super::index;

/// What a byte is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Data,
    Zero,
    Hole,
}

/// A member at one generation.
#[derive(Clone, PartialEq, Eq)]
pub struct MemberModel {
    pub volume: String,
    pub bytes: Vec<u8>,
    /// What each byte is.
    pub kinds: Vec<Kind>,
}

impl MemberModel {
    /// A member all of whose bytes are data.
    pub fn of(volume: &str, bytes: Vec<u8>) -> Self {
        let kinds = vec![Kind::Data; bytes.len()];
        Self { volume: volume.into(), bytes, kinds }
    }

    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
}

/// A segment, which starts where the one before ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    Unmapped(u64),
    /// So many bytes of a member from an offset on.
    Linear(u64, (usize, u64)),
    /// So many rows of stripes of a size over members, each from an offset on.
    Striped(u64, u32, Vec<(usize, u64)>),
}

impl Part {
    fn length(&self) -> u64 {
        match self {
            Self::Unmapped(length) | Self::Linear(length, _) => *length,
            Self::Striped(rows, stripe, columns) => {
                rows * u64::from(*stripe) * columns.len() as u64
            }
        }
    }
}

/// A volume: its members and how it lies over them.
#[derive(Clone, PartialEq, Eq)]
pub struct VolumeModel {
    pub members: Vec<MemberModel>,
    pub layout: Vec<Part>,
}

/// What the bytes of a stretch of the volume are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    pub data: u64,
    pub zero: u64,
    pub hole: u64,
    pub unmapped: u64,
}

/// Calls `visit` for each logical byte in order: the member and its byte, if it has one.
pub fn each_byte(layout: &[Part], mut visit: impl FnMut(Option<(usize, usize)>)) {
    for part in layout {
        match part {
            Part::Unmapped(length) => (0..*length).for_each(|_| visit(None)),
            Part::Linear(length, (member, offset)) => {
                (0..*length).for_each(|n| visit(Some((*member, index(offset + n)))));
            }
            Part::Striped(rows, stripe, columns) => {
                let mut next: Vec<usize> = columns.iter().map(|(_, at)| index(*at)).collect();
                for _ in 0..*rows {
                    for (place, (member, _)) in columns.iter().enumerate() {
                        for _ in 0..*stripe {
                            visit(Some((*member, next[place])));
                            next[place] += 1;
                        }
                    }
                }
            }
        }
    }
}

impl VolumeModel {
    /// The logical volume's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        each_byte(&self.layout, |place| {
            bytes.push(place.map_or(0, |(member, at)| self.members[member].bytes[at]));
        });
        bytes
    }

    /// What each logical byte is; `None` where nothing is mapped.
    pub fn kinds(&self) -> Vec<Option<Kind>> {
        let mut kinds = Vec::new();
        each_byte(&self.layout, |place| {
            kinds.push(place.map(|(member, at)| self.members[member].kinds[at]));
        });
        kinds
    }

    /// The logical bytes, in order, that are the member bytes `range`.
    pub fn logical(&self, member: usize, range: &std::ops::Range<u64>) -> Vec<u64> {
        let mut found = Vec::new();
        let mut logical = 0;
        each_byte(&self.layout, |place| {
            if place.is_some_and(|(m, at)| m == member && range.contains(&(at as u64))) {
                found.push(logical);
            }
            logical += 1;
        });
        found
    }

    /// The layout in the format's terms.
    pub fn extent_map(&self) -> ExtentMap {
        let sizes: Vec<u64> = self.members.iter().map(MemberModel::size).collect();
        extent_map(&self.layout, &sizes)
    }
}

/// A layout over members of these sizes in the format's terms.
pub fn extent_map(layout: &[Part], sizes: &[u64]) -> ExtentMap {
    let column = |&(member, offset): &(usize, u64)| Column {
        member: MemberNo(u32::try_from(member).unwrap()),
        offset,
    };
    let columns: Vec<Vec<Column>> = layout
        .iter()
        .map(|part| match part {
            Part::Unmapped(_) => Vec::new(),
            Part::Linear(_, one) => vec![column(one)],
            Part::Striped(_, _, columns) => columns.iter().map(column).collect(),
        })
        .collect();
    let mut start = 0;
    let mut segments = Vec::new();
    for (part, columns) in layout.iter().zip(&columns) {
        let mapping = match part {
            Part::Unmapped(_) => Mapping::Unmapped,
            Part::Linear(..) => Mapping::Linear(columns[0]),
            Part::Striped(_, stripe, _) => Mapping::Striped { stripe: *stripe, columns },
        };
        segments.push(Segment { start, length: part.length(), mapping });
        start += part.length();
    }
    ExtentMap::new(start, sizes, segments, &Limits::DEFAULT).unwrap()
}

/// Counts kinds.
pub fn tally(kinds: &[Option<Kind>]) -> Tally {
    let mut tally = Tally::default();
    for kind in kinds {
        *match kind {
            Some(Kind::Data) => &mut tally.data,
            Some(Kind::Zero) => &mut tally.zero,
            Some(Kind::Hole) => &mut tally.hole,
            None => &mut tally.unmapped,
        } += 1;
    }
    tally
}
