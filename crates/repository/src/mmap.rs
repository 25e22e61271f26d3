//! Files read through a memory map.
#![expect(unsafe_code, reason = "a memory map is only as stable as the file behind it")]

use std::fs::File;
use std::io;

use memmap2::Mmap;
use snapfmt::ReadAt;

/// A regular local file, mapped. Reads cost no copy; a medium that fails costs the process.
#[derive(Debug)]
pub struct MappedFile(Mmap);

impl MappedFile {
    /// Maps a file as long as it is now.
    pub fn map(file: &File) -> io::Result<Self> {
        // SAFETY: the map is private to this value and only read. Bytes that another process changes
        // meanwhile are no worse than a damaged file: whatever is read is checked before it is
        // believed, and never as anything but bytes. A file that is made shorter, or a medium that
        // fails, ends the process with SIGBUS; the caller chose this backing for files where
        // neither is to be expected.
        let map = unsafe { Mmap::map(file)? };
        Ok(Self(map))
    }
}

impl ReadAt for MappedFile {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0[..].read_exact_at(buf, offset)
    }

    fn window<'a>(
        &'a self,
        offset: u64,
        len: usize,
        scratch: &'a mut Vec<u8>,
    ) -> io::Result<&'a [u8]> {
        self.0[..].window(offset, len, scratch)
    }
}
