//! Physical volumes put together to volume groups: whose metadata counts, and which volume can be
//! believed to be of the same moment.

use std::collections::BTreeMap;

use restore::snapfmt::ReadAt;

use super::area::{MetadataArea, read_area};
use super::{Area, LvmError, LvmId, PvLabel, VolumeGroup};

/// A device that has a label.
#[derive(Debug)]
pub struct FoundPv {
    /// The device, as the caller numbers them.
    pub device: usize,
    /// Its size in bytes.
    pub size: u64,
    /// Its label.
    pub label: PvLabel,
    /// What its metadata areas hold.
    pub areas: Vec<(Area, Result<Option<MetadataArea>, LvmError>)>,
}

impl FoundPv {
    /// Reads label and metadata of a device; `None` if it has no label.
    pub fn read(device: usize, bytes: &dyn ReadAt) -> Result<Option<Self>, LvmError> {
        let Some(label) = PvLabel::read(bytes)? else { return Ok(None) };
        let areas = label.metadata.iter().map(|area| (*area, read_area(bytes, *area))).collect();
        Ok(Some(Self { device, size: bytes.len(), label, areas }))
    }

    /// Its sound copies of metadata.
    fn copies(&self) -> impl Iterator<Item = &MetadataArea> {
        self.areas.iter().filter_map(|(_, copy)| copy.as_ref().ok()?.as_ref())
    }

    /// The newest of them.
    fn newest(&self) -> Option<&MetadataArea> {
        self.copies().max_by_key(|copy| copy.group.seqno)
    }
}

/// What is known of a physical volume that a group lists.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PvState {
    /// It is there, and nothing speaks against it.
    Usable,
    /// It is not among the devices.
    Missing,
    /// Several devices say they are it.
    Doubled {
        /// All of them.
        devices: Vec<usize>,
    },
    /// Its own metadata is of an earlier moment than the group's.
    Older {
        /// What its own metadata is at.
        seqno: u64,
    },
    /// Its own metadata is of another group.
    Elsewhere {
        /// That group's name.
        group: String,
    },
    /// The device ends before its extents do.
    Short {
        /// Size of the device in bytes.
        size: u64,
        /// Where its extents end.
        needed: u64,
    },
}

/// A physical volume that a group lists.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// The device that is it; `None` unless there is exactly one.
    pub device: Option<usize>,
    /// What is known of it.
    pub state: PvState,
}

/// A copy of metadata that does not count.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OldCopy {
    /// The device it is on.
    pub device: usize,
    /// Where its area is, in bytes.
    pub offset: u64,
    /// What it is at.
    pub seqno: u64,
}

/// A volume group with the devices found for it.
#[derive(Debug)]
pub struct Group {
    /// Its newest metadata.
    pub vg: VolumeGroup,
    /// Where each physical volume in it is.
    pub members: Vec<Member>,
    /// Copies of older metadata.
    pub older: Vec<OldCopy>,
    /// Devices with metadata as new as any, which says something else.
    pub contradicting: Vec<usize>,
    /// Devices whose own metadata is of this group, which does not list them any more.
    pub unlisted: Vec<usize>,
}

/// The groups that devices make, and the devices that are in none.
pub fn groups(found: &[FoundPv]) -> (Vec<Group>, Vec<usize>) {
    let mut newest: BTreeMap<LvmId, &MetadataArea> = BTreeMap::new();
    for copy in found.iter().flat_map(FoundPv::copies) {
        let entry = newest.entry(copy.group.id).or_insert(copy);
        if copy.group.seqno > entry.group.seqno {
            *entry = copy;
        }
    }
    let groups: Vec<Group> = newest.values().map(|copy| Group::new(copy, found)).collect();
    let has = |group: &Group, pv: &FoundPv| {
        group.vg.pv(pv.label.id).is_some() || group.unlisted.contains(&pv.device)
    };
    let alone = found.iter().filter(|pv| !groups.iter().any(|group| has(group, pv)));
    let alone = alone.map(|pv| pv.device).collect();
    (groups, alone)
}

impl Group {
    fn new(copy: &MetadataArea, found: &[FoundPv]) -> Self {
        let vg = copy.group.clone();
        let members = vg.physical_volumes.iter().map(|pv| {
            let these: Vec<&FoundPv> = found.iter().filter(|f| f.label.id == pv.id).collect();
            match these.as_slice() {
                [] => Member { device: None, state: PvState::Missing },
                [one] => Member { device: Some(one.device), state: state(&vg, pv.end, one) },
                all => {
                    let devices = all.iter().map(|f| f.device).collect();
                    Member { device: None, state: PvState::Doubled { devices } }
                }
            }
        });
        let members = members.collect();
        let own = || {
            let copies = found.iter().flat_map(|f| f.copies().map(move |c| (f.device, c)));
            copies.filter(|(_, c)| c.group.id == vg.id)
        };
        let older = own().filter(|(_, c)| c.group.seqno < vg.seqno).map(|(device, c)| OldCopy {
            device,
            offset: c.offset,
            seqno: c.group.seqno,
        });
        let older = older.collect();
        let mut contradicting: Vec<usize> = own()
            .filter(|(_, c)| c.group.seqno == vg.seqno && c.text != copy.text)
            .map(|(device, _)| device)
            .collect();
        contradicting.dedup();
        let mut unlisted: Vec<usize> = found
            .iter()
            .filter(|f| f.newest().is_some_and(|c| c.group.id == vg.id))
            .filter(|f| vg.pv(f.label.id).is_none())
            .map(|f| f.device)
            .collect();
        unlisted.dedup();
        Self { vg, members, older, contradicting, unlisted }
    }
}

/// What speaks against the only device with a physical volume's id. One without a sound copy of
/// metadata cannot be told to be older.
fn state(vg: &VolumeGroup, end: u64, found: &FoundPv) -> PvState {
    if let Some(own) = found.newest() {
        if own.group.id != vg.id {
            return PvState::Elsewhere { group: own.group.name.clone() };
        }
        if own.group.seqno < vg.seqno {
            return PvState::Older { seqno: own.group.seqno };
        }
    }
    if found.size < end {
        return PvState::Short { size: found.size, needed: end };
    }
    PvState::Usable
}
