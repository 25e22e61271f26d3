//! Which device of a stack is meant.

use std::fmt;
use std::str::FromStr;

use disk::signature::Contents;

use super::{Device, DeviceNo, Holds, Origin, Problem, Stack};
use disk::md::MemberState;

/// A logical volume, as a user names it: `VG/LV`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LvName {
    /// Its group's name or id.
    pub group: String,
    /// Its own name.
    pub name: String,
}

/// Text that names no logical volume.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("VG/LV is expected")]
pub struct NotAnLvName;

impl FromStr for LvName {
    type Err = NotAnLvName;

    fn from_str(text: &str) -> Result<Self, NotAnLvName> {
        match text.split_once('/') {
            Some((group, name)) if !group.is_empty() && !name.is_empty() => {
                Ok(Self { group: group.to_owned(), name: name.to_owned() })
            }
            _ => Err(NotAnLvName),
        }
    }
}

impl fmt::Display for LvName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.name)
    }
}

/// What a partition is looked for on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Of {
    /// The only thing that can be meant.
    #[default]
    Only,
    /// A logical volume: its group's name or id, and its own name.
    LogicalVolume {
        /// The group.
        group: String,
        /// The volume.
        name: String,
    },
    /// An array: its id or its name.
    Array(String),
}

impl From<LvName> for Of {
    fn from(LvName { group, name }: LvName) -> Self {
        Self::LogicalVolume { group, name }
    }
}

/// A device, as a user names it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Choice {
    /// The device, or the one with the partition.
    pub of: Of,
    /// The number of a partition on it.
    pub partition: Option<u32>,
}

/// A device that can be chosen, as it is named in a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Chosen {
    /// A logical volume.
    LogicalVolume {
        /// Its group.
        group: String,
        /// Its name.
        name: String,
    },
    /// An array, by its id.
    Array(String),
    /// A member as a whole, by its volume id.
    Member(String),
    /// What all members make together.
    Volume,
    /// A partition of one of these.
    Partition {
        /// Its number.
        number: u32,
        /// What it is on.
        of: Box<Chosen>,
    },
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LogicalVolume { group, name } => {
                write!(f, "logical volume {}/{}", group.escape_debug(), name.escape_debug())
            }
            Self::Array(id) => write!(f, "array {id}"),
            Self::Member(id) => write!(f, "member {}", id.escape_debug()),
            Self::Volume => f.write_str("the whole volume"),
            Self::Partition { number, of } => write!(f, "partition {number} of {of}"),
        }
    }
}

fn listed(candidates: &[Chosen]) -> String {
    let names: Vec<String> = candidates.iter().map(ToString::to_string).collect();
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}

fn without_group(lone: &[Chosen]) -> String {
    if lone.is_empty() {
        return String::new();
    }
    format!("; no metadata is left of the group of the physical volumes on {}", listed(lone))
}

/// Why no device is meant, or not only one.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotChosen {
    /// There is none of that name.
    #[error("no such volume is there; found: {}{}", listed(candidates), without_group(lone))]
    None {
        /// What there is.
        candidates: Vec<Chosen>,
        /// Physical volumes that no metadata tells the group of.
        lone: Vec<Chosen>,
    },
    /// There are several.
    #[error("several volumes could be meant: {}", listed(candidates))]
    Several {
        /// All of them.
        candidates: Vec<Chosen>,
    },
}

impl Stack {
    /// The device that is meant.
    pub fn choose(&self, choice: &Choice) -> Result<DeviceNo, NotChosen> {
        let tops = self.numbered().filter(|(no, device)| self.is_meant(*no, device, choice));
        let mut found: Vec<DeviceNo> = tops.map(|(no, _)| no).collect();
        let mut partitions = Vec::new();
        if let Some(number) = choice.partition {
            let all = found.iter().flat_map(|no| self.partitions(*no));
            partitions.extend(all.map(|(no, _)| self.name(no)));
            let partition = |no: &DeviceNo| {
                self.partitions(*no).find(|(_, p)| p.number == number).map(|(no, _)| no)
            };
            found = found.iter().filter_map(partition).collect();
        }
        if choice.of == Of::Only && found.len() > 1 {
            found = self.without_parts(found);
        }
        match found.as_slice() {
            [one] => Ok(*one),
            [] if !partitions.is_empty() => {
                Err(NotChosen::None { candidates: partitions, lone: Vec::new() })
            }
            [] => Err(NotChosen::None { candidates: self.candidates(), lone: self.lone() }),
            several => {
                let candidates = several.iter().map(|no| self.name(*no)).collect();
                Err(NotChosen::Several { candidates })
            }
        }
    }

    /// Leaves out what only carries parts of the one volume that others are members of: what may be a cut member,
    /// members and partitions that are in use by it, disks that have nothing but those, and blank disks beside it.
    fn without_parts(&self, found: Vec<DeviceNo>) -> Vec<DeviceNo> {
        let holds = |no| self.device(no).and_then(|device| device.holds.as_ref());
        let is_used = |holds: Option<&Holds>| {
            matches!(
                holds,
                Some(Holds::ArrayMember | Holds::PhysicalVolume | Holds::Other(Contents::Blank))
            )
        };
        let is_named = |no: &DeviceNo| {
            let all = found.iter().flat_map(|top| self.problems(*top));
            all.into_iter().any(|(_, problem)| match &**problem {
                Problem::Member { state: MemberState::Missing, devices, .. } => {
                    devices.contains(no)
                }
                _ => false,
            })
        };
        let carries = |no: &DeviceNo| match holds(*no) {
            _ if is_named(no) => true,
            Some(Holds::Table(_)) => {
                let mut parts = self.partitions(*no).map(|(no, _)| holds(no)).peekable();
                parts.peek().is_some() && parts.all(is_used)
            }
            other => is_used(other),
        };
        let is_member = |no: &DeviceNo| {
            let origin = self.device(*no).map(|device| &device.origin);
            matches!(origin, Some(Origin::Member(_) | Origin::Partition { .. }))
        };
        let rest: Vec<DeviceNo> =
            found.iter().copied().filter(|no| !(is_member(no) && carries(no))).collect();
        // Beside another disk a blank one may be a part of the volume that nothing tells of.
        if rest.is_empty() || rest.iter().any(is_member) { found } else { rest }
    }

    /// What there is to be chosen.
    pub fn candidates(&self) -> Vec<Chosen> {
        self.numbered().filter(|(no, _)| self.is_free(*no)).map(|(no, _)| self.name(no)).collect()
    }

    /// Physical volumes that no group lists, and without metadata of their own that tells of one.
    fn lone(&self) -> Vec<Chosen> {
        let is_listed = |id| self.groups.iter().any(|node| node.group.vg.pv(id).is_some());
        let lone = self.physical_volumes.iter().filter(|pv| pv.copies.is_empty());
        lone.filter(|pv| !is_listed(pv.label.id)).map(|pv| self.name(DeviceNo(pv.device))).collect()
    }

    /// What a group is called: its name or, where that is also another's, its id.
    fn group_name(&self, number: usize) -> String {
        let Some(node) = self.groups.get(number) else { return String::new() };
        let vg = &node.group.vg;
        let is_other =
            |other: &super::GroupNode| other.group.vg.name == vg.name && other.group.vg.id != vg.id;
        if self.groups.iter().any(is_other) { vg.id.to_string() } else { vg.name.clone() }
    }

    /// How a device is named.
    pub fn name(&self, no: DeviceNo) -> Chosen {
        let Some(device) = self.device(no) else { return Chosen::Volume };
        match &device.origin {
            Origin::Member(number) => {
                let id = self.members.get(*number).map(|m| m.volume_id.as_str());
                Chosen::Member(id.unwrap_or_default().to_owned())
            }
            Origin::Volume => Chosen::Volume,
            Origin::Partition { of, partition } => {
                Chosen::Partition { number: partition.number, of: Box::new(self.name(*of)) }
            }
            Origin::Array(number) => {
                let id = self.arrays.get(*number).map(|node| node.array.id.to_string());
                Chosen::Array(id.unwrap_or_default())
            }
            Origin::LogicalVolume { group, name } => {
                Chosen::LogicalVolume { group: self.group_name(*group), name: name.clone() }
            }
        }
    }

    fn numbered(&self) -> impl Iterator<Item = (DeviceNo, &Device)> {
        (0..).map(DeviceNo).zip(&self.devices)
    }

    fn is_meant(&self, no: DeviceNo, device: &Device, choice: &Choice) -> bool {
        match (&choice.of, &device.origin) {
            (
                Of::LogicalVolume { group, name },
                Origin::LogicalVolume { group: number, name: own },
            ) => {
                let is_group = |node: &super::GroupNode| {
                    node.group.vg.name == *group || node.group.vg.id.to_string() == *group
                };
                name == own && self.groups.get(*number).is_some_and(is_group)
            }
            (Of::Array(id), Origin::Array(number)) => {
                let plain = |text: &str| text.replace([':', '-'], "").to_lowercase();
                self.arrays.get(*number).is_some_and(|node| {
                    plain(&node.array.id.to_string()) == plain(id) || node.array.is_called(id)
                })
            }
            (Of::Only, Origin::Partition { .. }) => false,
            (Of::Only, _) if choice.partition.is_some() => {
                matches!(device.holds, Some(Holds::Table(_)))
            }
            (Of::Only, _) => self.is_free(no),
            _ => false,
        }
    }

    /// Whether a device is a whole of its own: no part of an array, of a group or of a disk.
    fn is_free(&self, no: DeviceNo) -> bool {
        let Some(device) = self.device(no) else { return false };
        let is_part = matches!(device.origin, Origin::Partition { .. });
        let is_used = matches!(device.holds, Some(Holds::ArrayMember | Holds::PhysicalVolume));
        !is_part && !is_used && !self.is_without_content(device)
    }

    /// A thin pool has no content of its own.
    fn is_without_content(&self, device: &Device) -> bool {
        let Origin::LogicalVolume { group, name } = &device.origin else { return false };
        let lv = self.groups.get(*group).and_then(|node| node.group.vg.logical_volumes.get(name));
        lv.is_some_and(disk::lvm2::LogicalVolume::is_pool)
    }
}
