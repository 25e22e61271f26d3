//! A target that forgets what was not made durable, as a disk does whose power is cut.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use restore::RangeSet;
use restore::sink::Sink;

use super::{indices, noise};

/// What is kept or lost as one.
const SECTOR: usize = 512;

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// This write, counted from 0, is turned down, part of it done; what follows works.
    Write(u64),
    /// The power is cut in this write.
    PowerCut(u64),
    /// This sync fails: of what was to become durable some is dropped, and nobody will say so again.
    Sync(u64),
}

/// A target in memory: as it is seen, and as it is on the medium.
pub struct CrashSink(Mutex<State>);

#[derive(Clone)]
struct State {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Written since the last sync that worked.
    pending: Vec<Range<u64>>,
    fault: Option<Fault>,
    seed: u64,
    writes: u64,
    syncs: u64,
    is_off: bool,
    given: RangeSet,
}

impl State {
    /// Some sectors of `range` become durable, others do not.
    fn tear(&mut self, range: &Range<u64>) {
        let mut at = range.start;
        while at < range.end {
            let sector = at..(at / SECTOR as u64 + 1).saturating_mul(SECTOR as u64).min(range.end);
            at = sector.end;
            if noise(self.seed ^ sector.start, 2)[1].is_multiple_of(2) {
                self.durable[indices(&sector)].copy_from_slice(&self.live[indices(&sector)]);
            }
        }
    }
}

impl CrashSink {
    /// A target that holds these bytes, and is to fail; `seed` says what is lost.
    pub fn new(bytes: &[u8], fault: Option<Fault>, seed: u64) -> Self {
        Self(Mutex::new(State {
            live: bytes.to_vec(),
            durable: bytes.to_vec(),
            pending: Vec::new(),
            fault,
            seed,
            writes: 0,
            syncs: 0,
            is_off: false,
            given: RangeSet::default(),
        }))
    }

    /// How many writes and syncs it was asked for.
    pub fn calls(&self) -> (u64, u64) {
        let state = self.lock();
        (state.writes, state.syncs)
    }

    /// What it was given.
    pub fn given(&self) -> RangeSet {
        self.lock().given.clone()
    }

    /// What is on the medium for certain.
    pub fn durable(&self) -> Vec<u8> {
        self.lock().durable.clone()
    }

    /// What is found when the machine has started again: of what was not durable, anything.
    pub fn survivors(&self) -> Vec<u8> {
        let mut state = self.lock().clone();
        for range in std::mem::take(&mut state.pending) {
            state.tear(&range);
        }
        state.durable
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, range: Range<u64>, put: impl FnOnce(&mut [u8])) -> io::Result<()> {
        // Memory is so fast that all would be written before the first sync point.
        std::thread::sleep(std::time::Duration::from_micros(300));
        let mut state = self.lock();
        let number = state.writes;
        state.writes += 1;
        if state.is_off {
            return Err(io::ErrorKind::NotConnected.into());
        }
        state.given.insert(range.clone());
        let mut after = state.live[indices(&range)].to_vec();
        put(&mut after);
        let (fails, cut) = (
            state.fault == Some(Fault::Write(number)),
            state.fault == Some(Fault::PowerCut(number)),
        );
        // A write that fails may have got half way.
        let done = if fails || cut { after.len() / 2 } else { after.len() };
        let start = indices(&range).start;
        state.live[start..start + done].copy_from_slice(&after[..done]);
        state.pending.push(range);
        state.is_off = cut;
        if fails || cut { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl Sink for CrashSink {
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.write(offset..offset + data.len() as u64, |place| place.copy_from_slice(data))
    }

    fn zero_at(&self, range: Range<u64>) -> io::Result<()> {
        self.write(range, |place| place.fill(0))
    }

    fn path(&self) -> &Path {
        Path::new("crash-sink")
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.lock();
        let number = state.syncs;
        state.syncs += 1;
        if state.is_off {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let fails = state.fault == Some(Fault::Sync(number));
        for range in std::mem::take(&mut state.pending) {
            if fails {
                state.tear(&range);
            } else {
                let place = indices(&range);
                let State { live, durable, .. } = &mut *state;
                durable[place.clone()].copy_from_slice(&live[place]);
            }
        }
        if fails { Err(io::Error::other("made to fail")) } else { Ok(()) }
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.sync()
    }
}
