//! Physical volumes put together to volume groups: whose metadata counts, and which volume can be
//! believed to be of the same moment.

use std::collections::{BTreeMap, BTreeSet};

use snapfmt::ReadAt;

use super::area::{MetadataArea, read_area};
use super::{LvmError, LvmId, PvLabel, VolumeGroup};

/// A device that has a label.
#[derive(Debug)]
pub struct FoundPv {
    /// The device, as the caller numbers them.
    pub device: usize,
    /// Its size in bytes.
    pub size: u64,
    /// Its label.
    pub label: PvLabel,
    /// The sound copies of metadata in its areas.
    pub copies: Vec<MetadataArea>,
    /// What is wrong with the other areas.
    pub faults: Vec<LvmError>,
}

impl FoundPv {
    /// Reads label and metadata of a device; `None` if it has no label.
    pub fn read(device: usize, bytes: &dyn ReadAt) -> Result<Option<Self>, LvmError> {
        let Some(label) = PvLabel::read(bytes)? else { return Ok(None) };
        let (mut copies, mut faults) = (Vec::new(), Vec::new());
        for area in &label.metadata {
            match read_area(bytes, *area) {
                Ok(copy) => copies.extend(copy),
                Err(fault) => faults.push(fault),
            }
        }
        Ok(Some(Self { device, size: bytes.len(), label, copies, faults }))
    }

    /// The newest of its copies of metadata.
    fn newest(&self) -> Option<&MetadataArea> {
        self.copies.iter().max_by_key(|copy| copy.group.seqno)
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

/// The groups that devices make.
pub fn groups(found: &[FoundPv]) -> Vec<Group> {
    let mut by_id: BTreeMap<LvmId, Vec<&FoundPv>> = BTreeMap::new();
    let mut copies: BTreeMap<LvmId, Vec<(&FoundPv, &MetadataArea)>> = BTreeMap::new();
    for pv in found {
        by_id.entry(pv.label.id).or_default().push(pv);
        for copy in &pv.copies {
            copies.entry(copy.group.id).or_default().push((pv, copy));
        }
    }
    copies.values().filter_map(|copies| Group::new(copies, &by_id)).collect()
}

impl Group {
    /// By all copies of its metadata, the first of the newest of which counts.
    fn new(
        copies: &[(&FoundPv, &MetadataArea)],
        by_id: &BTreeMap<LvmId, Vec<&FoundPv>>,
    ) -> Option<Self> {
        let (_, newest) = copies.iter().rev().max_by_key(|(_, copy)| copy.group.seqno)?;
        let vg = newest.group.clone();
        let members = vg.physical_volumes.iter().map(|pv| match by_id.get(&pv.id) {
            None => Member { device: None, state: PvState::Missing },
            Some(these) => match these.as_slice() {
                [one] => Member { device: Some(one.device), state: state(&vg, pv.end, one) },
                all => {
                    let devices = all.iter().map(|f| f.device).collect();
                    Member { device: None, state: PvState::Doubled { devices } }
                }
            },
        });
        let members = members.collect();
        let listed: BTreeSet<LvmId> = vg.physical_volumes.iter().map(|pv| pv.id).collect();
        let (mut older, mut contradicting, mut unlisted) = (Vec::new(), Vec::new(), Vec::new());
        for (pv, copy) in copies {
            let (device, seqno) = (pv.device, copy.group.seqno);
            if seqno < vg.seqno {
                older.push(OldCopy { device, offset: copy.offset, seqno });
            } else if copy.text != newest.text {
                contradicting.push(device);
            }
            let is_its = pv.newest().is_some_and(|copy| copy.group.id == vg.id);
            if is_its && !listed.contains(&pv.label.id) {
                unlisted.push(device);
            }
        }
        contradicting.dedup();
        unlisted.dedup();
        Some(Self { vg, members, older, contradicting, unlisted })
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
