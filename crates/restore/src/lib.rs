//! The engine of snaprestore: finds snapshot sets among files, lays their members together and
//! brings the logical volume back, in parallel and verified.
//!
//! Data flows one way: files → [`catalog`] → [`Volume`] → [`engine`] → [`sink`] → [`Report`].
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

#[cfg(feature = "attach")]
pub mod attach;
mod byte_size;
pub mod capture;
pub mod catalog;
pub mod device;
mod digests;
pub mod engine;
pub mod entry;
pub mod extract;
pub mod filesystem;
pub mod hydrate;
pub mod image;
pub mod in_use;
pub mod interlock;
pub mod job;
pub mod journal;
mod layout;
pub mod layout_file;
mod lock;
pub mod mapfile;
pub mod memory;
mod mmap;
mod mounts;
mod on_panic;
pub mod overlay;
mod part;
pub mod partitions;
mod plan;
mod progress;
mod ranges;
pub mod reader;
pub mod rebuild;
mod report;
pub mod room;
mod runs;
pub mod signature;
pub mod sink;
pub mod source;
mod sparse;
pub mod stream;
pub mod survey;
pub mod threads;
mod throttle;
pub mod verify;
mod volume;

pub use byte_size::{ByteSize, NotASize};
pub use digests::{Algorithm, Digests, NotAnAlgorithm};
pub use layout::{Layout, LogicalRange, MemberRange, describe};
pub use mmap::MappedFile;
pub use part::{NotAPart, Part};
pub use progress::Progress;
pub use ranges::RangeSet;
pub use report::{Counts, Damage, Report};
pub use snapfmt;
pub use throttle::Throttle;
pub use volume::{LayoutMismatch, Volume, VolumeMember};
