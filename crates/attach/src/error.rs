//! Why a volume cannot be attached or detached.

use std::io;
use std::path::PathBuf;

use crate::holder::Holder;
use crate::name::Name;
use crate::trust::Untrusted;

/// Why a volume cannot be attached. Nothing is left of the attempt.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// Another volume has the name.
    #[error("{name} is attached already")]
    InUse {
        /// The name.
        name: Name,
    },
    /// The directory of attached volumes, or that of this one, is not the caller's alone. It is not touched.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// The directory of the attached volume cannot be made or used.
    #[error("{}: {source}", path.display())]
    Place {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A dead server left something that cannot be cleared away.
    #[error("what an earlier server left of {name} is in the way: {source}")]
    Stale {
        /// The name.
        name: Name,
        /// Why it cannot be cleared away.
        source: Box<DetachError>,
    },
    /// There is no FUSE here.
    #[error("FUSE cannot be used: {source}")]
    Fuse {
        /// The system's error.
        source: io::Error,
    },
    /// Users without root need a helper to mount, and it is not there.
    #[error("fusermount3 is not installed, and without root nothing can be mounted without it")]
    NoHelper,
    /// Too few files may be open at the same time.
    #[error("{needed} more files must be opened: {source}")]
    OpenFiles {
        /// How many.
        needed: usize,
        /// The system's error.
        source: io::Error,
    },
    /// No loop device can be had, or not one like this.
    #[error("no loop device over {}: {source}", file.display())]
    Loop {
        /// The file that it was to be over.
        file: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The server cannot be started.
    #[error("the server cannot be started: {source}")]
    Start {
        /// The system's error.
        source: io::Error,
    },
}

/// Why a volume cannot be detached. It stays as it is, as far as that is possible.
#[derive(Debug, thiserror::Error)]
pub enum DetachError {
    /// Nothing of that name or device is attached.
    #[error("{what} is not attached")]
    Unknown {
        /// What was asked for.
        what: String,
    },
    /// The directory of attached volumes is not the caller's alone. It is not touched.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// Another process attaches or detaches it.
    #[error("{name} is being attached or detached by another process")]
    Claimed {
        /// Its name.
        name: Name,
    },
    /// Processes or mounts use it.
    #[error("{name} is in use: {}", listed(holders))]
    Busy {
        /// Its name.
        name: Name,
        /// By whom; never empty.
        holders: Vec<Holder>,
    },
    /// The server does not answer.
    #[error("the server of {name}, process {pid}, does not answer: {source}")]
    Silent {
        /// Its name.
        name: Name,
        /// The server's process.
        pid: u32,
        /// The system's error.
        source: io::Error,
    },
    /// Its server ended, but could not do all it should have.
    #[error("the server of {name} has ended, but what was written last may be lost: {why}")]
    Unclean {
        /// Its name.
        name: Name,
        /// What the server said.
        why: String,
    },
    /// Something cannot be taken down.
    #[error("{}: {action}: {source}", path.display())]
    System {
        /// What it is about.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

fn listed(holders: &[Holder]) -> String {
    let holders: Vec<String> = holders.iter().map(ToString::to_string).collect();
    holders.join("; ")
}
