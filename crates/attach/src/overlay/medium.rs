//! Where an overlay is kept.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use rustix::fs::{FallocateFlags, fallocate};

use host::sparse;

/// Where an overlay is kept: a file, for all but those who want to see what becomes of it in a crash.
///
/// Offsets are bytes of the file.
#[allow(clippy::len_without_is_empty, reason = "an overlay is never empty")]
pub trait Medium: Send + Sync {
    /// Bytes up to the last that was written or given room.
    fn len(&self) -> io::Result<u64>;

    /// Makes a new file this long, all zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Fills `out` from `offset`.
    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`, past the end as well. After an error some of them may be
    /// there; each sector of 512 bytes is as it was or as it was to be.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Gives back the space behind bytes that are not read any more; they may stay as they were.
    fn give_back(&self, range: Range<u64>);

    /// The first byte from `offset` on, before `end`, that may not be zero; `end` if there is none.
    fn next_data(&self, offset: u64, end: u64) -> io::Result<u64>;

    /// Makes durable what was written.
    fn sync(&self) -> io::Result<()>;
}

impl Medium for File {
    fn len(&self) -> io::Result<u64> {
        self.metadata().map(|meta| meta.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Self::set_len(self, len)
    }

    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, out, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn give_back(&self, range: Range<u64>) {
        let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        // Where the filesystem cannot, the space stays taken: nothing else is lost.
        let _ = fallocate(self, how, range.start, range.end.saturating_sub(range.start));
    }

    fn next_data(&self, offset: u64, end: u64) -> io::Result<u64> {
        sparse::data_from(self, offset, end)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
