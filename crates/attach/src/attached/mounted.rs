//! Where a volume is mounted, in all mount namespaces, and which of those mounts are taken down with it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::holder::Holder;
use crate::place::Place;
use crate::state::State;
use host::device::Number;
use host::in_use::Process;
use host::mounts::{self, Mount};

/// The mounts of a volume.
pub(super) struct Mounted {
    /// The ids of all of them, in whatever namespace.
    pub(super) ids: BTreeSet<u64>,
    /// The device numbers that their files have.
    pub(super) devices: BTreeSet<Number>,
    /// Those that detaching does not take down.
    pub(super) in_the_way: Vec<Holder>,
}

/// A mount that is taken down.
struct Goes {
    /// The groups of mounts to which it has spread, as `mount_namespaces(7)` has it: they lose it, too.
    groups: BTreeSet<u64>,
    /// Where it is in the filesystem that it is mounted on.
    spot: PathBuf,
}

impl Mounted {
    pub(super) fn look(place: &Place, state: Option<&State>) -> Self {
        let here = mounts::all();
        let elsewhere = mounts::elsewhere();
        let numbers = devices_of(state);
        let is_file = |mount: &Mount| {
            mount.at == place.disk() && mount.source == Path::new(crate::place::FUSE_SOURCE)
        };
        let file: Option<Number> = here.iter().find(|mount| is_file(mount)).map(|m| m.device);
        let is_filesystem = |mount: &Mount| mount.devices().iter().any(|n| numbers.contains(n));
        let everywhere = || {
            let own = here.iter().map(|mount| (None, mount, here.as_slice()));
            let others = elsewhere.iter().flat_map(|other| {
                let all = other.mounts.as_slice();
                all.iter().map(move |mount| (Some(other.pid), mount, all))
            });
            own.chain(others)
        };
        let is_planned = |mount: &Mount| {
            state.is_some_and(|state| state.mounts.iter().any(|m| m.plan.at == mount.at))
        };
        let goes: Vec<Goes> = here
            .iter()
            .filter(|mount| is_planned(mount) && is_filesystem(mount))
            .filter_map(|mount| Goes::new(mount, &here, everywhere().map(|(_, m, _)| m)))
            .collect();
        let mut mounted =
            Self { ids: BTreeSet::new(), devices: BTreeSet::new(), in_the_way: Vec::new() };
        for (pid, mount, all) in everywhere() {
            let filesystem = is_filesystem(mount);
            // The raw file's mounts hold nothing; processes that use them do.
            if filesystem || is_file(mount) || file == Some(mount.device) {
                mounted.ids.insert(mount.id);
                mounted.devices.insert(mount.device);
            }
            let goes_too = || goes.iter().any(|goes| goes.takes(mount, all));
            let is_taken_down = pid.is_none() && is_planned(mount);
            if filesystem && !is_taken_down && !goes_too() {
                mounted.in_the_way.push(holder(pid, mount));
            }
        }
        // What is mounted in a directory of it has no name of the volume in it.
        let inside = everywhere().filter(|(_, mount, _)| {
            mounted.ids.contains(&mount.parent) && !mounted.ids.contains(&mount.id)
        });
        let inside: Vec<Holder> = inside.map(|(pid, mount, _)| holder(pid, mount)).collect();
        mounted.in_the_way.extend(inside);
        mounted
    }
}

/// Whether the mount of the raw file is in another mount namespace, too, as far as that can be seen.
pub(crate) fn is_elsewhere(place: &Place) -> bool {
    let here = mounts::all();
    let Some(own) = here.iter().find(|mount| mount.at == place.disk()) else { return false };
    let elsewhere = mounts::elsewhere();
    elsewhere.iter().flat_map(|other| &other.mounts).any(|mount| mount.device == own.device)
}

fn holder(pid: Option<u32>, mount: &Mount) -> Holder {
    let namespace_of = pid.map(Process::numbered);
    Holder::Mounted { source: mount.source.clone(), at: mount.at.clone(), namespace_of }
}

/// The loop devices of a volume, and the partitions that the kernel has made of them.
fn devices_of(state: Option<&State>) -> BTreeSet<Number> {
    let devices = state.into_iter().flat_map(|state| &state.devices);
    let there = devices.filter(|device| device.is_there());
    let numbers = there.filter_map(|d| Number::of(&std::fs::metadata(&d.path).ok()?));
    numbers.flat_map(|number| number.partitions().into_iter().chain([number])).collect()
}

impl Goes {
    fn new<'m>(
        mount: &Mount,
        here: &[Mount],
        all: impl Iterator<Item = &'m Mount>,
    ) -> Option<Self> {
        let parent = here.iter().find(|parent| parent.id == mount.parent)?;
        let mut groups: BTreeSet<u64> = parent.shared.into_iter().collect();
        // From a group to those that follow it, and to those that follow them.
        let followers: Vec<(u64, u64)> = all.filter_map(|m| m.master.zip(m.shared)).collect();
        loop {
            let more: BTreeSet<u64> = followers
                .iter()
                .filter(|(master, shared)| groups.contains(master) && !groups.contains(shared))
                .map(|(_, shared)| *shared)
                .collect();
            if more.is_empty() {
                return Some(Self { groups, spot: spot(mount, parent)? });
            }
            groups.extend(more);
        }
    }

    /// Whether the kernel takes another mount down with this one.
    fn takes(&self, mount: &Mount, all: &[Mount]) -> bool {
        let Some(parent) = all.iter().find(|parent| parent.id == mount.parent) else {
            return false;
        };
        let follows = [parent.shared, parent.master];
        follows.iter().flatten().any(|group| self.groups.contains(group))
            && spot(mount, parent).as_ref() == Some(&self.spot)
    }
}

/// Where a mount is in the filesystem of its parent.
fn spot(mount: &Mount, parent: &Mount) -> Option<PathBuf> {
    Some(parent.root.join(mount.at.strip_prefix(&parent.at).ok()?))
}
