//! Whether what is there can only have been left by a run of the caller.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use rustix::fs::{FileType, Stat, fstat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::way::is_trusted;
use crate::no_modes::has_no_modes;

/// What others may do with a file, by its mode.
pub(super) const OTHERS: u32 = 0o077;
/// The same on filesystems without modes of their own: what the mount says of all files is no right to write.
pub(super) const OTHERS_WRITE: u32 = 0o022;

pub(super) const A_FILE: &str = "a regular file";
pub(super) const A_DIRECTORY: &str = "a directory";

/// Why something that is there is not taken up.
#[derive(Debug, thiserror::Error)]
pub enum NotOwn {
    /// The system does not let it be looked at.
    #[error("{0}")]
    System(#[from] io::Error),
    /// It may be another user's.
    #[error("{0}")]
    Foreign(Foreign),
}

/// What tells that a file or directory may be another user's. Displays as what follows its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Foreign {
    /// It is a link.
    Link {
        /// Where it leads.
        to: PathBuf,
    },
    /// It is of another kind than what a run leaves.
    Kind {
        /// What a run leaves.
        expected: &'static str,
    },
    /// Another user owns it.
    Owner {
        /// The caller.
        expected: u32,
        /// The owner.
        found: u32,
    },
    /// It has other names.
    Links {
        /// How many in all.
        found: u64,
    },
    /// Others than its owner have rights to it.
    Mode {
        /// Its mode.
        found: u32,
    },
    /// Another file took its place while it was looked at.
    Replaced,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link { to } => write!(f, "is a link, to {}", to.display()),
            Self::Kind { expected } => write!(f, "is not {expected}"),
            Self::Owner { expected, found } => {
                write!(f, "belongs to user {found}, not to user {expected}")
            }
            Self::Links { found } => write!(f, "has {found} names"),
            Self::Mode { found } => write!(f, "is open to others (mode {found:04o})"),
            Self::Replaced => f.write_str("was replaced while it was looked at"),
        }
    }
}

impl From<Errno> for NotOwn {
    fn from(error: Errno) -> Self {
        Self::System(error.into())
    }
}

/// Whether a file that is open is one that only a run of the caller can have left.
pub fn check_file(file: &File) -> Result<(), Foreign> {
    let stat = fstat(file).map_err(|_| Foreign::Replaced)?;
    check_own(&stat, FileType::RegularFile, others(file))
}

/// Whether no other user can have written to a file that is open, under this name or another one.
pub fn check_written_by_caller(file: &File) -> Result<(), Foreign> {
    let stat = fstat(file).map_err(|_| Foreign::Replaced)?;
    check_own(&stat, FileType::RegularFile, OTHERS_WRITE)
}

/// The same, where root may have written to it.
pub fn check_written_by_trusted(file: &File) -> Result<(), Foreign> {
    let stat = fstat(file).map_err(|_| Foreign::Replaced)?;
    check_kind(&stat, FileType::RegularFile)?;
    if !is_trusted(stat.st_uid) {
        check_owner(&stat)?;
    }
    check_rights(&stat, OTHERS_WRITE)
}

pub(super) fn check_own(stat: &Stat, kind: FileType, others: u32) -> Result<(), Foreign> {
    check_kind(stat, kind)?;
    check_owner(stat)?;
    check_rights(stat, others)
}

fn check_kind(stat: &Stat, kind: FileType) -> Result<(), Foreign> {
    if FileType::from_raw_mode(stat.st_mode) == kind {
        return Ok(());
    }
    let is_file = kind == FileType::RegularFile;
    Err(Foreign::Kind { expected: if is_file { A_FILE } else { A_DIRECTORY } })
}

/// Other names and other users' rights.
fn check_rights(stat: &Stat, others: u32) -> Result<(), Foreign> {
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    let links = stat.st_nlink;
    if is_file && links != 1 {
        return Err(Foreign::Links { found: links });
    }
    let mode = stat.st_mode & 0o7777;
    if mode & others != 0 { Err(Foreign::Mode { found: mode }) } else { Ok(()) }
}

pub(super) fn check_owner(stat: &Stat) -> Result<(), Foreign> {
    let (expected, found) = (geteuid().as_raw(), stat.st_uid);
    if found == expected { Ok(()) } else { Err(Foreign::Owner { expected, found }) }
}

/// Which bits of a mode are rights of others that matter.
pub(super) fn others(file: impl AsFd) -> u32 {
    // FAT and exFAT, as `room` knows them, give all files the mode that the mount says.
    let kind = rustix::fs::fstatfs(file).ok().and_then(|s| u64::try_from(s.f_type).ok());
    if kind.is_some_and(has_no_modes) { OTHERS_WRITE } else { OTHERS }
}
