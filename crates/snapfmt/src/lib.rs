//! The chunked snapshot format of snaprestore: bytes to checked structures, and back.
//!
//! A `.snap` file holds one member of a snapshot set. It is a valid Zstandard stream: chunk data in
//! ordinary frames, everything else in skippable ones. `docs/FORMAT.md` is normative.
//!
//! This crate knows no threads, no policy and no paths. Whatever it returns has been checked:
//!
//! ```
//! use std::sync::Arc;
//! use snapfmt::{Limits, Snapshot};
//!
//! let not_a_snapshot = Arc::new(b"something else entirely".to_vec());
//! let error = Snapshot::open(not_a_snapshot, &Limits::DEFAULT).unwrap_err();
//! assert!(error.to_string().contains("is not a snaprestore snapshot"));
//! ```
//!
//! - [`Snapshot`] opens a file; [`Decoder`] reads its chunks.
//! - [`SnapshotStream`] reads a full one in a single pass, from a pipe.
//! - [`SnapshotWriter`] writes one in a single pass; [`Encoder`] makes its chunks.
//! - [`verify`] checks every byte; [`scan`] finds what is left of a damaged file.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod codec;
mod coverage;
mod envelope;
mod error;
mod extent_map;
mod footer;
mod geometry;
mod ids;
mod index;
mod input;
mod json;
mod layout_error;
mod limits;
mod manifest;
mod offset;
mod read_at;
mod reader;
mod record;
pub mod scan;
pub mod state;
mod stream;
pub mod verify;
mod wire;
mod writer;
pub mod zero_frame;

pub use codec::{Decoder, Encoder, MAX_WINDOW_LOG, crc32};
pub use envelope::{PROJECT_MAGIC, SKIPPABLE_MAGIC, is_frame_header};
pub use error::{Fault, FormatError, NotStream, Result, Structure};
pub use extent_map::{Column, ExtentMap, Mapping, Segment};
pub use footer::Footer;
pub use geometry::{BadChunkSize, ChunkNo, ChunkSize, Geometry, MemberNo};
pub use ids::{Digest, FileTag, NotADigest, SetContentId, SnapshotId, StateId};
pub use index::{IndexRoot, PER_PAGE, PageEntry, Spill, Totals};
pub use layout_error::LayoutError;
pub use limits::Limits;
pub use manifest::{
    BadId, CheckedManifest, Consistency, ExtentMapDigest, Format, Manifest, Member, Parent, SetId,
    SetManifest, VERSION, VolumeId,
};
pub use offset::Offset;
pub use read_at::{PreadFile, ReadAt};
pub use reader::{Snapshot, identify};
pub use record::{Content, Record, RecordContext, Stored};
pub use stream::SnapshotStream;
pub use wire::{FOOTER_BYTES, HEADER_LEN, RECORD_BYTES};
pub use writer::{SnapshotWriter, Unsealed, WriteError, describe_map};
