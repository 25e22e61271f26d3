//! Which members of an array are current: what the superblocks say of each other.

use std::collections::{BTreeMap, BTreeSet};

use super::superblock::{FoundMember, Role, Superblock};

/// What is known of a place in an array.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MemberState {
    /// Its member is there, and nothing speaks against it.
    Usable,
    /// No device is it.
    Missing,
    /// Several devices say they are it.
    Doubled {
        /// All of them.
        devices: Vec<usize>,
    },
    /// It was left behind: the array went on without it.
    Older {
        /// What it is at.
        events: u64,
    },
    /// A member that has seen as much, or more, says that it failed or is not of the array any more.
    LeftOut {
        /// That one's device.
        by: usize,
    },
    /// It and another each say that the other failed.
    Split {
        /// That one's device.
        with: usize,
    },
    /// Not all of it is in sync yet.
    Recovering {
        /// How many bytes of its data are.
        up_to: u64,
    },
    /// Its device ends before its data do.
    Short {
        /// Size of the device in bytes.
        size: u64,
        /// Where the data end.
        needed: u64,
    },
    /// It describes the array differently.
    Differs {
        /// In what.
        field: &'static str,
    },
}

impl MemberState {
    /// How many bytes of a member's data count, from the first on.
    pub(super) fn good(&self, own: &Superblock) -> u64 {
        let there = own.device_size.saturating_sub(own.data_offset).min(own.data_size);
        match self {
            Self::Usable | Self::Short { .. } => there,
            Self::Recovering { up_to } => there.min(*up_to),
            Self::Missing
            | Self::Doubled { .. }
            | Self::Older { .. }
            | Self::LeftOut { .. }
            | Self::Split { .. }
            | Self::Differs { .. } => 0,
        }
    }
}

/// What is to be thought of each device of an array.
pub(super) struct Standing<'f> {
    reference: &'f Superblock,
    /// What other members say against a device.
    against: BTreeMap<usize, MemberState>,
    /// The places of each half that went on without the others.
    halves: BTreeSet<Vec<usize>>,
}

impl<'f> Standing<'f> {
    /// Of all that was found of the array that the superblock `reference` knows most of.
    pub(super) fn of(reference: &'f Superblock, found: &[&FoundMember]) -> Self {
        // Those that lag count for nothing; nor does one that the newest itself has given up.
        let fresh: Vec<Voice<'_>> = found
            .iter()
            .filter(|m| !lags(reference, &m.superblock))
            .filter_map(|member| Voice::of(member))
            .collect();
        let lagging = found.iter().filter(|m| lags(reference, &m.superblock));
        let lagging: Vec<Voice<'_>> = lagging.filter_map(|member| Voice::of(member)).collect();
        let mut standing = Self { reference, against: BTreeMap::new(), halves: BTreeSet::new() };
        standing.split_long_ago(&fresh, &lagging);
        for (n, one) in fresh.iter().enumerate() {
            for other in fresh.iter().skip(n + 1) {
                standing.compare(one, other, &fresh);
            }
        }
        standing
    }

    /// One that lags was left behind by members that it still lists. One that lists none of those in use has
    /// itself gone on without them: how much each half has seen since then says nothing of which is newer.
    fn split_long_ago(&mut self, fresh: &[Voice<'_>], lagging: &[Voice<'_>]) {
        for old in lagging {
            if fresh.iter().any(|new| old.lists(new) || new.lists(old)) {
                continue;
            }
            let Some(first) = fresh.first() else { return };
            self.halves.insert(old.half(lagging));
            self.halves.insert(first.half(fresh));
            self.against.insert(old.device(), MemberState::Split { with: first.device() });
            for new in fresh {
                self.against.insert(new.device(), MemberState::Split { with: old.device() });
            }
        }
    }

    fn compare(&mut self, one: &Voice<'_>, other: &Voice<'_>, all: &[Voice<'_>]) {
        let (newer, older) =
            if one.events() >= other.events() { (one, other) } else { (other, one) };
        let is_even = newer.events() == older.events();
        match (newer.lists(older), older.lists(newer)) {
            (true, true) => {}
            (false, false) => {
                for (own, other) in [(newer, older), (older, newer)] {
                    self.halves.insert(own.half(all));
                    self.against.insert(own.device(), MemberState::Split { with: other.device() });
                }
            }
            (false, true) => self.leave_out(older, newer),
            (true, false) if is_even => self.leave_out(newer, older),
            // What it says was true before the newer one was taken in again.
            (true, false) => {
                let field = "which members are in use";
                self.against.entry(older.device()).or_insert(MemberState::Differs { field });
            }
        }
    }

    fn leave_out(&mut self, one: &Voice<'_>, by: &Voice<'_>) {
        let state = MemberState::LeftOut { by: by.device() };
        self.against.entry(one.device()).or_insert(state);
    }

    /// What is known of one that says to be in a place.
    pub(super) fn state(&self, member: &FoundMember) -> MemberState {
        let against = self.against.get(&member.device).cloned();
        state(self.reference, &member.superblock, against)
    }

    /// The places of each half that went on without the others; none where all agree.
    pub(super) fn halves(&self) -> Vec<Vec<usize>> {
        self.halves.iter().cloned().collect()
    }
}

/// A member that is in use by its own account.
struct Voice<'f> {
    member: &'f FoundMember,
    place: u32,
}

impl<'f> Voice<'f> {
    const fn of(member: &'f FoundMember) -> Option<Self> {
        match member.superblock.role {
            Role::Active(place) | Role::Recovering(place) => Some(Self { member, place }),
            Role::Spare | Role::Faulty | Role::Journal => None,
        }
    }

    const fn events(&self) -> u64 {
        self.member.superblock.events
    }

    const fn device(&self) -> usize {
        self.member.device
    }

    fn index(&self) -> usize {
        usize::try_from(self.place).unwrap_or(usize::MAX)
    }

    /// The places of those that it lists, in order.
    fn half(&self, all: &[Self]) -> Vec<usize> {
        let places: BTreeSet<usize> =
            all.iter().filter(|voice| self.lists(voice)).map(Voice::index).collect();
        places.into_iter().collect()
    }

    fn lists(&self, other: &Self) -> bool {
        self.member.superblock.table.lists(other.member.superblock.number, other.place)
    }
}

/// The kernel tolerates a difference of one: superblocks are written one after the other.
const fn lags(reference: &Superblock, own: &Superblock) -> bool {
    own.events.saturating_add(1) < reference.events
}

/// What speaks against a member, beside the one that has seen most; `against` is what others say.
fn state(reference: &Superblock, own: &Superblock, against: Option<MemberState>) -> MemberState {
    if let Some(split @ MemberState::Split { .. }) = against {
        return split;
    }
    if lags(reference, own) {
        return MemberState::Older { events: own.events };
    }
    let fields = [
        ("its level", own.level == reference.level),
        ("its layout", own.layout == reference.layout),
        ("its chunk size", own.chunk == reference.chunk),
        ("its number of members", own.raid_disks == reference.raid_disks),
        ("the version of its superblock", own.version == reference.version),
        ("the size used of each member", own.used == reference.used),
    ];
    if let Some((field, _)) = fields.into_iter().find(|(_, same)| !same) {
        return MemberState::Differs { field };
    }
    if let Some(against) = against {
        return against;
    }
    let needed = own.data_offset.saturating_add(own.counted());
    match own.role {
        Role::Recovering(_) => MemberState::Recovering { up_to: own.recovered },
        _ if own.device_size < needed => MemberState::Short { size: own.device_size, needed },
        _ => MemberState::Usable,
    }
}
