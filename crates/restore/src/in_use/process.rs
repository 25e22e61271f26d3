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

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.pid, self.name.escape_debug())
    }
}

/// A process that has something open in a way that matters.
#[derive(Debug)]
pub(crate) struct Opener {
    pub(crate) process: Process,
    writes: bool,
    /// Whether it holds a lock by `flock(2)`, and whether that is a shared one.
    lock: Option<Lock>,
}

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

/// The processes that have it open for writing, this one included. Those of other users are seen
/// only by root.
pub(crate) fn writing(id: Id) -> Vec<Opener> {
    openers(id).filter(|opener| opener.writes).collect()
}

/// The processes that hold a lock on it by `flock(2)`, as far as they can be seen.
pub(crate) fn lockers(id: Id) -> Vec<Process> {
    openers(id).filter(|opener| opener.lock.is_some()).map(|opener| opener.process).collect()
}

fn openers(id: Id) -> impl Iterator<Item = Opener> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(move |entry| {
        let pid = entry.file_name().to_string_lossy().parse().ok()?;
        let (writes, lock) = opened(&entry.path(), id)?;
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        let process = Process { pid, name: name.trim_end().to_owned() };
        Some(Opener { process, writes, lock })
    })
}

/// How a process has it open, taking all its descriptors together.
fn opened(process: &Path, id: Id) -> Option<(bool, Option<Lock>)> {
    let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    let same = descriptors.filter(|fd| fs::metadata(fd.path()).is_ok_and(|m| Id::of(&m) == id));
    let infos =
        same.filter_map(|fd| fs::read_to_string(process.join("fdinfo").join(fd.file_name())).ok());
    infos.map(|info| (is_writable(&info), lock(&info))).reduce(|a, b| (a.0 || b.0, a.1.or(b.1)))
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
