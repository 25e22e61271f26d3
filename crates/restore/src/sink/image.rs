//! A new raw image: sparse, under a temporary name until it is whole and durable.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};
use tempfile::TempPath;

use super::writer::{Io, Method, Writer};
use super::zero::Zeroer;
use super::{PARTIAL, Sink, parent_directory};
use crate::lock::lock;

/// How a new image is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImageOptions {
    /// Replace an existing file in the end.
    pub replace: bool,
    /// Allocate the whole file at once, so that it has no holes.
    pub preallocate: bool,
    /// The logical byte that is the first of the file.
    pub origin: u64,
    /// How to write.
    pub io: Io,
}

/// A raw image file that does not exist under its name before [`Sink::finish`].
///
/// Dropped before that, its temporary file is removed unless [`ImageSink::keep`] was called.
#[derive(Debug)]
pub struct ImageSink {
    temporary: TempPath,
    writer: Writer,
    /// For a file that an earlier run may have written to.
    zeroer: Option<Zeroer>,
    target: PathBuf,
    options: ImageOptions,
}

impl ImageSink {
    /// Where an image is until it has its name: beside it, so that renaming is all that is left.
    pub fn temporary_path(target: &Path) -> io::Result<PathBuf> {
        beside(target, PARTIAL)
    }

    /// Creates the temporary file, readable by the user alone, with `size` bytes. One that is there
    /// already is not touched: it may be another restore's.
    pub fn create(target: &Path, size: u64, options: ImageOptions) -> io::Result<Self> {
        let temporary = Self::temporary_path(target)?;
        let mut create = OpenOptions::new();
        let file = create.read(true).write(true).create_new(true).mode(0o600).open(&temporary)?;
        // From here on it is removed on every way out.
        let temporary = TempPath::try_from_path(temporary)?;
        file.set_len(size)?;
        if options.preallocate && size > 0 {
            fallocate(&file, FallocateFlags::empty(), 0, size)?;
        }
        Self::over(file, None, temporary, target, options)
    }

    /// Goes on with the temporary file that an earlier run has left.
    pub fn resume(target: &Path, size: u64, options: ImageOptions) -> io::Result<Self> {
        let temporary = Self::temporary_path(target)?;
        let file = OpenOptions::new().read(true).write(true).open(&temporary)?;
        let mut temporary = TempPath::try_from_path(temporary)?;
        temporary.disable_cleanup(true);
        file.set_len(size)?;
        let zeroer = Zeroer::new(file.try_clone()?, options.preallocate);
        Self::over(file, Some(zeroer), temporary, target, options)
    }

    fn over(
        file: File,
        zeroer: Option<Zeroer>,
        temporary: TempPath,
        target: &Path,
        options: ImageOptions,
    ) -> io::Result<Self> {
        // Another restore to the same target would write the same file.
        if !lock(&file)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let writer = Writer::open(file, &temporary, options.io)?;
        Ok(Self { temporary, writer, zeroer, target: target.to_owned(), options })
    }

    /// The temporary file stays when this is dropped unfinished, for a later run to go on with; or
    /// it does not.
    pub fn keep(&mut self, keep: bool) {
        self.temporary.disable_cleanup(keep);
    }

    /// How it is written.
    pub fn method(&self) -> Method {
        self.writer.method()
    }

    fn at(&self, offset: u64) -> io::Result<u64> {
        offset.checked_sub(self.options.origin).ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }
}

impl Sink for ImageSink {
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.writer.write_all_at(data, self.at(offset)?)
    }

    /// What was never written is zeros, and in a new file that is everything.
    fn zero_at(&self, range: Range<u64>) -> io::Result<()> {
        match &self.zeroer {
            Some(zeroer) => {
                zeroer.zero(&self.writer, &(self.at(range.start)?..self.at(range.end)?))
            }
            None => Ok(()),
        }
    }

    fn waits(&self) -> bool {
        self.writer.waits()
    }

    fn wants_room(&self) -> bool {
        !self.options.preallocate && self.writer.waits()
    }

    fn reserve(&self, range: &Range<u64>) -> bool {
        let len = range.end.saturating_sub(range.start);
        self.at(range.start).is_ok_and(|at| self.writer.reserve(at, len))
    }

    fn path(&self) -> &Path {
        &self.target
    }

    fn sync(&self) -> io::Result<()> {
        self.writer.sync()
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.sync()?;
        let Self { temporary, target, options, .. } = *self;
        let renamed = if options.replace {
            temporary.persist(&target)
        } else {
            temporary.persist_noclobber(&target)
        };
        renamed.map_err(|e| e.error)?;
        File::open(parent_directory(&target))?.sync_all()
    }
}

/// A hidden name beside `target` that ends in `suffix`.
pub fn beside(target: &Path, suffix: &str) -> io::Result<PathBuf> {
    let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(suffix);
    Ok(parent_directory(target).join(hidden))
}
