//! Names in directories that are opened once.
//!
//! A program that runs as root writes into directories of others, who may rename and replace what is in them at
//! any moment. What is made there is therefore made new, in a directory that is open; what an earlier run has left
//! is taken up only where no other user can have made it; and everything is written through the
//! descriptor that was checked.

mod own;
mod unnamed;
mod way;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, Stat, fstat, linkat, mkdirat, openat,
    readlinkat, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use own::{A_DIRECTORY, A_FILE, OTHERS, check_own, check_owner, others};
pub use own::{Foreign, NotOwn};
pub use own::{check_file, check_written_by_caller, check_written_by_trusted};
pub use unnamed::Unnamed;
pub use way::LinkOfAnother;
pub(crate) use way::{is_trusted, walk_from};

/// How the names of files and directories end that are not finished yet.
pub const PARTIAL: &str = ".partial";

/// The directory that holds `target`.
pub fn parent_directory(target: &Path) -> &Path {
    match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW);

/// A directory that is open.
#[derive(Clone, Debug)]
pub struct Directory {
    fd: Arc<OwnedFd>,
    path: PathBuf,
}

/// A name in a directory that is open, whether there is something under it or not.
#[derive(Clone, Debug)]
pub struct Entry {
    directory: Directory,
    name: OsString,
}

impl Directory {
    /// Opens a directory.
    ///
    /// # Errors
    ///
    /// Also a [`LinkOfAnother`] on the way.
    pub fn open(path: &Path) -> io::Result<Self> {
        let place = way::walk(path)?;
        let fd = Arc::new(openat(place, ".", DIRECTORY | OFlags::CLOEXEC, Mode::empty())?);
        Ok(Self { fd, path: path.to_owned() })
    }

    /// For messages: the path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path to the directory itself for calls that take paths only, whatever has got its name meanwhile.
    pub fn own_path(&self) -> PathBuf {
        PathBuf::from(own_path(&self.fd))
    }

    /// The name that the system knows it by now, without links.
    pub fn real_path(&self) -> io::Result<PathBuf> {
        let path = readlinkat(CWD, self.own_path(), Vec::new())?;
        Ok(PathBuf::from(OsStr::from_bytes(path.as_bytes())))
    }

    /// A name in it.
    pub fn entry(&self, name: impl Into<OsString>) -> Entry {
        Entry { directory: self.clone(), name: name.into() }
    }

    /// The names of all that is in it.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for found in Dir::read_from(&self.fd)? {
            let found = found?;
            let name = OsStr::from_bytes(found.file_name().to_bytes());
            if name != "." && name != ".." {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Makes durable which names are in it.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.fd)?)
    }

    /// Makes a new file under a name that no other file has: the prefix, something, `.partial`.
    pub fn new_file(&self, prefix: &OsStr) -> io::Result<(Unnamed, File)> {
        loop {
            let entry = self.entry_like(prefix);
            match entry.create() {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                made => {
                    let file = made?;
                    return Ok((Unnamed::new(entry, &file)?, file));
                }
            }
        }
    }

    /// Makes a file without any name, which is gone when it is closed.
    pub fn nameless_file(&self) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::EXCL | OFlags::CLOEXEC;
        match openat(&self.fd, ".", flags, Mode::RUSR | Mode::WUSR) {
            // Not every filesystem has such files; one without them takes the flag for a directory's.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
                let (named, file) = self.new_file(OsStr::new("."))?;
                drop(named);
                Ok(file)
            }
            made => Ok(made?.into()),
        }
    }

    /// Whether other users may make names in it. A group may have other users.
    pub fn is_open_to_others(&self) -> io::Result<bool> {
        let stat = fstat(&self.fd)?;
        Ok(!is_trusted(stat.st_uid) || stat.st_mode & own::OTHERS_WRITE != 0)
    }

    /// Makes a new directory under such a name.
    pub fn new_directory(&self, prefix: &OsStr) -> io::Result<(Entry, Self)> {
        loop {
            let entry = self.entry_like(prefix);
            if let Some(made) = entry.make_directory()? {
                return Ok((entry, made));
            }
        }
    }

    fn entry_like(&self, prefix: &OsStr) -> Entry {
        let mut name = prefix.to_owned();
        name.push(unlike_others());
        name.push(PARTIAL);
        self.entry(name)
    }

    /// Keeps other processes that do the same away, for as long as it is open; `false` where one does. Not
    /// every filesystem locks directories: on those, what is in it has locks of its own.
    pub fn lock(&self) -> io::Result<bool> {
        match crate::lock::lock(&self.fd) {
            Err(e)
                if matches!(
                    Errno::from_io_error(&e),
                    Some(Errno::BADF | Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOLCK)
                ) =>
            {
                Ok(true)
            }
            done => done,
        }
    }

    /// Removes the files in it.
    pub fn clear(&self) -> io::Result<()> {
        self.names()?.into_iter().try_for_each(|name| self.entry(name).remove())
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Entry {
    /// The name that `path` ends in, in the directory that the rest of it leads to. `.`, `..` and `/` are the names
    /// of directories.
    pub fn at(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
        let directory = Directory::open(parent_directory(path))?;
        // As it was given: `name`, not `./name`.
        let path = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Directory { path, ..directory }.entry(name))
    }

    /// For messages.
    pub fn path(&self) -> PathBuf {
        self.directory.path.join(&self.name)
    }

    /// The name alone.
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// The directory.
    pub const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The hidden name beside it that ends in `suffix`.
    #[must_use]
    pub fn beside(&self, suffix: &str) -> Self {
        let mut hidden = OsString::from(".");
        hidden.push(&self.name);
        hidden.push(suffix);
        self.directory.entry(hidden)
    }

    /// The name that goes on with `suffix`.
    #[must_use]
    pub fn followed_by(&self, suffix: &str) -> Self {
        let mut name = self.name.clone();
        name.push(suffix);
        self.directory.entry(name)
    }

    /// What is there, a link that leads nowhere included.
    pub fn look(&self) -> io::Result<Option<Stat>> {
        match statat(&self.directory.fd, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(None),
            found => Ok(Some(found?)),
        }
    }

    /// What is there, a link itself, neither open for reading nor for writing.
    pub(crate) fn place(&self) -> io::Result<OwnedFd> {
        Ok(self.open(OFlags::PATH | OFlags::NOFOLLOW)?)
    }

    /// Whether there is something that could be looked at, or not.
    pub fn exists(&self) -> bool {
        self.look().is_ok_and(|found| found.is_some())
    }

    /// Makes a new file, which its owner alone may read and write.
    pub fn create(&self) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        Ok(self.open(flags)?.into())
    }

    /// Opens a file that an earlier run of the caller has left.
    ///
    /// # Errors
    ///
    /// One that another user may have put there, which is not touched.
    pub fn open_own(&self) -> Result<Option<File>, NotOwn> {
        let file = self.open_file(OFlags::RDWR)?;
        if let Some(file) = &file {
            check_file(file).map_err(NotOwn::Foreign)?;
        }
        Ok(file)
    }

    /// Opens a file of the caller that is only going to be removed: others may have written to it.
    ///
    /// # Errors
    ///
    /// One of another user, and what is no file.
    pub fn open_to_give_up(&self) -> Result<Option<File>, NotOwn> {
        let file = self.open_file(OFlags::RDWR)?;
        if let Some(file) = &file {
            check_owner(&fstat(file)?).map_err(NotOwn::Foreign)?;
        }
        Ok(file)
    }

    /// Opens a regular file, and nothing that a link leads to; whose it is, the caller asks then.
    pub fn open_file(&self, access: OFlags) -> Result<Option<File>, NotOwn> {
        self.refuse_link()?;
        // A FIFO would be waited for.
        let file: File = match self.open(access | OFlags::NOFOLLOW | OFlags::NONBLOCK) {
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(NotOwn::Foreign(Foreign::Replaced)),
            Err(e) => {
                // Of what the caller may not open, a look says why not.
                let found =
                    self.look()?.map(|stat| check_own(&stat, FileType::RegularFile, OTHERS));
                return Err(found.and_then(Result::err).map_or_else(|| e.into(), NotOwn::Foreign));
            }
            Ok(fd) => fd.into(),
        };
        if !file.metadata()?.is_file() {
            return Err(NotOwn::Foreign(Foreign::Kind { expected: A_FILE }));
        }
        Ok(Some(file))
    }

    /// Opens the directory that an earlier run of the caller has left.
    ///
    /// # Errors
    ///
    /// As for [`Entry::open_own`].
    pub fn open_own_directory(&self) -> Result<Option<Directory>, NotOwn> {
        self.refuse_link()?;
        let fd = match self.open(DIRECTORY) {
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::NOTDIR) => {
                return Err(NotOwn::Foreign(Foreign::Kind { expected: A_DIRECTORY }));
            }
            opened => opened?,
        };
        let stat = fstat(&fd)?;
        check_own(&stat, FileType::Directory, others(&fd)).map_err(NotOwn::Foreign)?;
        Ok(Some(Directory { fd: Arc::new(fd), path: self.path() }))
    }

    /// Makes a new directory, for its owner alone; `None` where there is something already. Whose it is is not
    /// asked: NFS may say that all that root makes is another user's.
    pub fn make_directory(&self) -> io::Result<Option<Directory>> {
        match mkdirat(&self.directory.fd, &self.name, Mode::RWXU) {
            Err(Errno::EXIST) => return Ok(None),
            made => made?,
        }
        let fd = self.open(DIRECTORY)?;
        Ok(Some(Directory { fd: Arc::new(fd), path: self.path() }))
    }

    /// Whether the file that is open is under this name.
    pub fn is(&self, file: impl AsFd) -> io::Result<bool> {
        let stat = fstat(file)?;
        let found = self.look()?;
        Ok(found.is_some_and(|found| (found.st_dev, found.st_ino) == (stat.st_dev, stat.st_ino)))
    }

    /// Removes the name of a file; that nothing is there is no error.
    pub fn remove(&self) -> io::Result<()> {
        self.unlink(AtFlags::empty())
    }

    /// Removes an empty directory.
    pub fn remove_directory(&self) -> io::Result<()> {
        self.unlink(AtFlags::REMOVEDIR)
    }

    fn unlink(&self, flags: AtFlags) -> io::Result<()> {
        match unlinkat(&self.directory.fd, &self.name, flags) {
            Err(Errno::NOENT) => Ok(()),
            done => Ok(done?),
        }
    }

    /// Where a link leads; `None` for all else.
    pub fn link(&self) -> io::Result<Option<PathBuf>> {
        match readlinkat(&self.directory.fd, &self.name, Vec::new()) {
            Err(Errno::NOENT | Errno::INVAL) => Ok(None),
            to => Ok(Some(PathBuf::from(OsStr::from_bytes(to?.as_bytes())))),
        }
    }

    /// Gives the file that is open, and is under this name, the name `target` beside it.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` where there is something under that name that is not to be replaced.
    pub fn publish(&self, file: &File, target: &Self, replace: bool) -> io::Result<()> {
        self.expect(file)?;
        if replace {
            renameat(&self.directory.fd, &self.name, &target.directory.fd, &target.name)?;
        } else {
            self.rename_to_new(target)?;
        }
        target.expect(file)?;
        target.directory.sync()
    }

    /// The same of a directory.
    pub fn publish_directory(&self, directory: &Directory, target: &Self) -> io::Result<()> {
        self.expect(&directory.fd)?;
        match self.rename_exclusively(target) {
            Err(e) if is_unsupported(e) => {
                if target.look()?.is_some() {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                // Nothing but an empty directory gives way to a directory (rename(2)).
                renameat(&self.directory.fd, &self.name, &target.directory.fd, &target.name)?;
            }
            done => done?,
        }
        target.expect(&directory.fd)?;
        target.directory.sync()
    }

    fn expect(&self, file: impl AsFd) -> io::Result<()> {
        if self.is(file)? {
            return Ok(());
        }
        let name = self.path();
        Err(io::Error::other(format!("another file has got the name {}", name.display())))
    }

    /// NFS and FUSE may know no such flag; then a second name is one that only a new file gets. Where there
    /// are no second names either, the name is taken by an empty file first.
    fn rename_to_new(&self, target: &Self) -> io::Result<()> {
        match self.rename_exclusively(target) {
            Err(e) if is_unsupported(e) => {}
            done => return Ok(done?),
        }
        let (own, there) = (&self.directory.fd, &target.directory.fd);
        match linkat(own, &self.name, there, &target.name, AtFlags::empty()) {
            Ok(()) => self.remove(),
            Err(e) if is_unsupported(e) || matches!(e, Errno::PERM | Errno::MLINK) => {
                drop(target.create()?);
                Ok(renameat(own, &self.name, there, &target.name)?)
            }
            Err(e) => Err(e.into()),
        }
    }

    fn rename_exclusively(&self, target: &Self) -> Result<(), Errno> {
        let (own, there) = (&self.directory.fd, &target.directory.fd);
        renameat_with(own, &self.name, there, &target.name, RenameFlags::NOREPLACE)
    }

    /// Whether a run was killed between the two steps that give `target` its name, where that takes two.
    pub fn is_named(&self, target: &Self) -> io::Result<bool> {
        let (Some(own), Some(named)) = (self.look()?, target.look()?) else { return Ok(false) };
        Ok((own.st_dev, own.st_ino) == (named.st_dev, named.st_ino) && own.st_nlink == 2)
    }

    /// Does the second of these steps.
    pub fn remove_if_named(&self, target: &Self) -> io::Result<()> {
        if self.is_named(target)? { self.remove() } else { Ok(()) }
    }

    fn refuse_link(&self) -> Result<(), NotOwn> {
        match self.link()? {
            Some(to) => Err(NotOwn::Foreign(Foreign::Link { to })),
            None => Ok(()),
        }
    }

    fn open(&self, flags: OFlags) -> Result<OwnedFd, Errno> {
        let mode = Mode::RUSR | Mode::WUSR;
        openat(&self.directory.fd, &self.name, flags | OFlags::CLOEXEC, mode)
    }
}

/// Opens a file that is open once more, whatever has got its name meanwhile: `/proc/self/fd` leads to the
/// file itself (proc(5)).
pub fn reopen(file: impl AsFd, flags: OFlags) -> io::Result<File> {
    Ok(openat(CWD, own_path(&file), flags | OFlags::CLOEXEC, Mode::empty())?.into())
}

fn own_path(file: &impl AsFd) -> String {
    format!("/proc/self/fd/{}", file.as_fd().as_raw_fd())
}

fn is_unsupported(error: Errno) -> bool {
    matches!(error, Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)
}

/// Something that no other process puts into a name, and this one only once.
fn unlike_others() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_nanos());
    let (pid, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    format!("{pid:x}-{now:x}-{number:x}")
}
