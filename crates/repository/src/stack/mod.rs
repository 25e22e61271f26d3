//! What lies on a set of members: partition tables, software RAID, LVM and filesystems, found from
//! the metadata on them and put together as far as it proves that they belong together.

mod arrays;
mod choice;
mod discover;
mod groups;
mod inner;
mod missing;
mod problem;
mod volume;

use std::io;
use std::sync::{Arc, OnceLock};

use disk::filesystem::Filesystem;
use disk::partitions::{Partition, Table};
use disk::signature::Contents;
use restore::snapfmt::{ReadAt, VolumeId};
use restore::{Volume, VolumeMember};

use crate::member_bytes::member_bytes;
use disk::lvm2::{FoundPv, Group};
use disk::md::{Array, FoundMember};
use disk::pieces::{Budget, PieceBytes, Pieces, PiecesError};
use foreign::Limits;

pub use choice::{Choice, Chosen, LvName, NotAnLvName, NotChosen, Of};
pub use inner::InnerVolume;
pub use missing::{Absence, MissingSource};
pub use problem::{Problem, Warning};
pub use volume::{Doubt, Remark, Unassembled};

/// A device of a stack, by its place in [`Stack::devices`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DeviceNo(pub usize);

/// What a device is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A member, by its place among those that were given.
    Member(usize),
    /// The volume that all members make together, as their own layout says.
    Volume,
    /// A partition.
    Partition {
        /// Of which device.
        of: DeviceNo,
        /// What the table says of it.
        partition: Partition,
    },
    /// An array, by its place in [`Stack::arrays`].
    Array(usize),
    /// A logical volume.
    LogicalVolume {
        /// Its group, by its place in [`Stack::groups`].
        group: usize,
        /// Its name.
        name: String,
    },
}

/// What is on a device.
#[derive(Clone, PartialEq, Debug)]
pub enum Holds {
    /// A member of an array.
    ArrayMember,
    /// A physical volume of LVM.
    PhysicalVolume,
    /// A partition table; the partitions are devices of their own.
    Table(Table),
    /// Filesystems and the like: one, or several where an old one was not wiped.
    Filesystems(Vec<Filesystem>),
    /// Something else, or nothing.
    Other(Contents),
}

/// A device, real or put together.
#[derive(Debug)]
pub struct Device {
    /// What it is.
    pub origin: Origin,
    /// Size in bytes, where that is known.
    pub size: Option<u64>,
    /// What is on it; `None` where it could not be looked at.
    pub holds: Option<Holds>,
    /// Why it cannot be read, or should not be believed.
    pub problems: Vec<Arc<Problem>>,
    /// What is odd and does no harm.
    pub warnings: Vec<Warning>,
    /// Where its bytes are, on bases.
    pieces: Option<Arc<Pieces>>,
    /// The devices that it was put together from, or found on.
    below: Vec<DeviceNo>,
    /// How many devices are below it.
    depth: u32,
}

/// An array and the device it is.
#[derive(Debug)]
pub struct ArrayNode {
    /// What its superblocks say.
    pub array: Array,
    /// The device.
    pub device: DeviceNo,
}

/// A volume group and the devices of its visible logical volumes.
#[derive(Debug)]
pub struct GroupNode {
    /// What its metadata says.
    pub group: Group,
    /// The devices.
    pub volumes: Vec<DeviceNo>,
}

/// What pieces are on in the end: a member, the place of one that is not there, or a device that was
/// too scattered to be taken apart for those on it.
enum Base {
    Member(usize),
    Missing { volume_id: VolumeId, size: u64, why: Absence },
    Kept(Kept),
}

struct Kept {
    volume_id: VolumeId,
    /// Where it is, on bases before it.
    pieces: Arc<Pieces>,
    bytes: Arc<dyn ReadAt>,
    /// Itself as a member, made when it is first asked for.
    member: OnceLock<VolumeMember>,
}

/// All that was found on some members.
pub struct Stack {
    /// What taking devices apart may still cost.
    budget: Budget,
    members: Vec<VolumeMember>,
    /// The members' bytes, read on demand.
    bytes: Vec<Arc<dyn ReadAt>>,
    bases: Vec<Base>,
    devices: Vec<Device>,
    arrays: Vec<ArrayNode>,
    groups: Vec<GroupNode>,
    array_members: Vec<FoundMember>,
    physical_volumes: Vec<FoundPv>,
    /// How many pieces all devices have but the one with most of them.
    pieces: usize,
    /// How many that one has.
    most_pieces: usize,
    /// Whether there was more than is believed: nothing further is put together.
    is_too_much: bool,
}

impl Stack {
    /// Looks at members one by one: each is a whole disk or device.
    ///
    /// # Errors
    ///
    /// When the system has no more threads.
    pub fn of_members(members: Vec<VolumeMember>) -> io::Result<Self> {
        Self::within(members, &Limits::DEFAULT)
    }

    /// The same with other limits.
    ///
    /// # Errors
    ///
    /// When the system has no more threads.
    pub fn within(members: Vec<VolumeMember>, limits: &Limits) -> io::Result<Self> {
        let mut stack = Self::new(members, limits)?;
        for number in 0..stack.members.len() {
            let size = stack.bytes.get(number).map_or(0, |bytes| bytes.len());
            stack.add(
                Origin::Member(number),
                Pieces::whole(number, size).map_err(Problem::Pieces),
                0,
            );
        }
        stack.discover();
        Ok(stack)
    }

    /// Looks at the one volume that members make, as the layout that comes with them says.
    ///
    /// # Errors
    ///
    /// When the system has no more threads.
    pub fn of_volume(volume: &Volume) -> io::Result<Self> {
        let mut stack = Self::new(volume.members().to_vec(), &Limits::DEFAULT)?;
        let pieces = Pieces::of_map(volume.layout().map()).map_err(Problem::Pieces);
        stack.add(Origin::Volume, pieces, 0);
        stack.discover();
        Ok(stack)
    }

    fn new(members: Vec<VolumeMember>, limits: &Limits) -> io::Result<Self> {
        let bytes = members.iter().map(member_bytes).collect::<io::Result<_>>()?;
        Ok(Self {
            budget: Budget::new(limits.flattened),
            bytes,
            bases: (0..members.len()).map(Base::Member).collect(),
            members,
            devices: Vec::new(),
            arrays: Vec::new(),
            groups: Vec::new(),
            array_members: Vec::new(),
            physical_volumes: Vec::new(),
            pieces: 0,
            most_pieces: 0,
            is_too_much: false,
        })
    }

    /// The members that were given.
    pub fn members(&self) -> &[VolumeMember] {
        &self.members
    }

    /// Every device, those below before those above.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// One of the devices.
    pub fn device(&self, no: DeviceNo) -> Option<&Device> {
        self.devices.get(no.0)
    }

    /// The arrays.
    pub fn arrays(&self) -> &[ArrayNode] {
        &self.arrays
    }

    /// The volume groups.
    pub fn groups(&self) -> &[GroupNode] {
        &self.groups
    }

    /// The physical volumes, whose `device` is a [`DeviceNo`].
    pub fn physical_volumes(&self) -> &[FoundPv] {
        &self.physical_volumes
    }

    /// The members of arrays, whose `device` is a [`DeviceNo`].
    pub fn array_members(&self) -> &[FoundMember] {
        &self.array_members
    }

    /// The partitions of a device.
    pub fn partitions(&self, of: DeviceNo) -> impl Iterator<Item = (DeviceNo, &Partition)> {
        (0..).zip(&self.devices).filter_map(move |(no, device)| match &device.origin {
            Origin::Partition { of: table, partition } if *table == of => {
                Some((DeviceNo(no), partition))
            }
            _ => None,
        })
    }

    /// The bytes of a device; what is missing cannot be read.
    pub fn bytes(&self, no: DeviceNo) -> Option<PieceBytes> {
        let pieces = self.device(no)?.pieces.as_ref()?;
        Some(PieceBytes::new(Arc::clone(pieces), self.base_bytes()))
    }

    fn base_bytes(&self) -> Vec<Option<Arc<dyn ReadAt>>> {
        let of = |base: &Base| match base {
            Base::Member(number) => self.bytes.get(*number).map(Arc::clone),
            Base::Missing { .. } => None,
            Base::Kept(kept) => Some(Arc::clone(&kept.bytes)),
        };
        self.bases.iter().map(of).collect()
    }

    /// Adds a device; `pieces` are on bases.
    fn add(&mut self, origin: Origin, pieces: Result<Pieces, Problem>, depth: u32) -> DeviceNo {
        let no = DeviceNo(self.devices.len());
        let own = pieces.as_ref().map_or(0, |pieces| pieces.list().len());
        self.pieces += own.min(self.most_pieces);
        self.most_pieces = self.most_pieces.max(own);
        let (pieces, problem) = match pieces {
            Ok(pieces) => (Some(Arc::new(pieces)), None),
            Err(problem) => (None, Some(problem)),
        };
        let below = match origin {
            Origin::Partition { of, .. } => vec![of],
            _ => Vec::new(),
        };
        self.devices.push(Device {
            origin,
            size: pieces.as_ref().map(|pieces| pieces.size()),
            holds: None,
            problems: problem.map(Arc::new).into_iter().collect(),
            warnings: Vec::new(),
            pieces,
            below,
            depth,
        });
        no
    }

    /// A base for something that is not there.
    fn missing(&mut self, volume_id: VolumeId, size: u64, why: Absence) -> usize {
        let is_it = |base: &Base| matches!(base, Base::Missing { volume_id: id, size: own, .. } if *id == volume_id && *own == size);
        self.bases.iter().position(is_it).unwrap_or_else(|| {
            self.bases.push(Base::Missing { volume_id, size, why });
            self.bases.len() - 1
        })
    }

    /// A base for a device that is not taken apart.
    fn kept(&mut self, pieces: &Arc<Pieces>) -> Result<usize, PiecesError> {
        let same = |own: &Arc<Pieces>| Arc::ptr_eq(own, pieces);
        let is_it = |base: &Base| matches!(base, Base::Kept(kept) if same(&kept.pieces));
        if let Some(known) = self.bases.iter().position(is_it) {
            return Ok(known);
        }
        let number = self.bases.len();
        let device = self.devices.iter().position(|d| d.pieces.as_ref().is_some_and(same));
        let name = match device {
            Some(no) => self.name(DeviceNo(no)).to_string(),
            None => format!("part {number}"),
        };
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name: String = name.chars().map(plain).take(255).collect();
        self.bases.push(Base::Kept(Kept {
            volume_id: name.parse().map_err(|_| PiecesError::Size)?,
            pieces: Arc::clone(pieces),
            bytes: Arc::new(PieceBytes::new(Arc::clone(pieces), self.base_bytes())),
            member: OnceLock::new(),
        }));
        Ok(number)
    }

    /// A device on others, whose pieces are on bases.
    fn put_over(&mut self, upper: &Pieces, below: &[Arc<Pieces>]) -> Result<Pieces, Problem> {
        let mut budget = self.budget;
        let flat = budget.over_or_keep(upper, below, |device| self.kept(device));
        self.budget = budget;
        flat.map_err(Problem::Pieces)
    }
}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stack").field("devices", &self.devices).finish_non_exhaustive()
    }
}
