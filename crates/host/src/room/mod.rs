//! Whether a file fits: into its filesystem's largest file, its free space and its owner's quota.
//! Asked before anything is written, so that a restore does not end in "no space left" hours later.

mod quota;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Stat, fstat, fstatfs, fstatvfs};
use rustix::process::{Resource, geteuid, getrlimit};

pub use quota::Owner;

use crate::ByteSize;
use crate::entry::{Directory, Entry};
use crate::no_modes::{EXFAT, FAT};

/// What is going to be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Needs {
    /// The file's size in bytes.
    pub file_size: u64,
    /// How many of them are data; the others are holes, where the filesystem has such.
    pub data_bytes: u64,
    /// Whether room is to be reserved for the holes as well.
    pub preallocate: bool,
}

/// Room that there is, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    /// What the file will take.
    pub needed: u64,
    /// What is there for it; `None` for a filesystem that does not say.
    pub available: Option<u64>,
}

/// Room that there is not.
#[derive(Debug, thiserror::Error)]
pub enum NoRoom {
    /// The filesystem, or a limit of this process (`ulimit -f`), has no files as large as this.
    #[error(
        "{}: a file of {size} bytes ({}) is too large for {}", path.display(), ByteSize(*size),
        largest.map_or_else(|| "its filesystem".to_owned(), |l| format!("the limit of {l} bytes"))
    )]
    FileTooLarge {
        /// The file or directory.
        path: PathBuf,
        /// The file's size.
        size: u64,
        /// The largest size there can be, where it is known.
        largest: Option<u64>,
    },
    /// Too little free space.
    #[error(
        "{}: {} needed, {} free ({needed} and {available} bytes)",
        path.display(), ByteSize(*needed), ByteSize(*available)
    )]
    Space {
        /// The file or directory.
        path: PathBuf,
        /// Bytes the file takes.
        needed: u64,
        /// Bytes there are for it.
        available: u64,
    },
    /// Too little left of a quota.
    #[error(
        "{}: {} needed, {} left of the quota of {owner} ({needed} and {available} bytes)",
        path.display(), ByteSize(*needed), ByteSize(*available)
    )]
    Quota {
        /// The file or directory.
        path: PathBuf,
        /// Whose quota it is.
        owner: Owner,
        /// Bytes the file takes.
        needed: u64,
        /// Bytes there are for it.
        available: u64,
    },
    /// The system does not say, or does not let a file be made.
    #[error("{}: {source}", path.display())]
    System {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

/// ext2, ext3 and ext4, as `statfs(2)` calls them.
const EXT: u64 = 0xef53;

/// `s_maxbytes` in `fs/fat/inode.c`.
const LARGEST_ON_FAT: u64 = u32::MAX as u64;

/// Checks whether there is room for a file: for `file`, which is there and gets overwritten or goes on, or else for
/// a new one in the directory of `place`. Leaves nothing behind.
///
/// Project quotas need no look of their own: XFS and ext4 show them as the size of the directory they
/// are set for (`xfs_qm_statvfs` in `fs/xfs/xfs_qm_bhv.c`, `ext4_statfs_project` in
/// `fs/ext4/super.c`).
pub fn check_room(place: &Entry, file: Option<&File>, needs: Needs) -> Result<Room, NoRoom> {
    let path = place.path();
    let spot = Spot::of(place, file).map_err(|source| NoRoom::System { path, source })?;
    spot.check_file_size(needs.file_size)?;
    let has_holes = !matches!(spot.filesystem, FAT | EXFAT);
    let needed = if needs.preallocate || !has_holes { needs.file_size } else { needs.data_bytes };
    let free = spot.free()?;
    // Root may go beyond quotas (`ignore_hardlimit` in `fs/quota/dquot.c`).
    let quotas = if geteuid().is_root() { Vec::new() } else { quota::left(&spot) };
    settle(&spot.path, needed, free, &quotas)
}

/// Whether `needed` bytes are within what is free and what is left of each quota.
fn settle(
    path: &Path,
    needed: u64,
    free: Option<u64>,
    quotas: &[(Owner, u64)],
) -> Result<Room, NoRoom> {
    if let Some(available) = free.filter(|available| *available < needed) {
        return Err(NoRoom::Space { path: path.to_owned(), needed, available });
    }
    if let Some((owner, available)) = quotas.iter().copied().find(|(_, left)| *left < needed) {
        return Err(NoRoom::Quota { path: path.to_owned(), owner, needed, available });
    }
    let left = quotas.iter().map(|(_, left)| *left);
    Ok(Room { needed, available: free.into_iter().chain(left).min() })
}

/// Where a file is or will be.
struct Spot<'s> {
    /// As it was asked for.
    path: PathBuf,
    directory: &'s Directory,
    /// What is there already: the file, or the directory it will be in.
    there: BorrowedFd<'s>,
    meta: Stat,
    is_file: bool,
    /// Type of the filesystem, of `statfs(2)`.
    filesystem: u64,
    /// Bytes on disk that the file has already.
    own: u64,
}

impl<'s> Spot<'s> {
    fn of(place: &'s Entry, file: Option<&'s File>) -> io::Result<Self> {
        let directory = place.directory();
        let there = file.map_or_else(|| AsFd::as_fd(directory), AsFd::as_fd);
        let meta = fstat(there)?;
        // The type is a long in some places and unsigned in others, but has 32 bits.
        let filesystem = u64::try_from(fstatfs(there)?.f_type).unwrap_or(0) & 0xffff_ffff;
        let is_file = file.is_some();
        // st_blocks counts 512 bytes whatever the block size (stat(3type)).
        let blocks = if is_file { u64::try_from(meta.st_blocks).unwrap_or(0) } else { 0 };
        let own = blocks.saturating_mul(512);
        Ok(Self { path: place.path(), directory, there, meta, is_file, filesystem, own })
    }

    fn system(&self, source: impl Into<io::Error>) -> NoRoom {
        NoRoom::System { path: self.path.clone(), source: source.into() }
    }

    /// Bytes that the file may take, with those it has; `None` where the filesystem has no size.
    fn free(&self) -> Result<Option<u64>, NoRoom> {
        let stat = fstatvfs(self.there).map_err(|e| self.system(e))?;
        if stat.f_blocks == 0 {
            return Ok(None);
        }
        // Others cannot tell what is free and what root may use apart, or mean something else.
        let may_use_reserve = geteuid().is_root() && self.filesystem == EXT;
        let blocks = if may_use_reserve { stat.f_bfree } else { stat.f_bavail };
        Ok(Some(blocks.saturating_mul(stat.f_frsize).saturating_add(self.own)))
    }

    /// Whether a file may be that large: tried out on one without a name, all of it a hole.
    fn check_file_size(&self, size: u64) -> Result<(), NoRoom> {
        if self.is_file && u64::try_from(self.meta.st_size).unwrap_or(0) >= size {
            return Ok(());
        }
        let too_large = |largest| NoRoom::FileTooLarge { path: self.path.clone(), size, largest };
        // Beyond this limit the process is not told but ended (setrlimit(2), SIGXFSZ).
        let limit = getrlimit(Resource::Fsize).current;
        // FAT has no holes: trying it out would write zeros.
        let format = (self.filesystem == FAT).then_some(LARGEST_ON_FAT);
        if let Some(largest) = limit.into_iter().chain(format).min().filter(|l| *l < size) {
            return Err(too_large(Some(largest)));
        }
        if matches!(self.filesystem, FAT | EXFAT) {
            return Ok(());
        }
        let file = match self.directory.nameless_file() {
            // A file that is there may be written to where none can be made.
            Err(_) if self.is_file => return Ok(()),
            made => made.map_err(|source| self.system(source))?,
        };
        match file.set_len(size) {
            // "The argument length is larger than the maximum file size" (truncate(2)).
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::FileTooLarge | io::ErrorKind::InvalidInput
                ) =>
            {
                Err(too_large(None))
            }
            done => done.map_err(|source| self.system(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{NoRoom, Owner, Room, settle};

    #[test]
    fn the_tightest_of_all_limits_counts() {
        let settle = |needed, free, quotas: &[_]| settle(Path::new("/x"), needed, free, quotas);
        let quotas = [(Owner::User(1000), 700), (Owner::Group(100), 600)];
        assert_eq!(
            settle(600, Some(800), &quotas).unwrap(),
            Room { needed: 600, available: Some(600) }
        );
        assert_eq!(settle(u64::MAX, None, &[]).unwrap().available, None);
        let error = settle(601, Some(800), &quotas).unwrap_err();
        assert!(matches!(error, NoRoom::Quota { owner: Owner::Group(100), available: 600, .. }));
        let text = "/x: 601 B needed, 600 B left of the quota of group 100 (601 and 600 bytes)";
        assert_eq!(error.to_string(), text);
        assert!(matches!(settle(801, Some(800), &quotas), Err(NoRoom::Space { .. })));
    }
}
