//! Wherever the power is cut, every sector of an overlaid image is as it was flushed, or as it was
//! written since; and the overlay can be opened and written again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

#[path = "support/power.rs"]
mod power;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use attach::overlay::Overlay;
use power::{Fault, PowerMedium};
use proptest::prelude::{Strategy, any, prop, prop_oneof, proptest};
use restore::image::{Image, ImageError, WritableImage};
use testing::images::MemoryImage;
use testing::{index, noise};

const SECTOR: usize = 512;
/// Two records of the map, by a bit; the last block is short.
const SIZE: usize = (7 << 20) + 9 * SECTOR + 100;

fn lower() -> Arc<dyn Image> {
    Arc::new(MemoryImage::new(noise(1, SIZE), vec![40_000..300_000, 6 << 20..(7 << 20) + 100]))
}

#[derive(Clone, Debug)]
enum Act {
    Write(usize, usize, u64),
    Zero(usize, usize),
    Flush,
}

/// What each sector may hold.
struct Model {
    /// As the last write left it.
    now: Vec<u8>,
    /// As the last flush left it and as it was since, for sectors that were written since.
    since: HashMap<usize, Vec<Vec<u8>>>,
}

impl Model {
    fn sector(&self, sector: usize) -> &[u8] {
        &self.now[sector * SECTOR..((sector + 1) * SECTOR).min(SIZE)]
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        let sectors = at / SECTOR..(at + bytes.len()).div_ceil(SECTOR);
        for sector in sectors.clone() {
            let before = self.sector(sector).to_vec();
            self.since.entry(sector).or_insert_with(|| vec![before]);
        }
        self.now[at..at + bytes.len()].copy_from_slice(bytes);
        for sector in sectors {
            let after = self.sector(sector).to_vec();
            self.since.entry(sector).or_default().push(after);
        }
    }

    fn flushed(&mut self) {
        self.since.clear();
    }

    /// What was found after a crash is one of what may be; it is what is there from now on.
    fn crashed(&mut self, found: &[u8]) {
        for sector in 0..SIZE.div_ceil(SECTOR) {
            let place = sector * SECTOR..((sector + 1) * SECTOR).min(SIZE);
            let here = &found[place.clone()];
            let good = match self.since.get(&sector) {
                Some(values) => values.iter().any(|value| value == here),
                None => self.sector(sector) == here,
            };
            assert!(good, "sector {sector} is neither what was flushed nor what was written since");
        }
        self.now.copy_from_slice(found);
        self.flushed();
    }
}

fn perform(overlay: &Overlay, act: &Act, model: &mut Model) -> Result<(), ImageError> {
    match *act {
        Act::Write(at, len, seed) => {
            let bytes = noise(seed, len.min(SIZE - at));
            // A write that fails may have got somewhere.
            model.write(at, &bytes);
            overlay.write_at(at as u64, &bytes)
        }
        Act::Zero(at, len) => {
            let len = len.min(SIZE - at);
            model.write(at, &vec![0; len]);
            overlay.zero_at(at as u64..(at + len) as u64)
        }
        Act::Flush => {
            let flushed = overlay.flush();
            if flushed.is_ok() {
                model.flushed();
            }
            flushed
        }
    }
}

fn open(medium: &Arc<PowerMedium>) -> Overlay {
    Overlay::on(medium.clone(), Path::new("power"), "c", lower()).unwrap()
}

fn whole(overlay: &Overlay) -> Vec<u8> {
    let mut out = vec![0xA5; index(overlay.size())];
    overlay.read_at(0, &mut out).unwrap();
    out
}

/// One life: acts until one fails, then what is found after the power has gone. Gives the medium as it
/// is then, and how far the acts got.
fn live(
    bytes: Vec<u8>,
    acts: &[Act],
    (fault, seed): (Option<Fault>, u64),
    model: &mut Model,
) -> (Vec<u8>, usize, (u64, u64)) {
    let medium = Arc::new(PowerMedium::new(bytes, fault, seed));
    let overlay = open(&medium);
    let mut done = 0;
    for act in acts {
        let before = model.now.clone();
        if perform(&overlay, act, model).is_err() {
            match fault {
                // Only that write is void; all else goes on.
                Some(Fault::Write(_)) => {
                    let found = whole(&overlay);
                    for (sector, values) in &model.since {
                        let here = &found[sector * SECTOR..((sector + 1) * SECTOR).min(SIZE)];
                        assert!(values.iter().any(|v| v == here), "sector {sector}");
                    }
                    model.now = found;
                }
                Some(Fault::Sync(_)) => {
                    // Nothing is promised any more: it must not say otherwise.
                    assert!(overlay.flush().is_err() && overlay.write_at(0, &[1]).is_err());
                    model.now = before;
                    break;
                }
                _ => break,
            }
        }
        done += 1;
    }
    let calls = medium.calls();
    drop(overlay);
    let survivors = medium.survivors();
    let again = Arc::new(PowerMedium::new(survivors.clone(), None, 0));
    model.crashed(&whole(&open(&again)));
    (survivors, done, calls)
}

fn begin() -> (Vec<u8>, Model) {
    let medium = PowerMedium::new(Vec::new(), None, 0);
    Overlay::format(&medium, Path::new("power"), "c", SIZE as u64).unwrap();
    let mut now = vec![0; SIZE];
    lower().read_at(0, &mut now).unwrap();
    (medium.survivors(), Model { now, since: HashMap::new() })
}

/// New blocks, whole and in part, blocks that were there, zeros over both and data over zeros, within
/// one region and across a border of records.
fn script() -> Vec<Act> {
    vec![
        Act::Write(4096, 8192, 1),
        Act::Write(20_000, 700, 2),
        Act::Flush,
        Act::Write(5000, 3000, 3),
        Act::Write((7 << 20) - 5000, 9000, 4),
        Act::Zero(4096, 4096),
        Act::Flush,
        Act::Zero(20_100, 30),
        Act::Write(4500, 100, 5),
        Act::Write(SIZE - 600, 600, 6),
        Act::Zero(8192, 200_000),
        Act::Flush,
        Act::Write(4096, 4096, 7),
        Act::Zero((7 << 20) - 8192, 8192),
        Act::Write((7 << 20) - 6000, 3000, 8),
        Act::Write((1 << 20) + 1, 30_000, 9),
        Act::Flush,
        Act::Write(4096, 12_288, 10),
        Act::Write((3 << 20) + 4096, 4096, 11),
    ]
}

/// Every write and every sync fails once, in each way, and what was left to do is done afterwards.
#[test]
fn wherever_it_ends_what_was_flushed_is_there() {
    let acts = script();
    let (bytes, mut model) = begin();
    let (_, done, (writes, syncs)) = live(bytes, &acts, (None, 3), &mut model);
    assert!(done == acts.len() && writes >= 20 && syncs == 8, "{writes} writes, {syncs} syncs");
    let faults = (0..writes).flat_map(|n| [Fault::Write(n), Fault::PowerCut(n)]);
    let faults = faults.chain((0..syncs).flat_map(|n| [Fault::Sync(n), Fault::PowerCutInSync(n)]));
    for fault in faults {
        for seed in 0..4 {
            let (bytes, mut model) = begin();
            let failing = (Some(fault), seed * 1000);
            let (bytes, done, _) = live(bytes, &acts, failing, &mut model);
            assert!(done < acts.len() || matches!(fault, Fault::Write(_)), "{fault:?}");
            let (_, rest, _) = live(bytes, &acts[done..], (None, seed), &mut model);
            assert_eq!(rest, acts.len() - done);
        }
    }
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    // Few places, so that they meet again.
    let place = || prop_oneof![0..60_000_usize, (7 << 20) - 20_000..SIZE, 0..SIZE];
    let len = || prop_oneof![1..5000_usize, 4096..70_000_usize];
    let act = prop_oneof![
        5 => (place(), len(), any::<u64>()).prop_map(|(at, len, seed)| Act::Write(at, len, seed)),
        2 => (place(), len()).prop_map(|(at, len)| Act::Zero(at, len)),
        1 => (place(), 1..9_usize).prop_map(|(at, n)| Act::Zero(at - at % 4096, n * 4096)),
        2 => prop::strategy::Just(Act::Flush),
    ];
    prop::collection::vec(act, 1..24)
}

proptest! {
    #![proptest_config(testing::cases(48))]

    /// One crash after the other, each with what the last one has left.
    #[test]
    fn any_number_of_crashes_leaves_what_was_flushed(
        lives in prop::collection::vec((acts(), any::<(u8, u8, u64)>()), 1..5),
    ) {
        let (mut bytes, mut model) = begin();
        for (acts, (kind, number, seed)) in lives {
            let number = u64::from(number);
            let fault = match kind % 5 {
                0 => Some(Fault::Write(number % 30)),
                1 => Some(Fault::PowerCut(number % 30)),
                2 => Some(Fault::Sync(number % 9)),
                3 => Some(Fault::PowerCutInSync(number % 9)),
                _ => None,
            };
            (bytes, _, _) = live(bytes, &acts, (fault, seed), &mut model);
        }
    }
}
