//! How members may lie together when nothing says it any more: orders and usual stripe sizes are
//! tried, and ranked by how much of a filesystem then is where it must be.

mod btrfs;
mod directories;
mod evidence;
pub(crate) mod ext;
mod ntfs;
mod orders;
mod parts;
mod place;
mod scan;
mod search;
pub(crate) mod xfs;

use std::io;

use snapfmt::{ExtentMap, LayoutError};

use crate::pieces::{Pieces, PiecesError, Spot};

pub use search::guess;

/// Most members.
pub const MAX_MEMBERS: usize = 16;
/// Most members whose orders are all tried.
const MAX_ALL_ORDERS: usize = 8;
/// Smallest and largest stripe that is tried, in bytes.
pub const STRIPES: [u64; 11] = [
    4 << 10,
    8 << 10,
    16 << 10,
    32 << 10,
    64 << 10,
    128 << 10,
    256 << 10,
    512 << 10,
    1 << 20,
    2 << 20,
    4 << 20,
];
/// Where data may start on each member: at its start, or behind metadata as lvm2 and mdadm leave room
/// for them.
pub const STARTS: [u64; 4] = [0, 1 << 20, 128 << 20, 129 << 20];

/// How members are laid out, apart from their order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Shape {
    /// One after the other.
    Linear,
    /// Striped over all.
    Striped {
        /// Bytes of a stripe.
        stripe: u64,
    },
    /// Each two of them striped, the pairs one after the other: a volume that grew by pairs.
    Pairs {
        /// Bytes of a stripe.
        stripe: u64,
    },
}

/// How sure a guess is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Sureness {
    /// Some of it fits.
    Weak,
    /// Most of it fits, but as much fits otherwise, or there was little to compare.
    Possible,
    /// All of it fits, and nothing else fits as well.
    Sure,
}

/// A way in which members may lie together.
#[derive(Clone, Debug)]
pub struct Guess {
    /// The members in order, by their place in what was given.
    pub order: Vec<usize>,
    /// How they are laid out.
    pub shape: Shape,
    /// Where data start on each member, in bytes.
    pub start: u64,
    /// What the filesystem calls itself.
    pub filesystem: &'static str,
    /// How many places were looked at.
    pub checked: usize,
    /// At how many of them was what must be there.
    pub found: usize,
    /// How sure it is.
    pub sureness: Sureness,
    pieces: Pieces,
}

/// Why nothing can be guessed.
#[derive(Debug, thiserror::Error)]
pub enum NoGuess {
    /// There are too many members.
    #[error("{found} members; an order is looked for of up to {MAX_MEMBERS}")]
    TooMany {
        /// How many there are.
        found: usize,
    },
    /// A member cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// No member begins with anything that is known.
    #[error("no member begins with a filesystem or partition table that is known")]
    NoStart,
}

impl Guess {
    /// The extent map, over the members in the order they were given; `sizes` are those of the members in bytes.
    pub fn map(&self, sizes: &[u64]) -> Result<ExtentMap, LayoutError> {
        self.pieces.map(&(0..sizes.len()).collect::<Vec<_>>(), sizes)
    }
}

impl Shape {
    /// The volume that members of these sizes make in this order.
    fn pieces(self, order: &[usize], sizes: &[u64], start: u64) -> Result<Pieces, PiecesError> {
        let mut pieces = Pieces::new();
        let size = |device: usize| sizes.get(device).map_or(0, |size| size.saturating_sub(start));
        match self {
            Self::Linear => {
                for device in order.iter().copied() {
                    pieces.push_linear(Spot { device, offset: start }, size(device))?;
                }
            }
            Self::Striped { stripe } => push_row(&mut pieces, order, size, start, stripe)?,
            Self::Pairs { stripe } => {
                for pair in order.chunks(2) {
                    push_row(&mut pieces, pair, size, start, stripe)?;
                }
            }
        }
        Ok(pieces)
    }
}

/// Stripes over all of `order`, as far as the smallest reaches in whole stripes.
fn push_row(
    pieces: &mut Pieces,
    order: &[usize],
    size: impl Fn(usize) -> u64,
    start: u64,
    stripe: u64,
) -> Result<(), PiecesError> {
    let smallest = order.iter().map(|device| size(*device)).min().unwrap_or(0);
    let whole = smallest - smallest % stripe;
    let columns: Vec<Spot> =
        order.iter().map(|device| Spot { device: *device, offset: start }).collect();
    pieces.push_striped(stripe, &columns, whole.saturating_mul(order.len() as u64))
}
