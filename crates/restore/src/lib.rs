//! The engine of snaprestore: brings a logical volume back from its members, in parallel and verified, and reads it on
//! demand. It is blind to formats: a member is a [`source::Source`].
//!
//! Data flows one way: [`Volume`] → [`engine`] → [`sink`] → [`Report`]; [`job`] is a restore from its beginning to its
//! end.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

pub mod aligned;
mod digests;
pub mod engine;
pub mod extract;
mod foreground;
pub mod image;
pub mod job;
pub mod journal;
mod layout;
pub mod layout_file;
pub mod mapfile;
pub mod on_panic;
mod part;
mod plan;
mod progress;
pub mod ranges;
pub mod reader;
pub mod renamed;
mod report;
mod runs;
pub mod set;
pub mod sink;
pub mod source;
pub mod survey;
pub mod threads;
mod throttle;
mod volume;

pub use digests::{Algorithm, Digests, NotAnAlgorithm};
pub use foreground::{Foreground, Reading};
pub use layout::{Layout, LogicalRange, MemberRange, describe};
pub use part::{NotAPart, Part};
pub use progress::Progress;
pub use ranges::RangeSet;
pub use report::{Counts, Damage, Report};
pub use snapfmt;
pub use throttle::Throttle;
pub use volume::{LayoutMismatch, Volume, VolumeMember};
