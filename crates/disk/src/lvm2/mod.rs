//! LVM2: physical volumes, the metadata written on them, and where the logical volumes lie.
//!
//! Facts are from lvm2's `lib/label/label.h`, `lib/format_text/` and `lib/*/*.c`, one a segment type.

mod area;
mod crc;
mod error;
mod extents;
mod group;
mod id;
mod label;
mod leg_state;
mod mapping;
mod mirror_log;
mod raid;
mod segment;
mod text;
mod thin;
mod vg;

pub use area::{MetadataArea, read_area};
pub use error::LvmError;
pub use group::{FoundPv, Group, Member, OldCopy, PvState, groups};
pub use id::LvmId;
pub use label::{Area, PvLabel};
pub use leg_state::{LegNote, LegState, Lost};
pub use mapping::{Mapper, Part, Unreadable};
pub use segment::{AreaRef, Leg, MirrorLog, On, Segment, SegmentKind};
pub use text::{Section, TextFault, Value};
pub use thin::{ThinDoubt, ThinError};
pub use vg::{LogicalVolume, PvEntry, VolumeGroup};

/// Unit of sizes in labels and metadata, in bytes, whatever the device's own sectors.
pub const SECTOR: u64 = 512;
