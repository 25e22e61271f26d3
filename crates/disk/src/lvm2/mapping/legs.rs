//! Which legs of a mirror hold what the volume holds: those that metadata proves to be current.
//!
//! `lib/mirror/mirrored.c` and `lib/raid/raid.c` of lvm2 say which legs the kernel is given,
//! `drivers/md/dm-raid1.c` and `dm-raid.c` which of them it reads.

use std::ops::Range;
use std::sync::Arc;

use super::{Mapper, Unreadable};
use crate::lvm2::leg_state::{LegNote, LegState, Lost};
use crate::lvm2::mirror_log::Log;
use crate::lvm2::raid::{self, Record};
use crate::lvm2::segment::{AreaRef, Leg, MirrorLog};
use crate::lvm2::vg::LogicalVolume;
use crate::pieces::{Piece, Pieces, PiecesError, Place, Spot};

/// What is known of the leg of a RAID 1.
struct Found {
    image: Option<Arc<Pieces>>,
    /// The image of a current leg that is there in part only.
    rest: Option<Arc<Pieces>>,
    state: LegState,
    events: u64,
    is_slow: bool,
}

impl Mapper<'_> {
    /// The leg that the others are copied from, or what a log proves to be the same elsewhere.
    pub(super) fn mirror(
        &mut self,
        lv: &LogicalVolume,
        areas: &[AreaRef],
        log: &MirrorLog,
        range: &Range<u64>,
        depth: u32,
    ) -> Result<Pieces, Unreadable> {
        let length = range.end.saturating_sub(range.start);
        let mut legs = Vec::new();
        let mut fault = None;
        for area in areas {
            match self.area(area, length, depth).map_err(|e| e.of(lv)) {
                Ok(pieces) => legs.push(Some(pieces)),
                Err(error) => {
                    fault = fault.or(Some(error));
                    legs.push(None);
                }
            }
        }
        // What pvmove is done with is written to the second leg only.
        let first = usize::from(log.moved == Some(length));
        let Some(Some(primary)) = legs.get(first).cloned() else {
            return Err(fault.unwrap_or_else(|| Unreadable::NoLeg { lv: lv.name.clone() }));
        };
        let proved = if first == 0 { self.proved(lv, log, range, depth)? } else { None };
        let other = match &proved {
            None => LegState::Unlogged,
            Some(proved) if proved.is_whole() => LegState::Current,
            Some(_) => LegState::PartlyLogged,
        };
        let mut states = Vec::new();
        for (n, leg) in legs.iter().enumerate() {
            let is_there = leg.as_ref().is_some_and(|leg| self.usable(leg));
            states.push(if !is_there {
                LegState::Missing
            } else if n == first {
                LegState::Current
            } else {
                other
            });
        }
        self.note_legs(lv, &states);
        if self.usable(&primary) {
            return Ok(primary);
        }
        let mut others = legs.iter().enumerate().filter(|(n, _)| *n != first);
        let other = others.find_map(|(_, leg)| leg.as_ref().filter(|leg| self.usable(leg)));
        let failed = |source| Unreadable::Pieces { lv: lv.name.clone(), source };
        let copy = other.zip(proved.as_deref());
        if let Some((_, proved)) = copy {
            self.budget.take(proved.runs()).map_err(failed)?;
        }
        let lost = self.lost(Lost { lv: lv.name.clone(), legs: states, size: lv.size });
        let spot = Spot { device: lost, offset: range.start };
        self.patched(&primary, copy, log.region, spot).map_err(failed)
    }

    /// The log that tells what is the same on all legs; `None` where there is no such log.
    fn proved(
        &mut self,
        lv: &LogicalVolume,
        log: &MirrorLog,
        range: &Range<u64>,
        depth: u32,
    ) -> Result<Option<Arc<Log>>, Unreadable> {
        // A log is of one mirror; and of one made with --nosync it only says what it was told.
        if lv.not_synced || *range != (0..lv.size) {
            return Ok(None);
        }
        let Some(name) = log.volume.as_deref() else { return Ok(None) };
        let found = if let Some(known) = self.logs.get(name) {
            known.clone()
        } else {
            let found = self.log(name, depth);
            self.logs.insert(name.to_owned(), found.clone());
            found
        };
        let found = found.map_err(|source| Unreadable::Pieces { lv: lv.name.clone(), source })?;
        Ok(found.filter(|found| found.is_of(lv.size, log.region)))
    }

    fn log(&mut self, name: &str, depth: u32) -> Result<Option<Arc<Log>>, PiecesError> {
        match self.at_depth(name, depth + 1) {
            Ok(volume) if self.usable(&volume) => {
                Ok(Log::read(&self.bytes(&volume), &mut self.budget)?.map(Arc::new))
            }
            _ => Ok(None),
        }
    }

    /// `primary` with what is not there taken from a copy where a log, in regions of `region` bytes, proves
    /// that to be the same, and lost elsewhere, from `lost` on.
    fn patched(
        &self,
        primary: &Pieces,
        copy: Option<(&Pieces, &Log)>,
        region: u64,
        lost: Spot,
    ) -> Result<Pieces, PiecesError> {
        let mut out = Pieces::new();
        for piece in primary.list() {
            let range = piece.start..piece.start.saturating_add(piece.length);
            let mut at = range.start.saturating_add(self.there(primary, piece)?);
            out.push_slice(primary, &(range.start..at))?;
            if let Some((other, log)) = copy.filter(|_| at < range.end) {
                for proved in log.in_sync(region, at..range.end) {
                    push_lost(&mut out, lost, at..proved.start)?;
                    out.push_slice(other, &proved)?;
                    at = proved.end;
                }
            }
            push_lost(&mut out, lost, at..range.end)?;
        }
        Ok(out)
    }

    /// How many bytes of a piece are there, from its first on. Of stripes it is all or nothing.
    fn there(&self, all: &Pieces, piece: &Piece) -> Result<u64, PiecesError> {
        let mut alone = Pieces::new();
        alone.push_slice(all, &(piece.start..piece.start.saturating_add(piece.length)))?;
        Ok(match &piece.place {
            _ if self.usable(&alone) => piece.length,
            Place::Linear(spot) => {
                let device = self.devices.get(spot.device).and_then(Option::as_ref);
                device.map_or(0, |bytes| bytes.len().saturating_sub(spot.offset)).min(piece.length)
            }
            Place::Zero | Place::Striped { .. } => 0,
        })
    }

    /// How many bytes of a leg are there.
    fn all_there(&self, leg: &Pieces) -> u64 {
        leg.list().iter().filter_map(|piece| self.there(leg, piece).ok()).sum()
    }

    /// The leg of a RAID 1 that has most of what is current, and how much of it. One that lvm2 gave up lies
    /// on nothing, which is no fault of the others.
    pub(super) fn raid1(
        &mut self,
        lv: &LogicalVolume,
        legs: &[Leg],
        length: u64,
        depth: u32,
    ) -> Result<Pieces, Unreadable> {
        let records: Vec<Option<Record>> =
            (0..).zip(legs).map(|(place, leg)| self.record(leg, place, depth)).collect();
        let all: Vec<Record> = records.iter().flatten().cloned().collect();
        let (mut found, mut fault) = (Vec::new(), None);
        for (leg, record) in legs.iter().zip(&records) {
            let image = self.at_depth(&leg.image, depth + 1);
            let image = image.map_err(|error| fault = fault.take().or(Some(error))).ok();
            found.push(self.found(lv, leg, image, record.as_ref(), &all)?);
        }
        let states: Vec<LegState> = found.iter().map(|found| found.state).collect();
        self.note_legs(lv, &states);
        let good = |found: &Found| match found.state {
            LegState::Current | LegState::NeverSynced => length,
            LegState::Syncing { good } => good.min(length),
            _ => 0,
        };
        let order = |(n, found): &(usize, &Found)| {
            let is_equal = found.state == LegState::Current;
            (good(found), is_equal, found.events, !found.is_slow, std::cmp::Reverse(*n))
        };
        let best = found.iter().enumerate().filter(|(_, found)| good(found) > 0).max_by_key(order);
        let failed = |source| Unreadable::Pieces { lv: lv.name.clone(), source };
        let mut pieces = Pieces::new();
        let mut end = 0;
        if let Some((_, best)) = best
            && let Some(image) = &best.image
        {
            end = good(best);
            pieces.push_slice(image, &(0..end)).map_err(failed)?;
        } else if let Some(rest) = found
            .iter()
            .filter_map(|found| found.rest.as_ref())
            .filter(|rest| self.all_there(rest) > 0)
            .max_by_key(|rest| self.all_there(rest))
        {
            let lost = self.lost(Lost { lv: lv.name.clone(), legs: states, size: length });
            let spot = Spot { device: lost, offset: 0 };
            return self.patched(rest, None, 0, spot).map_err(failed);
        } else if let Some(fault) = fault {
            return Err(fault);
        }
        if end < length {
            let device = self.lost(Lost { lv: lv.name.clone(), legs: states, size: length });
            let lost = Spot { device, offset: 0 };
            push_lost(&mut pieces, lost, end..length).map_err(failed)?;
        }
        Ok(pieces)
    }

    /// What the superblock of a leg says, where one is there. That of a leg that is none counts for
    /// nothing.
    fn record(&mut self, leg: &Leg, place: u32, depth: u32) -> Option<Record> {
        let image = self.volume_of(&leg.image)?;
        if image.visible || image.rebuilding {
            return None;
        }
        let meta = self.at_depth(leg.meta.as_deref()?, depth + 1).ok()?;
        if !self.usable(&meta) {
            return None;
        }
        Record::read(&self.bytes(&meta), place)
    }

    fn found(
        &self,
        lv: &LogicalVolume,
        leg: &Leg,
        image: Option<Arc<Pieces>>,
        record: Option<&Record>,
        all: &[Record],
    ) -> Result<Found, Unreadable> {
        let volume = self.volume_of(&leg.image);
        let is_slow = volume.is_some_and(|volume| volume.write_mostly);
        let (image, rest) = match image {
            Some(image) if self.usable(&image) => (Some(image), None),
            rest => (None, rest),
        };
        let contradiction = |found: raid::Contradiction| Unreadable::Contradiction {
            lv: lv.name.clone(),
            one: found.0,
            other: found.1,
        };
        let state = match (volume, record) {
            // lvm2 leaves out what it shows: it was split off with --trackchanges.
            (Some(volume), _) if volume.visible => LegState::Split,
            (Some(volume), _) if volume.rebuilding => LegState::Rebuilding,
            (_, Some(record)) => raid::state(record, all).map_err(contradiction)?,
            _ => LegState::Unknown,
        };
        let rest = rest.filter(|_| state == LegState::Current);
        let state = match state {
            _ if image.is_none() => LegState::Missing,
            LegState::Current if lv.not_synced && record.is_some_and(|r| r.place != 0) => {
                LegState::NeverSynced
            }
            state => state,
        };
        let events = record.map_or(0, |record| record.events);
        Ok(Found { image, rest, state, events, is_slow })
    }

    /// Keeps what there is to be said of legs that are not whole and current. That a mirror without a
    /// log on disk has only one leg that is surely so says nothing of this one.
    fn note_legs(&mut self, lv: &LogicalVolume, states: &[LegState]) {
        let of = states.len();
        for (leg, state) in states.iter().enumerate() {
            if !matches!(state, LegState::Current | LegState::Unlogged) {
                self.note(LegNote { lv: lv.name.clone(), leg, of, state: *state });
            }
        }
    }
}

/// Appends bytes of the volume that are lost.
fn push_lost(out: &mut Pieces, lost: Spot, range: Range<u64>) -> Result<(), PiecesError> {
    let length = range.end.saturating_sub(range.start);
    let offset = lost.offset.checked_add(range.start).ok_or(PiecesError::Size)?;
    out.push_linear(Spot { offset, ..lost }, length)
}
