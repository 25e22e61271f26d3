//! What a target holds, read from its medium rather than from memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, OFlags, fadvise};

use super::writer::{aligned, is_in_memory};
use host::entry::reopen;
use host::{device, sparse};

/// An image or device that is compared with a volume. Offsets are the volume's.
#[derive(Debug)]
pub struct ReadBack {
    path: PathBuf,
    direct: Option<File>,
    cached: File,
    size: u64,
    origin: u64,
}

impl ReadBack {
    /// Opens a file or device for reading past the page cache; where the filesystem has no
    /// `O_DIRECT`, what the cache has of it is dropped once. Whatever was written before must be
    /// durable already: what is not cannot be dropped. Its first byte is the volume's byte `origin`.
    pub fn open(path: &Path, origin: u64) -> io::Result<Self> {
        device::check_kind(&std::fs::metadata(path)?)?;
        Self::of(File::open(path)?, path, origin)
    }

    /// The same of a file or device that is open for reading; `path` is for messages.
    pub fn of(cached: File, path: &Path, origin: u64) -> io::Result<Self> {
        let size = device::size(&cached)?;
        let direct = reopen(&cached, OFlags::RDONLY | OFlags::DIRECT).ok();
        // Only advice: what cannot be dropped is read all the same.
        let _ = fadvise(&cached, 0, None, Advice::DontNeed);
        Ok(Self { path: path.to_owned(), direct, cached, size, origin })
    }

    /// For messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length in bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Whether reading waits for a device.
    pub(crate) fn waits(&self) -> bool {
        self.direct.is_some() && !is_in_memory(&self.cached)
    }

    /// Fills `out` with the bytes from `offset` on. Those behind the end of the file are an error.
    pub(crate) fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        let offset = offset.checked_sub(self.origin).ok_or(io::ErrorKind::InvalidInput)?;
        let (head, body, _) = aligned(out, offset);
        let (head, body) = (head.len(), head.len() + body.len());
        if let Some(direct) = &self.direct
            && body > head
        {
            match direct.read_exact_at(&mut out[head..body], offset + head as u64) {
                Ok(()) => {
                    self.cached.read_exact_at(&mut out[..head], offset)?;
                    return self.cached.read_exact_at(&mut out[body..], offset + body as u64);
                }
                // "EINVAL: the alignment restrictions of O_DIRECT are not met" (read(2)).
                Err(e) if e.kind() == io::ErrorKind::InvalidInput => {}
                Err(e) => return Err(e),
            }
        }
        self.cached.read_exact_at(out, offset)
    }

    /// How far the zeros at `offset` reach that need no reading: `offset` itself if there are none.
    pub(crate) fn hole_until(&self, offset: u64) -> io::Result<u64> {
        let own = offset.checked_sub(self.origin).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(sparse::data_from(&self.cached, own, self.size)?.saturating_add(self.origin))
    }
}
