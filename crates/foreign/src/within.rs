//! Files that are opened by name in directories of somebody else: below a directory that was opened once,
//! without following links, and only if they are regular files. What has their name by then may be
//! something else than what was found: a link out of the tree, a FIFO, a device.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

/// How files are opened: one that nobody writes to must not hold the reader.
const FILE: OFlags = OFlags::NONBLOCK.union(OFlags::NOFOLLOW).union(OFlags::NOCTTY);
/// Directories on the way need not be readable.
const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The directories that were named, and those of files that were, each opened once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roots {
    /// Where this process worked when they were opened: it may have gone elsewhere since.
    base: PathBuf,
    opened: Arc<Vec<(PathBuf, OwnedFd)>>,
}

impl Roots {
    /// Opens them; what cannot be opened is left out, and the walk over it says so.
    pub(crate) fn of(paths: &[PathBuf]) -> Self {
        let base = std::env::current_dir().unwrap_or_default();
        let mut opened: Vec<(PathBuf, OwnedFd)> = Vec::new();
        for path in paths {
            let path = named(path);
            let root = base.join(if path.is_dir() { &path } else { home(&path) });
            if opened.iter().all(|(known, _)| *known != root)
                && let Ok(fd) = openat(CWD, &root, DIRECTORY, Mode::empty())
            {
                opened.push((root, fd));
            }
        }
        Self { base, opened: Arc::new(opened) }
    }

    /// A path that means the same wherever this process works.
    pub(crate) fn absolute(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }

    /// Opens a regular file below one of them; gives its length as well.
    pub(crate) fn open(&self, path: &Path) -> io::Result<(File, u64)> {
        let path = self.absolute(path);
        let above = self.opened.iter().filter(|(root, _)| path.starts_with(root));
        let nearest = above.max_by_key(|(root, _)| root.components().count());
        let outside = || io::Error::new(io::ErrorKind::NotFound, "outside of what was named");
        let (root, fd) = nearest.ok_or_else(outside)?;
        let rest = path.strip_prefix(root).map_err(|_| outside())?;
        let file = File::from(without_links(fd.as_fd(), rest)?);
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no regular file"));
        }
        Ok((file, meta.len()))
    }
}

/// What a path that was named means: of a link to a file, that file.
pub(crate) fn named(path: &Path) -> Cow<'_, Path> {
    let is_link = path.symlink_metadata().is_ok_and(|meta| meta.is_symlink());
    let real = (is_link && path.is_file()).then(|| path.canonicalize().ok()).flatten();
    real.map_or(Cow::Borrowed(path), Cow::Owned)
}

/// The directory that a path is in.
pub(crate) fn home(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

fn without_links(root: BorrowedFd<'_>, rest: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = FILE | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::BENEATH;
    match openat2(root, rest, flags, Mode::empty(), resolve) {
        // Older kernels than 5.6, and sandboxes that do not know the call.
        Err(Errno::NOSYS | Errno::PERM) => step_by_step(root, rest, flags),
        opened => opened,
    }
}

fn step_by_step(root: BorrowedFd<'_>, rest: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let mut at = rustix::io::fcntl_dupfd_cloexec(root, 0)?;
    let mut parts = rest.components().peekable();
    while let Some(part) = parts.next() {
        let Component::Normal(name) = part else { return Err(Errno::XDEV) };
        if parts.peek().is_none() {
            return openat(&at, name, flags, Mode::empty());
        }
        at = openat(&at, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Err(Errno::ISDIR)
}

#[cfg(test)]
mod tests {
    use super::{FILE, Roots, step_by_step, without_links};
    use rustix::fs::OFlags;
    use std::fs;
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    #[test]
    fn only_regular_files_below_without_links() {
        let tree = tempfile::tempdir().unwrap();
        let dump = tree.path().join("dump");
        fs::create_dir_all(dump.join("in/deep")).unwrap();
        fs::write(tree.path().join("outside"), b"outside").unwrap();
        fs::write(dump.join("in/deep/file"), b"inside").unwrap();
        symlink("../outside", dump.join("leaf")).unwrap();
        symlink("in/deep", dump.join("way")).unwrap();
        symlink("in/deep/file", dump.join("near")).unwrap();
        let fifo = dump.join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let roots = Roots::of(std::slice::from_ref(&dump));
        assert_eq!(roots.open(&dump.join("in/deep/file")).unwrap().1, 6);
        let refused = ["leaf", "way/file", "near", "fifo", "in", "../outside", "in/../../outside"];
        for name in refused {
            assert!(roots.open(&dump.join(name)).is_err(), "{name}");
        }
        assert!(roots.open(&tree.path().join("outside")).is_err());
        // The two ways to open agree.
        let root = fs::File::open(&dump).unwrap();
        for name in ["leaf", "way/file", "near", "../outside", "in/deep/file", "in/none"] {
            let (one, other) = (
                without_links(root.as_fd(), Path::new(name)),
                step_by_step(root.as_fd(), Path::new(name), FILE | OFlags::CLOEXEC),
            );
            assert_eq!(one.is_ok(), other.is_ok(), "{name}");
        }
    }
}
