//! Putting devices on top of each other.

use std::borrow::Borrow;
use std::ops::Range;
use std::sync::Arc;

use super::{MAX_PIECES, Piece, Pieces, PiecesError, Place, Spot, at, columns};

impl Pieces {
    /// Appends the bytes `range` of `other`, which lies on the same devices.
    pub fn push_slice(&mut self, other: &Self, range: &Range<u64>) -> Result<(), PiecesError> {
        if range.end > other.size() {
            return Err(PiecesError::Beyond { end: range.end, size: other.size() });
        }
        let mut offset = range.start;
        while offset < range.end {
            let piece = other.find(offset).ok_or(PiecesError::Size)?;
            let until = piece.end().min(range.end);
            self.push_part(piece, &(offset - piece.start..until - piece.start))?;
            offset = until;
        }
        Ok(())
    }

    /// Appends a part of a piece; `part` counts from its start.
    fn push_part(&mut self, piece: &Piece, part: &Range<u64>) -> Result<(), PiecesError> {
        let length = part.end - part.start;
        match &piece.place {
            Place::Zero => self.push_zeros(length),
            Place::Linear(spot) => self.push_linear(at(spot, part.start), length),
            Place::Striped { stripe, columns } => self.push_rows(u64::from(*stripe), columns, part),
        }
    }

    /// Appends a part of a striped run: the end of a row, whole rows, the beginning of a row.
    fn push_rows(
        &mut self,
        stripe: u64,
        columns: &[Spot],
        part: &Range<u64>,
    ) -> Result<(), PiecesError> {
        let row = stripe * columns.len() as u64;
        let mut offset = part.start;
        while offset < part.end {
            let (rows, within) = (offset / row, offset % row);
            if within == 0 {
                let moved: Vec<Spot> = columns.iter().map(|c| at(c, rows * stripe)).collect();
                return self.push_striped(stripe, &moved, part.end - offset);
            }
            let inside = within % stripe;
            let length = (stripe - inside).min(part.end - offset);
            let place = usize::try_from(within / stripe).map_err(|_| PiecesError::Size)?;
            let column = columns.get(place).ok_or(PiecesError::Size)?;
            self.push_linear(at(column, rows * stripe + inside), length)?;
            offset += length;
        }
        Ok(())
    }

    /// The same device on what `below` lie on, without a second list of pieces, where each of those that it is
    /// on is one run of bytes there; otherwise itself as it was.
    pub fn onto_runs(mut self, below: &[Arc<Self>]) -> Result<Self, Self> {
        let moved = |spot: &Spot, length: u64| {
            let device = below.get(spot.device)?;
            let [Piece { place: Place::Linear(run), .. }] = device.list.as_slice() else {
                return None;
            };
            let is_there = spot.offset.checked_add(length)? <= device.size;
            is_there.then(|| at(run, spot.offset))
        };
        let can_be = self.list.iter().all(|piece| {
            let all = columns(&piece.place);
            let each = piece.length / all.len().max(1) as u64;
            all.iter().all(|spot| moved(spot, each).is_some())
        });
        if !can_be {
            return Err(self);
        }
        for piece in &mut self.list {
            match &mut piece.place {
                Place::Zero => {}
                Place::Linear(spot) => *spot = moved(spot, 0).unwrap_or(*spot),
                Place::Striped { columns, .. } => {
                    *columns = columns.iter().map(|spot| moved(spot, 0).unwrap_or(*spot)).collect();
                }
            }
        }
        Ok(self)
    }

    /// The same device on the devices that `below` lie on, one for each device it is on now.
    pub fn over<P: Borrow<Self>>(&self, below: &[P]) -> Result<Self, PiecesError> {
        self.over_within(below, MAX_PIECES)
    }

    /// The same. Where it would be more than `most` pieces beyond those it has now, as stripes over
    /// stripes are, a device below that is in pieces itself stays one: `keep` gives it the number
    /// that it has among the devices below from then on.
    pub fn over_or_keep(
        &self,
        below: &[Arc<Self>],
        most: usize,
        mut keep: impl FnMut(&Arc<Self>) -> Result<usize, PiecesError>,
    ) -> Result<Self, PiecesError> {
        match self.over_within(below, most.saturating_add(self.list.len()).min(MAX_PIECES)) {
            Err(PiecesError::TooMany { .. }) => {}
            done => return done,
        }
        let kept = below.iter().map(|device| match device.list.as_slice() {
            [] | [Piece { place: Place::Zero | Place::Linear(_), .. }] => Ok(Arc::clone(device)),
            _ => Self::whole(keep(device)?, device.size).map(Arc::new),
        });
        self.over(&kept.collect::<Result<Vec<_>, _>>()?)
    }

    fn over_within<P: Borrow<Self>>(&self, below: &[P], most: usize) -> Result<Self, PiecesError> {
        let none = Self::new();
        let lower = |device: usize| below.get(device).map_or(&none, Borrow::borrow);
        let mut result = Self::new();
        for piece in self.list() {
            match &piece.place {
                Place::Zero => result.push_zeros(piece.length)?,
                Place::Linear(spot) => {
                    let end = spot.offset + piece.length;
                    result.push_slice(lower(spot.device), &(spot.offset..end))?;
                }
                Place::Striped { stripe, columns } => {
                    let columns: Vec<_> =
                        columns.iter().map(|c| (lower(c.device), c.offset)).collect();
                    result.push_columns(u64::from(*stripe), &columns, piece.length, most)?;
                }
            }
            result.check_count(most)?;
        }
        Ok(result)
    }

    const fn check_count(&self, most: usize) -> Result<(), PiecesError> {
        // A striped piece is as large as its columns are many.
        let wide = self.columns / 2;
        let found = if wide > self.list.len() { wide } else { self.list.len() };
        if found > most { Err(PiecesError::TooMany { max: most }) } else { Ok(()) }
    }

    /// Appends stripes of devices that are in pieces themselves: rows in which every column is one
    /// linear run stay striped, rows of zeros are zeros, others become runs for each stripe.
    fn push_columns(
        &mut self,
        stripe: u64,
        columns: &[(&Self, u64)],
        length: u64,
        most: usize,
    ) -> Result<(), PiecesError> {
        let width = columns.len() as u64;
        let each = length / width;
        let mut done = 0;
        while done < each {
            self.check_count(most)?;
            let runs: Result<Vec<(u64, Run)>, PiecesError> =
                columns.iter().map(|(device, start)| device.run(start + done)).collect();
            let runs = runs?;
            let shared = runs.iter().map(|(run, _)| *run).min().unwrap_or(0).min(each - done);
            let rows = shared - shared % stripe;
            let spots = runs.iter().map(|(_, run)| match run {
                Run::Linear(spot) => Some(*spot),
                Run::Zeros | Run::Stripes => None,
            });
            done += match spots.collect::<Option<Vec<Spot>>>() {
                Some(spots) if rows > 0 => {
                    self.push_striped(stripe, &spots, rows * width)?;
                    rows
                }
                // In one go: what is pushed stripe by stripe and joined again has no end.
                None if rows > 0 && runs.iter().all(|(_, run)| matches!(run, Run::Zeros)) => {
                    self.push_zeros(rows * width)?;
                    rows
                }
                _ => {
                    for (device, start) in columns {
                        let from = start + done;
                        self.push_slice(device, &(from..from + stripe))?;
                    }
                    stripe
                }
            };
        }
        Ok(())
    }

    /// How far the piece that holds byte `offset` goes on, and what it is from there.
    fn run(&self, offset: u64) -> Result<(u64, Run), PiecesError> {
        let beyond = || PiecesError::Beyond { end: offset.saturating_add(1), size: self.size() };
        let piece = self.find(offset).ok_or_else(beyond)?;
        let run = match &piece.place {
            Place::Zero => Run::Zeros,
            Place::Linear(spot) => Run::Linear(at(spot, offset - piece.start)),
            Place::Striped { .. } => Run::Stripes,
        };
        Ok((piece.end() - offset, run))
    }
}

/// What a column is from some byte on.
enum Run {
    Zeros,
    Linear(Spot),
    Stripes,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::{Strategy, any, prop, proptest};
    use snapfmt::ReadAt;

    use super::super::{PieceBytes, Pieces, PiecesError, Spot};

    /// Bytes that tell where they are: device and offset in 3 bytes would be longer than a byte, so
    /// a mixed-up number stands for them.
    fn content(device: usize, len: usize) -> Arc<dyn ReadAt> {
        let byte = |n: usize| u8::try_from((n * 31 + device * 97 + n / 251) % 251).unwrap();
        Arc::new((0..len).map(byte).collect::<Vec<u8>>())
    }

    fn read(pieces: &Pieces, devices: &[Arc<dyn ReadAt>]) -> Vec<u8> {
        let devices = devices.iter().map(|d| Some(Arc::clone(d))).collect();
        let bytes = PieceBytes::new(pieces.clone(), devices);
        let mut out = vec![0; usize::try_from(pieces.size()).unwrap()];
        bytes.read_exact_at(&mut out, 0).unwrap();
        out
    }

    const LOW: usize = 4096;

    /// A device on `devices` devices of [`LOW`] bytes.
    fn device(devices: usize) -> impl Strategy<Value = Pieces> {
        let spot = (0..devices, 0..LOW as u64 / 2);
        let step = (0..3, prop::collection::vec(spot, 2..4), 1..40_u64, 1..400_u64);
        prop::collection::vec(step, 1..6).prop_map(|steps| {
            let mut pieces = Pieces::new();
            for (kind, spots, stripe, length) in steps {
                let spots: Vec<Spot> =
                    spots.into_iter().map(|(device, offset)| Spot { device, offset }).collect();
                match kind {
                    0 => pieces.push_zeros(length),
                    1 => pieces.push_linear(spots[0], length),
                    _ => pieces.push_striped(stripe, &spots, length),
                }
                .unwrap();
            }
            pieces
        })
    }

    proptest! {
        #[test]
        fn a_device_on_devices_reads_as_if_each_were_read_in_turn(
            low in prop::collection::vec(device(3), 2),
            top in prop::collection::vec((0..3, 1..30_u64, any::<u16>(), any::<u16>(), 1..300_u64), 1..6),
        ) {
            let bases: Vec<_> = (0..3).map(|n| content(n, LOW)).collect();
            let middle: Vec<Arc<dyn ReadAt>> =
                low.iter().map(|l| Arc::new(read(l, &bases)) as Arc<dyn ReadAt>).collect();
            let mut upper = Pieces::new();
            for (kind, stripe, a, b, length) in top {
                let spot = |device: usize, pick: u16| {
                    let offset = u64::from(pick) % low[device].size();
                    Spot { device, offset }
                };
                let (a, b) = (spot(0, a), spot(1, b));
                let room = (low[0].size() - a.offset).min(low[1].size() - b.offset);
                let length = length.min(room / stripe * stripe).min(room);
                match kind {
                    0 => upper.push_zeros(length),
                    1 => upper.push_linear(a, length),
                    _ => upper.push_striped(stripe, &[a, b], length),
                }
                .unwrap();
            }
            let flat = upper.over(&low).unwrap();
            assert_eq!(flat.size(), upper.size());
            assert_eq!(read(&flat, &bases), read(&upper, &middle));
        }

        #[test]
        fn a_slice_reads_as_that_part(whole in device(2), a in any::<u64>(), b in any::<u64>()) {
            let bases: Vec<_> = (0..2).map(|n| content(n, LOW)).collect();
            let all = read(&whole, &bases);
            let (a, b) = (a % (whole.size() + 1), b % (whole.size() + 1));
            let range = a.min(b)..a.max(b);
            let mut part = Pieces::new();
            part.push_slice(&whole, &range).unwrap();
            let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
            assert_eq!(read(&part, &bases), all[range]);
        }
    }

    #[test]
    fn stripes_over_linear_devices_stay_stripes() {
        let mut top = Pieces::new();
        let spots = [Spot { device: 0, offset: 64 }, Spot { device: 1, offset: 0 }];
        top.push_striped(16, &spots, 1024).unwrap();
        let low = [Pieces::whole(7, 4096).unwrap(), Pieces::part(3, &(128..2048)).unwrap()];
        let flat = top.over(&low).unwrap();
        let mut expected = Pieces::new();
        let spots = [Spot { device: 7, offset: 64 }, Spot { device: 3, offset: 128 }];
        expected.push_striped(16, &spots, 1024).unwrap();
        assert_eq!(flat, expected);
    }

    #[test]
    fn a_device_that_would_be_scattered_stays_one() {
        let row = [Spot { device: 0, offset: 0 }, Spot { device: 1, offset: 0 }];
        let mut top = Pieces::new();
        top.push_striped(16, &row, 1024).unwrap();
        let mut low = Pieces::new();
        low.push_striped(24, &row, 960).unwrap();
        let below = [Arc::new(low), Arc::new(Pieces::part(5, &(64..1024)).unwrap())];
        let flat = top.over(&below).unwrap();
        let never = |_: &Arc<Pieces>| panic!("it is kept");
        assert_eq!(top.over_or_keep(&below, flat.list().len(), never).unwrap(), flat);
        let mut kept = Vec::new();
        let keep = |pieces: &Arc<Pieces>| {
            kept.push(Arc::clone(pieces));
            Ok(9)
        };
        let two = top.over_or_keep(&below, 3, keep).unwrap();
        let mut expected = Pieces::new();
        let spots = [Spot { device: 9, offset: 0 }, Spot { device: 5, offset: 64 }];
        expected.push_striped(16, &spots, 1024).unwrap();
        assert_eq!(two, expected);
        assert_eq!(kept, below[..1]);
    }

    #[test]
    fn what_is_not_there_is_refused() {
        let mut top = Pieces::new();
        top.push_linear(Spot { device: 1, offset: 8 }, 8).unwrap();
        let low = [Pieces::whole(0, 64).unwrap(), Pieces::whole(1, 12).unwrap()];
        assert_eq!(top.over(&low), Err(PiecesError::Beyond { end: 16, size: 12 }));
        assert_eq!(top.over::<Pieces>(&[]), Err(PiecesError::Beyond { end: 16, size: 0 }));
        let spot = Spot { device: 0, offset: u64::MAX };
        assert_eq!(top.push_linear(spot, 1), Err(PiecesError::Size));
        assert_eq!(top.push_striped(0, &[spot, spot], 1), Err(PiecesError::Size));
        assert_eq!(top.push_striped(1 << 32, &[spot, spot], 1), Err(PiecesError::Size));
    }
}
