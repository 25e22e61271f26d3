//! Where bytes go, by position.

mod image;
mod in_place;
mod null;
mod pipe;
mod readback;
mod writer;
mod zero;

use std::io;
use std::ops::Range;
use std::path::Path;

pub use image::{ImageOptions, ImageSink};
pub use in_place::InPlaceSink;
pub use null::NullSink;
pub use pipe::PipeSink;
pub use readback::ReadBack;
pub use writer::{Io, Method};

/// A target. Workers call it from any thread, each byte of the job's range exactly once, either as
/// data or as zeros; one after the other and in order where the target asks for it.
pub trait Sink: Send + Sync {
    /// Writes `data` at logical byte `offset`.
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()>;

    /// Makes the logical bytes `range` read as zeros.
    fn zero_at(&self, range: Range<u64>) -> io::Result<()>;

    /// Whether bytes must come in logical order, each where the one before ended.
    fn is_ordered(&self) -> bool {
        false
    }

    /// Whether a write waits for a device or a reader, so that writers of their own should do that; where
    /// it keeps a processor busy itself, more threads only get in each other's way.
    fn waits(&self) -> bool {
        true
    }

    /// Whether it helps to ask for room before the first write: where that waits for a filesystem, and
    /// not all is given already.
    fn wants_room(&self) -> bool {
        false
    }

    /// Asks for room for the logical bytes `range`, which will be written; `false` when there is no more
    /// to be had.
    fn reserve(&self, range: &Range<u64>) -> bool {
        let _ = range;
        false
    }

    /// For messages.
    fn path(&self) -> &Path;

    /// Makes everything written durable. When that fails, nothing written since it last worked can
    /// be relied on.
    fn sync(&self) -> io::Result<()>;

    /// Makes everything written durable and gives the target its final name.
    fn finish(self: Box<Self>) -> io::Result<()>;
}
