//! Which processes have a file or block device open, and how.

use std::fmt;
use std::fs;
use std::path::Path;

use crate::device::Id;

/// A process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// The name of its program, which it can choose itself.
    pub name: String,
}

impl Process {
    /// The process with this id, under the name it has now.
    pub fn numbered(pid: u32) -> Self {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Self { pid, name: name.trim_end().to_owned() }
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.pid, self.name.escape_debug())
    }
}

/// How a process has one file or device open, taking all its descriptors for that together.
#[derive(Debug)]
pub(crate) struct Opener {
    pub(crate) process: Process,
    /// What it has open.
    pub(crate) id: Id,
    writes: bool,
    lock: Option<Lock>,
}

/// A lock by `flock(2)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lock {
    Shared,
    Exclusive,
}

impl Opener {
    /// Whether it says by a shared lock that others may write at the same time.
    pub(crate) fn shares(&self) -> bool {
        self.lock == Some(Lock::Shared)
    }
}

/// The processes that have one of `ids` open for writing, this one included. Those of other users
/// are seen only by root.
pub(crate) fn writing(ids: &[Id]) -> impl Iterator<Item = Opener> {
    openers(ids).filter(|opener| opener.writes)
}

/// The processes that hold a lock on it by `flock(2)`, as far as they can be seen.
pub(crate) fn lockers(id: Id) -> Vec<Process> {
    openers(&[id]).filter(|opener| opener.lock.is_some()).map(|opener| opener.process).collect()
}

/// The processes that have one of `ids` open in any way.
pub(crate) fn openers(ids: &[Id]) -> impl Iterator<Item = Opener> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.flat_map(move |entry| {
        let pid = entry.file_name().to_string_lossy().parse().ok();
        pid.map(|pid| opened(pid, &entry.path(), ids)).unwrap_or_default()
    })
}

/// Which of `ids` a process has open.
fn opened(pid: u32, process: &Path, ids: &[Id]) -> Vec<Opener> {
    let mut openers: Vec<Opener> = Vec::new();
    for fd in fs::read_dir(process.join("fd")).into_iter().flatten().flatten() {
        let Some(id) = Id::at(&fd.path()).filter(|id| ids.contains(id)) else { continue };
        let info = fs::read_to_string(process.join("fdinfo").join(fd.file_name()));
        let info = info.unwrap_or_default();
        let (writes, lock) = (is_writable(&info), lock(&info));
        if let Some(opener) = openers.iter_mut().find(|opener| opener.id == id) {
            opener.writes |= writes;
            opener.lock = opener.lock.or(lock);
        } else {
            openers.push(Opener { process: Process::numbered(pid), id, writes, lock });
        }
    }
    openers
}

/// `/proc/PID/fdinfo/FD` has the open flags in octal; the low two bits are the access mode
/// (`proc_pid_fdinfo(5)`, `open(2)`).
fn is_writable(info: &str) -> bool {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    flags.and_then(|f| u64::from_str_radix(f.trim(), 8).ok()).is_some_and(|f| f & 3 != 0)
}

/// It also has the locks of this open file, in the form of `/proc/locks` (`proc_locks(5)`):
/// `lock: 1: FLOCK  ADVISORY  READ 1234 08:01:5678 0 EOF`.
fn lock(info: &str) -> Option<Lock> {
    let locks = info.lines().filter_map(|line| line.strip_prefix("lock:"));
    let mut flocks = locks
        .map(|l| l.split_whitespace().skip(1))
        .filter_map(|mut fields| (fields.next() == Some("FLOCK")).then(|| fields.nth(1))?);
    flocks.next().map(|mode| if mode == "READ" { Lock::Shared } else { Lock::Exclusive })
}

#[cfg(test)]
mod tests {
    use super::{Lock, is_writable, lock};

    #[test]
    fn flags_and_locks_of_a_descriptor() {
        let info = "pos:\t0\nflags:\t0100002\nmnt_id:\t27\nino:\t7\n\
                    lock:\t1: POSIX  ADVISORY  WRITE 9 fe:00:7 0 EOF\n\
                    lock:\t2: FLOCK  ADVISORY  READ 9 fe:00:7 0 EOF\n";
        assert!(is_writable(info));
        assert_eq!(lock(info), Some(Lock::Shared));
        let info = "flags:\t0100000\nlock:\t1: FLOCK  ADVISORY  WRITE 9 fe:00:7 0 EOF\n";
        assert!(!is_writable(info));
        assert_eq!(lock(info), Some(Lock::Exclusive));
        assert_eq!(lock("flags:\t02\n"), None);
    }
}
