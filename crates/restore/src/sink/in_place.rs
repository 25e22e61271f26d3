//! An existing file or block device that is overwritten itself.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::Sink;
use super::writer::{Io, Method, Writer};
use super::zero::Zeroer;
use host::device;
use host::entry::Directory;
use host::entry::parent_directory;

/// An existing file or device. Every byte given ends as it was given, zeros included; bytes that are
/// not given stay. Nothing here asks whether it may be overwritten: see [`host::interlock`].
#[derive(Debug)]
pub struct InPlaceSink {
    path: PathBuf,
    writer: Writer,
    zeroer: Zeroer,
}

impl InPlaceSink {
    /// Takes a file or device that is open for writing; `path` is for messages. With `keep_space` zeros do
    /// not give space back.
    pub fn new(file: File, path: &Path, keep_space: bool, io: Io) -> io::Result<Self> {
        device::check_kind(&file.metadata()?)?;
        let zeroer = Zeroer::new(file.try_clone()?, keep_space);
        Ok(Self { path: path.to_owned(), writer: Writer::new(file, io)?, zeroer })
    }

    /// The file or device.
    pub(crate) const fn file(&self) -> &File {
        self.writer.file()
    }

    /// Makes a file at least `size` bytes long; a device is as long as it is.
    pub fn grow(&self, size: u64) -> io::Result<()> {
        let file = self.writer.file();
        if device::size(file)? >= size {
            return Ok(());
        }
        file.set_len(size)
    }

    /// How it is written.
    pub fn method(&self) -> Method {
        self.writer.method()
    }
}

impl Sink for InPlaceSink {
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.writer.write_all_at(data, offset)
    }

    fn zero_at(&self, range: Range<u64>) -> io::Result<()> {
        self.zeroer.zero(&self.writer, &range)
    }

    fn waits(&self) -> bool {
        self.writer.waits()
    }

    /// A file may have holes.
    fn wants_room(&self) -> bool {
        let is_file = self.writer.file().metadata().is_ok_and(|meta| meta.is_file());
        is_file && self.writer.waits()
    }

    fn reserve(&self, range: &Range<u64>) -> bool {
        self.writer.reserve(range.start, range.end.saturating_sub(range.start))
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn sync(&self) -> io::Result<()> {
        self.writer.sync()
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.sync()?;
        if self.writer.file().metadata()?.is_file() {
            Directory::open(parent_directory(&self.path))?.sync()?;
        }
        Ok(())
    }
}
