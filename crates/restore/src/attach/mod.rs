//! A volume as a file and a loop device, without restoring it: served from its chunks as they are
//! read.
//!
//! A [`Server`] shows an [`crate::image::Image`] as the one file of a FUSE mount, and puts a loop device over
//! that file. It is a process of its own, which others meet through its [`Place`]: a directory with the
//! mount, what the server says of itself ([`State`]), and a socket to ask it. An [`Attached`] volume is what
//! such a directory tells, whether its server still lives or not; [`Attached::detach`] takes either down.
//!
//! The server touches neither its own mount nor a filesystem on its device once it serves: a process
//! that waits for itself cannot be killed. Filesystems are mounted and unmounted by those who start the
//! server and end it.

mod attached;
mod control;
mod error;
mod figures;
mod find;
mod fuse;
mod holders;
mod leftovers;
mod loop_device;
mod mount;
mod mounted;
mod place;
mod server;
mod state;
mod sys;
mod trust;
mod twins;

/// What the mount of a raw file says it is mounted from.
const FUSE_SOURCE: &str = "snaprestore";

pub use attached::{Attached, Life};
pub use control::Status;
pub use error::{AttachError, DetachError};
pub use figures::{Behind, CacheFigures, Event, Figures};
pub use find::{Found, NothingToMount, all as find_all, find};
pub use fuse::Disk;
pub use holders::Holder;
pub use mount::{Access, MountError, Plan, Recipe, Unmountable};
pub use place::{Home, Name, NotAName, Place};
pub use server::{Device, Options, Server, sector_size_for};
pub use state::{LoopState, MountPoint, State};
pub use trust::Untrusted;
pub use twins::Twin;
