//! Writing to a file by position: past the page cache where that works, through it elsewhere.

use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Advice, FallocateFlags, OFlags, fadvise, fallocate, fstatfs};

use crate::aligned::ALIGN;
use host::entry::reopen;

/// Longest buffered write: larger ones cost more than they save (docs/PERFORMANCE.md).
const BUFFERED_PIECE: usize = 128 << 10;

/// How a target is to be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Io {
    /// As is best for it.
    #[default]
    Auto,
    /// Past the page cache, or not at all.
    Direct,
    /// Through the page cache.
    Buffered,
}

/// How a target is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// Past the page cache (`O_DIRECT`), but for what is not aligned.
    Direct,
    /// Through the page cache.
    Buffered,
    /// As a stream.
    Stream,
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Buffered => "buffered",
            Self::Stream => "stream",
        })
    }
}

/// A file open for writing, twice where the filesystem allows: through the page cache and past it.
#[derive(Debug)]
pub(super) struct Writer {
    buffered: File,
    direct: Option<File>,
    /// Cleared for good by the first direct write that the filesystem turns down.
    direct_works: AtomicBool,
    io: Io,
}

impl Writer {
    /// Takes a file open for writing. A descriptor is past the page cache or not, so that the same file is
    /// opened once more.
    pub(super) fn new(buffered: File, io: Io) -> io::Result<Self> {
        let open = || reopen(&buffered, OFlags::WRONLY | OFlags::DIRECT);
        let direct = match io {
            Io::Auto => open().ok(),
            Io::Direct => Some(open()?),
            Io::Buffered => None,
        };
        Ok(Self { buffered, direct_works: AtomicBool::new(direct.is_some()), direct, io })
    }

    /// The file.
    pub(super) const fn file(&self) -> &File {
        &self.buffered
    }

    /// How most bytes are written, as far as that is known by now.
    pub(super) fn method(&self) -> Method {
        if self.direct_works.load(Ordering::Relaxed) { Method::Direct } else { Method::Buffered }
    }

    /// Whether writing waits for a device. Through the page cache, or to a file that is nowhere else,
    /// it is copying.
    pub(super) fn waits(&self) -> bool {
        self.method() == Method::Direct && !is_in_memory(&self.buffered)
    }

    /// Asks for room for `len` bytes at byte `offset`; `false` when there is no more to be had.
    pub(super) fn reserve(&self, offset: u64, len: u64) -> bool {
        fallocate(&self.buffered, FallocateFlags::KEEP_SIZE, offset, len).is_ok()
    }

    /// Writes `data` at byte `offset`.
    pub(super) fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let (head, body, tail) = aligned(data, offset);
        let body_at = offset + head.len() as u64;
        self.write_buffered(head, offset)?;
        self.write_direct(body, body_at)?;
        self.write_buffered(tail, body_at + body.len() as u64)
    }

    fn write_direct(&self, data: &[u8], offset: u64) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        if let Some(direct) = &self.direct
            && self.direct_works.load(Ordering::Relaxed)
        {
            match direct.write_all_at(data, offset) {
                // "EINVAL: the alignment restrictions of O_DIRECT are not met" (write(2)).
                Err(e) if e.kind() == io::ErrorKind::InvalidInput && self.io == Io::Auto => {
                    self.direct_works.store(false, Ordering::Relaxed);
                }
                done => return done,
            }
        }
        self.write_buffered(data, offset)
    }

    fn write_buffered(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let mut at = offset;
        for piece in data.chunks(BUFFERED_PIECE) {
            self.buffered.write_all_at(piece, at)?;
            at += piece.len() as u64;
        }
        if data.len() > BUFFERED_PIECE {
            // The kernel begins to write what it is told that will not be needed (posix_fadvise(2)); left
            // to itself it waits for the sync in the end. Only advice: it may as well not.
            let _ = fadvise(
                &self.buffered,
                offset,
                NonZeroU64::new(data.len() as u64),
                Advice::DontNeed,
            );
        }
        Ok(())
    }

    /// Makes everything written durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.buffered.sync_all()
    }
}

/// Whether a file is in memory and nowhere else. A device is not, whatever its node is on.
pub(super) fn is_in_memory(file: &File) -> bool {
    const TMPFS: u64 = 0x0102_1994;
    const RAMFS: u64 = 0x8584_58f6;
    let is_file = file.metadata().is_ok_and(|meta| meta.is_file());
    // The types of `statfs(2)`; their width differs between machines.
    let kind = fstatfs(file).ok().and_then(|s| u64::try_from(s.f_type).ok());
    is_file && matches!(kind, Some(TMPFS | RAMFS))
}

/// Cuts `data`, which goes to `offset`, into an unaligned head, a body that can be written directly
/// and an unaligned tail. Where memory and file offset are not aligned alike there is no body.
pub(super) fn aligned(data: &[u8], offset: u64) -> (&[u8], &[u8], &[u8]) {
    let to_memory = data.as_ptr().align_offset(ALIGN);
    let to_file = usize::try_from(offset.next_multiple_of(ALIGN as u64) - offset).unwrap_or(ALIGN);
    if to_memory != to_file || to_file > data.len() {
        return (data, &[], &[]);
    }
    let (head, rest) = data.split_at(to_file);
    let (body, tail) = rest.split_at(rest.len() - rest.len() % ALIGN);
    (head, body, tail)
}

#[cfg(test)]
mod tests {
    use super::{Io, Writer, aligned};
    use crate::aligned::{ALIGN, AlignedBuffer};

    #[test]
    fn whatever_the_alignment_the_bytes_arrive() {
        let mut buffer = AlignedBuffer::default();
        buffer.reserve(5 * ALIGN, 0);
        for (n, byte) in buffer.bytes_mut().iter_mut().enumerate() {
            *byte = u8::try_from(n % 251).unwrap();
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        for (from, to, offset) in [
            (0, 5 * ALIGN, 0),
            (0, 4 * ALIGN + 7, ALIGN),
            (9, 3 * ALIGN, 9),
            (9, 3 * ALIGN, 10),
            (1, 8, 4095),
        ] {
            file.as_file().set_len(0).unwrap();
            let writer = Writer::new(file.reopen().unwrap(), Io::Auto).unwrap();
            let data = &buffer.bytes()[from..to];
            writer.write_all_at(data, offset as u64).unwrap();
            writer.sync().unwrap();
            assert_eq!(
                &std::fs::read(file.path()).unwrap()[offset..],
                data,
                "{from}..{to} at {offset}"
            );
        }
    }

    #[test]
    fn the_body_is_aligned_in_memory_and_in_the_file() {
        let mut buffer = AlignedBuffer::default();
        buffer.reserve(4 * ALIGN, 0);
        let (head, body, tail) = aligned(&buffer.bytes()[100..3 * ALIGN + 5], 100);
        assert_eq!((head.len(), body.len(), tail.len()), (ALIGN - 100, 2 * ALIGN, 5));
        assert_eq!(aligned(&buffer.bytes()[1..ALIGN * 3], 2).1, b"");
    }
}
