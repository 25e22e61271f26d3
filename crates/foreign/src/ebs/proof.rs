//! Files with data, opened below the directories that were given, and what proves their bytes.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

use restore::source::{BackupFault, Checksum, Proof, ReadCause, ReadError};
use sha2::{Digest, Sha256};

use crate::within::Roots;

/// Opens the file of some bytes; gives its length as well.
pub(super) fn opened(
    roots: &Roots,
    path: &Path,
    range: &Range<u64>,
) -> Result<(File, u64), ReadError> {
    roots.open(path).map_err(|source| not_read(path, range, source))
}

/// A file that cannot be read, or is not there.
pub(super) fn not_read(path: &Path, range: &Range<u64>, source: io::Error) -> ReadError {
    if source.kind() == io::ErrorKind::NotFound {
        return ReadError::new(path, BackupFault::Missing { range: range.clone() });
    }
    ReadError::new(path, ReadCause::Io { offset: 0, source })
}

/// Compares bytes with their checksum.
pub(super) fn proved(
    path: &Path,
    range: &Range<u64>,
    bytes: &[u8],
    expected: &[u8; 32],
) -> Result<Proof, ReadError> {
    let found = Sha256::digest(bytes);
    if found.as_slice() == expected {
        return Ok(Proof::Digest);
    }
    let fault = BackupFault::Checksum {
        range: range.clone(),
        algorithm: "SHA-256",
        expected: Checksum::from(expected.as_slice()),
        found: Checksum::from(found.as_slice()),
    };
    Err(ReadError::new(path, fault))
}
