//! A device of a stack as a volume to be restored.

use std::sync::Arc;
use std::{fmt, io};

use restore::reader::Options;
use restore::snapfmt::LayoutError;
use restore::{Layout, LayoutMismatch, Volume, VolumeMember};

use super::{
    Base, Choice, Chosen, Device, DeviceNo, InnerVolume, MissingSource, NotChosen, Of, Origin,
    Problem, Stack,
};
use disk::pieces::Pieces;

/// What a volume below another keeps of decoded chunks, in bytes.
const INNER_CACHE: u64 = 64 << 20;

/// Why a stack gives no volume.
#[derive(Debug, thiserror::Error)]
pub enum Unassembled {
    /// It is not clear which is meant.
    #[error(transparent)]
    Choice(#[from] NotChosen),
    /// It cannot be read, or should not be believed.
    #[error("{volume} cannot be put together: {}", listed(doubts))]
    Problems {
        /// What was chosen.
        volume: Chosen,
        /// Why.
        doubts: Vec<Doubt>,
        /// Whether what is there can be salvaged.
        can_be_salvaged: bool,
    },
    /// It is no layout.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Its members are too short.
    #[error(transparent)]
    Mismatch(#[from] LayoutMismatch),
    /// The system has no more threads.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// What there is to be said of a device's content, although nothing speaks against it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remark {
    /// The device.
    pub on: Chosen,
    /// What is to be said.
    pub text: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.on, self.text)
    }
}

/// What speaks against a device, with the names of what it is about.
#[derive(Clone, Debug)]
pub struct Doubt {
    /// What is wrong.
    pub problem: Arc<Problem>,
    /// The device it was found on.
    pub on: Chosen,
    /// The devices it is about.
    pub about: Vec<Chosen>,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.problem)?;
        for (n, name) in self.about.iter().enumerate() {
            write!(f, "{}{name}", if n == 0 { " (" } else { ", " })?;
        }
        f.write_str(if self.about.is_empty() { "" } else { ")" })
    }
}

fn listed(doubts: &[Doubt]) -> String {
    doubts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Stack {
    /// The stack that a choice is made on, of a volume that has a layout of its own: that of its members
    /// or else, where they have nothing of the name, that of the volume itself.
    pub fn chosen_on(volume: &Volume, choice: &Choice) -> Result<Self, Unassembled> {
        let (mut found, mut alone) = (Vec::new(), Vec::new());
        if choice.of != Of::Only {
            let stack = Self::of_members(volume.members().to_vec())?;
            match stack.choose(choice) {
                Err(NotChosen::None { candidates, lone }) => (found, alone) = (candidates, lone),
                Ok(_) | Err(NotChosen::Several { .. }) => return Ok(stack),
            }
        }
        let stack = Self::of_volume(volume)?;
        match stack.choose(choice) {
            Err(NotChosen::None { candidates, lone }) => {
                found.extend(candidates);
                alone.extend(lone);
                Err(NotChosen::None { candidates: found, lone: alone }.into())
            }
            Ok(_) | Err(NotChosen::Several { .. }) => Ok(stack),
        }
    }

    /// The volume that is meant, on those of the members that it needs. With `salvage`, members that
    /// are missing, or cannot be believed, are taken to be damaged from end to end.
    pub fn volume(&self, choice: &Choice, salvage: bool) -> Result<Volume, Unassembled> {
        let no = self.choose(choice)?;
        let problems = self.problems(no);
        let all_soft = problems.iter().all(|(_, problem)| problem.can_be_salvaged());
        let pieces = self.device(no).and_then(|device| device.pieces.as_ref());
        let Some(pieces) = pieces.filter(|_| problems.is_empty() || (salvage && all_soft)) else {
            return Err(Unassembled::Problems {
                volume: self.name(no),
                doubts: self.doubts(no),
                can_be_salvaged: all_soft && pieces.is_some(),
            });
        };
        self.on_bases(pieces)
    }

    fn on_bases(&self, pieces: &Pieces) -> Result<Volume, Unassembled> {
        let used = pieces.devices();
        let members: Vec<VolumeMember> = used
            .iter()
            .filter_map(|base| self.member(*base).transpose())
            .collect::<Result<_, _>>()?;
        let sizes: Vec<u64> = members.iter().map(|member| member.source.size()).collect();
        let layout = Layout::new(pieces.map(&used, &sizes)?);
        Ok(Volume::new(layout, members)?)
    }

    /// What speaks against a device and all that it lies on, with names.
    pub fn doubts(&self, no: DeviceNo) -> Vec<Doubt> {
        let doubt = |(on, problem): &(DeviceNo, &Arc<Problem>)| Doubt {
            problem: Arc::clone(problem),
            on: self.name(*on),
            about: problem.devices().iter().map(|no| self.name(*no)).collect(),
        };
        self.problems(no).iter().map(doubt).collect()
    }

    /// The same, each with the device it was found on.
    pub fn problems(&self, no: DeviceNo) -> Vec<(DeviceNo, &Arc<Problem>)> {
        let mut found = Vec::new();
        self.reach(no, |no, device, open| {
            if let Origin::Partition { of, .. } = device.origin {
                open.push(of);
            }
            for problem in &device.problems {
                match **problem {
                    Problem::Below(below) => open.push(below),
                    _ => found.push((no, problem)),
                }
            }
        });
        found
    }

    /// What there is to be said of the content of a device, and of all that it lies on, whatever it is read
    /// for.
    pub fn remarks(&self, no: DeviceNo) -> Vec<Remark> {
        let mut found: Vec<Remark> = Vec::new();
        self.reach(no, |no, device, open| {
            open.extend(device.below.iter().rev());
            let said = device.warnings.iter().filter(|warning| warning.is_of_content());
            found.extend(said.map(|w| Remark { on: self.name(no), text: w.to_string() }));
        });
        found
    }

    /// Shows a device, and each that is put on the list of open ones meanwhile, once.
    fn reach<'s>(
        &'s self,
        no: DeviceNo,
        mut show: impl FnMut(DeviceNo, &'s Device, &mut Vec<DeviceNo>),
    ) {
        let mut open = vec![no];
        let mut seen = vec![];
        while let Some(no) = open.pop() {
            if seen.contains(&no) {
                continue;
            }
            seen.push(no);
            if let Some(device) = self.device(no) {
                show(no, device, &mut open);
            }
        }
    }

    fn member(&self, base: usize) -> Result<Option<VolumeMember>, Unassembled> {
        let kept = match self.bases.get(base) {
            None => return Ok(None),
            Some(Base::Member(number)) => return Ok(self.members.get(*number).cloned()),
            Some(Base::Missing { volume_id, size, why }) => {
                let source = Arc::new(MissingSource::new(volume_id, *size, *why));
                return Ok(Some(VolumeMember { volume_id: volume_id.clone(), source }));
            }
            Some(Base::Kept(kept)) => kept,
        };
        if let Some(member) = kept.member.get() {
            return Ok(Some(member.clone()));
        }
        let volume = self.on_bases(&kept.pieces)?;
        let options = Options { cache: INNER_CACHE, ..Options::default() };
        let volume_id = kept.volume_id.clone();
        let source = Arc::new(InnerVolume::new(volume, &volume_id, &options)?);
        Ok(Some(kept.member.get_or_init(|| VolumeMember { volume_id, source }).clone()))
    }
}
