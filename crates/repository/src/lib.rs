//! The one door of snaprestore: paths → snapshot sets of any format → the set that is meant → its volume; and
//! what is done with sets besides restoring them: capture, verify, rebuild.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

mod agreement;
mod any_set;
mod backups;
pub mod capture;
pub mod catalog;
mod error;
mod finding;
mod member_bytes;
mod mmap;
mod prove;
pub mod rebuild;
mod repository;
mod select;
pub mod stack;
pub mod stream;
pub mod verify;

pub use agreement::disagreement;
pub use any_set::AnySet;
pub use backups::select_backup;
pub use error::RepositoryError;
pub use finding::Finding;
pub use member_bytes::member_bytes;
pub use mmap::MappedFile;
pub use prove::Proving;
pub use repository::Repository;
pub use select::Selected;
