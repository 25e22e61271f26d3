//! The mount of the raw file, which other parts of the server use only once it is known to be answered.

use std::fs::{self, File};
use std::io;
use std::num::NonZeroUsize;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use fuser::{BackgroundSession, Config, MountOption, Session};

use crate::attached::leftovers;
use crate::error::AttachError;
use crate::place::Place;
use crate::server::fuse::RawFile;

/// How long the first answer may take. It needs no source.
const PATIENCE: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_millis(20);

/// Files that are open at the same time from here on, besides those of the workers: the connection, the raw file, a
/// loop device and what controls it, the state, a peer, tables of the kernel.
const OPEN_FILES: usize = 10;

/// Mounts the raw file. The mount answers when this comes back.
pub(super) fn mount(
    files: RawFile,
    place: &Place,
    workers: NonZeroUsize,
) -> Result<BackgroundSession, AttachError> {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName(crate::place::FUSE_SOURCE.to_owned()),
        MountOption::DefaultPermissions,
        MountOption::NoDev,
        MountOption::NoSuid,
        MountOption::NoExec,
        if files.disk.writable().is_some() { MountOption::RW } else { MountOption::RO },
    ];
    config.n_threads = Some(workers.get());
    config.clone_fd = true;
    let fuse = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound if !rustix::process::geteuid().is_root() => AttachError::NoHelper,
        _ => AttachError::Fuse { source },
    };
    if !fs::exists("/dev/fuse").unwrap_or(false) {
        return Err(AttachError::Fuse { source: io::ErrorKind::NotFound.into() });
    }
    check_open_files(workers)?;
    let session = Session::new(files, place.disk(), &config).map_err(fuse)?;
    let session = session.spawn().map_err(|source| AttachError::Start { source })?;
    answering(session, place)
}

/// Checks that as many files can be opened as will be: what fails later fails under a mount.
fn check_open_files(workers: NonZeroUsize) -> Result<(), AttachError> {
    let needed = workers.get().saturating_add(OPEN_FILES);
    let opened = (0..needed).map(|_| File::open("/dev/null")).collect::<io::Result<Vec<File>>>();
    opened.map(drop).map_err(|source| AttachError::OpenFiles { needed, source })
}

/// Waits until the mount answers.
///
/// The session opens `/dev/fuse` and starts the workers in a thread of its own. If that ends, the connection stays
/// open, and a process that looks at the mount waits for ever. So a thread looks that is not needed for anything
/// else, and is freed when the connection is cut.
fn answering(session: BackgroundSession, place: &Place) -> Result<BackgroundSession, AttachError> {
    let start = |source| AttachError::Start { source };
    let (tell, told) = channel();
    let disk = place.disk();
    let look = move || tell.send(fs::metadata(disk).map(drop));
    let started = Instant::now();
    thread::Builder::new().name("first look".into()).spawn(look).map_err(start)?;
    let why = loop {
        match told.recv_timeout(TICK) {
            Ok(Ok(())) => return Ok(session),
            Ok(Err(error)) => break error,
            Err(RecvTimeoutError::Timeout)
                if !session.guard.is_finished() && started.elapsed() < PATIENCE => {}
            Err(_) => break io::ErrorKind::TimedOut.into(),
        }
    };
    leftovers::give_up(place);
    let ends = session.guard.is_finished();
    let ended = if ends { session.join() } else { session.umount_and_join() };
    // Why the session ended says more than that the look failed.
    Err(start(ended.err().unwrap_or(why)))
}
