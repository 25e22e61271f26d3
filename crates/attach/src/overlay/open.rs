//! Overlay files: making, opening and replacing them.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::OFlags;

use super::{Overlay, OverlayError, header};
use host::entry::{
    Directory, Entry, Foreign, NotOwn, check_written_by_caller, check_written_by_trusted,
};
use host::lock::lock;
use restore::image::Image;

impl Overlay {
    /// Makes a new overlay over `lower`, whose content is `content` in a word: a set content id, say. The
    /// file is the user's alone (mode 0600), and is there with all it needs or not at all.
    pub fn create(path: &Path, content: &str, lower: Arc<dyn Image>) -> Result<Self, OverlayError> {
        Self::make(&entry(path)?, content, lower, false)
    }

    /// Opens an overlay that is there, and keeps others from opening it.
    ///
    /// # Errors
    ///
    /// One over other content or another size, one that another process has open, one that another user may
    /// have written to, and what is no overlay.
    pub fn open(path: &Path, content: &str, lower: Arc<dyn Image>) -> Result<Self, OverlayError> {
        let file = writable(&entry(path)?)?;
        Self::on(Arc::new(file), path, content, lower)
    }

    /// Opens an overlay, or makes one where there is nothing.
    pub fn open_or_create(
        path: &Path,
        content: &str,
        lower: Arc<dyn Image>,
    ) -> Result<Self, OverlayError> {
        match Self::open(path, content, Arc::clone(&lower)) {
            Err(OverlayError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Self::create(path, content, lower)
            }
            opened => opened,
        }
    }

    /// Throws away all that an overlay holds, whatever it is over: a new one takes its place. Other
    /// files are refused.
    pub fn reset(path: &Path, content: &str, lower: Arc<dyn Image>) -> Result<Self, OverlayError> {
        let entry = entry(path)?;
        let old = match writable(&entry) {
            Err(OverlayError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                None
            }
            old => Some(old?),
        };
        if let Some(old) = &old {
            header::read(old, path)?;
        }
        // A process that waits for the old one's lock finds that it is no longer the one under the name.
        Self::make(&entry, content, lower, old.is_some())
    }

    /// Opens an overlay to read what was written to it, and keeps others from writing meanwhile. Root's may be
    /// read as well as the caller's own.
    pub fn read_only(
        path: &Path,
        content: &str,
        lower: Arc<dyn Image>,
    ) -> Result<Box<dyn Image>, OverlayError> {
        let file = readable(path)?;
        Ok(Box::new(Self::on(Arc::new(file), path, content, lower)?))
    }

    /// Makes an overlay without a name in a directory: it is gone with the last who has it open, however
    /// that ends. It grows by all that is written, so that the directory should be on a disk:
    /// `/var/tmp` rather than `/run` or, on many systems, `/tmp`, which are kept in memory.
    pub fn temporary(directory: &Path, lower: Arc<dyn Image>) -> Result<Self, OverlayError> {
        let file = Directory::open(directory).and_then(|directory| directory.nameless_file());
        let file = file.map_err(|e| OverlayError::io(directory, e))?;
        let content = "temporary";
        Self::format(&file, directory, content, lower.size())?;
        Self::on(Arc::new(file), directory, content, lower)
    }

    fn make(
        entry: &Entry,
        content: &str,
        lower: Arc<dyn Image>,
        replace: bool,
    ) -> Result<Self, OverlayError> {
        let path = &entry.path();
        let failed = |e: io::Error| OverlayError::io(path, e);
        let (new, file) = entry.directory().new_file(OsStr::new(".overlay.")).map_err(failed)?;
        Self::format(&file, path, content, lower.size())?;
        if !lock(&file).map_err(failed)? {
            return Err(OverlayError::Busy { path: path.clone() });
        }
        new.publish(&file, entry, replace).map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => OverlayError::Exists { path: path.clone() },
            _ => failed(e),
        })?;
        Self::on(Arc::new(file), path, content, lower)
    }
}

fn entry(path: &Path) -> Result<Entry, OverlayError> {
    Entry::at(path).map_err(|e| OverlayError::io(path, e))
}

/// Opens an overlay to write to it, which no other process has; nothing that a link leads to.
fn writable(entry: &Entry) -> Result<File, OverlayError> {
    let path = entry.path();
    let opened = entry.open_file(OFlags::RDWR).map_err(|error| match error {
        NotOwn::System(source) => OverlayError::io(&path, source),
        NotOwn::Foreign(Foreign::Kind { .. }) => OverlayError::NotAnOverlay { path: path.clone() },
        NotOwn::Foreign(why) => OverlayError::foreign(&path, why),
    })?;
    let file = opened.ok_or_else(|| OverlayError::io(&path, io::ErrorKind::NotFound.into()))?;
    check_written_by_caller(&file).map_err(|why| OverlayError::foreign(&path, why))?;
    held(file, &path, |file| entry.is(file))
}

/// Opens an overlay to read it: a source, wherever links lead to it.
fn readable(path: &Path) -> Result<File, OverlayError> {
    let failed = |e: io::Error| OverlayError::io(path, e);
    // A FIFO would be waited for.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(OverlayError::NotAnOverlay { path: path.to_owned() });
    }
    check_written_by_trusted(&file).map_err(|why| OverlayError::foreign(path, why))?;
    held(file, path, |file| {
        let (here, there) = (file.metadata()?, path.metadata()?);
        Ok((here.dev(), here.ino()) == (there.dev(), there.ino()))
    })
}

/// Keeps other processes from a file, which must still be the one under its name.
fn held(
    file: File,
    path: &Path,
    is_named: impl FnOnce(&File) -> io::Result<bool>,
) -> Result<File, OverlayError> {
    let is_held = lock(&file).and_then(|locked| Ok(locked && is_named(&file)?));
    match is_held {
        Ok(true) => Ok(file),
        Ok(false) => Err(OverlayError::Busy { path: path.to_owned() }),
        Err(error) => Err(OverlayError::io(path, error)),
    }
}
