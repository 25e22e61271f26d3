//! Members put together to arrays: who is in which place, and who can be believed.

use std::collections::BTreeMap;

use super::array::{Array, Member};
use super::layout;
use super::standing::{MemberState, Standing};
use super::superblock::{ALL, ArrayId, FoundMember, Role};

/// The arrays that devices make.
pub fn arrays(found: &[FoundMember]) -> Vec<Array> {
    let mut by_id: BTreeMap<ArrayId, Vec<&FoundMember>> = BTreeMap::new();
    for member in found {
        by_id.entry(member.superblock.array).or_default().push(member);
    }
    by_id.into_values().filter_map(|members| Array::new(&members)).collect()
}

impl Array {
    fn new(found: &[&FoundMember]) -> Option<Self> {
        let standing = Standing::of(found)?;
        let reference = standing.reference();
        let mut places: BTreeMap<u32, Vec<&FoundMember>> = BTreeMap::new();
        let mut others = Vec::new();
        for member in found {
            match member.superblock.role {
                Role::Active(place) | Role::Recovering(place) if place < reference.raid_disks => {
                    places.entry(place).or_default().push(member);
                }
                role => others.push((member.device, role)),
            }
        }
        let members = (0..reference.raid_disks).map(|place| {
            let these = places.get(&place).map_or(&[][..], Vec::as_slice);
            Member { listed: reference.table.has(place), ..member(&standing, these) }
        });
        let mut array = Self {
            id: reference.array,
            name: reference.name.clone(),
            version: reference.version,
            level: reference.level,
            layout: reference.layout,
            chunk: reference.chunk,
            used: reference.used,
            events: standing.events(),
            resynced: reference.resynced,
            reshaping: reference.reshaping,
            members: members.collect(),
            halves: standing.halves(),
            others,
        };
        array.assume_sizes();
        array.distrust_what_was_not_copied_yet();
        Some(array)
    }

    /// A missing member is taken to be as the others if those are alike.
    fn assume_sizes(&mut self) {
        let mut known = self.members.iter().filter_map(|member| member.data);
        let Some(first) = known.next() else { return };
        if known.all(|data| data == first) {
            for member in &mut self.members {
                member.data = member.data.or(Some(first));
            }
        }
    }

    /// The first of the members with the same bytes is what the others are copied from until they are
    /// all equal. Where no superblock says how far that is, they may as well have been equal before.
    fn distrust_what_was_not_copied_yet(&mut self) {
        let Some(copies) = layout::copies(self).filter(|_| !matches!(self.resynced, 0 | ALL))
        else {
            return;
        };
        // A mirror counts bytes of a member, stripes of mirrors those of the array.
        let columns = self.members.len().checked_div(copies).unwrap_or(1).max(1) as u64;
        let row = self.resynced / columns;
        let up_to = if self.chunk == 0 || columns == 1 { row } else { row - row % self.chunk };
        for equal in self.members.chunks_mut(copies) {
            let source = equal.iter().position(|member| member.listed);
            for (place, member) in equal.iter_mut().enumerate() {
                if Some(place) != source && member.good > up_to {
                    member.good = up_to;
                    member.state = MemberState::Recovering { up_to };
                }
            }
        }
    }
}

/// A place and who says to be in it.
fn member(standing: &Standing<'_>, found: &[&FoundMember]) -> Member {
    let none = Member {
        device: None,
        state: MemberState::Missing,
        data: None,
        good: 0,
        bad: Vec::new(),
        listed: false,
    };
    let only = |one: &FoundMember| {
        let superblock = &one.superblock;
        let state = standing.state(one);
        Member {
            device: Some(one.device),
            good: state.good(superblock),
            state,
            data: Some((superblock.data_offset, superblock.data_size)),
            bad: superblock.bad.clone(),
            ..none.clone()
        }
    };
    match found {
        [] => none,
        [one] => only(one),
        all => {
            // One that was replaced may still say that it is in its old place; one that replaces it says
            // so until that is done.
            let usable = |m: &&&FoundMember| standing.state(m) == MemberState::Usable;
            let current: Vec<&&FoundMember> = all.iter().filter(usable).collect();
            let settled: Vec<&&FoundMember> =
                current.iter().copied().filter(|m| !m.superblock.replacement).collect();
            match (settled.as_slice(), current.as_slice()) {
                ([one], _) | ([], [one]) => only(one),
                _ => {
                    let devices = all.iter().map(|m| m.device).collect();
                    Member { state: MemberState::Doubled { devices }, ..none }
                }
            }
        }
    }
}
