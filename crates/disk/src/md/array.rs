//! An array, with the devices in its places.

use std::ops::Range;

use super::standing::MemberState;
use super::superblock::{ArrayId, Level, Role, Version};

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
    /// How many bytes of its data are there and current, from the first on.
    pub good: u64,
    /// What of its device is listed as bad, in order.
    pub bad: Vec<Range<u64>>,
    /// Whether the newest superblock has a member in use in this place.
    pub listed: bool,
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
    /// Up to which byte of each member copies are known to be equal; `u64::MAX` where all are.
    pub resynced: u64,
    /// Whether it was being changed into another shape.
    pub reshaping: bool,
    /// Its places in order.
    pub members: Vec<Member>,
    /// Members that went on without each other: the places of each half.
    pub halves: Vec<Vec<usize>>,
    /// Devices that are of the array without a place in it, and what they are.
    pub others: Vec<(usize, Role)>,
}

impl Array {
    /// Whether its members hold copies of each other.
    pub const fn has_copies(&self) -> bool {
        matches!(self.level, Level::Raid1 | Level::Raid10)
    }

    /// Whether a name that a user gave is its own, with the host's before it or without.
    pub fn is_called(&self, name: &str) -> bool {
        let own = self.name.as_deref().unwrap_or_default();
        let bare = own.split_once(':').map_or(own, |(_, bare)| bare);
        !name.is_empty() && (own == name || bare == name)
    }
}
