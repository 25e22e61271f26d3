//! Who uses an attached volume.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::place::Place;
use super::state::{LoopState, State};
use crate::device::Id;
use crate::in_use::{self, Process, Use};

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
    /// Somebody who cannot be seen from here.
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
            Self::Unseen { held } => {
                write!(f, "{} is held by somebody who cannot be seen from here", held.display())
            }
        }
    }
}

/// All who use the volume, but for its server and for the mounts made on this program's account.
pub(super) fn all(place: &Place, state: Option<&State>) -> Vec<Holder> {
    // Descriptors that this process was given are its parent's, too.
    let not_counted = [Some(std::process::id()), state.map(|state| state.pid)];
    let not_counted: Vec<u32> = not_counted.into_iter().flatten().collect();
    let mut holders = below(&place.disk(), &not_counted);
    if let Some(state) = state {
        for device in state.devices.iter().filter(|device| device.is_there()) {
            holders.extend(of_device(device, state, &not_counted));
        }
        for mount in &state.mounts {
            holders.extend(below(&mount.plan.at, &not_counted));
        }
    }
    holders
}

fn of_device(device: &LoopState, state: &State, not_counted: &[u32]) -> Vec<Holder> {
    let Ok(meta) = fs::metadata(&device.path) else { return Vec::new() };
    let id = Id::of(&meta);
    let path = || device.path.clone();
    let own = |used: &Use| match used {
        Use::Mounted(at) => state.mounts.iter().any(|mount| mount.plan.at == *at),
        // The devices over partitions are over the same bytes.
        Use::Twin { name, .. } => state.devices.iter().any(|d| d.path.ends_with(name)),
        _ => false,
    };
    let by_kernel = in_use::by_kernel(id).into_iter().filter(|used| !own(used));
    let mut holders: Vec<Holder> =
        by_kernel.map(|used| Holder::Kernel { device: path(), used }).collect();
    let openers =
        in_use::openers(id).into_iter().filter(|process| !not_counted.contains(&process.pid));
    holders.extend(openers.map(|process| Holder::Process { process, held: path() }));
    holders
}

/// The processes that have something at or below a directory open, mapped, or as the directory they work
/// in. Links in `/proc` are read, never followed: what they lead to may not answer any more.
pub(super) fn below(directory: &Path, not_counted: &[u32]) -> Vec<Holder> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let found = pids.filter(|pid| !not_counted.contains(pid)).filter_map(|pid| {
        let held = held_below(pid, directory)?;
        let process = Process::numbered(pid);
        Some(Holder::Process { process, held })
    });
    found.collect()
}

fn held_below(pid: u32, directory: &Path) -> Option<PathBuf> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let links = ["cwd", "root", "exe"].map(|name| process.join(name));
    let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    let links = links.into_iter().chain(descriptors.map(|e| e.path()));
    let mut targets = links.filter_map(|link| fs::read_link(link).ok());
    targets
        .find(|target| target.starts_with(directory))
        .or_else(|| mapped_below(&process, directory))
}

/// `proc_pid_maps(5)`: the path of what is mapped is the sixth field.
fn mapped_below(process: &Path, directory: &Path) -> Option<PathBuf> {
    let maps = fs::read(process.join("maps")).ok()?;
    let paths: BTreeSet<&[u8]> = maps
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.iter().position(|byte| *byte == b'/').and_then(|at| line.get(at..)))
        .collect();
    let mut paths = paths.into_iter().map(|path| Path::new(std::ffi::OsStr::from_bytes(path)));
    paths.find(|path| path.starts_with(directory)).map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::{Holder, below};

    #[test]
    fn a_directory_worked_in_and_a_file_open() {
        let base = tempfile::tempdir().unwrap();
        let directory = base.path().canonicalize().unwrap();
        let held = |not_counted: &[u32]| {
            let holders = below(&directory, not_counted);
            let pid = |holder: &Holder| match holder {
                Holder::Process { process, .. } => process.pid,
                other => panic!("{other}"),
            };
            holders.iter().map(pid).collect::<Vec<_>>()
        };
        assert!(held(&[]).is_empty());
        let file = std::fs::File::create(directory.join("file")).unwrap();
        assert_eq!(held(&[]), [std::process::id()]);
        assert!(held(&[std::process::id()]).is_empty());
        drop(file);
        let mut child =
            Command::new("cat").current_dir(&directory).stdin(Stdio::piped()).spawn().unwrap();
        assert_eq!(held(&[]), [child.id()]);
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
