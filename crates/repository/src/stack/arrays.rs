//! Arrays of a stack: which members their bytes are on, and what there is to be said of the others.

use std::sync::Arc;

use disk::signature::Contents;

use super::discover::{Progress, claimants};
use super::{Absence, ArrayNode, Device, DeviceNo, Holds, Origin, Problem, Stack, Warning};
use disk::md::{self, Array, Bad, Member, MemberState, Version};
use disk::pieces::Pieces;

impl Stack {
    /// Puts arrays together that were not yet: those without a fault, or one of the others.
    pub(super) fn assemble_arrays(&mut self, progress: &mut Progress, whole: bool) -> bool {
        let mut found = false;
        for array in md::arrays(&self.array_members) {
            let is_whole = array.members.iter().all(|m| m.state == MemberState::Usable);
            if is_whole != whole || !progress.arrays.insert(array.id) {
                continue;
            }
            self.assemble_array(array, progress);
            found = true;
            if !whole && self.holds_members(progress) {
                break;
            }
        }
        found
    }

    fn assemble_array(&mut self, array: Array, progress: &mut Progress) {
        let devices: Vec<DeviceNo> =
            array.members.iter().filter_map(|member| member.device).map(DeviceNo).collect();
        let depth = devices.iter().map(|no| self.depth(*no)).max().unwrap_or(0).saturating_add(1);
        let mut problems = Vec::new();
        let pieces = match array.pieces(&mut self.budget) {
            Ok(pieces) => self.on_members(&array, pieces, &mut problems),
            Err(refused) => Err(Problem::Array(refused)),
        };
        if !array.halves.is_empty() {
            // Which members count is not known, and so nothing of each of them.
            let halves = array.halves.clone();
            problems = vec![Problem::Split { halves, devices: devices.clone() }];
        } else if pieces.is_err() {
            // Without the pieces it is not known which members are needed.
            let members = array.members.iter().enumerate();
            problems.extend(members.filter_map(|(place, member)| problem(&array, place, member)));
        }
        let cut = self.may_be_cut(&array);
        for problem in &mut problems {
            if let Problem::Member { state: MemberState::Missing, devices, .. } = problem {
                devices.clone_from(&cut);
            }
        }
        let number = self.arrays.len();
        let device = self.add_and_open(Origin::Array(number), pieces, depth, progress);
        self.update(device, |d| {
            d.problems.extend(problems.into_iter().map(Arc::new));
            d.warnings.extend(warnings(&array));
            d.below = devices;
        });
        for (other, _) in &array.others {
            self.warn(DeviceNo(*other), Warning::NoPlace);
        }
        self.arrays.push(ArrayNode { array, device });
    }

    /// Members that nothing is known of but what they hold, where superblocks are at the end: one that was cut off
    /// before it looks like that.
    fn may_be_cut(&self, array: &Array) -> Vec<DeviceNo> {
        if !matches!(array.version, Version::V090 | Version::V10) {
            return Vec::new();
        }
        let is_unknown = |device: &Device| match &device.holds {
            Some(Holds::Other(contents)) => *contents != Contents::Blank,
            Some(Holds::Filesystems(_)) => true,
            _ => false,
        };
        let members = (0..).map(DeviceNo).zip(&self.devices);
        let members = members.filter(|(_, device)| matches!(device.origin, Origin::Member(_)));
        members.filter(|(_, device)| is_unknown(device)).map(|(no, _)| no).collect()
    }

    /// An array's pieces on bases, and what is wrong with the members they are on.
    fn on_members(
        &mut self,
        array: &Array,
        pieces: Pieces,
        problems: &mut Vec<Problem>,
    ) -> Result<Pieces, Problem> {
        let mut below = Vec::new();
        for (place, member) in array.members.iter().enumerate() {
            let reach = pieces.reach(place);
            below.push(if reach == 0 {
                Arc::default()
            } else {
                let name = format!("missing-{}-{place}", array.id);
                let whole = self.member_up_to(member, reach, &name, problems)?;
                self.without_bad_blocks(array, place, whole, problems)?
            });
            if reach > good_end(member) {
                problems.extend(problem(array, place, member));
            }
        }
        pieces.onto_runs(&below).or_else(|pieces| self.put_over(&pieces, &below))
    }

    /// The bytes of a member, with copies in the place of what it lists as bad.
    fn without_bad_blocks(
        &mut self,
        array: &Array,
        place: usize,
        whole: Arc<Pieces>,
        problems: &mut Vec<Problem>,
    ) -> Result<Arc<Pieces>, Problem> {
        let bad = array.bad_of(place, whole.size());
        if bad.is_empty() {
            return Ok(whole);
        }
        let (mut out, mut at, mut lost) = (Pieces::new(), 0, 0);
        for Bad { range, copy } in bad {
            out.push_slice(&whole, &(at..range.start)).map_err(Problem::Pieces)?;
            let length = range.end - range.start;
            let copy = copy.and_then(|(n, start)| Some((array.members.get(n)?, start)));
            let (from, taken) = if let Some((other, start)) = copy {
                (self.below(other.device, problems)?, start..start.saturating_add(length))
            } else {
                lost += length;
                let name = format!("bad-{}-{place}", array.id);
                (self.nothing(&name, whole.size(), Absence::Bad)?, range.clone())
            };
            out.push_slice(&from, &taken).map_err(Problem::Pieces)?;
            at = range.end;
        }
        out.push_slice(&whole, &(at..whole.size())).map_err(Problem::Pieces)?;
        if lost > 0 {
            let device = array.members.get(place).and_then(|member| member.device);
            let devices = claimants(device, &[]);
            problems.push(Problem::BadBlocks { array: array.id, place, bytes: lost, devices });
        }
        Ok(Arc::new(out))
    }

    /// The bytes of a member up to `reach`; what is not there, or not current, is missing.
    fn member_up_to(
        &mut self,
        member: &Member,
        reach: u64,
        name: &str,
        problems: &mut Vec<Problem>,
    ) -> Result<Arc<Pieces>, Problem> {
        let good = good_end(member).min(reach);
        let start = member.data.map_or(0, |(offset, _)| offset);
        if good <= start {
            return self.nothing(name, reach, absence(&member.state));
        }
        let device = self.below(member.device, problems)?;
        if good == reach {
            return Ok(device);
        }
        let tail = self.nothing(name, reach, absence(&member.state))?;
        let mut whole = Pieces::new();
        let mut add = |part: &Pieces, range| whole.push_slice(part, &range);
        add(&device, 0..good).and_then(|()| add(&tail, good..reach)).map_err(Problem::Pieces)?;
        Ok(Arc::new(whole))
    }
}

/// Why the bytes of a member that are neither there nor current are not read.
const fn absence(state: &MemberState) -> Absence {
    match state {
        MemberState::Usable | MemberState::Short { .. } => Absence::Cut,
        MemberState::Recovering { .. } => Absence::Stale,
        MemberState::Missing
        | MemberState::Doubled { .. }
        | MemberState::Older { .. }
        | MemberState::Earlier { .. }
        | MemberState::LeftOut { .. }
        | MemberState::Split { .. }
        | MemberState::Differs { .. } => Absence::Member,
    }
}

/// Where on its device the bytes of a member end that are there and current.
fn good_end(member: &Member) -> u64 {
    member.data.map_or(0, |(offset, _)| offset.saturating_add(member.good))
}

/// What is wrong with a member that is needed.
fn problem(array: &Array, place: usize, member: &Member) -> Option<Problem> {
    let doubled = match &member.state {
        MemberState::Usable => return None,
        MemberState::Doubled { devices } => devices.clone(),
        _ => Vec::new(),
    };
    Some(Problem::Member {
        array: array.id,
        place,
        events: array.events,
        state: member.state.clone(),
        is_copy: array.has_copies(),
        devices: claimants(member.device, &doubled),
    })
}

/// What is to be said of an array.
fn warnings(array: &Array) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if array.has_copies() {
        for (place, member) in array.members.iter().enumerate() {
            if member.state != MemberState::Usable {
                let (events, listed) = (array.events, member.listed);
                let (of, state) = (array.members.len(), member.state.clone());
                warnings.push(Warning::Degraded { place, of, listed, events, state });
            }
        }
        match array.resynced {
            u64::MAX => {}
            0 => warnings.push(Warning::NotClean),
            up_to => warnings.push(Warning::Resyncing { up_to }),
        }
    }
    let members = array.members.iter().enumerate();
    for (place, member) in members.filter(|(_, member)| member.state == MemberState::Usable) {
        let end = member.data.map_or(0, |(offset, size)| offset.saturating_add(size));
        if good_end(member) < end {
            warnings.push(Warning::CutMember { place });
        }
    }
    for place in 0..array.members.len() {
        let bad = array.bad_of(place, u64::MAX);
        if !bad.is_empty() && bad.iter().all(|bad| bad.copy.is_some()) {
            let bytes = bad.iter().map(|bad| bad.range.end - bad.range.start).sum();
            warnings.push(Warning::BadBlocks { place, bytes });
        }
    }
    warnings
}
