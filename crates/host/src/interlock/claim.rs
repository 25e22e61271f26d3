//! Keeping a target from others.

use std::fs::File;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use super::Why;
use super::found::Found;
use crate::device::Id;
use crate::in_use::{CLAIM, Opener, Use, by_writers, lockers};

/// How long locks, claims and writers may take to pass, and how often they are looked at meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(50);

/// What keeps others away until it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    /// Open for reading and writing.
    file: File,
    /// The kernel's claim on a device that is not shared.
    _exclusive: Option<File>,
    /// Locked.
    _lock: File,
}

impl Claim {
    pub(super) const fn file(&self) -> &File {
        &self.file
    }
}

/// Why a target cannot be had.
pub(super) enum NotClaimed {
    /// The system does not let it be opened for writing, or locked.
    System(io::Error),
    /// Another process has it.
    Because(Why),
}

impl From<io::Error> for NotClaimed {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl From<Why> for NotClaimed {
    fn from(why: Why) -> Self {
        Self::Because(why)
    }
}

/// Claims a target, which is `id`, against all processes, or if `shared` against all that do not
/// share it too.
pub(super) fn take(target: &Found, id: Id, shared: bool) -> Result<Claim, NotClaimed> {
    let started = Instant::now();
    loop {
        match attempt(target, id, shared) {
            Err(NotClaimed::Because(why)) if why.may_pass() && started.elapsed() < PATIENCE => {
                thread::sleep(PAUSE);
            }
            done => return done,
        }
    }
}

fn attempt(target: &Found, id: Id, shared: bool) -> Result<Claim, NotClaimed> {
    let is_device = matches!(id, Id::Device(_));
    // It is not opened for writing before it is locked, for others would take that for a writer who
    // does not share; but NFS has exclusive locks only for files open for writing (`flock(2)`).
    let lock = target.open(if is_device || shared { OFlags::RDONLY } else { OFlags::RDWR })?;
    let operation = if shared {
        FlockOperation::NonBlockingLockShared
    } else {
        FlockOperation::NonBlockingLockExclusive
    };
    match flock(&lock, operation) {
        Err(Errno::WOULDBLOCK) => return Err(Why::Locked(lockers(id)).into()),
        done => done.map_err(io::Error::from)?,
    }
    let exclusive = if is_device {
        target.open(OFlags::RDONLY | CLAIM).map(Some).map_err(claimed)?
    } else {
        None
    };
    // Only what itself is shared is: not its partitions, nor its disk.
    let fellow = |opener: &Opener| shared && opener.id == id && opener.shares();
    let others =
        by_writers(id, |opener| opener.process.pid != std::process::id() && !fellow(opener));
    if !others.is_empty() {
        return Err(Why::InUse(others).into());
    }
    let file = target.open(OFlags::RDWR)?;
    Ok(Claim { file, _exclusive: exclusive.filter(|_| !shared), _lock: lock })
}

fn claimed(error: io::Error) -> NotClaimed {
    if error.kind() == io::ErrorKind::ResourceBusy {
        Why::InUse(vec![Use::Claimed]).into()
    } else {
        error.into()
    }
}
