//! What can be wrong with the data of another system's backup.

use snapfmt::Offset;
use std::fmt;
use std::io;
use std::ops::Range;

/// What is wrong with stored data of another system's backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupFault {
    /// The file that holds the bytes is not there.
    #[error("is missing; it holds bytes {} to {}", Offset(range.start), Offset(range.end))]
    Missing {
        /// Bytes of the member.
        range: Range<u64>,
    },
    /// The file, or what it decompresses to, is shorter or longer than it must be.
    #[error("has {found} bytes for {} to {}, {expected} are expected", Offset(range.start), Offset(range.end))]
    Length {
        /// Bytes of the member.
        range: Range<u64>,
        /// Bytes it must have.
        expected: u64,
        /// Bytes it has.
        found: u64,
    },
    /// The bytes are not those that the checksum was made of.
    #[error(
        "bytes {} to {} have {algorithm} {found}, {expected} is expected",
        Offset(range.start), Offset(range.end))]
    Checksum {
        /// Bytes of the member.
        range: Range<u64>,
        /// The algorithm's name.
        algorithm: &'static str,
        /// What was stored with the data.
        expected: Checksum,
        /// What the data gives.
        found: Checksum,
    },
    /// The compressed data is damaged.
    #[error("bytes {} to {} cannot be decompressed: {source}", Offset(range.start), Offset(range.end))]
    Compressed {
        /// Bytes of the member.
        range: Range<u64>,
        /// What the decompressor says.
        #[source]
        source: io::Error,
    },
}

/// A checksum of any length, shown in hexadecimal.
#[derive(Clone, PartialEq, Eq)]
pub struct Checksum(Box<[u8]>);

impl From<&[u8]> for Checksum {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
