//! What the running system says of files and devices: which one it is, where it is mounted, what uses it, how
//! much fits there; names in open directories, locks, and the claim on a target that is to be overwritten.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

mod byte_size;
pub mod device;
pub mod entry;
mod fault;
pub mod in_use;
pub mod interlock;
pub mod lock;
pub mod memory;
pub mod mounts;
mod no_modes;
pub mod room;
pub mod sparse;

pub use byte_size::{ByteSize, NotASize};
pub use fault::is_of_machine;
