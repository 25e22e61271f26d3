//! Sizes of the fixed structures, and reading them field by field.

use std::io::Read;

use crate::error::{Fault, FormatError, Structure};

/// Bytes before a frame's payload, the 8 zstd bytes included.
pub const HEADER_LEN: usize = 64;
/// [`HEADER_LEN`] as a file length.
pub(crate) const HEADER_BYTES: u64 = HEADER_LEN as u64;
/// Encoded length of a record in bytes.
pub const RECORD_BYTES: u32 = 64;
/// [`RECORD_BYTES`] as a length in memory.
pub(crate) const RECORD_LEN: usize = RECORD_BYTES as usize;
/// Length of a footer's payload in bytes.
pub(crate) const FOOTER_PAYLOAD: u32 = 168;
/// Length of a footer with its header: the last bytes of every whole file.
pub const FOOTER_BYTES: u64 = HEADER_BYTES + FOOTER_PAYLOAD as u64;

/// The next `N` bytes.
pub(crate) fn array<const N: usize>(r: &mut &[u8]) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    r.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Turns running out of bytes inside an already length-checked payload into an error about it.
pub(crate) fn short(what: Structure, at: u64) -> impl Fn(std::io::Error) -> FormatError {
    move |e| what.fault(at, Fault::Io(e))
}
