//! How the bytes of a device lie on the devices below it: what LVM, MD and partition tables say, in
//! one form that can be put together, read through, and made an [`ExtentMap`].

mod budget;
mod compose;
mod read;

use std::ops::Range;
use std::sync::Arc;

use snapfmt::{Column, ExtentMap, LayoutError, Limits, Mapping, MemberNo, Segment};

pub use budget::{Budget, FLATTENED};
pub use read::PieceBytes;

/// Most pieces a device may lie in. A thin volume can be scattered over very many.
pub const MAX_PIECES: usize = 1 << 22;
/// Most columns that all pieces of a device may have together.
const MAX_COLUMNS: usize = 2 * MAX_PIECES;

/// A byte of a device below, which is given by its place in a list of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spot {
    /// Which device below.
    pub device: usize,
    /// Offset there in bytes.
    pub offset: u64,
}

/// Where a piece is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// Nowhere: it reads as zeros.
    Zero,
    /// In one place, in order.
    Linear(Spot),
    /// Over two or more columns in turn.
    Striped {
        /// Bytes of a stripe.
        stripe: u32,
        /// Where each column starts.
        columns: Arc<[Spot]>,
    },
}

/// A contiguous part of a device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    /// First byte of the device.
    pub start: u64,
    /// Length in bytes, not zero; whole rows when striped.
    pub length: u64,
    /// Where it is.
    pub place: Place,
}

impl Piece {
    const fn end(&self) -> u64 {
        self.start.saturating_add(self.length)
    }
}

/// Pieces that are no device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PiecesError {
    /// The device is scattered over more pieces than can be handled.
    #[error("it lies in more than {max} pieces, or columns of them")]
    TooMany {
        /// How many can be.
        max: usize,
    },
    /// All devices together are scattered over more pieces than can be handled.
    #[error("it is too scattered: {count} pieces more than others need would be more than {max}")]
    Spent {
        /// How many it would lie in.
        count: usize,
        /// How many all can be in.
        max: usize,
    },
    /// Too many of the devices below are scattered.
    #[error("more than {max} devices below others would be too scattered to be taken apart")]
    Scattered {
        /// How many can be.
        max: usize,
    },
    /// A piece reaches beyond the device below it.
    #[error("it needs bytes up to {end} of a device with {size}")]
    Beyond {
        /// The end of the bytes needed.
        end: u64,
        /// Size of the device below; 0 when there is none.
        size: u64,
    },
    /// A size or offset is beyond what can be counted, or a stripe has an impossible size.
    #[error("its sizes cannot be")]
    Size,
}

/// A device in pieces, without gap or overlap.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pieces {
    list: Vec<Piece>,
    /// Columns of all pieces.
    columns: usize,
    size: u64,
}

impl Pieces {
    /// A device without a byte.
    pub const fn new() -> Self {
        Self { list: Vec::new(), columns: 0, size: 0 }
    }

    /// The same with room for so many pieces.
    pub(crate) fn with_room(pieces: usize) -> Self {
        Self { list: Vec::with_capacity(pieces), ..Self::new() }
    }

    /// All of the device `device` below, which has `size` bytes.
    pub fn whole(device: usize, size: u64) -> Result<Self, PiecesError> {
        Self::part(device, &(0..size))
    }

    /// A part of the device `device` below.
    pub fn part(device: usize, range: &Range<u64>) -> Result<Self, PiecesError> {
        let mut pieces = Self::new();
        let length = range.end.checked_sub(range.start).ok_or(PiecesError::Size)?;
        pieces.push_linear(Spot { device, offset: range.start }, length)?;
        Ok(pieces)
    }

    /// Size in bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The pieces, in order.
    pub fn list(&self) -> &[Piece] {
        &self.list
    }

    /// Appends zeros.
    pub fn push_zeros(&mut self, length: u64) -> Result<(), PiecesError> {
        self.push(length, Place::Zero)
    }

    /// Appends a run of bytes of one device below.
    pub fn push_linear(&mut self, spot: Spot, length: u64) -> Result<(), PiecesError> {
        spot.offset.checked_add(length).ok_or(PiecesError::Size)?;
        self.push(length, Place::Linear(spot))
    }

    /// Appends `length` bytes that are `stripe` bytes of each column in turn. The last row may be
    /// cut short.
    pub fn push_striped(
        &mut self,
        stripe: u64,
        columns: &[Spot],
        length: u64,
    ) -> Result<(), PiecesError> {
        if let [only] = columns {
            return self.push_linear(*only, length);
        }
        let width = columns.len() as u64;
        let (Ok(narrow), Some(row)) = (u32::try_from(stripe), stripe.checked_mul(width)) else {
            return Err(PiecesError::Size);
        };
        if row == 0 {
            return Err(PiecesError::Size);
        }
        let whole = length - length % row;
        for column in columns {
            column.offset.checked_add(whole / width + stripe).ok_or(PiecesError::Size)?;
        }
        if whole > 0 {
            self.push(whole, Place::Striped { stripe: narrow, columns: columns.into() })?;
        }
        let mut rest = length - whole;
        for column in columns {
            let part = rest.min(stripe);
            self.push_linear(at(column, whole / width), part)?;
            rest -= part;
        }
        Ok(())
    }

    /// Appends a piece, joining it to the last one where it only goes on.
    fn push(&mut self, length: u64, place: Place) -> Result<(), PiecesError> {
        if length == 0 {
            return Ok(());
        }
        let size = self.size.checked_add(length).ok_or(PiecesError::Size)?;
        match self.list.last_mut() {
            Some(last) if goes_on(last, &place) => last.length += length,
            _ => {
                self.columns = self.columns.saturating_add(columns(&place).len());
                for (found, max) in [(self.list.len() + 1, MAX_PIECES), (self.columns, MAX_COLUMNS)]
                {
                    if found > max {
                        return Err(PiecesError::TooMany { max });
                    }
                }
                self.list.push(Piece { start: self.size, length, place });
            }
        }
        self.size = size;
        Ok(())
    }

    /// The piece that holds byte `offset`.
    fn find(&self, offset: u64) -> Option<&Piece> {
        if offset >= self.size {
            return None;
        }
        self.list.get(self.list.partition_point(|p| p.start <= offset).checked_sub(1)?)
    }

    /// How many pieces a range is on.
    pub fn count_in(&self, range: &Range<u64>) -> usize {
        let first = self.list.partition_point(|piece| piece.end() <= range.start);
        self.list.partition_point(|piece| piece.start < range.end).saturating_sub(first)
    }

    /// Checks that every piece is within the devices below, whose sizes these are.
    pub fn check(&self, sizes: &[u64]) -> Result<(), PiecesError> {
        for piece in &self.list {
            let columns = columns(&piece.place);
            for column in columns {
                let end = column.offset + piece.length / columns.len() as u64;
                let size = sizes.get(column.device).copied().unwrap_or(0);
                if end > size {
                    return Err(PiecesError::Beyond { end, size });
                }
            }
        }
        Ok(())
    }

    /// The devices below that any piece is on, in order.
    pub fn devices(&self) -> Vec<usize> {
        let all = self.list.iter().flat_map(|piece| columns(&piece.place));
        let mut devices: Vec<usize> = all.map(|spot| spot.device).collect();
        devices.sort_unstable();
        devices.dedup();
        devices
    }

    /// Where the last byte that is on the device `device` below ends there; 0 where none is.
    pub fn reach(&self, device: usize) -> u64 {
        let ends = self.list.iter().flat_map(|piece| {
            let all = columns(&piece.place);
            let each = piece.length / all.len().max(1) as u64;
            let own = all.iter().filter(move |spot| spot.device == device);
            own.map(move |spot| spot.offset.saturating_add(each))
        });
        ends.max().unwrap_or(0)
    }

    /// What an extent map says, on its members by their numbers.
    pub fn of_map(map: &ExtentMap) -> Result<Self, PiecesError> {
        let mut pieces = Self::new();
        for segment in map.segments() {
            let spot = |c: &Column| Spot { device: c.member.index(), offset: c.offset };
            match segment.mapping {
                Mapping::Unmapped => pieces.push_zeros(segment.length)?,
                Mapping::Linear(column) => pieces.push_linear(spot(&column), segment.length)?,
                Mapping::Striped { stripe, columns } => {
                    let columns: Vec<Spot> = columns.iter().map(spot).collect();
                    pieces.push_striped(stripe.into(), &columns, segment.length)?;
                }
            }
        }
        Ok(pieces)
    }

    /// As an extent map over members, which are the devices below in the order of `members`; `sizes` are
    /// those of the members.
    pub fn map(&self, members: &[usize], sizes: &[u64]) -> Result<ExtentMap, LayoutError> {
        let column = |spot: &Spot| {
            let place = members.iter().position(|device| *device == spot.device);
            let member = place.and_then(|p| u32::try_from(p).ok()).unwrap_or(u32::MAX);
            Column { member: MemberNo(member), offset: spot.offset }
        };
        let all: Vec<Column> =
            self.list.iter().flat_map(|piece| columns(&piece.place)).map(column).collect();
        let mut left = all.as_slice();
        let segments = self.list.iter().map(|piece| {
            let (own, rest) = left.split_at(columns(&piece.place).len());
            left = rest;
            let mapping = match (&piece.place, own) {
                (Place::Striped { stripe, .. }, columns) => {
                    Mapping::Striped { stripe: *stripe, columns }
                }
                (Place::Linear(_), [one]) => Mapping::Linear(*one),
                _ => Mapping::Unmapped,
            };
            Segment { start: piece.start, length: piece.length, mapping }
        });
        let most = |max| u32::try_from(max).unwrap_or(u32::MAX);
        let (segments_most, columns_most) = (most(MAX_PIECES), most(MAX_COLUMNS));
        let limits = Limits { segments: segments_most, columns: columns_most, ..Limits::DEFAULT };
        ExtentMap::new(self.size, sizes, segments, &limits)
    }
}

/// Where a place starts on the devices below: nowhere, once, or with each column.
fn columns(place: &Place) -> &[Spot] {
    match place {
        Place::Zero => &[],
        Place::Linear(spot) => std::slice::from_ref(spot),
        Place::Striped { columns, .. } => columns,
    }
}

const fn at(spot: &Spot, further: u64) -> Spot {
    Spot { device: spot.device, offset: spot.offset.saturating_add(further) }
}

/// Whether `next` is what `last` would be if it were longer.
fn goes_on(last: &Piece, next: &Place) -> bool {
    match (&last.place, next) {
        (Place::Zero, Place::Zero) => true,
        (Place::Linear(a), Place::Linear(b)) => at(a, last.length) == *b,
        (
            Place::Striped { stripe: a, columns: before },
            Place::Striped { stripe: b, columns: after },
        ) => {
            let further = last.length / before.len().max(1) as u64;
            a == b
                && before.len() == after.len()
                && before.iter().zip(after.iter()).all(|(x, y)| at(x, further) == *y)
        }
        _ => false,
    }
}
