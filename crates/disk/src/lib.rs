//! What the bytes of a disk say: which formats they are of, how partition tables, LVM2 and MD lay devices
//! over others, what filesystems say of themselves. Reads through [`snapfmt::ReadAt`] alone: it knows no
//! operating system, and writes nothing.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

pub mod agreement;
mod fields;
pub mod filesystem;
pub mod guess;
pub mod lvm2;
pub mod md;
pub mod partitions;
pub mod pieces;
pub mod signature;
