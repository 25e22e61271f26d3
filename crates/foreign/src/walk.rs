//! One walk over a tree of files, for all formats at once. Symbolic links below what was named are
//! not followed.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use restore::renamed::Likeness;
use restore::set::{is_called_snapshot, is_unfinished_capture};

use crate::backup::{Fault, FileFault, Warning};
use crate::limits::Limits;
use crate::within::{home, named};

/// How many links are kept, to see where they lead.
const MAX_LINKS: usize = 1 << 16;

/// What looks for the backups of one format.
pub(crate) trait Finder {
    /// Looks at a regular file; those of a directory come in any order.
    fn file(&mut self, found: &Found<'_>);

    /// Hears of a link, a FIFO, a device, a socket, a file whose name is no text, or a directory with the name of a
    /// file: `what` it is. It is neither followed nor opened as a file.
    fn special(&mut self, found: &Found<'_>, what: &'static str);

    /// Whether a file is called like one of the format.
    fn knows(&self, found: &Found<'_>) -> bool;
}

/// What a walk leaves to others.
pub(crate) struct Walked {
    /// What could not be looked at.
    pub faults: Vec<FileFault>,
    /// Snapshot files, and whatever else was named and is of no format that is known.
    pub snapshots: Vec<PathBuf>,
    /// What may be, or lead to, a snapshot file and is not looked into.
    pub strange: Strange,
}

/// What is not looked into, the first of each kind with the number of the others.
#[derive(Default)]
pub(crate) struct Strange(BTreeMap<&'static str, (PathBuf, u64)>);

impl Strange {
    fn add(&mut self, path: PathBuf, why: &'static str) {
        match self.0.get_mut(why) {
            Some((first, more)) => {
                *more += 1;
                if path < *first {
                    *first = path;
                }
            }
            None => drop(self.0.insert(why, (path, 0))),
        }
    }

    pub(crate) fn into_warnings(self) -> impl Iterator<Item = Warning> {
        self.0.into_iter().map(|(why, (path, more))| Warning::NotUsed { path, more, why })
    }
}

/// A file by its name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'f> {
    pub directory: &'f Path,
    pub name: &'f str,
}

impl Found<'_> {
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.join(self.name)
    }
}

/// Shows every regular file under `paths` to `finder` but for those that are called like snapshot files.
pub(crate) fn walk(paths: &[PathBuf], limits: &Limits, finder: &mut dyn Finder) -> Walked {
    let walked = Walked { faults: Vec::new(), snapshots: Vec::new(), strange: Strange::default() };
    let (seen, links) = (HashSet::new(), Vec::new());
    let mut walk = Walk { left: limits.files, seen, links, walked, finder };
    let is_directory = |path: &&PathBuf| fs::metadata(path).is_ok_and(|m| m.is_dir());
    // A file that is named as well as found counts once, so directories go first.
    let (directories, files): (Vec<_>, Vec<_>) = paths.iter().partition(is_directory);
    for directory in directories {
        walk.directory(directory, limits.depth);
    }
    for file in files {
        walk.named(file);
    }
    walk.name_links();
    walk.walked
}

struct Walk<'w> {
    left: u64,
    /// Directories by device and inode.
    seen: HashSet<(u64, u64)>,
    /// Links that lead to a directory, or to nothing.
    links: Vec<PathBuf>,
    walked: Walked,
    finder: &'w mut dyn Finder,
}

impl Walk<'_> {
    fn directory(&mut self, path: &Path, depth: u32) {
        let Some(below) = depth.checked_sub(1) else { return self.fault(path, Fault::Depth) };
        match fs::metadata(path) {
            Ok(meta) if !self.seen.insert((meta.dev(), meta.ino())) => return,
            Ok(_) => {}
            Err(e) => return self.fault(path, e.into()),
        }
        let mut inner = Vec::new();
        match self.entries(path, &mut inner) {
            Ok(true) => {}
            Ok(false) => return self.fault(path, Fault::Files),
            Err(e) => self.fault(path, e.into()),
        }
        inner.sort_unstable();
        for directory in inner {
            self.directory(&directory, below);
        }
    }

    /// Shows the files of a directory; `false` when there are more than may be.
    fn entries(&mut self, path: &Path, inner: &mut Vec<PathBuf>) -> io::Result<bool> {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            self.left = match self.left.checked_sub(1) {
                Some(left) => left,
                None => return Ok(false),
            };
            if kind.is_dir() {
                self.in_the_place_of_a_file(path, &entry.file_name());
                inner.extend(Some(entry.path()).filter(|path| !is_unfinished_capture(path)));
                continue;
            }
            match Likeness::of(&entry.path()) {
                Likeness::Snapshot => {
                    self.walked.snapshots.extend(Some(entry.path()).filter(|path| !path.is_dir()));
                    continue;
                }
                Likeness::Doubtful => {
                    let why = "it is called like a snapshot file that was renamed or packed: \
                               give its own path, or unpack it";
                    self.walked.strange.add(entry.path(), why);
                    continue;
                }
                Likeness::None => {}
            }
            let name = entry.file_name();
            if kind.is_symlink() && self.links.len() < MAX_LINKS {
                let leads_on = fs::metadata(entry.path()).map_or(true, |meta| meta.is_dir());
                self.links.extend(leads_on.then(|| entry.path()));
            }
            let text = name.to_string_lossy();
            let found = Found { directory: path, name: &text };
            if name.to_str().is_none() {
                self.finder.special(&found, "its name is not UTF-8");
            } else if kind.is_file() {
                self.finder.file(&found);
            } else if kind.is_symlink() {
                self.finder.special(&found, "a symbolic link, which is not followed");
            } else {
                self.finder.special(&found, "no regular file");
            }
        }
        Ok(true)
    }

    /// Names the links that lead to no directory of the walk.
    fn name_links(&mut self) {
        for link in std::mem::take(&mut self.links) {
            let why = match fs::metadata(&link) {
                Ok(meta) if self.seen.contains(&(meta.dev(), meta.ino())) => continue,
                Ok(_) => "it is a link to a directory, which is not followed: give its path, too",
                Err(_) => "it is a link that leads nowhere",
            };
            self.walked.strange.add(link, why);
        }
    }

    /// Names a directory that is called like a file of the format. A number alone is no such name: whole backups
    /// lie in directories called so.
    fn in_the_place_of_a_file(&mut self, directory: &Path, name: &OsStr) {
        let found = name.to_str().map(|name| Found { directory, name });
        if let Some(found) = found.filter(|f| f.name.contains('.') && self.finder.knows(f)) {
            self.finder.special(&found, "a directory");
        }
    }

    /// Looks at a file by the name it was given by.
    fn named(&mut self, path: &Path) {
        let given = path;
        let path = &*named(path);
        let directory = home(path);
        let name = path.file_name().and_then(|name| name.to_str());
        match (fs::metadata(path), fs::metadata(directory), name) {
            (Ok(file), Ok(parent), Some(name))
                if file.is_file()
                    && !is_called_snapshot(path)
                    && self.finder.knows(&Found { directory, name }) =>
            {
                if !self.seen.contains(&(parent.dev(), parent.ino())) {
                    self.finder.file(&Found { directory, name });
                }
            }
            // What it is, or why it cannot be looked at, is found out where it is opened.
            _ => self.walked.snapshots.push(given.to_owned()),
        }
    }

    fn fault(&mut self, path: &Path, fault: Fault) {
        self.walked.faults.push(FileFault::new(path, fault));
    }
}
