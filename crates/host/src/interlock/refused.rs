//! Why a target must not be overwritten.

use snapfmt::Offset;
use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

use super::{Relation, Target};
use crate::ByteSize;
use crate::in_use::{Process, Use};
use disk::signature::Contents;

/// A target that must not be overwritten, in one line.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The system does not let it be opened, or a source be looked at.
    #[error("{}: {source}", path.display())]
    System {
        /// The target or source.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// It is nothing that bytes can be restored to in place.
    #[error("{} is {kind}, neither a regular file nor a block device", path.display())]
    Kind {
        /// The target.
        path: PathBuf,
        /// What it is.
        kind: FileKind,
    },
    /// It is a link that is not followed.
    #[error("{} is a link, to {}", path.display(), to.display())]
    Link {
        /// The target.
        path: PathBuf,
        /// Where it leads.
        to: PathBuf,
    },
    /// It is a file that another user may have given this name.
    #[error("{} has {names} names, and other users may make such names in its directory", path.display())]
    Names {
        /// The target.
        path: PathBuf,
        /// How many.
        names: u64,
    },
    /// Overwriting it would do harm, or cannot give what was asked for.
    #[error("{}, {why}{}", target.identity, Loss(&target.contents))]
    Unsafe {
        /// Who it is, and what would be lost.
        target: Box<Target>,
        /// Why.
        why: Why,
    },
}

impl Refused {
    /// What uses the target, as far as that is the reason.
    pub fn uses(&self) -> &[Use] {
        match self {
            Self::Unsafe { why: Why::InUse(uses), .. } => uses,
            Self::Unsafe { .. }
            | Self::System { .. }
            | Self::Kind { .. }
            | Self::Link { .. }
            | Self::Names { .. } => &[],
        }
    }
}

/// What is wrong with a target; displays as what follows its name.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    /// It is in use, in one way at least.
    #[error("is {}", Listed(.0))]
    InUse(Vec<Use>),
    /// Another process holds a lock on it: another restore, for one. Processes of other users may
    /// not be seen.
    #[error("is locked by {}", Lockers(.0))]
    Locked(Vec<Process>),
    /// Writing to it would change what is read.
    #[error("{relation} the source {}", path.display())]
    Source {
        /// The source.
        path: PathBuf,
        /// What the target has to do with it.
        relation: Relation,
    },
    /// The kernel lets no process write to it.
    #[error("is read-only")]
    ReadOnly,
    /// It is another device than the user meant.
    #[error(
        "has {}, expected {expected:?}",
        found.as_ref().map_or_else(|| "no serial number".to_owned(), |s| format!("serial number {s:?}"))
    )]
    Serial {
        /// What the user said.
        expected: String,
        /// What it says itself.
        found: Option<String>,
    },
    /// It has another size than the user meant, in bytes.
    #[error("has {found} bytes, expected {expected}")]
    Size {
        /// What the user said.
        expected: u64,
        /// Its size.
        found: u64,
    },
    /// What is to be written goes beyond its end.
    #[error(
        "has {found} bytes ({}), {needed} ({}) are needed: a target is at least the size of the original",
        ByteSize(*found), ByteSize(*needed)
    )]
    TooSmall {
        /// Where the last byte to be written ends.
        needed: u64,
        /// Its size in bytes.
        found: u64,
    },
    /// What is to be written does not start or end with a sector.
    #[error("has sectors of {sector_size} bytes, but byte {offset} is not where one begins", offset = Offset(*offset))]
    Misaligned {
        /// Where writing starts or ends.
        offset: u64,
        /// Logical sector size in bytes.
        sector_size: u32,
    },
}

impl Why {
    /// Whether it may be over in a moment.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Locked(_) => true,
            Self::InUse(uses) => uses.iter().all(Use::may_pass),
            Self::Source { .. }
            | Self::ReadOnly
            | Self::Serial { .. }
            | Self::Size { .. }
            | Self::TooSmall { .. }
            | Self::Misaligned { .. } => false,
        }
    }
}

/// What neither is a regular file nor a block device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileKind {
    /// A directory.
    Directory,
    /// A character device.
    CharacterDevice,
    /// A named pipe.
    Pipe,
    /// A socket.
    Socket,
    /// Something else.
    Other,
}

impl FileKind {
    /// `None` for a regular file and a block device.
    pub(super) fn of(meta: &Metadata) -> Option<Self> {
        let kind = meta.file_type();
        match kind {
            _ if kind.is_file() || kind.is_block_device() => None,
            _ if kind.is_dir() => Some(Self::Directory),
            _ if kind.is_char_device() => Some(Self::CharacterDevice),
            _ if kind.is_fifo() => Some(Self::Pipe),
            _ if kind.is_socket() => Some(Self::Socket),
            _ => Some(Self::Other),
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Directory => "a directory",
            Self::CharacterDevice => "a character device",
            Self::Pipe => "a pipe",
            Self::Socket => "a socket",
            Self::Other => "a special file",
        })
    }
}

/// What would have been lost, if anything.
struct Loss<'a>(&'a Contents);

impl fmt::Display for Loss<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Contents::Blank => Ok(()),
            contents => write!(f, "; it holds {contents}"),
        }
    }
}

struct Listed<'a>(&'a [Use]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(f, self.0)
    }
}

struct Lockers<'a>(&'a [Process]);

impl fmt::Display for Lockers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("another process") } else { list(f, self.0) }
    }
}

fn list(f: &mut fmt::Formatter<'_>, items: &[impl fmt::Display]) -> fmt::Result {
    for (n, item) in items.iter().enumerate() {
        write!(f, "{}{item}", if n == 0 { "" } else { ", " })?;
    }
    Ok(())
}
