//! Finding what lies on what: devices are looked at, and what their metadata tells is put together to
//! further devices, until nothing new turns up.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use disk::filesystem::{Backup, Filesystem};
use disk::partitions::Table;
use disk::signature::Contents;
use restore::snapfmt::{ReadAt, VolumeId};

use super::{Absence, Base, Device, DeviceNo, Holds, Origin, Problem, Stack, Warning};
use disk::lvm2::{FoundPv, LvmId, PvLabel};
use disk::md::{ArrayId, FoundMember, MdError, OnDevice, Superblock, Version};
use disk::pieces::{MAX_PIECES, Pieces, PiecesError, Place};

/// Deepest stack: a disk, a partition, an array, a volume, a partition in it, and as much again.
const MAX_DEPTH: u32 = 12;
/// Most devices in one stack.
const MAX_DEVICES: usize = 1 << 14;
/// Most members of arrays, and most physical volumes.
const MAX_MEMBERS: usize = 1 << 11;
/// Most members that devices need and that are not there.
const MAX_MISSING: usize = 1 << 13;
/// Most pieces of all devices together but the one with most of them.
const MAX_ALL_PIECES: usize = MAX_PIECES / 2;
/// Most metadata text of all physical volumes together, in bytes.
const MAX_ALL_TEXT: usize = 128 << 20;
/// Sectors that tables of DOS count in.
const SECTOR: u32 = 512;

/// What has been looked at and put together so far.
#[derive(Default)]
pub(super) struct Progress {
    open: VecDeque<DeviceNo>,
    pub(super) arrays: BTreeSet<ArrayId>,
    pub(super) groups: BTreeSet<LvmId>,
    /// Superblocks that were not alone on a device, by array and number: an array whose data begin where the
    /// device does holds them, too.
    beside: BTreeSet<(ArrayId, u32)>,
    /// Bytes of metadata text that were read.
    text: usize,
}

impl Stack {
    /// Looks at all devices there are and at those that turn up.
    pub(super) fn discover(&mut self) {
        let mut progress = Progress::default();
        progress.open.extend((0..self.devices.len()).map(DeviceNo));
        loop {
            self.look_at_all(&mut progress);
            // What is whole goes first: it may hold what others still miss.
            let found = self.assemble_arrays(&mut progress, true)
                || self.assemble_groups(&mut progress, true)
                || self.assemble_arrays(&mut progress, false)
                || self.assemble_groups(&mut progress, false);
            if !found {
                break;
            }
        }
        self.warn_of_old_copies();
    }

    fn look_at_all(&mut self, progress: &mut Progress) {
        while let Some(no) = progress.open.pop_front() {
            self.look_at(no, progress);
        }
    }

    /// Looks at what was put together of parts; whether that has anything that others may miss.
    pub(super) fn holds_members(&mut self, progress: &mut Progress) -> bool {
        let count = |stack: &Self| stack.array_members.len() + stack.physical_volumes.len();
        let before = count(self);
        self.look_at_all(progress);
        count(self) > before
    }

    pub(super) fn add_and_open(
        &mut self,
        origin: Origin,
        pieces: Result<Pieces, Problem>,
        depth: u32,
        progress: &mut Progress,
    ) -> DeviceNo {
        let own = pieces.as_ref().map_or(0, |pieces| pieces.list().len());
        let is_too_much =
            self.would_be_too_much(own) || depth > MAX_DEPTH || self.devices.len() >= MAX_DEVICES;
        let pieces = if is_too_much { Err(Problem::TooMuch) } else { pieces };
        let no = self.add(origin, pieces, depth);
        progress.open.push_back(no);
        no
    }

    /// Whether a device of so many pieces is more than is believed; from then on all are.
    fn would_be_too_much(&mut self, own: usize) -> bool {
        self.is_too_much |= self.pieces + own.min(self.most_pieces) > MAX_ALL_PIECES;
        self.is_too_much
    }

    pub(super) fn update(&mut self, no: DeviceNo, change: impl FnOnce(&mut Device)) {
        if let Some(device) = self.devices.get_mut(no.0) {
            change(device);
        }
    }

    pub(super) fn warn(&mut self, no: DeviceNo, warning: Warning) {
        self.update(no, |device| device.warnings.push(warning));
    }

    fn fault(&mut self, no: DeviceNo, problem: Problem) {
        self.update(no, |device| device.problems.push(Arc::new(problem)));
    }

    pub(super) fn depth(&self, no: DeviceNo) -> u32 {
        self.device(no).map_or(0, |device| device.depth)
    }

    /// Finds out what a device holds.
    fn look_at(&mut self, no: DeviceNo, progress: &mut Progress) {
        let Some(bytes) = self.bytes(no) else { return };
        // What is missing cannot be read, which says nothing about what is there.
        let is_sound = self.problems(no).is_empty();
        let table = Table::read(&bytes, SECTOR);
        let superblocks =
            self.superblocks(no, &bytes, table.as_ref().ok(), is_sound, &mut progress.beside);
        if !superblocks.is_empty() {
            return self.found_members(no, superblocks, table.ok().flatten(), progress);
        }
        let has_partitions = matches!(&table, Ok(Some(table)) if self.is_partitioned(no, table));
        match FoundPv::read(no.0, &bytes) {
            Ok(Some(found)) if has_partitions => {
                self.warn(no, Warning::OldLabel { id: found.label.id });
            }
            Ok(Some(found)) => return self.found_volume(no, found, progress),
            Err(error) if is_sound => self.fault(no, Problem::Label(error)),
            Ok(None) | Err(_) => {}
        }
        match table {
            Ok(Some(table)) => return self.found_table(no, table, progress),
            Err(error) if is_sound => self.fault(no, Problem::Table(error)),
            Ok(None) | Err(_) => {}
        }
        let filesystems = Filesystem::find(&bytes);
        if filesystems.is_empty() {
            let contents = Contents::of(&bytes);
            return self.update(no, |device| device.holds = Some(Holds::Other(contents)));
        }
        if is_sound {
            self.check_filesystems(no, &filesystems, bytes.len());
        }
        self.update(no, |device| device.holds = Some(Holds::Filesystems(filesystems)));
    }

    /// The superblocks that make a device a member of an array: one, or several of which none is the newest.
    fn superblocks(
        &mut self,
        no: DeviceNo,
        bytes: &dyn ReadAt,
        table: Option<&Option<Table>>,
        is_sound: bool,
        beside: &mut BTreeSet<(ArrayId, u32)>,
    ) -> Vec<Superblock> {
        let OnDevice { mut sound, faults } = Superblock::find(bytes);
        let key = |superblock: &Superblock| (superblock.array, superblock.number);
        if matches!(self.device(no).map(|device| &device.origin), Some(Origin::Array(_))) {
            sound.retain(|superblock| !beside.contains(&key(superblock)));
        }
        if sound.len() > 1 {
            beside.extend(sound.iter().map(key));
        }
        // Where one is sound, the others may be behind a bad sector.
        let is_known = !sound.is_empty() || !is_sound;
        let said = faults.into_iter().filter(|e| !(is_known && matches!(e, MdError::Io { .. })));
        if let Some(fault) = said.take(1).next() {
            self.warn(no, Warning::Superblock(fault));
        }
        let Some(newest) = sound.first() else { return sound };
        let is_at_end = matches!(newest.version, Version::V090 | Version::V10);
        // A physical volume of all of the device was made when the array was no more: on the array it
        // would end before the superblock.
        let is_volume = is_at_end
            && matches!(PvLabel::read(bytes), Ok(Some(label)) if label.device_size == bytes.len());
        let created = newest.created;
        let is_old = |s: &Superblock| is_volume || s.created < created;
        let first_old = sound.iter().position(is_old).unwrap_or(sound.len());
        for Superblock { array, offset, .. } in sound.drain(first_old..) {
            self.warn(no, Warning::OldSuperblock { offset, array });
        }
        // One of version 0.90 in the last partition is also near the end of the disk.
        let partitions = table.and_then(Option::as_ref).map_or(&[][..], |table| &table.partitions);
        let is_partitions = |s: &Superblock| {
            s.version == Version::V090 && partitions.iter().any(|p| p.range.contains(&s.offset))
        };
        let mut arrays = BTreeSet::new();
        sound.retain(|superblock| !is_partitions(superblock) && arrays.insert(superblock.array));
        sound
    }

    fn found_members(
        &mut self,
        no: DeviceNo,
        found: Vec<Superblock>,
        table: Option<Table>,
        progress: &mut Progress,
    ) {
        if self.array_members.len() + found.len() > MAX_MEMBERS {
            return self.fault(no, Problem::TooMuch);
        }
        if let [one, other, ..] = found.as_slice() {
            self.fault(no, Problem::Superblocks { one: one.array, other: other.array });
        }
        let is_at_start = |s: &&Superblock| matches!(s.version, Version::V11 | Version::V12);
        let before_data = found.iter().find(is_at_start).map(|superblock| superblock.array);
        for superblock in found {
            if progress.arrays.contains(&superblock.array) {
                self.warn(no, Warning::Late);
            }
            self.array_members.push(FoundMember { device: no.0, superblock });
        }
        // The table in the first sector of an array that begins there is the array's own. One before the data of an
        // array is older or newer than that, and nothing tells which.
        match (before_data, table.filter(|table| self.is_partitioned(no, table))) {
            (Some(array), Some(table)) => {
                self.warn(no, Warning::ArrayOrTable { array });
                self.found_table(no, table, progress);
            }
            _ => self.update(no, |device| device.holds = Some(Holds::ArrayMember)),
        }
    }

    /// Whether a device is a disk that is in use by its partitions: for lvm2 it is no physical volume then.
    fn is_partitioned(&self, no: DeviceNo, table: &Table) -> bool {
        let origin = self.device(no).map(|device| &device.origin);
        let is_disk = matches!(origin, Some(Origin::Member(_) | Origin::Volume | Origin::Array(_)));
        is_disk && table.is_in_use()
    }

    fn found_volume(&mut self, no: DeviceNo, mut found: FoundPv, progress: &mut Progress) {
        progress.text += found.copies.iter().map(|copy| copy.text.len()).sum::<usize>();
        if self.physical_volumes.len() >= MAX_MEMBERS || progress.text > MAX_ALL_TEXT {
            return self.fault(no, Problem::TooMuch);
        }
        let mut warnings = Vec::new();
        if found.copies.is_empty() && !found.faults.is_empty() {
            warnings.push(Warning::Undated);
        }
        warnings.extend(found.faults.drain(..).map(Warning::Metadata));
        if found.copies.iter().any(|copy| progress.groups.contains(&copy.group.id)) {
            warnings.push(Warning::Late);
        }
        let expected = found.label.device_size;
        if expected != found.size {
            warnings.push(Warning::Size { expected, found: found.size });
        }
        self.physical_volumes.push(found);
        self.update(no, |device| {
            device.warnings.extend(warnings);
            device.holds = Some(Holds::PhysicalVolume);
        });
    }

    fn found_table(&mut self, no: DeviceNo, table: Table, progress: &mut Progress) {
        let depth = self.depth(no).saturating_add(1);
        let whole = self.device(no).and_then(|device| device.pieces.clone()).unwrap_or_default();
        for partition in &table.partitions {
            let pieces = if self.would_be_too_much(whole.count_in(&partition.range)) {
                Err(Problem::TooMuch)
            } else {
                let mut pieces = Pieces::new();
                let cut = pieces.push_slice(&whole, &partition.range);
                cut.map(|()| pieces).map_err(Problem::Pieces)
            };
            let origin = Origin::Partition { of: no, partition: partition.clone() };
            self.add_and_open(origin, pieces, depth, progress);
        }
        self.update(no, |device| {
            device.warnings.extend(table.flaws.iter().cloned().map(Warning::Table));
            device.holds = Some(Holds::Table(table));
        });
    }

    /// A filesystem that fits the device, and has the copy of its superblock where it must be, is
    /// what proves that the members were put together as they were.
    fn check_filesystems(&mut self, no: DeviceNo, found: &[Filesystem], size: u64) {
        // Of several only one can be in use.
        let [filesystem] = found else { return };
        let noun = filesystem.signature.kind.noun();
        if let Some(needed) = filesystem.facts.size.filter(|needed| *needed > size) {
            self.fault(no, Problem::FilesystemCut { filesystem: noun, needed, size });
        } else if let Backup::Differs { offset } = filesystem.facts.backup {
            if self.is_in_one_piece(no) {
                self.warn(no, Warning::FilesystemBackup { filesystem: noun, offset });
            } else {
                self.fault(no, Problem::FilesystemBroken { filesystem: noun, offset });
            }
        }
    }

    /// Whether a device is one member, or a contiguous part of one: it was not put together, and cannot
    /// be in a wrong way.
    fn is_in_one_piece(&self, no: DeviceNo) -> bool {
        let pieces = self.device(no).and_then(|device| device.pieces.as_ref());
        let [piece] = pieces.map_or(&[][..], |pieces| pieces.list()) else { return false };
        let Place::Linear(spot) = &piece.place else { return false };
        matches!(self.bases.get(spot.device), Some(Base::Member(_)))
    }

    /// The pieces of a device that others are on, and whether it has problems of its own.
    pub(super) fn below(
        &self,
        no: Option<usize>,
        problems: &mut Vec<Problem>,
    ) -> Result<Arc<Pieces>, Problem> {
        let none = || Problem::Pieces(PiecesError::Beyond { end: 1, size: 0 });
        let no = DeviceNo(no.ok_or_else(none)?);
        let device = self.device(no).ok_or_else(none)?;
        if !self.problems(no).is_empty() {
            problems.push(Problem::Below(no));
        }
        device.pieces.clone().ok_or_else(none)
    }

    /// The pieces of something that is not there.
    pub(super) fn nothing(
        &mut self,
        name: &str,
        size: u64,
        why: Absence,
    ) -> Result<Arc<Pieces>, Problem> {
        let name: String = name.chars().filter(|c| *c != ':').collect();
        let bad = |_| Problem::Pieces(PiecesError::Size);
        let volume_id: VolumeId = name.parse().map_err(bad)?;
        if self.bases.len() - self.members.len() >= MAX_MISSING {
            return Err(Problem::TooMuch);
        }
        let base = self.missing(volume_id, size, why);
        Pieces::whole(base, size).map(Arc::new).map_err(Problem::Pieces)
    }
}

/// The devices that say they are something: the only one, or each of several.
pub(super) fn claimants(only: Option<usize>, several: &[usize]) -> Vec<DeviceNo> {
    only.iter().chain(several).copied().map(DeviceNo).collect()
}
