//! Linux software RAID (MD): superblocks, which devices make an array, and where its bytes are.
//!
//! Facts are from the kernel's `include/uapi/linux/raid/md_p.h`, `drivers/md/md.c`, `raid0.c`,
//! `md-linear.c` and `raid10.c`.

mod array;
mod assemble;
mod bad_blocks;
mod layout;
mod standing;
mod superblock;

pub use array::{Array, Member};
pub use assemble::arrays;
pub use bad_blocks::Bad;
pub use layout::Refused;
pub use standing::MemberState;
pub use superblock::{
    ArrayId, FoundMember, Level, MdError, OnDevice, Role, RoleTable, Superblock, Version,
};

/// Unit of sizes and offsets in superblocks, in bytes.
pub const SECTOR: u64 = 512;
