//! The engine of snaprestore: finds snapshot sets among files, lays their members together and
//! brings the logical volume back, in parallel and verified.
//!
//! Data flows one way: files → [`catalog`] → [`Volume`] → [`engine`] → [`sink`] → [`Report`].
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

mod byte_size;
pub mod capture;
pub mod catalog;
pub mod device;
pub mod engine;
pub mod in_use;
mod layout;
pub mod layout_file;
pub mod mapfile;
mod mmap;
mod plan;
mod progress;
pub mod rebuild;
mod report;
pub mod sink;
pub mod source;
pub mod verify;
mod volume;

pub use byte_size::{ByteSize, NotASize};
pub use layout::{Layout, LogicalRange, MemberRange, describe};
pub use mmap::MappedFile;
pub use progress::Progress;
pub use report::{Counts, Damage, Report};
pub use snapfmt;
pub use volume::{LayoutMismatch, Volume, VolumeMember};
