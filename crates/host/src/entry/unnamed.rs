//! New files that have no name yet but a temporary one.

use std::fs::File;
use std::io;

use rustix::fs::{Stat, fstat};

use super::Entry;

/// A new file that has no name yet but a temporary one. Dropped, that is removed, unless it is kept.
#[derive(Debug)]
pub struct Unnamed {
    entry: Entry,
    /// Device and inode: what has got the name meanwhile is not removed.
    id: (u64, u64),
    keep: bool,
}

impl Unnamed {
    /// For the file that was made under this name.
    pub fn new(entry: Entry, file: &File) -> io::Result<Self> {
        let stat = fstat(file)?;
        Ok(Self { entry, id: (stat.st_dev, stat.st_ino), keep: false })
    }

    /// Whether the name stays when this is dropped.
    pub fn keep(&mut self, keep: bool) {
        self.keep = keep;
    }

    /// Its temporary name.
    pub const fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Gives it the name `target`.
    ///
    /// # Errors
    ///
    /// Those of [`Entry::publish`]; then the temporary name is removed, unless it is kept.
    pub fn publish(self, file: &File, target: &Entry, replace: bool) -> io::Result<()> {
        self.entry.publish(file, target, replace)
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        let is_own = |stat: Stat| (stat.st_dev, stat.st_ino) == self.id;
        if !self.keep && self.entry.look().is_ok_and(|found| found.is_some_and(is_own)) {
            // A name that stays says that it is a part only.
            let _ = self.entry.remove();
        }
    }
}
