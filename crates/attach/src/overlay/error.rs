//! Why an overlay cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use host::entry::Foreign;

/// Why an overlay cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    /// It cannot be made, read or written.
    #[error("{}: the overlay cannot be used: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A new one was asked for.
    #[error("{}: exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Another process writes to it, or has just replaced it.
    #[error("{}: another process uses this overlay", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// Another user may have written to it, or it leads to another file.
    #[error("{}: {why}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What tells so.
        why: Foreign,
    },
    /// It is something else.
    #[error("{}: is not an overlay", path.display())]
    NotAnOverlay {
        /// The file.
        path: PathBuf,
    },
    /// A later version of the program wrote it.
    #[error("{}: is an overlay of version {found}, this program knows version {known}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version known.
        known: u32,
    },
    /// Its header fails its check.
    #[error("{}: the overlay's header is damaged: CRC-32 is {found:08x}, expected {expected:08x}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The checksum of what is there.
        found: u32,
        /// The checksum that the header gives.
        expected: u32,
    },
    /// It is over another image.
    #[error("{}: is an overlay over content {}, not {expected}", path.display(), found.escape_debug())]
    OtherContent {
        /// The file.
        path: PathBuf,
        /// The content of the image.
        expected: String,
        /// The content that it is over.
        found: String,
    },
    /// It is over an image of another size.
    #[error("{}: is an overlay over {found} bytes, not {expected}", path.display())]
    OtherSize {
        /// The file.
        path: PathBuf,
        /// Bytes of the image.
        expected: u64,
        /// Bytes of the image that it is over.
        found: u64,
    },
    /// An image, or what says what it is, is too large for any overlay.
    #[error("{}: no overlay can be over an image of {size} bytes and content {}", path.display(), content.escape_debug())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Bytes of the image.
        size: u64,
        /// The content of the image.
        content: String,
    },
}

impl OverlayError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(super) fn foreign(path: &Path, why: Foreign) -> Self {
        Self::Foreign { path: path.to_owned(), why }
    }
}
