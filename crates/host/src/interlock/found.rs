//! What the name of a target leads to, found once.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, readlinkat};

use super::{FileKind, Refused};
use crate::device::Number;
use crate::entry::{Directory, Entry, is_trusted, walk_from};

/// A regular file or block device: whatever its name leads to from now on, this is what is opened.
pub(super) struct Found {
    place: OwnedFd,
    meta: Metadata,
}

impl Found {
    /// Finds what there is at `path`. A link as its last component is followed to a device only, as those in
    /// `/dev/disk` are, and only if root or the caller made it: others could have it lead anywhere.
    pub(super) fn at(path: &Path) -> Result<Self, Refused> {
        let system = |source: io::Error| Refused::System { path: path.to_owned(), source };
        let entry = Entry::at(path).map_err(system)?;
        let found = Self::of(entry.place().map_err(system)?).map_err(system)?;
        let directory = entry.directory();
        if !found.meta.is_symlink() {
            return match FileKind::of(&found.meta) {
                None => found.alone_in(path, directory),
                Some(kind) => Err(Refused::Kind { path: path.to_owned(), kind }),
            };
        }
        let to = readlinkat(&found.place, "", Vec::new()).map_err(|e| system(e.into()))?;
        let to = PathBuf::from(std::ffi::OsString::from_vec(to.into_bytes()));
        let refused = || Refused::Link { path: path.to_owned(), to: to.clone() };
        if !is_trusted(found.meta.uid()) {
            return Err(refused());
        }
        // What was read, and not what the link says by now.
        let led = walk_from(directory, directory.path(), &to).map_err(system)?;
        let led = Self::of(led).map_err(system)?;
        if Number::of(&led.meta).is_some() { Ok(led) } else { Err(refused()) }
    }

    /// A file that has other names is another one, too: where other users make names, it may be one that they
    /// could not write to.
    fn alone_in(self, path: &Path, directory: &Directory) -> Result<Self, Refused> {
        let names = self.meta.nlink();
        let is_open = || {
            let open = directory.is_open_to_others();
            open.map_err(|source| Refused::System { path: path.to_owned(), source })
        };
        if self.meta.is_file() && names > 1 && is_open()? {
            return Err(Refused::Names { path: path.to_owned(), names });
        }
        Ok(self)
    }

    fn of(place: OwnedFd) -> io::Result<Self> {
        let place = File::from(place);
        let meta = place.metadata()?;
        Ok(Self { place: place.into(), meta })
    }

    pub(super) const fn meta(&self) -> &Metadata {
        &self.meta
    }

    /// Opens it.
    pub(super) fn open(&self, flags: OFlags) -> io::Result<File> {
        crate::entry::reopen(&self.place, flags)
    }

    /// A name that leads to it as long as this lives.
    pub(super) fn name(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.place.as_raw_fd()))
    }
}
