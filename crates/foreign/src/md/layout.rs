//! Where the bytes of an array are on its members.

use super::assemble::{Array, MemberState};
use super::superblock::Level;
use crate::pieces::{Pieces, PiecesError, Spot};

/// Why the bytes of an array cannot be found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// Its level is not read.
    #[error("{0} is not supported")]
    Level(Level),
    /// It was being changed into another shape.
    #[error("it was being reshaped")]
    Reshaping,
    /// It has stripes of no size.
    #[error("a chunk size of {0} cannot be")]
    Chunk(u64),
    /// Members of different sizes, and nothing says which of two ways their ends are striped.
    #[error(
        "its members differ in size, and its superblocks do not say how the kernel laid it out"
    )]
    Ambiguous,
    /// A layout that is not read.
    #[error("the layout {0:#x} of {1} is not supported")]
    Layout(u32, Level),
    /// A member is missing, and with it how large it was.
    #[error("how large its member {0} was is not known")]
    UnknownSize(usize),
    /// No copy of something is there and in sync.
    #[error("no member with a whole copy is there")]
    NoCopy,
    /// Its members are too small for it, or it is too scattered.
    #[error(transparent)]
    Pieces(#[from] PiecesError),
}

/// Data of a member: its place, where they start, and how much counts.
#[derive(Clone, Copy)]
struct Data {
    place: usize,
    offset: u64,
    size: u64,
}

pub(super) fn pieces(array: &Array) -> Result<Pieces, Refused> {
    if array.reshaping {
        return Err(Refused::Reshaping);
    }
    match array.level {
        Level::Linear => linear(array),
        Level::Raid0 => raid0(array),
        Level::Raid1 => raid1(array),
        Level::Raid10 => raid10(array),
        Level::Other(_) => Err(Refused::Level(array.level)),
    }
}

/// What each member contributes, in whole chunks.
fn data(array: &Array) -> Result<Vec<Data>, Refused> {
    let whole = |size: u64| if array.chunk == 0 { size } else { size - size % array.chunk };
    array
        .members
        .iter()
        .enumerate()
        .map(|(place, member)| match member.data {
            Some((offset, size)) => Ok(Data { place, offset, size: whole(size) }),
            None => Err(Refused::UnknownSize(place)),
        })
        .collect()
}

fn linear(array: &Array) -> Result<Pieces, Refused> {
    let mut pieces = Pieces::new();
    for Data { place, offset, size } in data(array)? {
        pieces.push_linear(Spot { device: place, offset }, size)?;
    }
    Ok(pieces)
}

/// Zones: the first is striped over all members as far as the smallest reaches, the next over those
/// that are larger, and so on.
fn raid0(array: &Array) -> Result<Pieces, Refused> {
    const ORIGINAL: u32 = 1;
    const ALTERNATE: u32 = 2;
    let chunk = array.chunk;
    if chunk == 0 || !chunk.is_multiple_of(super::SECTOR) {
        return Err(Refused::Chunk(chunk));
    }
    let members = data(array)?;
    let mut pieces = Pieces::new();
    let mut done = 0;
    loop {
        let larger: Vec<Data> = members.iter().filter(|m| m.size > done).copied().collect();
        let Some(smallest) = larger.iter().map(|m| m.size).min() else { return Ok(pieces) };
        let width = larger.len();
        // The original layout counts chunks from the start of the array, not of the zone.
        let ahead = (pieces.size() / chunk) % width as u64;
        let turn = match array.layout {
            _ if ahead == 0 => 0,
            ORIGINAL => usize::try_from(ahead).unwrap_or(0),
            ALTERNATE => 0,
            0 => return Err(Refused::Ambiguous),
            other => return Err(Refused::Layout(other, array.level)),
        };
        let spot = |m: &Data| Spot { device: m.place, offset: m.offset.saturating_add(done) };
        let columns: Vec<Spot> = larger.iter().cycle().skip(turn).take(width).map(spot).collect();
        let length = (smallest - done).checked_mul(width as u64).ok_or(PiecesError::Size)?;
        pieces.push_striped(chunk, &columns, length)?;
        done = smallest;
    }
}

/// The first usable member.
fn raid1(array: &Array) -> Result<Pieces, Refused> {
    let usable = array.members.iter().enumerate().find(|(_, m)| m.state == MemberState::Usable);
    let (place, offset, size) = match usable {
        Some((place, member)) => {
            let (offset, size) = member.data.ok_or(Refused::UnknownSize(place))?;
            (place, offset, size)
        }
        None => return Err(Refused::NoCopy),
    };
    let used = if array.used == 0 { size } else { array.used };
    if used > size {
        return Err(PiecesError::Beyond { end: used, size }.into());
    }
    let mut pieces = Pieces::new();
    pieces.push_linear(Spot { device: place, offset }, used)?;
    Ok(pieces)
}

/// Near layouts: the copies of a chunk are on neighbouring members (`raid10.c`, `setup_geo`).
fn raid10(array: &Array) -> Result<Pieces, Refused> {
    let (near, far) = (array.layout & 0xff, array.layout >> 8 & 0xff);
    let disks = array.members.len() as u64;
    let near = u64::from(near);
    if far != 1 || near == 0 || near > disks || array.layout >> 16 != 0 {
        return Err(Refused::Layout(array.layout, array.level));
    }
    let chunk = array.chunk;
    if chunk == 0 || !chunk.is_multiple_of(super::SECTOR) {
        return Err(Refused::Chunk(chunk));
    }
    let each = array.used / chunk;
    let usable = array.members.iter().filter(|member| member.state == MemberState::Usable);
    if let Some(size) =
        usable.filter_map(|m| m.data).map(|(_, size)| size).find(|s| *s < array.used)
    {
        return Err(PiecesError::Beyond { end: array.used, size }.into());
    }
    let spot = |position: u64| {
        let copies = position..position.saturating_add(near);
        let mut copies = copies.map(|position| (position % disks, position / disks));
        copies.find_map(|(place, row)| {
            let place = usize::try_from(place).ok()?;
            let member = array.members.get(place)?;
            let (offset, _) = member.data.filter(|_| member.state == MemberState::Usable)?;
            Some(Spot { device: place, offset: offset.checked_add(row.checked_mul(chunk)?)? })
        })
    };
    let mut pieces = Pieces::new();
    if disks.is_multiple_of(near) {
        let columns: Option<Vec<Spot>> =
            (0..disks / near).map(|group| spot(group * near)).collect();
        let length = (each * chunk).checked_mul(disks / near).ok_or(PiecesError::Size)?;
        pieces.push_striped(chunk, &columns.ok_or(Refused::NoCopy)?, length)?;
        return Ok(pieces);
    }
    let chunks = each.checked_mul(disks).ok_or(PiecesError::Size)? / near;
    for number in 0..chunks {
        let place = spot(number.checked_mul(near).ok_or(PiecesError::Size)?);
        pieces.push_linear(place.ok_or(Refused::NoCopy)?, chunk)?;
    }
    Ok(pieces)
}
