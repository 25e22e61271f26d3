//! What taking devices apart may cost, all of them together: a short text can tell of very many pieces.

use std::sync::Arc;

use super::{Pieces, PiecesError};

/// Most devices that are not taken apart for those on them.
const MOST_KEPT: usize = 256;

/// Most pieces that a device is cut into by those it lies on, unless the caller says otherwise: as many as an
/// extent map has segments.
pub const FLATTENED: usize = 1 << 18;

/// Most pieces that arrays without whole rows, and mirrors that lack a leg, are laid out in, all of them
/// together; a word of a mirror's log counts as one.
const LAID_OUT: usize = 3 << 20;

/// Pieces that may still be made, and devices that may still be kept.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Most pieces that one device is cut into beyond those it has by itself.
    flattened: usize,
    /// The same of all devices, those given up half-way counted, too.
    left: usize,
    kept: usize,
    /// Of [`LAID_OUT`].
    laid_out: usize,
}

impl Budget {
    /// For devices of which each may be cut into `flattened` pieces more than it has.
    pub const fn new(flattened: usize) -> Self {
        Self { flattened, left: flattened, kept: 0, laid_out: 0 }
    }

    /// Takes as many pieces as metadata says that something is to be laid out in. Where there are not so many
    /// left none is taken, and none may be made.
    pub fn take(&mut self, count: u64) -> Result<(), PiecesError> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let laid_out = self.laid_out.saturating_add(count);
        if laid_out > LAID_OUT {
            return Err(PiecesError::Spent { count, max: LAID_OUT });
        }
        self.laid_out = laid_out;
        Ok(())
    }

    /// [`Pieces::over_or_keep`], as far as there is something left to spend.
    pub fn over_or_keep(
        &mut self,
        upper: &Pieces,
        below: &[Arc<Pieces>],
        mut keep: impl FnMut(&Arc<Pieces>) -> Result<usize, PiecesError>,
    ) -> Result<Pieces, PiecesError> {
        let most = self.flattened.min(self.left);
        let (mut kept, room) = (0, MOST_KEPT.saturating_sub(self.kept));
        let result = upper.over_or_keep(below, most, |device| {
            kept += 1;
            if kept > room { Err(PiecesError::Scattered { max: MOST_KEPT }) } else { keep(device) }
        });
        let made = result.as_ref().map_or(0, |flat| flat.list().len());
        // Where one was kept, all that was made before was in vain.
        let spent = if kept > 0 { most } else { made.saturating_sub(upper.list().len()) };
        self.left = self.left.saturating_sub(spent);
        self.kept += kept.min(room);
        result
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(FLATTENED)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Pieces, PiecesError, Spot};
    use super::{Budget, MOST_KEPT};

    /// Stripes of `stripe` bytes over two devices of this many bytes each.
    fn striped(stripe: u64, each: u64) -> Pieces {
        let columns = [Spot { device: 0, offset: 0 }, Spot { device: 1, offset: 0 }];
        let mut pieces = Pieces::new();
        pieces.push_striped(stripe, &columns, 2 * each).unwrap();
        pieces
    }

    #[test]
    fn what_is_spent_by_one_device_is_not_there_for_others() {
        let top = striped(16, 1024);
        let below = [Arc::new(striped(8, 512)), Arc::new(striped(8, 512))];
        let mut budget = Budget::new(300);
        let mut kept = 0;
        for number in 0..MOST_KEPT {
            let flat = budget.over_or_keep(&top, &below, |_| {
                kept += 1;
                Ok(2 + kept)
            });
            match flat {
                Ok(flat) if number == 0 => assert!(flat.list().len() > 1 && kept == 0, "{flat:?}"),
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error, PiecesError::Scattered { max: MOST_KEPT });
                    return assert_eq!(kept, MOST_KEPT);
                }
            }
        }
        panic!("there is no end to it");
    }
}
