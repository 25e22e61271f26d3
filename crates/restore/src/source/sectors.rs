//! Single sectors of a file or device, past the page cache: the system reads whole pages into that, and as
//! many before and behind them as it sees fit.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use rustix::fs::OFlags;

use crate::aligned::{ALIGN, AlignedBuffer};
use host::device;

/// How a file or device is read where it fails.
#[derive(Debug)]
pub struct Sectors {
    direct: Option<File>,
    size: u32,
}

impl Sectors {
    /// Of an open file: the very same one is opened once more, whatever its name leads to by now.
    pub fn of(file: &File) -> Self {
        let same = format!("/proc/self/fd/{}", file.as_raw_fd());
        let flags = i32::try_from(OFlags::DIRECT.bits()).unwrap_or(0);
        let direct = OpenOptions::new().read(true).custom_flags(flags).open(same).ok();
        let logical = device::sectors(file).map_or(512, |(logical, _)| logical);
        // Through the page cache a page is the least that is read.
        let least = if direct.is_some() { 512 } else { 4096 };
        Self { direct, size: logical.max(least) }
    }

    /// Bytes of a sector.
    pub const fn size(&self) -> u32 {
        self.size
    }

    /// Reads whole sectors of `file`, which these are of, or those up to its end.
    pub fn read(&self, file: &File, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if let Some(direct) = &self.direct {
            match read_direct(direct, offset, out) {
                // "EINVAL: the alignment restrictions of O_DIRECT are not met" (read(2)).
                Err(e) if e.kind() == io::ErrorKind::InvalidInput => {}
                read => return read,
            }
        }
        file.read_exact_at(out, offset)
    }
}

fn read_direct(file: &File, offset: u64, out: &mut [u8]) -> io::Result<()> {
    let len = out.len();
    let mut buffer = AlignedBuffer::default();
    buffer.reserve(len.next_multiple_of(512) + ALIGN, 0);
    let bytes = &mut buffer.bytes_mut()[..len.next_multiple_of(512)];
    let mut done = 0;
    while done < len {
        match file.read_at(&mut bytes[done..], offset + done as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => done += read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    out.copy_from_slice(&bytes[..len]);
    Ok(())
}
