//! A logical volume as a raw image that is read, and perhaps written, anywhere and at once: what is
//! attached, served and read in pieces, as against restored from end to end.

mod source;

use snapfmt::Offset;
use std::io;
use std::ops::{Deref, Range};
use std::sync::Arc;

use snapfmt::ReadAt;

use crate::source::{ReadCause, ReadError};

pub use source::ImageSource;

/// A raw image that is read on demand, by any number of threads.
///
/// Offsets are bytes of the image.
pub trait Image: Send + Sync {
    /// Size in bytes.
    fn size(&self) -> u64;

    /// Fills `out` with the bytes from `offset`, all of them checked; the range lies within the
    /// image. On an error `out` holds nothing that may be used: zeros never stand for what is lost.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), ImageError>;

    /// Whether there is data at `offset`, which is less than the size, and how far at least that goes.
    fn run_at(&self, offset: u64) -> Result<Run, ImageError>;
}

/// An image that is written to as well.
pub trait WritableImage: Image {
    /// Writes `bytes` from `offset`; the range lies within the image. Durable only when
    /// [`WritableImage::flush`] has come back.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), ImageError>;

    /// Makes a range read as zeros, as cheaply as can be.
    fn zero_at(&self, range: Range<u64>) -> Result<(), ImageError>;

    /// Makes all that was written durable. After an error nothing written since the last good flush
    /// may be counted on.
    fn flush(&self) -> Result<(), ImageError>;
}

/// A run of an image's bytes from an offset asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// The first byte after it; more of the same may follow.
    pub end: u64,
    /// Whether there is data; otherwise all reads as zeros, and nothing is stored for it.
    pub is_data: bool,
}

/// Why bytes of an image could not be read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ImageError {
    /// What is stored for them is damaged or cannot be read.
    #[error(transparent)]
    Damaged(Arc<ReadError>),
    /// What is written over the image, or its local copy, cannot be read or written.
    #[error("{}: {action} at {offset}: {source}", path.display(), offset = Offset(*offset))]
    Local {
        /// The file.
        path: std::path::PathBuf,
        /// What was tried.
        action: &'static str,
        /// Offset in bytes.
        offset: u64,
        /// The system's error.
        #[source]
        source: Arc<io::Error>,
    },
    /// The range asked for is not within the image.
    #[error("bytes {start} to {end} are beyond the end at {size}", start = Offset(*start), end = Offset(*end), size = Offset(*size))]
    Beyond {
        /// First byte asked for.
        start: u64,
        /// First byte after them.
        end: u64,
        /// Size of the image.
        size: u64,
    },
}

impl ImageError {
    /// The end of `len` bytes from `offset` of an image of `size` bytes, if that has them all.
    pub fn check_range(offset: u64, len: u64, size: u64) -> Result<u64, Self> {
        let end = offset.saturating_add(len);
        if end > size { Err(Self::Beyond { start: offset, end, size }) } else { Ok(end) }
    }
}

impl From<ReadError> for ImageError {
    fn from(error: ReadError) -> Self {
        Self::Damaged(Arc::new(error))
    }
}

impl From<ImageError> for ReadCause {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Damaged(below) => Self::Below(below),
            ImageError::Local { offset, source, .. } => {
                Self::Io { offset, source: io::Error::new(source.kind(), source) }
            }
            beyond @ ImageError::Beyond { start, .. } => Self::Io {
                offset: start,
                source: io::Error::new(io::ErrorKind::UnexpectedEof, beyond),
            },
        }
    }
}

/// An image as what parsers read from: a `&dyn Image` or, to own it, an `Arc<dyn Image>`.
pub struct ImageBytes<I>(pub I);

impl<I> ReadAt for ImageBytes<I>
where
    I: Deref<Target: Image> + Send + Sync,
{
    fn len(&self) -> u64 {
        self.0.size()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.0.size()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.0.read_at(offset, buf).map_err(io::Error::other)
    }
}
