//! Files that are read by position.

use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;

use rustix::fs::{Advice, fadvise};

/// A file of known length that is read by position, from any thread.
pub trait ReadAt: Send + Sync {
    /// Length in bytes, as it was when opened.
    fn len(&self) -> u64;

    /// Fills `buf` from `offset`, or fails with [`io::ErrorKind::UnexpectedEof`] and the like.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// Tells the system that `len` bytes from `offset` will be read soon. A hint: it neither waits nor
    /// fails, and by default it is not passed on.
    fn will_need(&self, _offset: u64, _len: u64) {}

    /// Whether there is nothing to read.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `len` bytes from `offset`, without a copy where the backing has them in memory already;
    /// otherwise they are read into `scratch`, which grows only for what the file really holds.
    fn window<'a>(
        &'a self,
        offset: u64,
        len: usize,
        scratch: &'a mut Vec<u8>,
    ) -> io::Result<&'a [u8]> {
        if offset.checked_add(len as u64).is_none_or(|end| end > self.len()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if scratch.len() < len {
            scratch.resize(len, 0);
        }
        let (buf, _) = scratch.split_at_mut(len);
        self.read_exact_at(buf, offset)?;
        Ok(buf)
    }
}

impl ReadAt for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        buf.copy_from_slice(slice(self, offset, buf.len())?);
        Ok(())
    }

    fn window<'a>(&'a self, offset: u64, len: usize, _: &'a mut Vec<u8>) -> io::Result<&'a [u8]> {
        slice(self, offset, len)
    }
}

impl ReadAt for Vec<u8> {
    fn len(&self) -> u64 {
        self.as_slice().len() as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.as_slice().read_exact_at(buf, offset)
    }

    fn window<'a>(&'a self, offset: u64, len: usize, _: &'a mut Vec<u8>) -> io::Result<&'a [u8]> {
        slice(self, offset, len)
    }
}

fn slice(all: &[u8], offset: u64, len: usize) -> io::Result<&[u8]> {
    usize::try_from(offset)
        .ok()
        .and_then(|start| all.get(start..start.checked_add(len)?))
        .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// A file read with `pread(2)`: the safe choice for devices, network filesystems and failing media,
/// where a bad sector must be an error and not a signal.
#[derive(Debug)]
pub struct PreadFile {
    file: File,
    len: u64,
}

impl PreadFile {
    /// Takes a file opened for reading and its length in bytes (for a device, what the device says,
    /// which its metadata does not).
    pub const fn new(file: File, len: u64) -> Self {
        Self { file, len }
    }
}

impl ReadAt for PreadFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn will_need(&self, offset: u64, len: u64) {
        // What cannot be read will fail when it is read.
        let _ = fadvise(&self.file, offset, NonZeroU64::new(len), Advice::WillNeed);
    }
}
