//! Who uses an attached volume.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::attached::mounted::Mounted;
use crate::holder::Holder;
use crate::place::Place;
use crate::state::{LoopState, State};
use host::device::{Id, Number};
use host::in_use::{self, Process, Use};
use host::mounts;

/// All who use the volume, but for its server and for the mounts made on this program's account.
pub(super) fn all(place: &Place, state: Option<&State>) -> Vec<Holder> {
    // Descriptors that this process was given are its parent's, too.
    let not_counted = [Some(std::process::id()), state.map(|state| state.pid)];
    let not_counted: Vec<u32> = not_counted.into_iter().flatten().collect();
    let mounted = Mounted::look(place, state);
    let mut holders = within(&mounted, &not_counted);
    for device in state.iter().flat_map(|state| &state.devices).filter(|d| d.is_there()) {
        holders.extend(of_device(device, state, &not_counted));
    }
    holders.extend(mounted.in_the_way);
    holders
}

fn of_device(device: &LoopState, state: Option<&State>, not_counted: &[u32]) -> Vec<Holder> {
    let Ok(meta) = fs::metadata(&device.path) else { return Vec::new() };
    let id = Id::of(&meta);
    let path = || device.path.clone();
    let devices = || state.iter().flat_map(|state| &state.devices);
    let own = |name: &str| devices().any(|device| device.path.ends_with(name));
    let by_kernel = in_use::by_kernel(id).into_iter().filter(|used| counts(used, &own));
    let mut holders: Vec<Holder> =
        by_kernel.map(|used| Holder::Kernel { device: path(), used }).collect();
    let openers =
        in_use::openers(id).into_iter().filter(|process| !not_counted.contains(&process.pid));
    holders.extend(openers.map(|process| Holder::Process { process, held: path() }));
    holders
}

/// Whether what the kernel does with a device keeps it; `own` says which devices are the volume's.
fn counts(used: &Use, own: &dyn Fn(&str) -> bool) -> bool {
    match used {
        // They are looked for in all namespaces.
        Use::Mounted(_) => false,
        // The devices over partitions are over the same bytes.
        Use::LoopOverSameBytes { name, .. } => !own(name),
        Use::Partition { used, .. } | Use::Disk { used, .. } => counts(used, own),
        _ => true,
    }
}

/// The processes that have something in one of the mounts open, mapped, or as the directory they work in,
/// whatever they call it. The servers of what they have open are not asked: they may not answer any more.
fn within(mounted: &Mounted, not_counted: &[u32]) -> Vec<Holder> {
    if mounted.ids.is_empty() {
        return Vec::new();
    }
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let found = pids.filter(|pid| !not_counted.contains(pid)).filter_map(|pid| {
        let held = held_within(pid, mounted)?;
        let process = Process::numbered(pid);
        Some(Holder::Process { process, held })
    });
    found.collect()
}

fn held_within(pid: u32, mounted: &Mounted) -> Option<PathBuf> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let links = ["cwd", "root", "exe"].map(|name| process.join(name));
    let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    let mut links = links.into_iter().chain(descriptors.map(|e| e.path()));
    let is_within =
        |link: &PathBuf| mounts::id_of(link).is_some_and(|id| mounted.ids.contains(&id));
    let held = links.find(is_within).and_then(|link| fs::read_link(link).ok());
    held.or_else(|| mapped_within(&process, mounted))
}

/// `proc_pid_maps(5)`: the fourth field of what is mapped is the number of its device, in hexadecimal digits, the
/// sixth its path.
fn mapped_within(process: &Path, mounted: &Mounted) -> Option<PathBuf> {
    let maps = fs::read(process.join("maps")).ok()?;
    let mut lines = maps.split(|byte| *byte == b'\n');
    lines.find_map(|line| {
        let path = line.iter().position(|byte| *byte == b'/').and_then(|at| line.get(at..))?;
        let device = line.split(|byte| *byte == b' ').nth(3)?;
        let (major, minor) = std::str::from_utf8(device).ok()?.split_once(':')?;
        let part = |text| u32::from_str_radix(text, 16).ok();
        let device = Number::new(part(major)?, part(minor)?);
        mounted.devices.contains(&device).then(|| OsStr::from_bytes(path).into())
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::process::{Command, Stdio};

    use super::{Mounted, within};
    use crate::holder::Holder;
    use host::mounts;

    #[test]
    fn a_directory_worked_in_and_a_file_open() {
        // This program works in the mount that it is in, and so does its child.
        let base = tempfile::tempdir().unwrap();
        let ids = BTreeSet::from([mounts::id_of(base.path()).unwrap()]);
        let mounted = Mounted { ids, devices: BTreeSet::new(), in_the_way: Vec::new() };
        let mut child =
            Command::new("cat").current_dir(&base).stdin(Stdio::piped()).spawn().unwrap();
        let pids: Vec<u32> = within(&mounted, &[std::process::id()])
            .iter()
            .filter_map(|holder| match holder {
                Holder::Process { process, .. } => Some(process.pid),
                _ => None,
            })
            .collect();
        assert!(pids.contains(&child.id()));
        assert!(!pids.contains(&std::process::id()));
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
