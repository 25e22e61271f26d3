//! Volume groups of a stack: which physical volumes the bytes of logical volumes are on.

use std::collections::BTreeSet;
use std::sync::Arc;

use restore::snapfmt::ReadAt;

use super::discover::{Progress, claimants};
use super::{Absence, DeviceNo, GroupNode, Holds, Origin, Problem, Stack, Warning};
use disk::lvm2::{self, Group, Lost, Mapper, Part, PvState};
use disk::pieces::{Pieces, PiecesError};

impl Stack {
    /// Puts groups together that were not yet: those without a fault, or one of the others.
    pub(super) fn assemble_groups(&mut self, progress: &mut Progress, whole: bool) -> bool {
        let mut found = false;
        for group in lvm2::groups(&self.physical_volumes) {
            let is_whole = group.members.iter().all(|m| m.state == PvState::Usable);
            if is_whole != whole || !progress.groups.insert(group.vg.id) {
                continue;
            }
            self.assemble_group(group, progress);
            found = true;
            if !whole && self.holds_members(progress) {
                break;
            }
        }
        found
    }

    fn assemble_group(&mut self, group: Group, progress: &mut Progress) {
        let members = group.members.iter().filter_map(|member| member.device);
        let depth = members.map(|no| self.depth(DeviceNo(no))).max().unwrap_or(0).saturating_add(1);
        let none = || Arc::new(Vec::new()) as Arc<dyn ReadAt>;
        let bytes = |no| self.bytes(DeviceNo(no)).map_or_else(none, |bytes| Arc::new(bytes) as _);
        let mut mapper = Mapper::within(&group, self.budget, bytes);
        let volumes = group.vg.logical_volumes.values().filter(|lv| lv.visible);
        let found: Vec<_> =
            volumes.map(|lv| (lv.shown_name().to_owned(), mapper.map(lv.shown_name()))).collect();
        let found: Vec<_> = found
            .into_iter()
            .map(|(name, pieces)| {
                let (notes, doubts) = (mapper.notes_on(&name), mapper.doubts_on(&name));
                (name, pieces, notes, doubts)
            })
            .collect();
        let parts = mapper.parts().to_vec();
        self.budget = mapper.budget();
        let number = self.groups.len();
        let mut volumes = Vec::new();
        for (name, pieces, notes, doubts) in found {
            let doubt = |(pool, doubt)| Problem::ThinPool { pool, doubt };
            let mut problems: Vec<Problem> = doubts.into_iter().map(doubt).collect();
            let mut below = Vec::new();
            if !group.contradicting.is_empty() {
                let devices = group.contradicting.iter().copied().map(DeviceNo).collect();
                let (name, seqno) = (group.vg.name.clone(), group.vg.seqno);
                problems.push(Problem::Contradiction { group: name, seqno, devices });
            }
            let pieces = match pieces {
                Ok(pieces) => {
                    let on = group.vg.pvs_of(&name).into_iter();
                    let on = on.filter_map(|number| group.members.get(number)?.device);
                    below.extend(on.map(DeviceNo));
                    self.on_physical_volumes(&group, &parts, &pieces, &mut problems)
                }
                Err(refused) => Err(Problem::LogicalVolume(refused)),
            };
            let origin = Origin::LogicalVolume { group: number, name };
            let no = self.add_and_open(origin, pieces, depth, progress);
            self.update(no, |d| {
                d.problems.extend(problems.into_iter().map(Arc::new));
                d.warnings.extend(notes.into_iter().map(Warning::Leg));
                d.below = below;
            });
            volumes.push(no);
        }
        for (pv, member) in group.vg.physical_volumes.iter().zip(&group.members) {
            let Some(no) = member.device.map(DeviceNo) else { continue };
            if let PvState::Short { size, needed } = &member.state {
                let (name, size, needed) = (pv.name.clone(), *size, *needed);
                self.warn(no, Warning::CutVolume { name, size, needed });
            }
            if pv.missing {
                self.warn(no, Warning::VolumeWasMissing { name: pv.name.clone() });
            }
        }
        for no in &group.unlisted {
            self.warn(DeviceNo(*no), Warning::Unlisted { group: group.vg.name.clone() });
        }
        self.groups.push(GroupNode { group, volumes });
    }

    /// A logical volume's pieces on bases, and what is wrong with the physical volumes they are on;
    /// `parts` are what has numbers after those.
    fn on_physical_volumes(
        &mut self,
        group: &Group,
        parts: &[Part],
        pieces: &Pieces,
        problems: &mut Vec<Problem>,
    ) -> Result<Pieces, Problem> {
        let count = group.members.len();
        let mut needed: BTreeSet<usize> = pieces.devices().into_iter().collect();
        let mut on = vec![pieces];
        for (number, part) in (count..count + parts.len()).zip(parts).rev() {
            if needed.contains(&number)
                && let Part::Kept(part) = part
            {
                needed.extend(part.devices());
                on.push(part);
            }
        }
        let reach = |number| on.iter().map(|pieces| pieces.reach(number)).max().unwrap_or(0);
        let mut below = Vec::new();
        for number in 0..count {
            below.push(if needed.contains(&number) {
                self.physical_volume(group, number, reach(number), problems)?
            } else {
                Arc::default()
            });
        }
        for (number, part) in (count..).zip(parts) {
            below.push(match part {
                _ if !needed.contains(&number) => Arc::default(),
                Part::Kept(part) => Arc::new(self.put_over(part, &below)?),
                Part::Lost(lost) => self.lost(group, &needed, lost, problems)?,
            });
        }
        let is_missing = |problem: &Problem| {
            matches!(problem, Problem::PhysicalVolume { state: PvState::Missing, .. })
        };
        if problems.iter().any(is_missing) {
            problems.extend(self.arrays_in_parts().into_iter().map(Problem::Below));
        }
        self.put_over(pieces, &below)
    }

    /// The bytes of a volume whose copies are not there, and why they are not.
    fn lost(
        &mut self,
        group: &Group,
        needed: &BTreeSet<usize>,
        lost: &Lost,
        problems: &mut Vec<Problem>,
    ) -> Result<Arc<Pieces>, Problem> {
        problems.push(Problem::NoCopy { lv: lost.lv.clone(), legs: lost.legs.clone() });
        for number in group.vg.pvs_of(&lost.lv).difference(needed) {
            if group.members.get(*number).is_some_and(|pv| pv.state != PvState::Usable) {
                self.physical_volume(group, *number, u64::MAX, problems)?;
            }
        }
        let name: String = lost.lv.chars().take(200).collect();
        self.nothing(&format!("missing-{name}"), lost.size, Absence::Copies)
    }

    /// Arrays that nothing was found on because members are missing: a physical volume may be.
    fn arrays_in_parts(&self) -> Vec<DeviceNo> {
        let is_in_parts = |no: &DeviceNo| {
            let problems = self.problems(*no);
            let is_unknown = self.device(*no).is_some_and(|device| {
                !matches!(device.holds, Some(Holds::PhysicalVolume | Holds::ArrayMember))
            });
            is_unknown && !problems.is_empty() && problems.iter().all(|(_, p)| p.is_absence())
        };
        self.arrays.iter().map(|node| node.device).filter(is_in_parts).collect()
    }

    /// The pieces of a physical volume, and what is wrong with it for what needs its first `reach` bytes.
    fn physical_volume(
        &mut self,
        group: &Group,
        number: usize,
        reach: u64,
        problems: &mut Vec<Problem>,
    ) -> Result<Arc<Pieces>, Problem> {
        let none = || Problem::Pieces(PiecesError::Size);
        let pv = group.vg.physical_volumes.get(number).ok_or_else(none)?;
        let member = group.members.get(number).ok_or_else(none)?;
        let name = format!("missing-{}", pv.id);
        let mut device = match &member.state {
            PvState::Usable | PvState::Short { .. } => self.below(member.device, problems)?,
            _ => self.nothing(&name, pv.end, Absence::Member)?,
        };
        if device.size() < pv.end {
            // What is cut off is missing.
            let tail = self.nothing(&name, pv.end, Absence::Cut)?;
            let mut longer = (*device).clone();
            longer.push_slice(&tail, &(device.size()..pv.end)).map_err(Problem::Pieces)?;
            device = Arc::new(longer);
        }
        let is_enough = match &member.state {
            PvState::Usable => true,
            PvState::Short { size, .. } => reach <= *size,
            _ => false,
        };
        if !is_enough {
            let doubled = match &member.state {
                PvState::Doubled { devices } => devices.clone(),
                _ => Vec::new(),
            };
            problems.push(Problem::PhysicalVolume {
                name: pv.name.clone(),
                id: pv.id,
                group: group.vg.name.clone(),
                seqno: group.vg.seqno,
                state: member.state.clone(),
                devices: claimants(member.device, &doubled),
            });
        }
        Ok(device)
    }

    pub(super) fn warn_of_old_copies(&mut self) {
        let mut warnings = Vec::new();
        for node in &self.groups {
            let newest = node.group.vg.seqno;
            for copy in &node.group.older {
                let (offset, seqno) = (copy.offset, copy.seqno);
                let warning = Warning::OldMetadata { offset, seqno, newest };
                warnings.push((DeviceNo(copy.device), warning));
            }
        }
        for (no, warning) in warnings {
            self.warn(no, warning);
        }
    }
}
