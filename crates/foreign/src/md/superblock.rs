//! The superblock on each member, in one form for all versions.

use std::fmt;

use restore::snapfmt::ReadAt;

use super::{SECTOR, v090};
use crate::fields::{array, le16, le32, le64};

/// First bytes of every superblock.
pub(super) const MAGIC: u32 = 0xa92b_4efc;
const LEN: usize = 256;
/// A superblock with its table of roles fits in 4 KiB.
const MOST_ROLES: u32 = (4096 - 256) / 2;
/// Most bytes that are believed of anything.
pub(super) const MAX_BYTES: u64 = 1 << 62;

/// Feature bits (`MD_FEATURE_…`).
mod feature {
    pub(super) const RECOVERY_OFFSET: u32 = 2;
    pub(super) const RESHAPE: u32 = 4;
    pub(super) const BAD_BLOCKS: u32 = 8;
    pub(super) const REPLACEMENT: u32 = 16;
    pub(super) const NEW_OFFSET: u32 = 64;
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
    /// This member's role.
    pub role: Role,
    /// Where this member's data start.
    pub data_offset: u64,
    /// How much of it there can be.
    pub data_size: u64,
    /// Counts up with every change of the array's state.
    pub events: u64,
    /// When the superblock was last written, in seconds since 1970.
    pub updated: u64,
    /// Whether all copies are known to be equal.
    pub clean: bool,
    /// Whether the array was being changed into another shape.
    pub reshaping: bool,
    /// Whether the member has a list of blocks that cannot be read.
    pub bad_blocks: bool,
}

/// Why a superblock cannot be believed. Offsets are bytes of the device.
#[derive(Debug, thiserror::Error)]
pub enum MdError {
    /// Reading failed.
    #[error("cannot be read at {offset:#x}: {source}")]
    Io {
        /// Offset in bytes.
        offset: u64,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The checksum does not match.
    #[error(
        "the RAID superblock at {offset:#x} has the checksum {found:#010x}, expected {expected:#010x}"
    )]
    Checksum {
        /// Where it is.
        offset: u64,
        /// What is stored.
        expected: u32,
        /// What the bytes have.
        found: u32,
    },
    /// A field says what cannot be.
    #[error("the RAID superblock at {offset:#x} says {found} as {field}")]
    Field {
        /// Where it is.
        offset: u64,
        /// Which field.
        field: &'static str,
        /// What it says.
        found: u64,
    },
}

impl Superblock {
    /// Looks at all places where a superblock can be; `None` if there is none.
    pub fn read(device: &dyn ReadAt) -> Result<Option<Self>, MdError> {
        let len = device.len();
        let mut fault = None;
        let last = len.checked_sub(16 * SECTOR).map(|at| at - at % 4096);
        let places = [(Version::V12, Some(4096)), (Version::V11, Some(0)), (Version::V10, last)];
        for (version, offset) in places {
            let Some(offset) = offset else { continue };
            let mut bytes = vec![0; 4096];
            if offset.checked_add(4096).is_none_or(|end| end > len) {
                continue;
            }
            device
                .read_exact_at(&mut bytes, offset)
                .map_err(|source| MdError::Io { offset, source })?;
            if le32(&bytes, 0) != Some(MAGIC) || le32(&bytes, 4) != Some(1) {
                continue;
            }
            // Where it says it is tells a member from a device that contains one.
            if le64(&bytes, 144) != Some(offset / SECTOR) {
                continue;
            }
            match Self::parse(&bytes, version, offset, len) {
                Ok(superblock) => return Ok(Some(superblock)),
                Err(error) => fault = fault.or(Some(error)),
            }
        }
        match v090::read(device) {
            Ok(Some(superblock)) => return Ok(Some(superblock)),
            Ok(None) => {}
            Err(error) => fault = fault.or(Some(error)),
        }
        fault.map_or(Ok(None), Err)
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
        if data_offset.saturating_add(data_size) > len {
            return Err(bad(
                "an end of its data that is beyond the device's",
                (data_offset + data_size) / SECTOR,
            ));
        }
        let layout = match level {
            Level::Raid0 if features & feature::RAID0_LAYOUT == 0 => 0,
            _ => half(76),
        };
        let role =
            role(bytes, roles, features).ok_or_else(|| bad("its own number", half(160).into()))?;
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
            role,
            data_offset,
            data_size,
            events: word(200),
            updated: word(192) & ((1 << 40) - 1),
            clean: word(208) == u64::MAX,
            reshaping: features & (feature::RESHAPE | feature::NEW_OFFSET) != 0,
            bad_blocks: features & feature::BAD_BLOCKS != 0 && le16(bytes, 186) != Some(0),
        })
    }
}

/// What the table of roles says of this member.
fn role(bytes: &[u8], roles: u32, features: u32) -> Option<Role> {
    let number = le32(bytes, 160).filter(|number| *number < roles)?;
    let role = le16(bytes, LEN + 2 * number as usize)?;
    let partly = features & (feature::RECOVERY_OFFSET | feature::REPLACEMENT) != 0;
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
