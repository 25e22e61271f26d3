//! Stacks as they are printed.

use disk::filesystem::{Backup, Filesystem};
use disk::lvm2::{Group, PvState};
use disk::md::{Array, MemberState};
use disk::partitions::{Partition, Table, TableKind};
use repository::stack::{Device, DeviceNo, Holds, Origin, Stack};
use serde::Serialize;

use crate::output::{line, name, size};

/// What is said of a device that nothing is known of.
const CANNOT_BE_READ: &str = "cannot be read";

/// What was found on some members.
#[derive(Default, Serialize)]
pub(crate) struct StackView {
    pub arrays: Vec<ArrayView>,
    pub groups: Vec<GroupView>,
}

/// What is on a device, and what there is to be said of it.
#[derive(Serialize)]
pub(crate) struct ContentsView {
    holds: String,
    filesystems: Vec<FilesystemView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition_table: Option<TableView>,
    problems: Vec<String>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct FilesystemView {
    kind: &'static str,
    label: Option<String>,
    uuid: Option<String>,
    size: Option<u64>,
    state: String,
    last_mounted_on: Option<String>,
    last_mounted: Option<jiff::Timestamp>,
    last_written: Option<jiff::Timestamp>,
    backup: &'static str,
}

#[derive(Serialize)]
struct TableView {
    kind: &'static str,
    uuid: Option<String>,
    partitions: Vec<PartitionView>,
}

#[derive(Serialize)]
struct PartitionView {
    number: u32,
    start: u64,
    size: u64,
    r#type: String,
    name: Option<String>,
    uuid: Option<String>,
    contents: ContentsView,
}

/// An array.
#[derive(Serialize)]
pub(crate) struct ArrayView {
    uuid: String,
    name: Option<String>,
    version: String,
    level: String,
    chunk: u64,
    events: u64,
    size: Option<u64>,
    members: Vec<PlaceView>,
    contents: ContentsView,
}

#[derive(Serialize)]
struct PlaceView {
    place: usize,
    device: Option<String>,
    state: &'static str,
}

/// A volume group.
#[derive(Serialize)]
pub(crate) struct GroupView {
    name: String,
    id: String,
    seqno: u64,
    extent_size: u64,
    physical_volumes: Vec<PvView>,
    logical_volumes: Vec<LvView>,
}

#[derive(Serialize)]
struct PvView {
    name: String,
    id: String,
    device: Option<String>,
    size: Option<u64>,
    state: &'static str,
}

#[derive(Serialize)]
struct LvView {
    name: String,
    size: Option<u64>,
    contents: ContentsView,
}

impl StackView {
    pub(crate) fn new(stack: &Stack) -> Self {
        let arrays = stack.arrays().iter().map(|node| array(stack, &node.array, node.device));
        let groups = stack.groups().iter().map(|node| group(stack, &node.group, &node.volumes));
        Self { arrays: arrays.collect(), groups: groups.collect() }
    }

    /// Whether there is nothing but the members.
    pub(crate) const fn is_empty(&self) -> bool {
        let Self { arrays, groups } = self;
        arrays.is_empty() && groups.is_empty()
    }

    /// The lines after those of the members.
    pub(crate) fn lines(&self, out: &mut Vec<String>) {
        for array in &self.arrays {
            let called = array.name.as_deref().map(|n| format!(" {}", name(n))).unwrap_or_default();
            let (level, bytes) = (&array.level, bytes(array.size));
            out.push(format!("array {}{called}  {level}  {bytes}", array.uuid));
            for member in &array.members {
                let device = member.device.as_deref().map_or_else(|| "nothing".into(), line);
                out.push(format!("  member {}  on {device}  {}", member.place, member.state));
            }
            array.contents.lines("  ", out);
        }
        for group in &self.groups {
            let (called, extent) = (name(&group.name), size(group.extent_size));
            out.push(format!(
                "volume group {called} ({})  change {}, extents of {extent}",
                group.id, group.seqno
            ));
            for pv in &group.physical_volumes {
                let device = pv.device.as_deref().map_or_else(|| "nothing".into(), line);
                let (called, id, state) = (name(&pv.name), &pv.id, pv.state);
                out.push(format!("  physical volume {called} ({id})  on {device}  {state}"));
            }
            for lv in &group.logical_volumes {
                out.push(format!("  logical volume {}  {}", name(&lv.name), bytes(lv.size)));
                lv.contents.lines("    ", out);
            }
        }
    }
}

impl ContentsView {
    pub(crate) fn new(stack: &Stack, no: DeviceNo) -> Self {
        let device = stack.device(no);
        let holds = device.and_then(|device| device.holds.as_ref());
        let partition_table = match holds {
            Some(Holds::Table(found)) => Some(table(stack, no, found)),
            _ => None,
        };
        let filesystems = match holds {
            Some(Holds::Filesystems(found)) => found.iter().map(FilesystemView::new).collect(),
            _ => Vec::new(),
        };
        Self {
            holds: holds.map_or_else(|| CANNOT_BE_READ.into(), describe),
            filesystems,
            partition_table,
            problems: stack.doubts(no).iter().map(ToString::to_string).collect(),
            warnings: warnings(device),
        }
    }

    /// Of something that cannot be read at all.
    pub(crate) fn unknown(why: String) -> Self {
        Self {
            holds: CANNOT_BE_READ.into(),
            filesystems: Vec::new(),
            partition_table: None,
            problems: vec![why],
            warnings: Vec::new(),
        }
    }

    pub(crate) fn lines(&self, indent: &str, out: &mut Vec<String>) {
        if self.filesystems.is_empty() {
            out.push(format!("{indent}{}", line(&self.holds)));
        }
        for filesystem in &self.filesystems {
            out.push(format!("{indent}{}", filesystem.text()));
        }
        for problem in &self.problems {
            out.push(format!("{indent}problem: {}", line(problem)));
        }
        for warning in &self.warnings {
            out.push(format!("{indent}note: {}", line(warning)));
        }
        for partition in self.partition_table.iter().flat_map(|table| &table.partitions) {
            let called = partition.name.as_deref().map(|n| format!(" {}", name(n)));
            let (number, bytes) = (partition.number, size(partition.size));
            out.push(format!("{indent}partition {number}{}  {bytes}", called.unwrap_or_default()));
            partition.contents.lines(&format!("{indent}  "), out);
        }
    }
}

impl FilesystemView {
    fn new(found: &Filesystem) -> Self {
        let (signature, facts) = (&found.signature, &found.facts);
        Self {
            kind: signature.kind.noun(),
            label: signature.label.clone(),
            uuid: signature.uuid.clone(),
            size: facts.size,
            state: facts.state.to_string(),
            last_mounted_on: facts.last_mounted_on.clone(),
            last_mounted: facts.last_mounted,
            last_written: facts.last_written,
            backup: match facts.backup {
                Backup::Agrees => "agrees",
                Backup::Differs { .. } => "differs",
                Backup::None => "none",
            },
        }
    }

    fn text(&self) -> String {
        let mut text = self.kind.to_owned();
        let mut add = |part: Option<String>| {
            text.extend(part);
        };
        add(self.label.as_deref().map(|label| format!(" \"{}\"", name(label))));
        add(self.uuid.as_deref().map(|uuid| format!(" (UUID {})", name(uuid))));
        add(self.size.map(|bytes| format!(", {}", size(bytes))));
        add((self.state != "not known").then(|| format!(", {}", self.state)));
        add(self.last_mounted_on.as_deref().map(|on| format!(", last mounted on {}", name(on))));
        add(self.last_mounted.map(|time| format!(" at {time}")));
        text
    }
}

fn bytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "size not known".into(), size)
}

fn describe(holds: &Holds) -> String {
    match holds {
        Holds::ArrayMember => "member of a Linux RAID".into(),
        Holds::PhysicalVolume => "LVM physical volume".into(),
        Holds::Table(table) => match table.kind {
            TableKind::Gpt => "GPT partition table".into(),
            TableKind::Mbr => "MBR partition table".into(),
        },
        Holds::Filesystems(found) => {
            let nouns: Vec<&str> = found.iter().map(|f| f.signature.kind.noun()).collect();
            nouns.join(", ")
        }
        Holds::Other(contents) => contents.to_string(),
    }
}

fn warnings(device: Option<&Device>) -> Vec<String> {
    device.iter().flat_map(|device| &device.warnings).map(ToString::to_string).collect()
}

fn table(stack: &Stack, no: DeviceNo, table: &Table) -> TableView {
    let view = |(no, partition): (DeviceNo, &Partition)| PartitionView {
        number: partition.number,
        start: partition.range.start,
        size: partition.range.end - partition.range.start,
        r#type: partition.kind.clone(),
        name: partition.name.clone(),
        uuid: partition.uuid.clone(),
        contents: ContentsView::new(stack, no),
    };
    TableView {
        kind: if table.kind == TableKind::Gpt { "gpt" } else { "mbr" },
        uuid: table.uuid.clone(),
        partitions: stack.partitions(no).map(view).collect(),
    }
}

fn device_size(stack: &Stack, no: DeviceNo) -> Option<u64> {
    stack.device(no).and_then(|device| device.size)
}

fn on(stack: &Stack, device: Option<usize>) -> Option<String> {
    device.map(|no| stack.name(DeviceNo(no)).to_string())
}

fn array(stack: &Stack, array: &Array, no: DeviceNo) -> ArrayView {
    let place = |(place, member): (usize, &disk::md::Member)| PlaceView {
        place,
        device: on(stack, member.device),
        state: match member.state {
            MemberState::Usable => "usable",
            MemberState::Missing => "missing",
            MemberState::Doubled { .. } => "doubled",
            MemberState::Older { .. } | MemberState::Earlier { .. } => "older",
            MemberState::LeftOut { .. } => "failed",
            MemberState::Split { .. } => "contradicts",
            MemberState::Recovering { .. } => "recovering",
            MemberState::Short { .. } => "short",
            MemberState::Differs { .. } => "differs",
        },
    };
    ArrayView {
        uuid: array.id.to_string(),
        name: array.name.clone(),
        version: array.version.to_string(),
        level: array.level.to_string(),
        chunk: array.chunk,
        events: array.events,
        size: device_size(stack, no),
        members: array.members.iter().enumerate().map(place).collect(),
        contents: ContentsView::new(stack, no),
    }
}

fn group(stack: &Stack, group: &Group, volumes: &[DeviceNo]) -> GroupView {
    let entries = group.vg.physical_volumes.iter().zip(&group.members);
    let physical_volumes = entries.map(|(pv, member)| PvView {
        name: pv.name.clone(),
        id: pv.id.to_string(),
        device: on(stack, member.device),
        size: pv.size,
        state: match member.state {
            PvState::Usable => "usable",
            PvState::Missing => "missing",
            PvState::Doubled { .. } => "doubled",
            PvState::Older { .. } => "older",
            PvState::Elsewhere { .. } => "elsewhere",
            PvState::Short { .. } => "short",
        },
    });
    let volume = |no: &DeviceNo| {
        let name = match stack.device(*no).map(|device| &device.origin) {
            Some(Origin::LogicalVolume { name, .. }) => name.clone(),
            _ => String::new(),
        };
        LvView { name, size: device_size(stack, *no), contents: ContentsView::new(stack, *no) }
    };
    GroupView {
        name: group.vg.name.clone(),
        id: group.vg.id.to_string(),
        seqno: group.vg.seqno,
        extent_size: group.vg.extent,
        physical_volumes: physical_volumes.collect(),
        logical_volumes: volumes.iter().map(volume).collect(),
    }
}
