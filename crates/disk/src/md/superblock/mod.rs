//! The superblock on each member, in one form for all versions.

mod bad_list;
mod v090;

use std::cmp::Reverse;
use std::fmt;
use std::ops::Range;

use snapfmt::Offset;

use snapfmt::ReadAt;

use super::SECTOR;
use crate::fields::{array, le16, le32, le64};

/// First bytes of every superblock.
pub(super) const MAGIC: u32 = 0xa92b_4efc;
const LEN: usize = 256;
/// A superblock with its table of roles fits in 4 KiB.
const LONGEST: usize = 4096;
const MOST_ROLES: u32 = (4096 - 256) / 2;
/// All bytes there are. Sectors that are all ones mean the same.
pub(super) const ALL: u64 = u64::MAX;
/// Most bytes that are believed of anything.
pub(super) const MAX_BYTES: u64 = 1 << 62;
/// The bits of a time that are seconds; those above are microseconds.
const SECONDS: u64 = (1 << 40) - 1;
/// Largest device that is believed to have been cut off.
const MAX_CUT: u64 = 1 << 48;

/// Feature bits (`MD_FEATURE_…`).
mod feature {
    pub(super) const BITMAP: u32 = 1;
    pub(super) const RECOVERY_OFFSET: u32 = 2;
    pub(super) const RESHAPE: u32 = 4;
    pub(super) const REPLACEMENT: u32 = 16;
    pub(super) const NEW_OFFSET: u32 = 64;
    pub(super) const RECOVERY_BITMAP: u32 = 128;
    pub(super) const RAID0_LAYOUT: u32 = 4096;
    pub(super) const KNOWN: u32 = (1 << 13) - 1;
}

/// Id of an array or a member.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ArrayId(pub [u8; 16]);

impl fmt::Display for ArrayId {
    /// As mdadm shows it: four groups of eight digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, byte) in self.0.iter().enumerate() {
            if n > 0 && n.is_multiple_of(4) {
                f.write_str(":")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// Which form a superblock has, and where it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// 0.90, near the end.
    V090,
    /// 1.0, near the end.
    V10,
    /// 1.1, at the start.
    V11,
    /// 1.2, at 4 KiB.
    V12,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V090 => "0.90",
            Self::V10 => "1.0",
            Self::V11 => "1.1",
            Self::V12 => "1.2",
        })
    }
}

/// What kind of array it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Members one after the other.
    Linear,
    /// Stripes.
    Raid0,
    /// Copies.
    Raid1,
    /// Stripes of copies.
    Raid10,
    /// Any other, by the kernel's number.
    Other(i32),
}

impl Level {
    pub(super) const fn of(number: i32) -> Self {
        match number {
            -1 => Self::Linear,
            0 => Self::Raid0,
            1 => Self::Raid1,
            10 => Self::Raid10,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linear => f.write_str("linear"),
            Self::Raid0 => f.write_str("raid0"),
            Self::Raid1 => f.write_str("raid1"),
            Self::Raid10 => f.write_str("raid10"),
            Self::Other(-4) => f.write_str("multipath"),
            Self::Other(other) => write!(f, "raid{other}"),
        }
    }
}

/// What a member is in its array.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// In use in this place.
    Active(u32),
    /// In this place, but not yet all of it is in sync.
    Recovering(u32),
    /// Waiting to be used.
    Spare,
    /// Failed.
    Faulty,
    /// The journal of the array.
    Journal,
}

/// What a superblock knows of all members, by their numbers: the place of each that is in use.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RoleTable(pub(super) Vec<Option<u32>>);

impl RoleTable {
    /// Whether the member of this number is in use, in this place.
    pub fn lists(&self, number: u32, place: u32) -> bool {
        let entry = usize::try_from(number).ok().and_then(|number| self.0.get(number));
        entry.copied().flatten() == Some(place)
    }

    /// Whether any member is in use in this place.
    pub fn has(&self, place: u32) -> bool {
        self.0.contains(&Some(place))
    }
}

/// What a member's superblock says. Sizes and offsets are in bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Superblock {
    /// Its form.
    pub version: Version,
    /// Where it is on the device.
    pub offset: u64,
    /// The array's id.
    pub array: ArrayId,
    /// The array's name, often with the host's before it; untrusted text.
    pub name: Option<String>,
    /// The kind of array.
    pub level: Level,
    /// The variant, which means something else for each level.
    pub layout: u32,
    /// Bytes of a chunk; 0 where the level has none.
    pub chunk: u64,
    /// How many members are in use.
    pub raid_disks: u32,
    /// Bytes used of each member, where the level says.
    pub used: u64,
    /// This member's id.
    pub device: Option<ArrayId>,
    /// This member's number in the table of roles.
    pub number: u32,
    /// This member's role.
    pub role: Role,
    /// What is known of every member, this one too.
    pub table: RoleTable,
    /// Whether it takes the place of another member that is still in use.
    pub replacement: bool,
    /// Where this member's data start.
    pub data_offset: u64,
    /// How much of it there can be.
    pub data_size: u64,
    /// How much of it is in sync, as far as this member alone is concerned.
    pub recovered: u64,
    /// Up to which byte the copies of all members are known to be equal.
    pub resynced: u64,
    /// Size of the device it was read from, which may have been cut off.
    pub device_size: u64,
    /// Counts up with every change of the array's state.
    pub events: u64,
    /// When the array was created, in seconds since 1970.
    pub created: u64,
    /// When the superblock was last written, in seconds since 1970.
    pub updated: u64,
    /// Whether the array was being changed into another shape.
    pub reshaping: bool,
    /// What of the device is listed as bad, in order.
    pub bad: Vec<Range<u64>>,
}

/// Why a superblock cannot be believed. Offsets are bytes of the device.
#[derive(Debug, thiserror::Error)]
pub enum MdError {
    /// Reading failed.
    #[error("cannot be read at {offset}: {source}", offset = Offset(*offset))]
    Io {
        /// Offset in bytes.
        offset: u64,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The checksum does not match.
    #[error(
        "the RAID superblock at {offset} has the checksum {found:#010x}, expected {expected:#010x}", offset = Offset(*offset))]
    Checksum {
        /// Where it is.
        offset: u64,
        /// What is stored.
        expected: u32,
        /// What the bytes have.
        found: u32,
    },
    /// A field says what cannot be.
    #[error("the RAID superblock at {offset} says {found} as {field}", offset = Offset(*offset))]
    Field {
        /// Where it is.
        offset: u64,
        /// Which field.
        field: &'static str,
        /// What it says.
        found: u64,
    },
}

/// A device with a superblock.
#[derive(Clone, Debug)]
pub struct FoundMember {
    /// The device, as the caller numbers them.
    pub device: usize,
    /// Its superblock.
    pub superblock: Superblock,
}

/// What is at the places of a device where superblocks can be.
#[derive(Debug, Default)]
pub struct OnDevice {
    /// Superblocks: that of the array that was created last is the first.
    pub sound: Vec<Superblock>,
    /// What looks like a superblock and cannot be believed, or read.
    pub faults: Vec<MdError>,
}

impl Superblock {
    /// The superblock that counts: the first that is [found](Self::find).
    pub fn read(device: &dyn ReadAt) -> Result<Option<Self>, MdError> {
        let OnDevice { sound, faults } = Self::find(device);
        match (sound.into_iter().next(), faults.into_iter().next()) {
            (None, Some(fault)) => Err(fault),
            (sound, _) => Ok(sound),
        }
    }

    /// Looks at all places where a superblock can be. A device that was cut off behind its superblock has it
    /// still, further to the end than one of its size would.
    pub fn find(device: &dyn ReadAt) -> OnDevice {
        let (mut sound, mut faults) = (Vec::new(), Vec::new());
        let places = version_1_places(device.len());
        let version_1 = places.map(|(version, at)| Self::read_version_1(device, version, at));
        for found in version_1.chain([v090::read(device)]) {
            match found {
                Ok(superblock) => sound.extend(superblock),
                Err(fault) => faults.push(fault),
            }
        }
        // As mdadm takes them when it is not told which (`guess_super_type`).
        sound.sort_by_key(|superblock| Reverse((superblock.created, superblock.events)));
        OnDevice { sound, faults }
    }

    fn read_version_1(
        device: &dyn ReadAt,
        version: Version,
        offset: u64,
    ) -> Result<Option<Self>, MdError> {
        let len = device.len();
        let room = usize::try_from(len.saturating_sub(offset)).unwrap_or(usize::MAX);
        if room < LEN {
            return Ok(None);
        }
        let mut bytes = vec![0; room.min(LONGEST)];
        device
            .read_exact_at(&mut bytes, offset)
            .map_err(|source| MdError::Io { offset, source })?;
        if le32(&bytes, 0) != Some(MAGIC) || le32(&bytes, 4) != Some(1) {
            return Ok(None);
        }
        // Where it says it is tells a member from a device that contains one.
        if le64(&bytes, 144) != Some(offset / SECTOR) {
            return Ok(None);
        }
        let mut superblock = Self::parse(&bytes, version, offset, len)?;
        superblock.check_places(&bytes)?;
        superblock.bad = bad_list::read(device, &bytes, offset)?;
        Ok(Some(superblock))
    }

    /// Whether all copies are known to be equal.
    pub const fn is_clean(&self) -> bool {
        self.resynced == ALL
    }

    /// How many bytes of its data count, as the kernel takes them: whole chunks of what is striped.
    pub const fn counted(&self) -> u64 {
        match self.level {
            Level::Raid1 | Level::Raid10 if self.used != 0 => self.used,
            Level::Raid0 | Level::Linear if self.chunk != 0 => {
                self.data_size - self.data_size % self.chunk
            }
            _ => self.data_size,
        }
    }

    /// The end of its data on the device.
    pub const fn data_end(&self) -> u64 {
        self.data_offset.saturating_add(self.data_size)
    }

    /// The data that count lie beside the superblock itself, the bitmap and the list of bad blocks: the kernel
    /// would not write one over the other.
    fn check_places(&self, bytes: &[u8]) -> Result<(), MdError> {
        let bad = |field, found| Err(MdError::Field { offset: self.offset, field, found });
        let data = self.data_offset..self.data_offset.saturating_add(self.counted());
        let meets = |range: &Range<u64>| data.start < range.end && range.start < data.end;
        let roles = le32(bytes, 220).unwrap_or(0) as usize;
        let len = (LEN + 2 * roles).next_multiple_of(512) as u64;
        if meets(&(self.offset..self.offset.saturating_add(len))) {
            return bad("where its data start, which is over itself", self.data_offset / SECTOR);
        }
        let (features, distance) = (le32(bytes, 8).unwrap_or(0), le32(bytes, 96).unwrap_or(0));
        let bitmap =
            bad_list::beside(self.offset, distance).map(|at| at..at.saturating_add(SECTOR));
        if features & feature::BITMAP != 0 && bitmap.is_none_or(|bitmap| meets(&bitmap)) {
            return bad("where its bitmap is, which is over its data", distance.into());
        }
        if bad_list::place(bytes, self.offset)?.is_some_and(|list| meets(&list)) {
            let distance = le32(bytes, 188).unwrap_or(0);
            return bad("where its list of bad blocks is, which is over its data", distance.into());
        }
        Ok(())
    }

    /// Reads a superblock of version 1 of a device with `len` bytes.
    fn parse(bytes: &[u8], version: Version, offset: u64, len: u64) -> Result<Self, MdError> {
        let half = |at| le32(bytes, at).unwrap_or(0);
        let word = |at| le64(bytes, at).unwrap_or(0);
        let bad = |field, found| MdError::Field { offset, field, found };
        let roles = half(220);
        if roles > MOST_ROLES {
            return Err(bad("the number of its roles", roles.into()));
        }
        let (expected, found) = (half(216), checksum(bytes, LEN + 2 * roles as usize));
        if expected != found {
            return Err(MdError::Checksum { offset, expected, found });
        }
        let features = half(8);
        if features & !feature::KNOWN != 0 {
            return Err(bad("features that are not known", features.into()));
        }
        let level = Level::of(half(72).cast_signed());
        let raid_disks = half(92);
        if raid_disks == 0 || raid_disks > MOST_ROLES {
            return Err(bad("the number of members", raid_disks.into()));
        }
        let bytes_of = |field, at| {
            let sectors = word(at);
            let bytes = sectors.checked_mul(SECTOR).filter(|bytes| *bytes <= MAX_BYTES);
            bytes.ok_or_else(|| bad(field, sectors))
        };
        let data_offset = bytes_of("where its data start", 128)?;
        let data_size = bytes_of("the size of its data", 136)?;
        let data_end = data_offset.saturating_add(data_size);
        if data_end > len && data_end > MAX_CUT {
            return Err(bad("an end of its data that is beyond the device's", data_end / SECTOR));
        }
        let layout = match level {
            Level::Raid0 if features & feature::RAID0_LAYOUT == 0 => 0,
            _ => half(76),
        };
        let table = table(bytes, roles);
        let role =
            role(bytes, roles, features).ok_or_else(|| bad("its own number", half(160).into()))?;
        // Bytes that follow a bitmap are recovered in no order that a number could tell.
        let recovered = match features & (feature::RECOVERY_OFFSET | feature::RECOVERY_BITMAP) {
            0 => ALL,
            feature::RECOVERY_OFFSET => word(152).saturating_mul(SECTOR),
            _ => 0,
        };
        Ok(Self {
            version,
            offset,
            array: ArrayId(array(bytes, 16).unwrap_or_default()),
            name: text(bytes.get(32..64).unwrap_or(&[])),
            level,
            layout,
            chunk: u64::from(half(88)) * SECTOR,
            raid_disks,
            used: bytes_of("the size used", 80)?,
            device: array(bytes, 168).map(ArrayId),
            number: half(160),
            role,
            table,
            replacement: features & feature::REPLACEMENT != 0,
            data_offset,
            data_size,
            recovered,
            resynced: word(208).saturating_mul(SECTOR),
            device_size: len,
            events: word(200),
            created: word(64) & SECONDS,
            updated: word(192) & SECONDS,
            reshaping: features & (feature::RESHAPE | feature::NEW_OFFSET) != 0,
            bad: Vec::new(),
        })
    }
}

/// Where superblocks of version 1 can be on a device of `len` bytes: at the start, at 4 KiB, and in the
/// last 8 to 12 KiB. What is nearer to the end is that of a device that was longer.
fn version_1_places(len: u64) -> impl Iterator<Item = (Version, u64)> {
    let last = len.checked_sub(16 * SECTOR).map_or(0, |at| at - at % 4096);
    let near_end = (last..len).step_by(4096).map(|at| (Version::V10, at));
    [(Version::V12, 4096), (Version::V11, 0)].into_iter().chain(near_end)
}

/// The places of all members that are in use.
fn table(bytes: &[u8], roles: u32) -> RoleTable {
    const LEAST_SPECIAL: u16 = 0xff00;
    let entry = |number: u32| {
        let role = le16(bytes, LEN + 2 * number as usize)?;
        (role < LEAST_SPECIAL).then_some(role.into())
    };
    RoleTable((0..roles).map(entry).collect())
}

/// What the table of roles says of this member.
fn role(bytes: &[u8], roles: u32, features: u32) -> Option<Role> {
    let number = le32(bytes, 160).filter(|number| *number < roles)?;
    let role = le16(bytes, LEN + 2 * number as usize)?;
    let partly = features & (feature::RECOVERY_OFFSET | feature::RECOVERY_BITMAP) != 0;
    Some(match role {
        0xffff => Role::Spare,
        0xfffe => Role::Faulty,
        0xfffd => Role::Journal,
        place if partly => Role::Recovering(place.into()),
        place => Role::Active(place.into()),
    })
}

/// Sum of the words, the one that holds it left out (`calc_sb_1_csum`).
fn checksum(bytes: &[u8], len: usize) -> u32 {
    const OWN: usize = 216;
    let bytes = bytes.get(..len).unwrap_or(bytes);
    let (words, rest) = bytes.as_chunks::<4>();
    let words = words.iter().enumerate().filter(|(n, _)| *n != OWN / 4);
    let mut sum: u64 = words.map(|(_, word)| u64::from(u32::from_le_bytes(*word))).sum();
    sum += le16(rest, 0).map_or(0, u64::from);
    fold(sum)
}

/// Both halves of a sum, added.
pub(super) fn fold(sum: u64) -> u32 {
    let low = sum & u64::from(u32::MAX);
    u32::try_from((low + (sum >> 32)) & u64::from(u32::MAX)).unwrap_or(0)
}

fn text(bytes: &[u8]) -> Option<String> {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or(&[]);
    (!text.is_empty()).then(|| String::from_utf8_lossy(text).into_owned())
}
