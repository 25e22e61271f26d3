//! What can be wrong with a physical volume and the metadata on it.

use super::text::TextFault;
use snapfmt::Offset;

/// Why a label, an area or a text of LVM2 cannot be believed. Offsets are bytes of the device.
#[derive(Debug, thiserror::Error)]
pub enum LvmError {
    /// Reading failed.
    #[error("cannot be read at {offset}: {source}", offset = Offset(*offset))]
    Io {
        /// Offset in bytes.
        offset: u64,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// A checksum does not match.
    #[error("the {what} at {offset} has the checksum {found:#010x}, expected {expected:#010x}", offset = Offset(*offset))]
    Checksum {
        /// What it is of.
        what: &'static str,
        /// Where it is, in bytes.
        offset: u64,
        /// What is stored.
        expected: u32,
        /// What the bytes have.
        found: u32,
    },
    /// A field says what cannot be.
    #[error("the {what} at {offset} says {found} as {field}", offset = Offset(*offset))]
    Field {
        /// The structure.
        what: &'static str,
        /// Where it is, in bytes.
        offset: u64,
        /// Which field.
        field: &'static str,
        /// What it says.
        found: u64,
    },
    /// The metadata is no text that lvm2 writes.
    #[error("the metadata text of the area at {offset}: {source}", offset = Offset(*offset))]
    Text {
        /// Where the area is, in bytes.
        offset: u64,
        /// What is wrong.
        #[source]
        source: TextFault,
    },
}
