//! Members put together to arrays: who is in which place, and who can be believed.

use std::collections::BTreeMap;

use super::layout::{self, Refused};
use super::superblock::{ArrayId, Level, Role, Superblock, Version};
use crate::pieces::Pieces;

/// A device with a superblock.
#[derive(Clone, Debug)]
pub struct FoundMember {
    /// The device, as the caller numbers them.
    pub device: usize,
    /// Its superblock.
    pub superblock: Superblock,
}

/// What is known of a place in an array.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MemberState {
    /// Its member is there, and nothing speaks against it.
    Usable,
    /// No device is it.
    Missing,
    /// Several devices say they are it.
    Doubled {
        /// All of them.
        devices: Vec<usize>,
    },
    /// It was left behind: the array went on without it.
    Older {
        /// What it is at.
        events: u64,
    },
    /// Not all of it is in sync yet.
    Recovering,
    /// It describes the array differently.
    Differs {
        /// In what.
        field: &'static str,
    },
}

/// A place in an array.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// The device in it; `None` unless there is exactly one.
    pub device: Option<usize>,
    /// What is known of it.
    pub state: MemberState,
    /// Where its data start and how much there can be, in bytes; taken from its neighbours where it
    /// is missing and they are all alike.
    pub data: Option<(u64, u64)>,
}

/// An array with the devices found for it.
#[derive(Debug)]
pub struct Array {
    /// Its id.
    pub id: ArrayId,
    /// Its name; untrusted text.
    pub name: Option<String>,
    /// Form of its superblocks.
    pub version: Version,
    /// What kind it is.
    pub level: Level,
    /// The variant of its level.
    pub layout: u32,
    /// Bytes of a chunk; 0 where it has none.
    pub chunk: u64,
    /// Bytes used of each member, where the level says.
    pub used: u64,
    /// The most that any member has seen.
    pub events: u64,
    /// Whether copies are known to be equal.
    pub clean: bool,
    /// Whether any member has a list of blocks that cannot be read.
    pub bad_blocks: bool,
    /// Whether it was being changed into another shape.
    pub reshaping: bool,
    /// Its places in order.
    pub members: Vec<Member>,
    /// Devices that are of the array without a place in it, and what they are.
    pub others: Vec<(usize, Role)>,
}

/// The arrays that devices make.
pub fn arrays(found: &[FoundMember]) -> Vec<Array> {
    let mut by_id: BTreeMap<ArrayId, Vec<&FoundMember>> = BTreeMap::new();
    for member in found {
        by_id.entry(member.superblock.array).or_default().push(member);
    }
    by_id.into_values().filter_map(|members| Array::new(&members)).collect()
}

impl Array {
    fn new(found: &[&FoundMember]) -> Option<Self> {
        let newest = |m: &&&FoundMember| {
            let active = matches!(m.superblock.role, Role::Active(_));
            (active, m.superblock.events, m.superblock.updated)
        };
        let reference = &found.iter().max_by_key(newest)?.superblock;
        let mut places: BTreeMap<u32, Vec<&FoundMember>> = BTreeMap::new();
        let mut others = Vec::new();
        for member in found {
            match member.superblock.role {
                Role::Active(place) | Role::Recovering(place) if place < reference.raid_disks => {
                    places.entry(place).or_default().push(member);
                }
                role => others.push((member.device, role)),
            }
        }
        let members = (0..reference.raid_disks)
            .map(|place| member(reference, places.get(&place).map_or(&[][..], Vec::as_slice)));
        let mut array = Self {
            id: reference.array,
            name: reference.name.clone(),
            version: reference.version,
            level: reference.level,
            layout: reference.layout,
            chunk: reference.chunk,
            used: reference.used,
            events: reference.events,
            clean: reference.clean,
            bad_blocks: found.iter().any(|m| m.superblock.bad_blocks),
            reshaping: reference.reshaping,
            members: members.collect(),
            others,
        };
        array.assume_sizes();
        Some(array)
    }

    /// Where the array's bytes are, on members by their place. Whether these can be used is not
    /// looked at unless there is a choice.
    pub fn pieces(&self) -> Result<Pieces, Refused> {
        layout::pieces(self)
    }

    /// A missing member is taken to be as the others if those are alike.
    fn assume_sizes(&mut self) {
        let mut known = self.members.iter().filter_map(|member| member.data);
        let Some(first) = known.next() else { return };
        if known.all(|data| data == first) {
            for member in &mut self.members {
                member.data = member.data.or(Some(first));
            }
        }
    }
}

/// A place and who says to be in it.
fn member(reference: &Superblock, found: &[&FoundMember]) -> Member {
    let data = |m: &FoundMember| Some((m.superblock.data_offset, m.superblock.data_size));
    match found {
        [] => Member { device: None, state: MemberState::Missing, data: None },
        [one] => {
            let state = state(reference, &one.superblock);
            Member { device: Some(one.device), state, data: data(one) }
        }
        all => {
            // One that was replaced may still say that it is in its old place.
            let usable = |m: &&&FoundMember| state(reference, &m.superblock) == MemberState::Usable;
            let mut current = all.iter().filter(usable);
            if let (Some(one), None) = (current.next(), current.next()) {
                let device = Some(one.device);
                return Member { device, state: MemberState::Usable, data: data(one) };
            }
            let devices = all.iter().map(|m| m.device).collect();
            Member { device: None, state: MemberState::Doubled { devices }, data: None }
        }
    }
}

/// What speaks against a member, beside the one that has seen most.
fn state(reference: &Superblock, own: &Superblock) -> MemberState {
    // The kernel tolerates a difference of one: superblocks are written one after the other.
    if own.events.saturating_add(1) < reference.events {
        return MemberState::Older { events: own.events };
    }
    let fields = [
        ("its level", own.level == reference.level),
        ("its layout", own.layout == reference.layout),
        ("its chunk size", own.chunk == reference.chunk),
        ("its number of members", own.raid_disks == reference.raid_disks),
        ("the version of its superblock", own.version == reference.version),
        ("the size used of each member", own.used == reference.used),
    ];
    if let Some((field, _)) = fields.into_iter().find(|(_, same)| !same) {
        return MemberState::Differs { field };
    }
    match own.role {
        Role::Recovering(_) => MemberState::Recovering,
        _ => MemberState::Usable,
    }
}
