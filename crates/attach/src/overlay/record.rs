//! A record of the map: what seven regions hold, in one sector.

use std::ops::Range;

use snapfmt::crc32;

use super::{BLOCK, REGION};

/// A record is a sector, so that it is written as a whole or not at all.
pub(super) const SECTOR: usize = 512;
/// Bytes of a record.
pub(super) const LEN: u64 = SECTOR as u64;
/// Regions of a record.
pub(super) const REGIONS: usize = 7;
/// Blocks of a region.
pub(super) const BLOCKS: usize = (REGION / BLOCK) as usize;

const MARK: [u8; 4] = *b"OMAP";
const AT_REGIONS: usize = 8;
/// A region: its place, and two bits for each block.
const REGION_LEN: usize = 8 + BLOCKS / 4;

const _: () = assert!(AT_REGIONS + REGIONS * REGION_LEN == SECTOR);

/// What a block is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// What the lower image has.
    Lower,
    /// In the file, at the region's place.
    Data,
    /// Zeros.
    Zero,
}

/// What a region holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Region {
    /// The number of its place in the file; 0: none.
    pub(super) place: u64,
    states: [u8; BLOCKS / 4],
}

impl Default for Region {
    fn default() -> Self {
        Self { place: 0, states: [0; BLOCKS / 4] }
    }
}

impl Region {
    pub(super) const fn state(&self, block: usize) -> State {
        match self.states[block / 4] >> (block % 4 * 2) & 3 {
            1 => State::Data,
            2 => State::Zero,
            _ => State::Lower,
        }
    }

    pub(super) fn set(&mut self, blocks: Range<usize>, state: State) {
        let bits = match state {
            State::Lower => 0,
            State::Data => 1,
            State::Zero => 2,
        };
        for block in blocks {
            let (byte, shift) = (block / 4, block % 4 * 2);
            self.states[byte] = self.states[byte] & !(3 << shift) | bits << shift;
        }
    }

    /// The blocks from `block` on that are alike, before `end`.
    pub(super) fn run(&self, block: usize, end: usize) -> (State, Range<usize>) {
        let state = self.state(block);
        let end = (block..end).find(|n| self.state(*n) != state).unwrap_or(end);
        (state, block..end)
    }

    /// Whether it is what a writer may write, when `taken` places are in use.
    fn is_sound(&self, taken: u64) -> bool {
        // 0b11 in any pair of bits.
        let unknown = self.states.iter().any(|byte| byte & byte >> 1 & 0x55 != 0);
        let data = self.states.iter().any(|byte| byte & 0x55 != 0);
        !unknown && self.place <= taken && (self.place > 0 || !data)
    }
}

/// Seven regions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) regions: [Region; REGIONS],
}

impl Record {
    /// The sector of record `number`.
    pub(super) fn encode(&self, number: u64) -> [u8; SECTOR] {
        let mut sector = [0; SECTOR];
        sector[4..AT_REGIONS].copy_from_slice(&MARK);
        let parts = sector[AT_REGIONS..].chunks_exact_mut(REGION_LEN);
        for (part, region) in parts.zip(&self.regions) {
            let (place, states) = part.split_at_mut(8);
            place.copy_from_slice(&region.place.to_le_bytes());
            states.copy_from_slice(&region.states);
        }
        let crc = checksum(number, &sector);
        sector[..4].copy_from_slice(&crc.to_le_bytes());
        sector
    }

    /// What the sector of record `number` says; `None` when it is damaged. `taken` places are in use.
    pub(super) fn decode(sector: &[u8; SECTOR], number: u64, taken: u64) -> Option<Self> {
        let mut record = Self::default();
        if sector.iter().all(|byte| *byte == 0) {
            // Never written.
            return Some(record);
        }
        let intact = sector[..4] == checksum(number, sector).to_le_bytes();
        if !intact || sector[4..AT_REGIONS] != MARK {
            return None;
        }
        let parts = sector[AT_REGIONS..].chunks_exact(REGION_LEN);
        for (part, region) in parts.zip(&mut record.regions) {
            let (place, states) = part.split_at(8);
            region.place = place.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
            region.states.copy_from_slice(states);
            if !region.is_sound(taken) {
                return None;
            }
        }
        Some(record)
    }
}

/// Of all but itself, and of the number: a record in the place of another one is damage.
fn checksum(number: u64, sector: &[u8; SECTOR]) -> u32 {
    let mut checked = [0; SECTOR + 4];
    checked[..8].copy_from_slice(&number.to_le_bytes());
    checked[8..].copy_from_slice(&sector[4..]);
    crc32(&checked)
}

#[cfg(test)]
mod tests {
    use super::{BLOCKS, REGIONS, Record, State};
    use proptest::prelude::{any, prop, proptest};

    proptest! {
        #[test]
        fn a_record_comes_back_and_any_flipped_bit_is_seen(
            sets in prop::collection::vec((0..REGIONS, 0..BLOCKS, 0..BLOCKS, 0..3_usize), 1..40),
            number in 0..1_u64 << 40,
            bit in 0..4096_usize,
        ) {
            let mut record = Record::default();
            let mut model = vec![vec![State::Lower; BLOCKS]; REGIONS];
            for (region, a, b, state) in sets {
                let state = [State::Lower, State::Data, State::Zero][state];
                record.regions[region].place = 1 + region as u64;
                record.regions[region].set(a.min(b)..a.max(b), state);
                model[region][a.min(b)..a.max(b)].fill(state);
            }
            let mut sector = record.encode(number);
            let back = Record::decode(&sector, number, 7).unwrap();
            assert_eq!(back, record);
            for (region, states) in back.regions.iter().zip(&model) {
                for (block, state) in states.iter().enumerate() {
                    assert_eq!(region.state(block), *state);
                }
            }
            assert_eq!(Record::decode(&sector, number + 1, 7), None);
            assert_eq!(Record::decode(&sector, number, 0), None);
            sector[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Record::decode(&sector, number, 7), None);
        }

        #[test]
        fn a_run_is_all_there_is_of_a_kind(
            marks in prop::collection::vec(any::<u8>(), BLOCKS),
            from in 0..BLOCKS,
        ) {
            let mut record = Record::default();
            let region = &mut record.regions[3];
            let states: Vec<State> = marks
                .iter()
                .map(|m| if *m < 30 { State::Zero } else if *m < 60 { State::Data } else { State::Lower })
                .collect();
            for (block, state) in states.iter().enumerate() {
                region.set(block..block + 1, *state);
            }
            let (state, run) = region.run(from, BLOCKS);
            assert!(run.start == from && run.end > from && state == states[from]);
            assert!(states[run.clone()].iter().all(|s| *s == state));
            assert!(run.end == BLOCKS || states[run.end] != state);
        }
    }
}
