//! Locks on files that one process works with at a time (`flock(2)`).

use std::io;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// A process that was killed holds its locks until its last write has ended.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

/// Locks a file against all other processes, for as long as it is open; `false` when another one
/// has it and keeps it.
pub fn lock(file: impl AsFd) -> io::Result<bool> {
    let started = Instant::now();
    while !lock_now(&file)? {
        if started.elapsed() >= PATIENCE {
            return Ok(false);
        }
        thread::sleep(PAUSE);
    }
    Ok(true)
}

/// The same; `false` when another process has it just now.
pub fn lock_now(file: impl AsFd) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(e) => Err(e.into()),
    }
}
