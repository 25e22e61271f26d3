//! Where the bytes of a logical volume are on its group's physical volumes.

mod legs;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use snapfmt::ReadAt;

use crate::lvm2::group::{Group, PvState};
use crate::lvm2::leg_state::{LegNote, Lost};
use crate::lvm2::mirror_log::Log;
use crate::lvm2::segment::{AreaRef, On, Segment, SegmentKind};
use crate::lvm2::thin::{self, ThinDoubt, ThinError};
use crate::lvm2::vg::LogicalVolume;
use crate::pieces::{Budget, MAX_PIECES, PieceBytes, Pieces, PiecesError, Spot};

/// Deepest nesting of logical volumes; lvm2 makes four levels.
const MAX_DEPTH: u32 = 8;
/// Most pieces and segments that all logical volumes of a group have together, those out of thin pools
/// aside; parts of volumes that others are made of count, too.
const MOST_MADE: usize = 1 << 20;
/// The same of volumes out of thin pools, whose pieces the pools' metadata name one by one. One alone may
/// have as many as any volume.
const MOST_THIN: usize = MAX_PIECES / 2;

/// Why a logical volume cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unreadable {
    /// There is none of that name.
    #[error("there is no logical volume {0:?}")]
    None(String),
    /// It is of a kind that is not read.
    #[error("{lv:?} is of the type {kind:?}, which is not supported")]
    Kind {
        /// Which logical volume.
        lv: String,
        /// Its type, as lvm2 calls it.
        kind: String,
    },
    /// It is a classic snapshot.
    #[error(
        "{lv:?} is a copy-on-write snapshot of {origin:?}, which is not supported; {origin:?} itself is"
    )]
    Snapshot {
        /// Which logical volume.
        lv: String,
        /// What it is a snapshot of.
        origin: String,
    },
    /// A snapshot was being merged into it.
    #[error("{lv:?} is having a snapshot merged into it")]
    Merging {
        /// Which logical volume.
        lv: String,
    },
    /// It has no content.
    #[error("{lv:?} is a thin pool: only the volumes in it have content")]
    Pool {
        /// Which logical volume.
        lv: String,
    },
    /// It is a mirror without the leg that counts.
    #[error("{lv:?} is a mirror that has no leg")]
    NoLeg {
        /// Which logical volume.
        lv: String,
    },
    /// Two of its legs each went on without the other.
    #[error("legs {one} and {other} of {lv:?} each say that the other failed")]
    Contradiction {
        /// Which logical volume.
        lv: String,
        /// The one.
        one: u32,
        /// The other.
        other: u32,
    },
    /// Logical volumes are on each other in a circle, or too deep.
    #[error("{lv:?} is nested too deep")]
    Nested {
        /// Which logical volume.
        lv: String,
    },
    /// Its pieces do not fit together.
    #[error("{lv:?}: {source}")]
    Pieces {
        /// Which logical volume.
        lv: String,
        /// What does not fit.
        #[source]
        source: PiecesError,
    },
    /// The metadata of its thin pool cannot be believed.
    #[error("{lv:?}: {source}")]
    Thin {
        /// Which logical volume.
        lv: String,
        /// What is wrong.
        #[source]
        source: Arc<ThinError>,
    },
}

/// What logical volumes lie on beside the group's physical volumes.
#[derive(Clone, Debug)]
pub enum Part {
    /// A part of a logical volume that others were not taken apart for. It lies on physical volumes and
    /// on parts before it.
    Kept(Arc<Pieces>),
    /// Bytes that are not there.
    Lost(Lost),
}

/// Maps the logical volumes of one group.
pub struct Mapper<'g> {
    group: &'g Group,
    /// The origin of each snapshot, by the volume that holds its changes.
    snapshots: BTreeMap<&'g str, &'g str>,
    /// Volumes that snapshots are being merged into.
    merging: BTreeSet<&'g str>,
    /// The bytes of the physical volumes, and of what was kept, for what must be read to know where a
    /// volume is.
    devices: Vec<Option<Arc<dyn ReadAt>>>,
    parts: Vec<Part>,
    /// What there is to be said of legs.
    notes: Vec<LegNote>,
    /// What speaks against thin pools, by their names.
    doubts: BTreeMap<String, Vec<ThinDoubt>>,
    /// What was found of each volume, failures too: many others may be on it.
    done: BTreeMap<String, Result<Arc<Pieces>, Unreadable>>,
    /// What was found of each log of a mirror.
    logs: BTreeMap<String, Result<Option<Arc<Log>>, PiecesError>>,
    made: usize,
    thin: usize,
    budget: Budget,
}

impl<'g> Mapper<'g> {
    /// For `group`; `open` gives the bytes of a device.
    pub fn new(group: &'g Group, open: impl Fn(usize) -> Arc<dyn ReadAt>) -> Self {
        Self::within(group, Budget::default(), open)
    }

    /// The same with what is left of a budget.
    pub fn within(
        group: &'g Group,
        budget: Budget,
        open: impl Fn(usize) -> Arc<dyn ReadAt>,
    ) -> Self {
        // One that the group was doing without missed what was written to the other legs.
        let entries = group.vg.physical_volumes.iter().zip(&group.members);
        let usable = entries.map(|(pv, member)| match member.state {
            PvState::Usable | PvState::Short { .. } if !pv.missing => member.device.map(&open),
            _ => None,
        });
        let mut mapper = Self {
            group,
            snapshots: BTreeMap::new(),
            merging: BTreeSet::new(),
            devices: usable.collect(),
            parts: Vec::new(),
            notes: Vec::new(),
            doubts: BTreeMap::new(),
            done: BTreeMap::new(),
            logs: BTreeMap::new(),
            made: 0,
            thin: 0,
            budget,
        };
        for segment in group.vg.logical_volumes.values().flat_map(|lv| &lv.segments) {
            if let SegmentKind::Snapshot { origin, store, merging } = &segment.kind {
                mapper.snapshots.insert(store, origin);
                if *merging {
                    mapper.merging.insert(origin);
                }
            }
        }
        mapper
    }

    /// Where the bytes of the logical volume `name` are: on physical volumes by their place in the
    /// group's list, and on [other parts](Self::parts) by numbers after these. Whether these can be
    /// used is not looked at unless there is a choice.
    pub fn map(&mut self, name: &str) -> Result<Arc<Pieces>, Unreadable> {
        let lv = name.to_owned();
        if let Some(origin) = self.snapshots.get(name) {
            return Err(Unreadable::Snapshot { lv, origin: (*origin).to_owned() });
        }
        if self.merging.contains(name) {
            return Err(Unreadable::Merging { lv });
        }
        self.at_depth(name, 0)
    }

    /// What mapped volumes lie on beside physical volumes.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// What is left of the budget.
    pub const fn budget(&self) -> Budget {
        self.budget
    }

    /// What there is to be said of the legs of mapped volumes that `name` lies on.
    pub fn notes_on(&self, name: &str) -> Vec<LegNote> {
        let parts = self.group.vg.parts_of(name);
        self.notes.iter().filter(|note| parts.contains(note.lv.as_str())).cloned().collect()
    }

    /// What speaks against thin pools that the mapped volume `name` lies on.
    pub fn doubts_on(&self, name: &str) -> Vec<(String, ThinDoubt)> {
        let parts = self.group.vg.parts_of(name);
        let own = self.doubts.iter().filter(|(pool, _)| parts.contains(pool.as_str()));
        own.flat_map(|(pool, doubts)| doubts.iter().map(|doubt| (pool.clone(), *doubt))).collect()
    }

    pub(super) fn note(&mut self, note: LegNote) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    pub(super) fn volume_of(&self, name: &str) -> Option<&'g LogicalVolume> {
        self.group.vg.logical_volumes.get(name)
    }

    /// Makes bytes that are not there a device that volumes can be on.
    pub(super) fn lost(&mut self, lost: Lost) -> usize {
        self.devices.push(None);
        self.parts.push(Part::Lost(lost));
        self.devices.len() - 1
    }

    pub(super) fn at_depth(&mut self, name: &str, depth: u32) -> Result<Arc<Pieces>, Unreadable> {
        if let Some(done) = self.done.get(name) {
            return done.clone();
        }
        let found = self.volume(name, depth);
        self.done.insert(name.to_owned(), found.clone());
        found
    }

    fn volume(&mut self, name: &str, depth: u32) -> Result<Arc<Pieces>, Unreadable> {
        let group = self.group;
        let Some(lv) = group.vg.logical_volumes.get(name) else {
            return Err(Unreadable::None(name.to_owned()));
        };
        if depth > MAX_DEPTH {
            return Err(Unreadable::Nested { lv: name.to_owned() });
        }
        let mut pieces = Pieces::new();
        for segment in &lv.segments {
            let failed = |source| Unreadable::Pieces { lv: name.to_owned(), source };
            // Nothing more is made once too much was.
            self.spend(0).map_err(failed)?;
            let before = pieces.list().len();
            self.segment(lv, segment, depth, &mut pieces)?;
            let made = 1 + pieces.list().len() - before;
            match segment.kind {
                SegmentKind::Thin { .. } => self.spend_thin(made).map_err(failed)?,
                _ => self.spend(made).map_err(failed)?,
            }
        }
        Ok(Arc::new(pieces))
    }

    fn spend(&mut self, made: usize) -> Result<(), PiecesError> {
        self.made = self.made.saturating_add(made);
        if self.made > MOST_MADE { Err(PiecesError::TooMany { max: MOST_MADE }) } else { Ok(()) }
    }

    fn spend_thin(&mut self, made: usize) -> Result<(), PiecesError> {
        let before = self.thin;
        self.thin = before.saturating_add(made);
        if before > 0 && self.thin > MOST_THIN {
            return Err(PiecesError::TooMany { max: MOST_THIN });
        }
        Ok(())
    }

    fn segment(
        &mut self,
        lv: &LogicalVolume,
        segment: &Segment,
        depth: u32,
        out: &mut Pieces,
    ) -> Result<(), Unreadable> {
        let name = || lv.name.clone();
        let failed = |source| Unreadable::Pieces { lv: lv.name.clone(), source };
        match &segment.kind {
            SegmentKind::Striped { stripe, areas } => {
                self.striped(*stripe, areas, segment.length, depth, out).map_err(|e| e.of(lv))
            }
            SegmentKind::Mirror { areas, log } => {
                let range = segment.start..segment.start.saturating_add(segment.length);
                let area = self.mirror(lv, areas, log, &range, depth)?;
                out.push_slice(&area, &(0..area.size())).map_err(failed)
            }
            SegmentKind::Raid1 { legs } => {
                let image = self.raid1(lv, legs, segment.length, depth)?;
                out.push_slice(&image, &(0..image.size())).map_err(failed)
            }
            SegmentKind::Zero => out.push_zeros(segment.length).map_err(failed),
            SegmentKind::Thin { pool, device, external_origin, merging } => {
                if *merging {
                    return Err(Unreadable::Merging { lv: name() });
                }
                let origin = match external_origin {
                    Some(origin) => Some(self.at_depth(origin, depth + 1)?),
                    None => None,
                };
                let thin = self.thin(lv, pool, *device, depth)?;
                thin.push_onto(out, segment.length, origin.as_deref()).map_err(failed)
            }
            SegmentKind::ThinPool { .. } => Err(Unreadable::Pool { lv: name() }),
            SegmentKind::Snapshot { .. } => {
                Err(Unreadable::Kind { lv: name(), kind: "snapshot".into() })
            }
            SegmentKind::Error => Err(Unreadable::Kind { lv: name(), kind: "error".into() }),
            SegmentKind::Other(kind) => Err(Unreadable::Kind { lv: name(), kind: kind.clone() }),
        }
    }

    /// Stripes on physical volumes, on logical ones, or on both.
    fn striped(
        &mut self,
        stripe: u64,
        areas: &[AreaRef],
        length: u64,
        depth: u32,
        out: &mut Pieces,
    ) -> Result<(), Nested> {
        // The areas, each a device of its own that starts at its first byte.
        let each = length / areas.len().max(1) as u64;
        let mut below = Vec::new();
        for area in areas {
            below.push(Arc::new(self.area(area, each, depth)?));
        }
        let spots: Vec<Spot> = (0..areas.len()).map(|device| Spot { device, offset: 0 }).collect();
        let mut top = Pieces::new();
        top.push_striped(stripe, &spots, length)?;
        let mut budget = self.budget;
        let flat = budget.over_or_keep(&top, &below, |pieces| Ok(self.keep(pieces)));
        self.budget = budget;
        let flat = flat?;
        Ok(out.push_slice(&flat, &(0..flat.size()))?)
    }

    /// Makes a part of a logical volume a device that others can be on.
    fn keep(&mut self, pieces: &Arc<Pieces>) -> usize {
        let bytes = self.usable(pieces).then(|| Arc::new(self.bytes(pieces)) as Arc<dyn ReadAt>);
        self.devices.push(bytes);
        self.parts.push(Part::Kept(Arc::clone(pieces)));
        self.devices.len() - 1
    }

    /// The `length` bytes from where an area starts.
    pub(super) fn area(
        &mut self,
        area: &AreaRef,
        length: u64,
        depth: u32,
    ) -> Result<Pieces, Nested> {
        let mut pieces = Pieces::new();
        match &area.on {
            On::Pv(device) => {
                pieces.push_linear(Spot { device: *device, offset: area.offset }, length)?;
            }
            On::Lv(name) => {
                let below = self.at_depth(name, depth + 1)?;
                let end = area.offset.saturating_add(length);
                pieces.push_slice(&below, &(area.offset..end))?;
            }
        }
        self.spend(pieces.list().len())?;
        Ok(pieces)
    }

    /// What a thin pool's metadata says of one device.
    fn thin(
        &mut self,
        lv: &LogicalVolume,
        pool: &str,
        device: u64,
        depth: u32,
    ) -> Result<thin::ThinVolume, Unreadable> {
        let segments = self.group.vg.logical_volumes.get(pool).map(|pool| pool.segments.as_slice());
        let Some([Segment { kind, .. }]) = segments else {
            return Err(Unreadable::None(pool.to_owned()));
        };
        let SegmentKind::ThinPool { metadata, data, block, transaction, pending } = kind else {
            return Err(Unreadable::None(pool.to_owned()));
        };
        let metadata = self.at_depth(metadata, depth + 1)?;
        let data = self.at_depth(data, depth + 1)?;
        let bytes = self.bytes(&metadata);
        let expected =
            thin::Expected { block: *block, transaction: (!pending).then_some(*transaction) };
        let thin = thin::ThinVolume::read(&bytes, &expected, device, data)
            .map_err(|source| Unreadable::Thin { lv: lv.name.clone(), source: Arc::new(source) })?;
        self.doubts.insert(pool.to_owned(), thin.doubts.clone());
        Ok(thin)
    }

    /// Whether all that pieces are on is there; of a device that is cut off that is what is before the cut.
    pub(super) fn usable(&self, pieces: &Pieces) -> bool {
        let size =
            |device: &Option<Arc<dyn ReadAt>>| device.as_ref().map_or(0, |bytes| bytes.len());
        pieces.check(&self.devices.iter().map(size).collect::<Vec<u64>>()).is_ok()
    }

    pub(super) fn bytes(&self, pieces: &Arc<Pieces>) -> PieceBytes {
        PieceBytes::new(Arc::clone(pieces), self.devices.clone())
    }
}

/// An error within a logical volume, whose name is not known yet.
pub(super) enum Nested {
    Below(Unreadable),
    Pieces(PiecesError),
}

impl Nested {
    pub(super) fn of(self, lv: &LogicalVolume) -> Unreadable {
        match self {
            Self::Below(error) => error,
            Self::Pieces(source) => Unreadable::Pieces { lv: lv.name.clone(), source },
        }
    }
}

impl From<Unreadable> for Nested {
    fn from(error: Unreadable) -> Self {
        Self::Below(error)
    }
}

impl From<PiecesError> for Nested {
    fn from(error: PiecesError) -> Self {
        Self::Pieces(error)
    }
}
