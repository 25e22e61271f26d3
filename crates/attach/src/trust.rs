//! Whether the directories of attached volumes are the caller's alone.
//!
//! What is said in them is acted upon: devices are cleared, filesystems unmounted, directories removed. So no other user
//! else may have made them, or may change what is in them.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::geteuid;

use host::entry::Foreign;

/// Who may write to a directory besides its owner.
const OTHERS_WRITE: u32 = 0o022;
/// Only its owner may rename or remove what is in a directory (`inode(7)`).
const STICKY: u32 = 0o1000;

/// A directory that others may have made or may change. Nothing in it is read or written.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct Untrusted {
    /// The directory.
    pub path: PathBuf,
    /// What tells so.
    pub why: Foreign,
}

/// Why a directory is not used.
#[derive(Debug)]
pub(super) enum NotUsed {
    System(io::Error),
    Untrusted(Untrusted),
}

impl From<io::Error> for NotUsed {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// Opens a directory that the caller has made and no other user may write to.
pub(super) fn open_own(path: &Path) -> Result<File, NotUsed> {
    // Of what the caller may not open, a look says why not.
    check_own(path, &fs::symlink_metadata(path)?)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(CWD, path, flags, Mode::empty()).map_err(io::Error::from)?;
    let directory = File::from(directory);
    // Another one may have got the name meanwhile.
    check_own(path, &directory.metadata()?)?;
    Ok(directory)
}

/// Checks a directory in which the caller's own may be: root's or the caller's, and if others may make something
/// in it, they may not take away what is the caller's. Links on the way are the system's or the caller's choice.
pub(super) fn check_base(path: &Path) -> Result<(), NotUsed> {
    let meta = fs::metadata(path)?;
    let why = check_kind(path, &meta).and_then(|()| {
        if meta.uid() != 0 {
            check_owner(&meta)?;
        }
        if meta.mode() & STICKY == 0 { check_mode(&meta) } else { Ok(()) }
    });
    why.map_err(|why| untrusted(path, why))
}

fn check_own(path: &Path, meta: &Metadata) -> Result<(), NotUsed> {
    let why = check_kind(path, meta).and_then(|()| check_owner(meta));
    why.and_then(|()| check_mode(meta)).map_err(|why| untrusted(path, why))
}

fn check_kind(path: &Path, meta: &Metadata) -> Result<(), Foreign> {
    if meta.is_symlink() {
        return Err(Foreign::Link { to: fs::read_link(path).unwrap_or_default() });
    }
    if meta.is_dir() { Ok(()) } else { Err(Foreign::Kind { expected: "a directory" }) }
}

fn check_owner(meta: &Metadata) -> Result<(), Foreign> {
    let (expected, found) = (geteuid().as_raw(), meta.uid());
    if found == expected { Ok(()) } else { Err(Foreign::Owner { expected, found }) }
}

fn check_mode(meta: &Metadata) -> Result<(), Foreign> {
    let found = meta.mode() & 0o7777;
    if found & OTHERS_WRITE == 0 { Ok(()) } else { Err(Foreign::Mode { found }) }
}

fn untrusted(path: &Path, why: Foreign) -> NotUsed {
    NotUsed::Untrusted(Untrusted { path: path.to_owned(), why })
}
