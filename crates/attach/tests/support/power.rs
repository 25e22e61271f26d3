//! A disk below an overlay whose power is cut.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use attach::overlay::Medium;

use testing::{index, noise};

/// What is written as a whole or not at all.
const SECTOR: usize = 512;

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// This write, counted from 0, is turned down, some of its sectors done; what follows works.
    Write(u64),
    /// The power is cut in this write.
    PowerCut(u64),
    /// This sync fails, and drops some of what was to become durable.
    Sync(u64),
    /// The power is cut in this sync.
    PowerCutInSync(u64),
}

/// A medium in memory: as it is seen, and as it is on the disk.
pub(crate) struct PowerMedium(Mutex<State>);

#[derive(Clone)]
struct State {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors that differ, perhaps.
    pending: BTreeSet<usize>,
    fault: Option<Fault>,
    seed: u64,
    writes: u64,
    syncs: u64,
    is_off: bool,
}

impl State {
    /// Some pending sectors become durable, others do not.
    fn tear(&mut self) {
        for sector in std::mem::take(&mut self.pending) {
            self.seed = self.seed.wrapping_add(1);
            if noise(self.seed, 2)[1].is_multiple_of(2) {
                self.keep(sector);
            }
        }
    }

    fn keep(&mut self, sector: usize) {
        let place = sector * SECTOR..((sector + 1) * SECTOR).min(self.live.len());
        if self.durable.len() < place.end {
            self.durable.resize(place.end, 0);
        }
        self.durable[place.clone()].copy_from_slice(&self.live[place]);
    }

    fn put(&mut self, bytes: &[u8], at: usize) {
        let end = at + bytes.len();
        if self.live.len() < end {
            self.live.resize(end, 0);
        }
        self.live[at..end].copy_from_slice(bytes);
        self.pending.extend(at / SECTOR..end.div_ceil(SECTOR));
    }
}

impl PowerMedium {
    /// A disk that holds these bytes, and is to fail; `seed` says what is lost.
    pub(crate) fn new(bytes: Vec<u8>, fault: Option<Fault>, seed: u64) -> Self {
        Self(Mutex::new(State {
            durable: bytes.clone(),
            live: bytes,
            pending: BTreeSet::new(),
            fault,
            seed,
            writes: 0,
            syncs: 0,
            is_off: false,
        }))
    }

    /// How many writes and syncs it was asked for.
    pub(crate) fn calls(&self) -> (u64, u64) {
        let state = self.lock();
        (state.writes, state.syncs)
    }

    /// What is found when the machine has started again: of what was not durable, any sectors.
    pub(crate) fn survivors(&self) -> Vec<u8> {
        let mut state = self.lock().clone();
        state.tear();
        state.durable
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const OFF: io::ErrorKind = io::ErrorKind::NotConnected;

impl Medium for PowerMedium {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().live.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.lock();
        state.live.resize(index(len), 0);
        state.durable.resize(index(len), 0);
        Ok(())
    }

    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.lock();
        let at = index(offset);
        let there = state.live.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(there);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.lock();
        if state.is_off {
            return Err(OFF.into());
        }
        let number = state.writes;
        state.writes += 1;
        let cut = state.fault == Some(Fault::PowerCut(number));
        let fails = cut || state.fault == Some(Fault::Write(number));
        let half = (index(offset) + bytes.len() / 2) / SECTOR * SECTOR;
        let done = if fails { half.saturating_sub(index(offset)) } else { bytes.len() };
        state.put(&bytes[..done], index(offset));
        state.is_off = cut;
        if fails { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn give_back(&self, range: Range<u64>) {
        let mut state = self.lock();
        let end = index(range.end).min(state.live.len());
        let start = index(range.start).min(end);
        if !state.is_off {
            state.put(&vec![0; end - start], start);
        }
    }

    fn next_data(&self, offset: u64, end: u64) -> io::Result<u64> {
        let state = self.lock();
        let there = &state.live[index(offset)..index(end).min(state.live.len())];
        Ok(there.iter().position(|b| *b != 0).map_or(end, |n| offset + n as u64))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.lock();
        if state.is_off {
            return Err(OFF.into());
        }
        let number = state.syncs;
        state.syncs += 1;
        let cut = state.fault == Some(Fault::PowerCutInSync(number));
        if cut || state.fault == Some(Fault::Sync(number)) {
            state.tear();
            state.is_off = cut;
            return Err(io::Error::other("made to fail"));
        }
        for sector in std::mem::take(&mut state.pending) {
            state.keep(sector);
        }
        Ok(())
    }
}
