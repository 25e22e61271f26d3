//! Making bytes of a file or device that is there already read as zeros.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::writer::Writer;
use crate::aligned::{ALIGN, AlignedBuffer};
use crate::ranges::length;

/// Zeros that are written are written in pieces of this many bytes.
const PIECE: usize = 1 << 20;

/// How zeros come about, the best first. On a block device the first two are what the ioctl
/// `BLKZEROOUT` does, with and without leave to unmap (`fallocate(2)`; `blkdev_fallocate` in the
/// kernel's `block/fops.c`): both guarantee zeros, which discarding alone does not.
const METHODS: [Option<FallocateFlags>; 3] = [
    Some(FallocateFlags::PUNCH_HOLE.union(FallocateFlags::KEEP_SIZE)),
    Some(FallocateFlags::ZERO_RANGE.union(FallocateFlags::KEEP_SIZE)),
    None,
];

/// Zeroes ranges; falls back for good where the target turns a method down.
#[derive(Debug)]
pub(super) struct Zeroer {
    file: File,
    method: AtomicU8,
}

impl Zeroer {
    /// For a file open for writing. With `keep_space` the space stays allocated.
    pub(super) fn new(file: File, keep_space: bool) -> Self {
        Self { file, method: AtomicU8::new(u8::from(keep_space)) }
    }

    /// Makes `range` zeros, none of it beyond the end of the file.
    pub(super) fn zero(&self, writer: &Writer, range: &Range<u64>) -> io::Result<()> {
        // A device takes whole sectors only.
        let align = ALIGN as u64;
        let start = range.start.next_multiple_of(align).min(range.end);
        let end = (range.end - range.end % align).max(start);
        write_zeros(writer, &(range.start..start))?;
        self.zero_aligned(writer, &(start..end))?;
        write_zeros(writer, &(end..range.end))
    }

    fn zero_aligned(&self, writer: &Writer, range: &Range<u64>) -> io::Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let mut number = self.method.load(Ordering::Relaxed);
        while let Some(Some(flags)) = METHODS.get(usize::from(number)) {
            match fallocate(&self.file, *flags, range.start, length(range)) {
                // EREMOTEIO: the device said it could and then could not.
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::REMOTEIO) => {
                    number += 1;
                    self.method.fetch_max(number, Ordering::Relaxed);
                }
                // Of a device that is written through the page cache, pages beside these may be on their way there.
                Err(Errno::BUSY) => return write_zeros(writer, range),
                done => return Ok(done?),
            }
        }
        write_zeros(writer, range)
    }
}

fn write_zeros(writer: &Writer, range: &Range<u64>) -> io::Result<()> {
    if range.is_empty() {
        return Ok(());
    }
    let len = usize::try_from(length(range)).map_or(PIECE, |len| len.min(PIECE));
    // Zeroed when made, and aligned for each piece: they all begin alike.
    let mut zeros = AlignedBuffer::default();
    zeros.reserve(len, range.start);
    let mut at = range.start;
    while at < range.end {
        let piece = usize::try_from(range.end - at).map_or(len, |left| left.min(len));
        writer.write_all_at(&zeros.bytes()[..piece], at)?;
        at += piece as u64;
    }
    Ok(())
}
