//! Which members of an array are current: what the superblocks say of each other.

use std::collections::{BTreeMap, BTreeSet};

use super::superblock::{FoundMember, Level, Role, Superblock};

/// All superblocks are written in one go: in one that was broken off, they are this many seconds apart at most.
const ONE_GO: u64 = 60;

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
    /// It has as many events as another whose superblock was written later: it was copied at an earlier moment.
    Earlier {
        /// When its superblock was written, in seconds since 1970.
        updated: u64,
        /// When the other's was.
        newest: u64,
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
            | Self::Earlier { .. }
            | Self::LeftOut { .. }
            | Self::Split { .. }
            | Self::Differs { .. } => 0,
        }
    }
}

/// What is to be thought of each device of an array.
pub(super) struct Standing<'f> {
    reference: &'f Superblock,
    /// The most events of any superblock, whatever the role of its device.
    events: u64,
    /// What other members say against a device.
    against: BTreeMap<usize, MemberState>,
    /// The places of each half that went on without the others.
    halves: BTreeSet<Vec<usize>>,
}

impl<'f> Standing<'f> {
    /// Of all that was found of an array; `None` if that is nothing.
    pub(super) fn of(found: &[&'f FoundMember]) -> Option<Self> {
        let events = found.iter().map(|member| member.superblock.events).max()?;
        // Those that lag count for nothing; nor does one that the newest itself has given up.
        let (lagging, current): (Vec<&FoundMember>, Vec<&FoundMember>) =
            found.iter().copied().partition(|member| lags(events, &member.superblock));
        let newest = |m: &&FoundMember| {
            let is_in_use = matches!(m.superblock.role, Role::Active(_));
            (m.superblock.updated, m.superblock.events, is_in_use)
        };
        let reference = &current.iter().copied().max_by_key(newest)?.superblock;
        let voices = |of: &[&'f FoundMember]| of.iter().filter_map(|m| Voice::of(m)).collect();
        let (fresh, lagging): (Vec<Voice<'_>>, Vec<Voice<'_>>) =
            (voices(&current), voices(&lagging));
        let (against, halves) = (BTreeMap::new(), BTreeSet::new());
        let mut standing = Self { reference, events, against, halves };
        standing.split_long_ago(&fresh, &lagging);
        for (n, one) in fresh.iter().enumerate() {
            for other in fresh.iter().skip(n + 1) {
                standing.compare(one, other, &fresh);
            }
        }
        for voice in &fresh {
            standing.compare_with_all(voice, &current);
        }
        Some(standing)
    }

    /// The superblock that tells what the array is.
    pub(super) const fn reference(&self) -> &'f Superblock {
        self.reference
    }

    /// The most events of any superblock.
    pub(super) const fn events(&self) -> u64 {
        self.events
    }

    /// What devices without a place say of one that has one, and whether any superblock was written later.
    fn compare_with_all(&mut self, voice: &Voice<'_>, current: &[&FoundMember]) {
        let own = &voice.member.superblock;
        let leaves_out = |other: &&&FoundMember| {
            let theirs = &other.superblock;
            let is_as_new = theirs.events >= own.events && !precedes(theirs, own);
            is_as_new && Voice::of(other).is_none() && !theirs.table.lists(own.number, voice.place)
        };
        if let Some(by) = current.iter().find(leaves_out) {
            let state = MemberState::LeftOut { by: by.device };
            self.against.entry(voice.device()).or_insert(state);
        }
        let later = current.iter().map(|other| &other.superblock).filter(|o| precedes(own, o));
        let is_decided = matches!(
            self.against.get(&voice.device()),
            Some(MemberState::Split { .. } | MemberState::LeftOut { .. })
        );
        if let Some(newest) = later.map(|other| other.updated).max().filter(|_| !is_decided) {
            let state = MemberState::Earlier { updated: own.updated, newest };
            self.against.insert(voice.device(), state);
        }
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
        let is_before =
            |a: &Voice<'_>, b: &Voice<'_>| precedes(&a.member.superblock, &b.member.superblock);
        let (newer, older) = if is_before(one, other) {
            (other, one)
        } else if is_before(other, one) || one.events() >= other.events() {
            (one, other)
        } else {
            (other, one)
        };
        let is_even = newer.events() == older.events() && !is_before(older, newer);
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
        self.judge(&member.superblock, against)
    }

    /// What speaks against a member, beside the one that has seen most; `against` is what others say.
    fn judge(&self, own: &Superblock, against: Option<MemberState>) -> MemberState {
        let reference = self.reference;
        if let Some(split @ MemberState::Split { .. }) = against {
            return split;
        }
        if lags(self.events, own) {
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
const fn lags(newest: u64, own: &Superblock) -> bool {
    own.events.saturating_add(1) < newest
}

/// Whether a superblock was written before another that has seen as much, or one event more or less: the kernel takes
/// one back where an array comes to rest. The kernel writes one time to all members, so that an earlier one was copied
/// earlier; where only some of a write were done, all are of about the same time. Nothing is written to members of linear and
/// raid0, whose times say nothing.
fn precedes(own: &Superblock, other: &Superblock) -> bool {
    if matches!(own.level, Level::Linear | Level::Raid0) {
        return false;
    }
    match own.events.abs_diff(other.events) {
        0 => own.updated < other.updated,
        1 => own.updated.saturating_add(ONE_GO) < other.updated,
        _ => false,
    }
}
