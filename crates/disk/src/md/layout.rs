//! Where the bytes of an array are on its members.

use super::array::{Array, Member};
use super::superblock::Level;
use crate::pieces::{Budget, Pieces, PiecesError, Spot};

/// Why the bytes of an array cannot be found.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
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
    #[error("{level} with the layout {layout} is not supported")]
    Layout {
        /// The kind of array.
        level: Level,
        /// The layout, as mdadm calls it.
        layout: String,
    },
    /// A member is missing, and with it how large it was.
    #[error("how large its member {0} was is not known")]
    UnknownSize(usize),
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

impl Array {
    /// Where the array's bytes are, on members by their place: on copies that are current where there
    /// are any. Whether those in need can be used is not looked at. They are counted first, against `budget`.
    pub fn pieces(&self, budget: &mut Budget) -> Result<Pieces, Refused> {
        pieces(self, budget)
    }
}

fn pieces(array: &Array, budget: &mut Budget) -> Result<Pieces, Refused> {
    if array.reshaping {
        return Err(Refused::Reshaping);
    }
    budget.take(array.members.len() as u64)?;
    match array.level {
        Level::Linear => linear(array),
        Level::Raid0 => raid0(array, budget),
        Level::Raid1 => raid1(array),
        Level::Raid10 => raid10(array, budget),
        Level::Other(_) => Err(Refused::Level(array.level)),
    }
}

/// How many members in turn hold the same bytes; `None` where they are no copies of each other, or not
/// in groups of their own.
pub(super) fn copies(array: &Array) -> Option<usize> {
    let members = array.members.len();
    match array.level {
        Level::Raid1 => Some(members),
        Level::Raid10 => {
            let near = usize::try_from(array.layout & 0xff).ok()?;
            let is_near = array.layout >> 8 == 1;
            (is_near && near > 0 && members.is_multiple_of(near)).then_some(near)
        }
        Level::Linear | Level::Raid0 | Level::Other(_) => None,
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

/// The best of some places with the same bytes, `need` of them: the first with all of them, without a
/// block that is listed as bad if there is such a one, or else the one with the most.
fn best(array: &Array, places: impl Iterator<Item = usize>, need: u64) -> Option<usize> {
    let known = places.filter_map(|place| Some((place, array.members.get(place)?)));
    let known = known.filter(|(_, member)| member.data.is_some());
    let quality = |(place, member): &(usize, &Member)| {
        let whole = member.good >= need;
        (whole, whole && member.bad.is_empty(), member.good.min(need), std::cmp::Reverse(*place))
    };
    known.max_by_key(quality).map(|(place, _)| place)
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
fn raid0(array: &Array, budget: &mut Budget) -> Result<Pieces, Refused> {
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
        let Some(smallest) = larger.iter().map(|m| m.size).min() else {
            return as_long_as_the_kernel_has_it(&pieces, &members, chunk);
        };
        let width = larger.len();
        budget.take(width as u64)?;
        // The original layout counts chunks from the start of the array, not of the zone.
        let ahead = (pieces.size() / chunk) % width as u64;
        let turn = match array.layout {
            _ if ahead == 0 => 0,
            ORIGINAL => usize::try_from(ahead).unwrap_or(0),
            ALTERNATE => 0,
            0 => return Err(Refused::Ambiguous),
            other => return Err(unknown_layout(array.level, other)),
        };
        let spot = |m: &Data| Spot { device: m.place, offset: m.offset.saturating_add(done) };
        let columns: Vec<Spot> = larger.iter().cycle().skip(turn).take(width).map(spot).collect();
        let length = (smallest - done).checked_mul(width as u64).ok_or(PiecesError::Size)?;
        pieces.push_striped(chunk, &columns, length)?;
        done = smallest;
    }
}

/// The kernel rounds each member's size down once more, as if every chunk were a power of two
/// (`raid0_size`): where it is none, the end of the last zone is left out.
fn as_long_as_the_kernel_has_it(
    zones: &Pieces,
    members: &[Data],
    chunk: u64,
) -> Result<Pieces, Refused> {
    let mask = !(chunk / super::SECTOR - 1);
    let sizes = members.iter().map(|m| ((m.size / super::SECTOR) & mask) * super::SECTOR);
    let size = sizes.fold(0, u64::saturating_add);
    let mut pieces = Pieces::new();
    pieces.push_slice(zones, &(0..size.min(zones.size())))?;
    Ok(pieces)
}

fn unknown_layout(level: Level, layout: u32) -> Refused {
    Refused::Layout { level, layout: format!("{layout:#x}") }
}

/// A layout of raid10 as mdadm calls it.
fn raid10_layout(layout: u32) -> String {
    let (near, far, offset) = (layout & 0xff, layout >> 8 & 0xff, layout >> 16 & 1 != 0);
    if layout >> 17 != 0 {
        return format!("{layout:#x}");
    }
    match (near, far, offset) {
        (near, 1, false) => format!("near={near}"),
        (1, far, false) => format!("far={far}"),
        (1, far, true) => format!("offset={far}"),
        (near, far, false) => format!("near={near}, far={far}"),
        (near, far, true) => format!("near={near}, offset={far}"),
    }
}

/// One member.
fn raid1(array: &Array) -> Result<Pieces, Refused> {
    let place = best(array, 0..array.members.len(), array.used).ok_or(Refused::UnknownSize(0))?;
    let data = array.members.get(place).and_then(|member| member.data);
    let (offset, size) = data.ok_or(Refused::UnknownSize(place))?;
    let used = if array.used == 0 { size } else { array.used };
    if used > size {
        return Err(PiecesError::Beyond { end: used, size }.into());
    }
    let mut pieces = Pieces::new();
    pieces.push_linear(Spot { device: place, offset }, used)?;
    Ok(pieces)
}

/// The kernel takes no smaller chunk of a raid10, and only powers of two (`setup_geo`).
const SMALLEST_CHUNK: u64 = 4096;

/// Near layouts: the copies of a chunk are on neighbouring members (`raid10.c`, `setup_geo`).
fn raid10(array: &Array, budget: &mut Budget) -> Result<Pieces, Refused> {
    let (near, far) = (array.layout & 0xff, array.layout >> 8);
    let disks = array.members.len() as u64;
    let near = u64::from(near);
    if far != 1 || near == 0 || near > disks {
        return Err(Refused::Layout { level: array.level, layout: raid10_layout(array.layout) });
    }
    let chunk = array.chunk;
    if chunk < SMALLEST_CHUNK || !chunk.is_power_of_two() {
        return Err(Refused::Chunk(chunk));
    }
    let each = array.used / chunk;
    let known = array.members.iter().filter_map(|member| member.data);
    if let Some(size) = known.map(|(_, size)| size).find(|size| *size < array.used) {
        return Err(PiecesError::Beyond { end: array.used, size }.into());
    }
    // Where the copies that begin at a position are, of which `need` bytes are asked for.
    let spot = |position: u64, need: u64| {
        let copies = (position..position.saturating_add(near)).map(|position| position % disks);
        let places = copies.filter_map(|place| usize::try_from(place).ok());
        let place = best(array, places, need).ok_or(Refused::UnknownSize(0))?;
        let data = array.members.get(place).and_then(|member| member.data);
        let (offset, _) = data.ok_or(Refused::UnknownSize(place))?;
        // Copies that go over the last member go on in the next row.
        let wraps = (place as u64) < position % disks;
        let row = position / disks + u64::from(wraps);
        let further = row.checked_mul(chunk).and_then(|bytes| offset.checked_add(bytes));
        Ok::<_, Refused>(Spot { device: place, offset: further.ok_or(PiecesError::Size)? })
    };
    if disks.is_multiple_of(near) {
        let mut pieces = Pieces::new();
        let whole = each * chunk;
        let columns = (0..disks / near).map(|group| spot(group * near, whole));
        let columns = columns.collect::<Result<Vec<Spot>, Refused>>()?;
        let length = whole.checked_mul(disks / near).ok_or(PiecesError::Size)?;
        pieces.push_striped(chunk, &columns, length)?;
        return Ok(pieces);
    }
    let chunks = each.checked_mul(disks).ok_or(PiecesError::Size)? / near;
    budget.take(chunks)?;
    let mut pieces = Pieces::with_room(usize::try_from(chunks).unwrap_or(0));
    for number in 0..chunks {
        let position = number.checked_mul(near).ok_or(PiecesError::Size)?;
        // A row more, for copies that go on in the next one.
        let need = (position / disks + 2).saturating_mul(chunk).min(each * chunk);
        pieces.push_linear(spot(position, need)?, chunk)?;
    }
    Ok(pieces)
}
