//! A new raw image: sparse, under a temporary name until it is whole and durable.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempPath};

use super::writer::Writer;
use super::{PARTIAL, Sink, parent_directory};

/// A raw image file that does not exist under its name before [`Sink::finish`].
#[derive(Debug)]
pub struct ImageSink {
    temporary: TempPath,
    writer: Writer,
    target: PathBuf,
    replace: bool,
}

impl ImageSink {
    /// Creates the temporary file beside `target`, readable by the user alone, with `size` bytes.
    /// An existing file at `target` is replaced in the end if `replace`, otherwise refused.
    pub fn create(target: &Path, size: u64, replace: bool) -> io::Result<Self> {
        let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let mut prefix = std::ffi::OsString::from(".");
        prefix.push(name);
        prefix.push(".");
        let temporary =
            Builder::new().prefix(&prefix).suffix(PARTIAL).tempfile_in(parent_directory(target))?;
        temporary.as_file().set_len(size)?;
        let (file, temporary) = temporary.into_parts();
        let writer = Writer::new(file, &temporary);
        Ok(Self { temporary, writer, target: target.to_owned(), replace })
    }
}

impl Sink for ImageSink {
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.writer.write_all_at(data, offset)
    }

    /// Nothing to do: the file is new, what is not written is a hole.
    fn zero_at(&self, _: Range<u64>) -> io::Result<()> {
        Ok(())
    }

    fn path(&self) -> &Path {
        &self.target
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        let Self { temporary, writer, target, replace } = *self;
        writer.sync()?;
        let renamed =
            if replace { temporary.persist(&target) } else { temporary.persist_noclobber(&target) };
        renamed.map_err(|e| e.error)?;
        File::open(parent_directory(&target))?.sync_all()
    }
}
