//! A volume group, as its metadata text describes it.

use std::collections::{BTreeMap, BTreeSet};

use super::extents::{Extents, MAX_BYTES};
use super::segment::{On, Segment, SegmentKind};
use super::text::{Section, TextFault};
use super::{LvmId, SECTOR};

/// A volume group at one moment.
#[derive(Clone, PartialEq, Debug)]
pub struct VolumeGroup {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: LvmId,
    /// Counts up with every change.
    pub seqno: u64,
    /// Bytes of an extent.
    pub extent: u64,
    /// Its physical volumes.
    pub physical_volumes: Vec<PvEntry>,
    /// Its logical volumes by name, hidden ones too.
    pub logical_volumes: BTreeMap<String, LogicalVolume>,
}

/// A physical volume, as the group knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PvEntry {
    /// What segments call it.
    pub name: String,
    /// Its id, which its label has too.
    pub id: LvmId,
    /// The device it was on, a hint only.
    pub device: Option<String>,
    /// Size of that device in bytes, where the text says.
    pub size: Option<u64>,
    /// Where its first extent starts, in bytes.
    pub start: u64,
    /// Where its last extent ends, in bytes.
    pub end: u64,
    /// Whether the group was doing without it.
    pub missing: bool,
}

/// A logical volume.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own in the metadata")]
pub struct LogicalVolume {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: LvmId,
    /// Whether it is shown to users; otherwise it is a part of another one.
    pub visible: bool,
    /// Whether it waits for being rebuilt from others.
    pub rebuilding: bool,
    /// Whether it is to be read only where no other copy is there.
    pub write_mostly: bool,
    /// Whether its copies were never made equal.
    pub not_synced: bool,
    /// Size in bytes.
    pub size: u64,
    /// Its segments, which follow each other.
    pub segments: Vec<Segment>,
}

impl LogicalVolume {
    /// What users know it as: a snapshot by the name of the volume that holds its changes.
    pub fn shown_name(&self) -> &str {
        match self.segments.as_slice() {
            [Segment { kind: SegmentKind::Snapshot { store, .. }, .. }] => store,
            _ => &self.name,
        }
    }

    /// Whether it is a thin pool, which has no content of its own.
    pub fn is_pool(&self) -> bool {
        self.segments.iter().any(|s| matches!(s.kind, SegmentKind::ThinPool { .. }))
    }
}

impl VolumeGroup {
    /// Reads a parsed text.
    pub fn of(root: &Section) -> Result<Self, TextFault> {
        let key = |key| TextFault::Key { section: String::new(), key };
        if root.text("contents") != Some("Text Format Volume Group") {
            return Err(key("contents"));
        }
        if root.int("version") != Some(1) {
            return Err(key("version"));
        }
        let mut sections = root.sections();
        let (Some((name, text)), None) = (sections.next(), sections.next()) else {
            let reason = "a text is of one volume group";
            return Err(TextFault::Unfit { section: String::new(), reason });
        };
        let key = |key| TextFault::Key { section: name.to_owned(), key };
        let unfit = |reason| TextFault::Unfit { section: name.to_owned(), reason };
        if text.get("format").is_some() && text.text("format") != Some("lvm2") {
            return Err(key("format"));
        }
        let extent = text.int("extent_size").ok_or_else(|| key("extent_size"))?;
        let extent = extent.checked_mul(SECTOR).filter(|b| (1..=MAX_BYTES).contains(b));
        let extent = extent.ok_or_else(|| unfit("its extents have an impossible size"))?;
        let physical_volumes = match text.section("physical_volumes") {
            Some(list) => physical_volumes(list, extent)?,
            None => return Err(key("physical_volumes")),
        };
        let extents = Extents {
            size: extent,
            pvs: (0..).zip(&physical_volumes).map(|(n, pv)| (pv.name.clone(), n)).collect(),
            ranges: physical_volumes.iter().map(|pv| (pv.start, pv.end)).collect(),
        };
        let group = Self {
            name: name.to_owned(),
            id: id(name, text)?,
            seqno: text.int("seqno").ok_or_else(|| key("seqno"))?,
            extent,
            physical_volumes,
            logical_volumes: match text.section("logical_volumes") {
                Some(list) => logical_volumes(list, &extents)?,
                None => BTreeMap::new(),
            },
        };
        group.check_names()?;
        Ok(group)
    }

    /// Everything that a segment is on is there.
    fn check_names(&self) -> Result<(), TextFault> {
        for lv in self.logical_volumes.values() {
            for name in lv.segments.iter().flat_map(|segment| below(&segment.kind)) {
                if !self.logical_volumes.contains_key(name) {
                    let (section, name) = (lv.name.clone(), name.to_owned());
                    return Err(TextFault::NoSuch { section, name });
                }
            }
        }
        Ok(())
    }

    /// A logical volume and all that it is on.
    pub fn parts_of<'g>(&'g self, name: &'g str) -> BTreeSet<&'g str> {
        let mut all = BTreeSet::new();
        let mut open = vec![name];
        while let Some(name) = open.pop() {
            let Some(lv) = self.logical_volumes.get(name) else { continue };
            if all.insert(name) {
                open.extend(lv.segments.iter().flat_map(|segment| below(&segment.kind)));
            }
        }
        all
    }

    /// The physical volumes that a logical volume and all that it is on lie on.
    pub fn pvs_of(&self, name: &str) -> BTreeSet<usize> {
        let parts = self.parts_of(name);
        let volumes = parts.iter().filter_map(|name| self.logical_volumes.get(*name));
        let areas = volumes.flat_map(|lv| &lv.segments).flat_map(|segment| match &segment.kind {
            SegmentKind::Striped { areas, .. } | SegmentKind::Mirror { areas, .. } => {
                areas.as_slice()
            }
            _ => &[],
        });
        let on = areas.filter_map(|area| match area.on {
            On::Pv(number) => Some(number),
            On::Lv(_) => None,
        });
        on.collect()
    }

    /// The physical volume with this id, by its place in the list.
    pub fn pv(&self, id: LvmId) -> Option<usize> {
        self.physical_volumes.iter().position(|pv| pv.id == id)
    }
}

/// The logical volumes that a segment names.
fn below<'k>(kind: &'k SegmentKind) -> Vec<&'k str> {
    match kind {
        SegmentKind::Striped { areas, .. } | SegmentKind::Mirror { areas, .. } => {
            let name = |area: &'k super::segment::AreaRef| match &area.on {
                On::Pv(_) => None,
                On::Lv(name) => Some(name.as_str()),
            };
            areas.iter().filter_map(name).collect()
        }
        SegmentKind::Raid1 { legs } => {
            let metas = legs.iter().filter_map(|leg| leg.meta.as_deref());
            legs.iter().map(|leg| leg.image.as_str()).chain(metas).collect()
        }
        SegmentKind::Thin { pool, external_origin, .. } => {
            std::iter::once(pool.as_str()).chain(external_origin.as_deref()).collect()
        }
        SegmentKind::ThinPool { metadata, data, .. } => vec![metadata, data],
        SegmentKind::Snapshot { origin, store, .. } => vec![origin, store],
        SegmentKind::Zero | SegmentKind::Error | SegmentKind::Other(_) => Vec::new(),
    }
}

fn id(name: &str, text: &Section) -> Result<LvmId, TextFault> {
    let none = || TextFault::Key { section: name.to_owned(), key: "id" };
    text.text("id").and_then(|id| id.parse().ok()).ok_or_else(none)
}

fn physical_volumes(list: &Section, extent: u64) -> Result<Vec<PvEntry>, TextFault> {
    let mut entries = Vec::new();
    let mut ids = BTreeSet::new();
    for (name, text) in list.sections() {
        let key = |key| TextFault::Key { section: name.to_owned(), key };
        let unfit = |reason| TextFault::Unfit { section: name.to_owned(), reason };
        let start = text.int("pe_start").ok_or_else(|| key("pe_start"))?;
        let count = text.int("pe_count").ok_or_else(|| key("pe_count"))?;
        let start = start.checked_mul(SECTOR);
        let end = count.checked_mul(extent).zip(start).and_then(|(bytes, s)| s.checked_add(bytes));
        let (Some(start), Some(end)) = (start, end.filter(|end| *end <= MAX_BYTES)) else {
            return Err(unfit("its extents end where nothing can"));
        };
        let entry = PvEntry {
            name: name.to_owned(),
            id: id(name, text)?,
            device: text.text("device").map(str::to_owned),
            size: text.int("dev_size").and_then(|sectors| sectors.checked_mul(SECTOR)),
            start,
            end,
            // Older versions of lvm2 write it to the one, newer ones to the other (`flags.c`).
            missing: ["status", "flags"].iter().any(|key| text.has_flag(key, "MISSING")),
        };
        if !ids.insert(entry.id) {
            return Err(unfit("its id is another's too"));
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn logical_volumes(
    list: &Section,
    extents: &Extents,
) -> Result<BTreeMap<String, LogicalVolume>, TextFault> {
    list.sections()
        .map(|(name, text)| Ok((name.to_owned(), logical_volume(name, text, extents)?)))
        .collect()
}

fn logical_volume(
    name: &str,
    text: &Section,
    extents: &Extents,
) -> Result<LogicalVolume, TextFault> {
    let unfit = |reason| TextFault::Unfit { section: name.to_owned(), reason };
    let mut segments: Vec<Segment> = text
        .sections()
        .filter(|(key, _)| key.starts_with("segment"))
        .map(|(_, segment)| Segment::parse(name, segment, extents))
        .collect::<Result<_, _>>()?;
    if text.int("segment_count") != Some(segments.len() as u64) {
        return Err(unfit("segment_count is not the number of its segments"));
    }
    segments.sort_by_key(|segment| segment.start);
    let mut size = 0;
    for segment in &segments {
        if segment.start != size {
            return Err(unfit("its segments do not follow each other"));
        }
        size = segment.start.saturating_add(segment.length);
    }
    // Which of the two lists has a flag depends on the version of lvm2.
    let has = |flag| ["status", "flags"].iter().any(|key| text.has_flag(key, flag));
    Ok(LogicalVolume {
        name: name.to_owned(),
        id: id(name, text)?,
        visible: text.has_flag("status", "VISIBLE"),
        rebuilding: has("REBUILD"),
        write_mostly: has("WRITEMOSTLY"),
        not_synced: has("NOTSYNCED"),
        size,
        segments,
    })
}
