//! What a target has to do with a source, by what both lie on: partitions on disks, device-mapper and md devices on their parts,
//! loop devices on files, files on the devices of their filesystem.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, Metadata};
use std::path::Path;

use crate::device::{Id, LoopDevice, Number, attribute};
use crate::mounts;

/// Everything whose bytes are changed or needed when those of one file or device are.
///
/// The disk of a partition is not part of it: its other partitions are none of its business. What
/// that disk lies on is.
#[derive(Debug)]
pub(super) struct Stack {
    top: Id,
    all: BTreeSet<Id>,
}

impl Stack {
    /// The stack under the file or device that `path`, with `meta`, names.
    pub(super) fn under(path: &Path, meta: &Metadata) -> Self {
        let top = Id::of(meta);
        let mut all = BTreeSet::new();
        match top {
            Id::Device(number) => walk_device(number, &mut all),
            Id::File { .. } => walk_file(path, top, &mut all),
        }
        Self { top, all }
    }

    /// What writing to the top of this stack has to do with the top of `source`, if anything.
    pub(super) fn relation(&self, source: &Self) -> Option<Relation> {
        let meets = |stack: &Self, top| stack.all.iter().any(|id| overlap(*id, top));
        match () {
            () if self.top == source.top => Some(Relation::Same),
            () if is_partition_of(self.top, source.top) => Some(Relation::LiesOn),
            () if meets(source, self.top) => Some(Relation::Holds),
            () if meets(self, source.top) => Some(Relation::LiesOn),
            () => None,
        }
    }
}

/// What a target has to do with a source. Displays as what stands between their names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Relation {
    /// They are the same file or device, whatever their names.
    Same,
    /// The source is on the target: in a filesystem on it, or one of its partitions, say.
    Holds,
    /// The target is on the source: a loop device over it, or one of its partitions, say.
    LiesOn,
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Same => "is",
            Self::Holds => "holds",
            Self::LiesOn => "lies on",
        })
    }
}

fn overlap(a: Id, b: Id) -> bool {
    match (a, b) {
        (Id::Device(a), Id::Device(b)) => a.overlaps(b),
        (a, b) => a == b,
    }
}

fn is_partition_of(part: Id, disk: Id) -> bool {
    matches!((part, disk), (Id::Device(part), Id::Device(disk)) if part.disk() == Some(disk))
}

fn walk_device(number: Number, all: &mut BTreeSet<Id>) {
    // A device met before is not walked again, so this ends even if sysfs should go round in circles.
    if all.insert(Id::Device(number)) {
        walk_below(number, all);
    }
}

fn walk_below(number: Number, all: &mut BTreeSet<Id>) {
    if let Some(disk) = number.disk() {
        return walk_below(disk, all);
    }
    let slaves = fs::read_dir(number.sysfs().join("slaves")).into_iter().flatten().flatten();
    for slave in slaves.filter_map(|s| attribute(&s.path().join("dev"))?.parse().ok()) {
        walk_device(slave, all);
    }
    if let Some(device) = LoopDevice::numbered(number)
        && let Ok(meta) = fs::metadata(&device.backing)
    {
        match Id::of(&meta) {
            Id::Device(number) => walk_device(number, all),
            file @ Id::File { .. } => walk_file(&device.backing, file, all),
        }
    }
}

fn walk_file(path: &Path, id: Id, all: &mut BTreeSet<Id>) {
    if all.insert(id) {
        for number in mounts::devices_of(path) {
            walk_device(number, all);
        }
    }
}
