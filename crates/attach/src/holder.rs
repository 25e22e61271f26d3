//! What keeps a volume from being detached.

use std::fmt;
use std::path::PathBuf;

use host::in_use::{Process, Use};

/// Something that keeps a volume from being detached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Holder {
    /// The kernel uses one of its loop devices.
    Kernel {
        /// The device.
        device: PathBuf,
        /// How it is used.
        used: Use,
    },
    /// A process has one of its devices or files open, or works in a directory of it.
    Process {
        /// Which process.
        process: Process,
        /// What it holds.
        held: PathBuf,
    },
    /// A filesystem of it, or something else in one of those, is mounted where detaching does not unmount it.
    Mounted {
        /// What is mounted.
        source: PathBuf,
        /// Where.
        at: PathBuf,
        /// A process that sees it there, if that is not where this one looks.
        namespace_of: Option<Process>,
    },
    /// A process that cannot be seen from here.
    Unseen {
        /// What is held.
        held: PathBuf,
    },
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel { device, used } => write!(f, "{} is {used}", device.display()),
            Self::Process { process, held } => write!(f, "{process} holds {}", held.display()),
            Self::Mounted { source, at, namespace_of } => {
                write!(f, "{} is mounted at {}", source.display(), at.display())?;
                match namespace_of {
                    Some(process) => write!(f, " in the mount namespace of {process}"),
                    None => Ok(()),
                }
            }
            Self::Unseen { held } => {
                write!(f, "{} is held by a process that cannot be seen from here", held.display())
            }
        }
    }
}

impl Holder {
    /// Whether it may be gone in a moment: programs that only look, namespaces of short runs.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Process { .. } | Self::Mounted { namespace_of: Some(_), .. })
    }
}
