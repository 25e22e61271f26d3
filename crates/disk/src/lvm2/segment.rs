//! Segments of logical volumes, as far as they can be read. Keys are those that the segment types of
//! lvm2 write (`lib/striped/striped.c`, `lib/mirror/mirrored.c`, `lib/raid/raid.c`, `lib/thin/thin.c`,
//! `lib/snapshot/snapshot.c`).

use super::SECTOR;
use super::extents::Extents;
use super::text::{Section, TextFault, Value};

/// What an area of a segment is on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum On {
    /// A physical volume, by its place in [`super::VolumeGroup::physical_volumes`].
    Pv(usize),
    /// Another logical volume of the group.
    Lv(String),
}

/// Where an area of a segment starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AreaRef {
    /// On what.
    pub on: On,
    /// Offset there in bytes.
    pub offset: u64,
}

/// A leg of a RAID 1: its data and what is known of their state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leg {
    /// The logical volume with the data.
    pub image: String,
    /// The logical volume with a superblock, where there is one.
    pub meta: Option<String>,
}

/// What says which areas of a mirror are in sync.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MirrorLog {
    /// The logical volume with a bit for each region; without one, only memory had them.
    pub volume: Option<String>,
    /// Bytes of a region.
    pub region: u64,
    /// Bytes that pvmove has moved to the second area, if it is pvmove's.
    pub moved: Option<u64>,
}

/// How a segment's bytes are stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SegmentKind {
    /// `stripe` bytes of each area in turn; linear with one area.
    Striped {
        /// Bytes of a stripe.
        stripe: u64,
        /// The areas in order, at least one.
        areas: Vec<AreaRef>,
    },
    /// The same bytes in every area, as far as they are in sync.
    Mirror {
        /// The areas, at least one.
        areas: Vec<AreaRef>,
        /// What says how far that is.
        log: MirrorLog,
    },
    /// The same bytes in every leg that is in sync.
    Raid1 {
        /// The legs, at least one.
        legs: Vec<Leg>,
    },
    /// Zeros.
    Zero,
    /// Nothing: reading it fails.
    Error,
    /// A volume out of a thin pool.
    Thin {
        /// The pool.
        pool: String,
        /// Its number in the pool's metadata.
        device: u64,
        /// What the pool has no block for is read from there.
        external_origin: Option<String>,
        /// A snapshot is being merged into it.
        merging: bool,
    },
    /// A thin pool, which has no content of its own.
    ThinPool {
        /// The logical volume with its metadata.
        metadata: String,
        /// The logical volume with its blocks.
        data: String,
        /// Bytes of a block.
        block: u64,
        /// What the metadata must say it is at, if nothing is pending.
        transaction: u64,
        /// Whether the metadata is still to be told of a change.
        pending: bool,
    },
    /// A copy-on-write snapshot of a whole volume.
    Snapshot {
        /// What it is of.
        origin: String,
        /// The volume that holds what was changed since.
        store: String,
        /// Whether it is being merged into its origin.
        merging: bool,
    },
    /// Anything else, by its name.
    Other(String),
}

/// A run of a logical volume's bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    /// First byte.
    pub start: u64,
    /// Length in bytes.
    pub length: u64,
    /// How it is stored.
    pub kind: SegmentKind,
}

impl Segment {
    /// Reads one segment of the logical volume `lv`.
    pub(super) fn parse(lv: &str, text: &Section, extents: &Extents) -> Result<Self, TextFault> {
        let reader = Reader { lv, text, extents };
        let start = extents.bytes(reader.int("start_extent")?).ok_or_else(|| reader.too_long())?;
        let length = extents.bytes(reader.int("extent_count")?).ok_or_else(|| reader.too_long())?;
        if length == 0 || start.checked_add(length).is_none() {
            return Err(reader.too_long());
        }
        let kind = reader.kind(length)?;
        Ok(Self { start, length, kind })
    }
}

struct Reader<'t> {
    lv: &'t str,
    text: &'t Section,
    extents: &'t Extents,
}

impl Reader<'_> {
    fn unfit(&self, reason: &'static str) -> TextFault {
        TextFault::Unfit { section: self.lv.to_owned(), reason }
    }

    fn too_long(&self) -> TextFault {
        self.unfit("a segment has no length, or one that cannot be")
    }

    fn int(&self, key: &'static str) -> Result<u64, TextFault> {
        let none = || TextFault::Key { section: self.lv.to_owned(), key };
        self.text.int(key).ok_or_else(none)
    }

    fn name(&self, key: &'static str) -> Result<String, TextFault> {
        let none = || TextFault::Key { section: self.lv.to_owned(), key };
        self.text.text(key).map(str::to_owned).ok_or_else(none)
    }

    fn list(&self, key: &'static str) -> Result<&[Value], TextFault> {
        let none = || TextFault::Key { section: self.lv.to_owned(), key };
        self.text.list(key).filter(|list| !list.is_empty()).ok_or_else(none)
    }

    fn kind(&self, length: u64) -> Result<SegmentKind, TextFault> {
        Ok(match self.text.text("type").unwrap_or("striped") {
            "striped" | "linear" => {
                let areas = self.areas("stripes")?;
                self.striped(areas, length)?
            }
            "raid0" | "raid0_meta" => {
                let areas = self
                    .legs()?
                    .into_iter()
                    .map(|leg| AreaRef { on: On::Lv(leg.image), offset: 0 });
                self.striped(areas.collect(), length)?
            }
            "mirror" => {
                let areas = self.areas("mirrors")?;
                self.check_areas(&areas, length)?;
                SegmentKind::Mirror { areas, log: self.mirror_log()? }
            }
            "raid1" => SegmentKind::Raid1 { legs: self.legs()? },
            "zero" => SegmentKind::Zero,
            "error" => SegmentKind::Error,
            "thin" => SegmentKind::Thin {
                pool: self.name("thin_pool")?,
                device: self.int("device_id")?,
                external_origin: self.text.text("external_origin").map(str::to_owned),
                merging: self.text.get("merge").is_some(),
            },
            "thin-pool" => SegmentKind::ThinPool {
                metadata: self.name("metadata")?,
                data: self.name("pool")?,
                block: self.sectors("chunk_size")?,
                transaction: self.int("transaction_id")?,
                pending: self.text.sections().next().is_some(),
            },
            "snapshot" => {
                let merging = self.text.get("merging_store").is_some();
                let store = if merging { "merging_store" } else { "cow_store" };
                let (origin, store) = (self.name("origin")?, self.name(store)?);
                SegmentKind::Snapshot { origin, store, merging }
            }
            other => SegmentKind::Other(other.to_owned()),
        })
    }

    fn mirror_log(&self) -> Result<MirrorLog, TextFault> {
        let moved = self
            .text
            .int("extents_moved")
            .map(|extents| self.extents.bytes(extents).ok_or_else(|| self.too_long()));
        Ok(MirrorLog {
            volume: self.text.text("mirror_log").map(str::to_owned),
            region: self.text.int("region_size").unwrap_or(0).saturating_mul(SECTOR),
            moved: moved.transpose()?,
        })
    }

    fn sectors(&self, key: &'static str) -> Result<u64, TextFault> {
        let sectors = self.int(key)?;
        sectors.checked_mul(SECTOR).filter(|b| *b > 0).ok_or_else(|| self.too_long())
    }

    fn striped(&self, areas: Vec<AreaRef>, length: u64) -> Result<SegmentKind, TextFault> {
        let count = self.int("stripe_count")?;
        if count != areas.len() as u64 {
            return Err(self.unfit("stripe_count is not the number of its stripes"));
        }
        let stripe = if count > 1 { self.sectors("stripe_size")? } else { length };
        let each = length / count;
        if !length.is_multiple_of(count) || (count > 1 && !each.is_multiple_of(stripe)) {
            return Err(self.unfit("its extents do not divide into its stripes"));
        }
        self.check_areas(&areas, each)?;
        Ok(SegmentKind::Striped { stripe, areas })
    }

    /// Names and extents in turn.
    fn areas(&self, key: &'static str) -> Result<Vec<AreaRef>, TextFault> {
        let (pairs, rest) = self.list(key)?.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.unfit("its areas are not names and extents in turn"));
        }
        pairs.iter().map(|pair| self.area(pair)).collect()
    }

    fn area(&self, pair: &[Value; 2]) -> Result<AreaRef, TextFault> {
        let [Value::Text(name), Value::Int(extent)] = pair else {
            return Err(self.unfit("its areas are not names and extents in turn"));
        };
        let extent = u64::try_from(*extent).map_err(|_| self.too_long())?;
        if let Some((number, start)) = self.extents.pv(name, extent) {
            let offset = start.ok_or_else(|| self.too_long())?;
            return Ok(AreaRef { on: On::Pv(number), offset });
        }
        let offset = self.extents.bytes(extent).ok_or_else(|| self.too_long())?;
        Ok(AreaRef { on: On::Lv(name.clone()), offset })
    }

    /// Areas on physical volumes must be within their extents.
    fn check_areas(&self, areas: &[AreaRef], each: u64) -> Result<(), TextFault> {
        for area in areas {
            let end = area.offset.checked_add(each).ok_or_else(|| self.too_long())?;
            if let On::Pv(number) = area.on
                && self.extents.end(number).is_none_or(|last| end > last)
            {
                return Err(self.unfit("a segment reaches beyond its physical volume's extents"));
            }
        }
        Ok(())
    }

    /// Images, each with its metadata before it, or `-` where there is none.
    fn legs(&self) -> Result<Vec<Leg>, TextFault> {
        let list = match self.text.get("raid0_lvs") {
            Some(_) => self.list("raid0_lvs")?,
            None => self.list("raids")?,
        };
        let mut legs = Vec::new();
        let mut meta = None;
        for value in list {
            let Value::Text(name) = value else {
                return Err(self.unfit("its legs are not names"));
            };
            if name.contains("_rmeta_") {
                meta = Some(name.clone());
            } else if name != "-" {
                legs.push(Leg { image: name.clone(), meta: meta.take() });
            }
        }
        if legs.is_empty() { Err(self.unfit("it has no legs")) } else { Ok(legs) }
    }
}
