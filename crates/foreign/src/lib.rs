//! Readers of other systems' backups and volume layouts, one module a format. A backup becomes a
//! [`restore::source::Source`], a layout a [`restore::Layout`]; from there on the engine is blind to
//! what it was.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

pub mod backup;
pub mod ebs;
mod evidence;
mod find;
mod limits;
mod token_guard;
mod walk;
mod within;

pub use find::{Found, find};
pub use limits::Limits;
