//! A volume as a file and a loop device, without restoring it: served from its chunks as they are
//! read.
//!
//! A [`Server`] shows an [`restore::image::Image`] as the one file of a FUSE mount, and puts a loop device over
//! that file. It is a process of its own, which others meet through its [`Place`]: a directory with the
//! mount, what the server says of itself ([`State`]), and a socket to ask it. An [`Attached`] volume is what
//! such a directory tells, whether its server still lives or not; [`Attached::detach`] takes either down.
//!
//! The server touches neither its own mount nor a filesystem on its device once it serves: a process
//! that waits for itself cannot be killed. Filesystems are mounted and unmounted by those who start the
//! server and end it.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

mod attached;
mod control;
mod error;
mod figures;
mod holder;
pub mod hydrate;
mod loop_device;
mod mount;
mod name;
pub mod overlay;
mod place;
mod server;
mod state;
mod trust;

pub use attached::{Attached, Life};
pub use control::Status;
pub use error::{AttachError, DetachError};
pub use figures::{Behind, CacheFigures, Event, Figures};
pub use holder::Holder;
pub use mount::duplicate_uuid::DuplicateUuid;
pub use mount::find::{Found, NothingToMount, all as find_all, find};
pub use mount::{Access, MountError, Plan, Recipe, Unmountable};
pub use name::{Name, NotAName};
pub use place::{Home, Place};
pub use server::fuse::Disk;
pub use server::{Device, Options, Server, sector_size_for};
pub use state::{LoopState, MountPoint, State};
pub use trust::Untrusted;
