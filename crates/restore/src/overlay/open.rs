//! Overlay files: making, opening and replacing them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use super::{Overlay, OverlayError, header};
use crate::image::Image;
use crate::lock::lock;
use crate::sink::parent_directory;

impl Overlay {
    /// Makes a new overlay over `lower`, whose content is `content` in a word: a set content id, say. The
    /// file is the user's alone (mode 0600), and is there with all it needs or not at all.
    pub fn create(path: &Path, content: &str, lower: Arc<dyn Image>) -> Result<Self, OverlayError> {
        Self::make(path, content, lower, false)
    }

    /// Opens an overlay that is there, and keeps others from opening it.
    ///
    /// # Errors
    ///
    /// One over other content or another size, one that another process has open, and what is no
    /// overlay.
    pub fn open(path: &Path, content: &str, lower: Arc<dyn Image>) -> Result<Self, OverlayError> {
        let file = held(OpenOptions::new().read(true).write(true), path)?;
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
        let old = match held(OpenOptions::new().read(true).write(true), path) {
            Err(OverlayError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                None
            }
            old => Some(old?),
        };
        if let Some(old) = &old {
            header::read(old, path)?;
        }
        // Whoever waits for the old one's lock finds that it is no longer the one under the name.
        Self::make(path, content, lower, old.is_some())
    }

    /// Opens an overlay to read what was written to it, and keeps others from writing meanwhile.
    pub fn read_only(
        path: &Path,
        content: &str,
        lower: Arc<dyn Image>,
    ) -> Result<Box<dyn Image>, OverlayError> {
        let file = held(OpenOptions::new().read(true), path)?;
        Ok(Box::new(Self::on(Arc::new(file), path, content, lower)?))
    }

    /// Makes an overlay without a name in a directory: it is gone with the last who has it open, however
    /// that ends. It grows by all that is written, so that the directory should be on a disk:
    /// `/var/tmp` rather than `/run` or, on many systems, `/tmp`, which are kept in memory.
    pub fn temporary(directory: &Path, lower: Arc<dyn Image>) -> Result<Self, OverlayError> {
        let file = tempfile::tempfile_in(directory).map_err(|e| OverlayError::io(directory, e))?;
        let content = "temporary";
        Self::format(&file, directory, content, lower.size())?;
        Self::on(Arc::new(file), directory, content, lower)
    }

    fn make(
        path: &Path,
        content: &str,
        lower: Arc<dyn Image>,
        replace: bool,
    ) -> Result<Self, OverlayError> {
        let failed = |e: io::Error| OverlayError::io(path, e);
        let directory = parent_directory(path);
        // Mode 0600.
        let mut new = tempfile::Builder::new();
        let new = new.prefix(".overlay.").suffix(".partial").tempfile_in(directory);
        let new = new.map_err(failed)?;
        Self::format(new.as_file(), path, content, lower.size())?;
        if !lock(new.as_file()).map_err(failed)? {
            return Err(OverlayError::Busy { path: path.to_owned() });
        }
        let named = if replace { new.persist(path) } else { new.persist_noclobber(path) };
        let file = named.map_err(|e| match e.error.kind() {
            io::ErrorKind::AlreadyExists => OverlayError::Exists { path: path.to_owned() },
            _ => failed(e.error),
        })?;
        File::open(directory).and_then(|dir| dir.sync_all()).map_err(failed)?;
        Self::on(Arc::new(file), path, content, lower)
    }
}

/// Opens a file that no other process has as an overlay, and that is the one under its name.
fn held(options: &OpenOptions, path: &Path) -> Result<File, OverlayError> {
    let failed = |e: io::Error| OverlayError::io(path, e);
    let busy = || OverlayError::Busy { path: path.to_owned() };
    let mut options = options.clone();
    // A FIFO would be waited for.
    let options = options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    let file = options.open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(OverlayError::NotAnOverlay { path: path.to_owned() });
    }
    if !lock(&file).map_err(failed)? {
        return Err(busy());
    }
    let [here, there] = [file.metadata(), path.metadata()].map(|m| m.map_err(failed));
    let (here, there) = (here?, there?);
    if (here.dev(), here.ino()) == (there.dev(), there.ino()) { Ok(file) } else { Err(busy()) }
}
