//! What can go wrong with attached volumes.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use attach::{AttachError, DetachError, MountError, Name, NothingToMount, Unmountable};
use disk::signature::Contents;

use super::{Exit, Failure};

/// Why a volume cannot be attached, mounted or detached.
#[derive(Debug)]
pub(crate) enum AttachFailure {
    /// It cannot be attached.
    Attach(AttachError),
    /// It cannot be detached.
    Detach(DetachError),
    /// There is nothing that can be mounted, or too much.
    NothingToMount(NothingToMount),
    /// A filesystem cannot be mounted.
    Mount(MountError),
    /// The kernel would take the filesystem for a part of one that is in use.
    DuplicateUuid { uuid: String, device: Option<PathBuf> },
    /// A filesystem cannot be mounted without harm.
    Unmountable { what: String, why: Unmountable },
    /// The result could not be said, so that all was taken down.
    Unsaid(io::Error),
    /// The server began to make what is attached, and did not finish.
    Silent { name: Name, patience: Duration },
    /// There is no directory for what a user without root attaches.
    NoRuntimeDirectory,
}

impl From<AttachError> for Failure {
    fn from(error: AttachError) -> Self {
        Self::Attach(AttachFailure::Attach(error))
    }
}

impl From<DetachError> for Failure {
    fn from(error: DetachError) -> Self {
        Self::Attach(AttachFailure::Detach(error))
    }
}

impl From<NothingToMount> for Failure {
    fn from(error: NothingToMount) -> Self {
        Self::Attach(AttachFailure::NothingToMount(error))
    }
}

impl From<MountError> for Failure {
    fn from(error: MountError) -> Self {
        Self::Attach(AttachFailure::Mount(error))
    }
}

impl fmt::Display for AttachFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attach(error) => error.fmt(f),
            Self::Detach(error) => error.fmt(f),
            Self::NothingToMount(error) => error.fmt(f),
            Self::Mount(error) => error.fmt(f),
            Self::DuplicateUuid { uuid, device } => {
                write!(f, "this machine has the btrfs filesystem {uuid} already")?;
                device.iter().try_for_each(|device| write!(f, ", on {}", device.display()))
            }
            Self::Unmountable { what, why } => write!(f, "{what} is not mounted: {why}"),
            Self::Unsaid(error) => write!(f, "standard output: {error}"),
            Self::Silent { name, patience } => {
                let seconds = patience.as_secs();
                write!(
                    f,
                    "the server of {name} did not get ready in {seconds} seconds, and was killed"
                )
            }
            Self::NoRuntimeDirectory => f.write_str("XDG_RUNTIME_DIR is not set"),
        }
    }
}

impl AttachFailure {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Attach(error) => attach_exit(error),
            Self::Detach(error) => detach_exit(error),
            Self::NothingToMount(
                NothingToMount::Table(_)
                | NothingToMount::NotOne { holds: Contents::Unreadable, .. },
            ) => Exit::SourceDamaged,
            Self::NothingToMount(_) => Exit::Usage,
            Self::DuplicateUuid { .. } | Self::Unmountable { .. } => Exit::TargetRefused,
            Self::Mount(_) | Self::Unsaid(_) | Self::Silent { .. } | Self::NoRuntimeDirectory => {
                Exit::Failed
            }
        }
    }

    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Attach(error) => attach_hint(error),
            Self::Detach(error) => detach_hint(error),
            Self::NothingToMount(NothingToMount::Which { .. }) => "choose with --partition",
            Self::NothingToMount(_) => {
                "attach without --mount shows the volume; snaprestore inspect says what is on it"
            }
            Self::Mount(_) | Self::Silent { .. } => {
                "nothing was left; the kernel's log (dmesg) may say more"
            }
            Self::DuplicateUuid { .. } => {
                "the kernel would mix the two: unmount that one and take it away first, or look at this one on \
                 another machine"
            }
            Self::Unmountable { .. } => {
                "no other device of this machine is to be touched: attach without --mount, and mount it by \
                 hand with all that belongs to it, or as a guest's disk"
            }
            Self::Unsaid(_) => "nothing is attached: what could not be said was taken down again",
            Self::NoRuntimeDirectory => {
                "set it to a private directory of yours; root needs none, and gets a loop device too"
            }
        }
    }
}

const UNTRUSTED: &str = "what is attached is only found where no other user can make or change anything: see which user did, and take it away";

fn attach_exit(error: &AttachError) -> Exit {
    match error {
        AttachError::InUse { .. } | AttachError::Untrusted(_) => Exit::TargetRefused,
        AttachError::Stale { source, .. } => detach_exit(source),
        AttachError::Place { .. }
        | AttachError::Fuse { .. }
        | AttachError::NoHelper
        | AttachError::OpenFiles { .. }
        | AttachError::Loop { .. }
        | AttachError::Start { .. } => Exit::Failed,
    }
}

fn attach_hint(error: &AttachError) -> &'static str {
    match error {
        AttachError::InUse { .. } => "detach it, or attach this under another --name",
        AttachError::Untrusted(_) => UNTRUSTED,
        AttachError::Stale { source, .. } => detach_hint(source),
        AttachError::Place { .. } => "check the path and its permissions",
        AttachError::Fuse { .. } => "modprobe fuse; a container needs /dev/fuse and leave to mount",
        AttachError::NoHelper => "install fuse3, or run this as root",
        AttachError::Loop { .. } => {
            "modprobe loop; Linux 5.8 or later is needed, and in a container the loop devices"
        }
        AttachError::OpenFiles { .. } | AttachError::Start { .. } => "fewer --jobs need less",
    }
}

fn detach_exit(error: &DetachError) -> Exit {
    match error {
        DetachError::Busy { .. } | DetachError::Untrusted(_) | DetachError::Claimed { .. } => {
            Exit::TargetRefused
        }
        DetachError::Unknown { .. } => Exit::Usage,
        DetachError::Unclean { .. } => Exit::TargetFailed,
        DetachError::Silent { .. } | DetachError::System { .. } => Exit::Failed,
    }
}

fn detach_hint(error: &DetachError) -> &'static str {
    match error {
        DetachError::Unknown { .. } => "snaprestore attached lists what is",
        DetachError::Untrusted(_) => UNTRUSTED,
        DetachError::Claimed { .. } => "wait for it, then see what snaprestore attached lists",
        DetachError::Busy { .. } => "let them end, or unmount it, and detach again",
        DetachError::Silent { .. } => "kill that process, then detach again",
        DetachError::Unclean { .. } => "check the overlay's filesystem for room and its medium",
        DetachError::System { .. } => "see what uses it, then detach again",
    }
}
