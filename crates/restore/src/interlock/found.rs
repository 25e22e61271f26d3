//! What the name of a target leads to, found once.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat, readlinkat};
use rustix::process::geteuid;

use super::{FileKind, Refused};
use crate::device::Number;
use crate::sink::parent_directory;

/// A place in the filesystem, neither open for reading nor for writing.
const PLACE: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

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
        let found = Self::of(place(path, OFlags::NOFOLLOW).map_err(system)?).map_err(system)?;
        if !found.meta.is_symlink() {
            return match FileKind::of(&found.meta) {
                None => Ok(found),
                Some(kind) => Err(Refused::Kind { path: path.to_owned(), kind }),
            };
        }
        let to = readlinkat(&found.place, "", Vec::new()).map_err(|e| system(e.into()))?;
        let to = PathBuf::from(std::ffi::OsString::from_vec(to.into_bytes()));
        let is_trusted = [0, geteuid().as_raw()].contains(&found.meta.uid());
        // What was read, and not what the link says by now.
        let there = parent_directory(path).join(&to);
        let led = Self::of(place(&there, OFlags::empty()).map_err(system)?).map_err(system)?;
        if is_trusted && Number::of(&led.meta).is_some() {
            return Ok(led);
        }
        Err(Refused::Link { path: path.to_owned(), to })
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

fn place(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, PLACE | flags, Mode::empty())?)
}
