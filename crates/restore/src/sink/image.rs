//! A new raw image: sparse, under a temporary name until it is whole and durable.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};

use super::Sink;
use super::writer::{Io, Method, Writer};
use super::zero::Zeroer;
use host::entry::PARTIAL;
use host::entry::{Entry, Unnamed};
use host::lock::lock;

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
    temporary: Unnamed,
    writer: Writer,
    /// For a file that an earlier run may have written to.
    zeroer: Option<Zeroer>,
    target: Entry,
    path: PathBuf,
    options: ImageOptions,
}

impl ImageSink {
    /// Where an image is until it has its name: beside it, so that renaming is all that is left.
    pub fn temporary(target: &Entry) -> Entry {
        target.beside(PARTIAL)
    }

    /// Creates the temporary file, readable by the user alone, with `size` bytes. One that is there
    /// already is not touched: it may be another restore's.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where another restore has the temporary file, `AlreadyExists` where there is a target that is
    /// not to be replaced.
    pub fn create(target: &Entry, size: u64, options: ImageOptions) -> io::Result<Self> {
        let temporary = Self::temporary(target);
        let file = temporary.create().map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => io::ErrorKind::WouldBlock.into(),
            _ => e,
        })?;
        // From here on it is removed on every way out.
        let temporary = Unnamed::new(temporary, &file)?;
        // Another restore to the same target would write the same file.
        if !lock(&file)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // The restore that had this file until now may have given it the name.
        if !options.replace && target.look()?.is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        file.set_len(size)?;
        if options.preallocate && size > 0 {
            fallocate(&file, FallocateFlags::empty(), 0, size)?;
        }
        Self::over(file, None, temporary, target, options)
    }

    /// Goes on with the temporary file that an earlier run has left, which is open and locked.
    pub fn resume(
        target: &Entry,
        file: File,
        size: u64,
        options: ImageOptions,
    ) -> io::Result<Self> {
        let mut temporary = Unnamed::new(Self::temporary(target), &file)?;
        temporary.keep(true);
        if file.metadata()?.len() != size {
            file.set_len(size)?;
        }
        let zeroer = Zeroer::new(file.try_clone()?, options.preallocate);
        Self::over(file, Some(zeroer), temporary, target, options)
    }

    fn over(
        file: File,
        zeroer: Option<Zeroer>,
        temporary: Unnamed,
        target: &Entry,
        options: ImageOptions,
    ) -> io::Result<Self> {
        let writer = Writer::new(file, options.io)?;
        let (target, path) = (target.clone(), target.path());
        Ok(Self { temporary, writer, zeroer, target, path, options })
    }

    /// The temporary file stays when this is dropped unfinished, for a later run to go on with; or
    /// it does not.
    pub fn keep(&mut self, keep: bool) {
        self.temporary.keep(keep);
    }

    /// The file.
    pub(crate) const fn file(&self) -> &File {
        self.writer.file()
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
        &self.path
    }

    fn sync(&self) -> io::Result<()> {
        self.writer.sync()
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.sync()?;
        let Self { temporary, target, options, writer, .. } = *self;
        temporary.publish(writer.file(), &target, options.replace)
    }
}
