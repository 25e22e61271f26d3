//! Reading a device through its pieces.

use std::io;
use std::sync::Arc;

use snapfmt::ReadAt;

use super::{Pieces, Place, Spot, at};

/// The bytes of a device in pieces.
pub struct PieceBytes {
    pieces: Arc<Pieces>,
    /// The devices below by number; one that is not there cannot be read.
    devices: Vec<Option<Arc<dyn ReadAt>>>,
}

impl PieceBytes {
    /// Joins pieces and the devices they are on.
    pub fn new(pieces: impl Into<Arc<Pieces>>, devices: Vec<Option<Arc<dyn ReadAt>>>) -> Self {
        Self { pieces: pieces.into(), devices }
    }

    fn read_spot(&self, spot: Spot, out: &mut [u8]) -> io::Result<()> {
        match self.devices.get(spot.device) {
            Some(Some(device)) => device.read_exact_at(out, spot.offset),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Pieces {
    /// Where byte `offset` is, and how many bytes from there on are in one run. `None` where there
    /// is nothing.
    pub(crate) fn spot(&self, offset: u64) -> Option<(Spot, u64)> {
        let piece = self.find(offset)?;
        let within = offset - piece.start;
        match &piece.place {
            Place::Zero => None,
            Place::Linear(spot) => Some((at(spot, within), piece.length - within)),
            Place::Striped { stripe, columns } => {
                let stripe = u64::from(*stripe);
                let (number, inside) = (within / stripe, within % stripe);
                let width = columns.len() as u64;
                let column = columns.get(usize::try_from(number % width).ok()?)?;
                Some((at(column, number / width * stripe + inside), stripe - inside))
            }
        }
    }
}

impl ReadAt for PieceBytes {
    fn len(&self) -> u64 {
        self.pieces.size()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut offset = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let piece = self.pieces.find(offset).ok_or(io::ErrorKind::UnexpectedEof)?;
            let (spot, run) = match self.pieces.spot(offset) {
                Some((spot, run)) => (Some(spot), run),
                None => (None, piece.end() - offset),
            };
            let len = usize::try_from(run).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at_mut(len);
            match spot {
                Some(spot) => self.read_spot(spot, now)?,
                None => now.fill(0),
            }
            rest = later;
            offset += len as u64;
        }
        Ok(())
    }
}
