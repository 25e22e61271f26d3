//! Where a file says it has nothing: `lseek(2)` with `SEEK_DATA` and `SEEK_HOLE`.

use std::fs::File;
use std::io;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use crate::device;

/// The end of the hole at `offset`, at most `size`; `offset` itself where there is data, or the
/// filesystem does not tell.
pub fn data_from(file: &File, offset: u64, size: u64) -> io::Result<u64> {
    match seek(file, SeekFrom::Data(offset)) {
        Ok(data) => Ok(data.min(size)),
        // Nothing up to the end, if that is still where it was: bytes that are gone are no hole.
        Err(Errno::NXIO) if device::size(file)? >= size => Ok(size),
        Err(Errno::NXIO) => Err(io::ErrorKind::UnexpectedEof.into()),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(offset),
        Err(e) => Err(e.into()),
    }
}

/// The end of the data at `offset`, at most `size`.
pub fn hole_from(file: &File, offset: u64, size: u64) -> io::Result<u64> {
    match seek(file, SeekFrom::Hole(offset)) {
        Ok(hole) => Ok(hole.min(size)),
        Err(Errno::NXIO | Errno::INVAL | Errno::OPNOTSUPP) => Ok(size),
        Err(e) => Err(e.into()),
    }
}
