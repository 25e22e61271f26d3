//! What is written on members, in the place of a layout that is given.

use foreign::stack::{Choice, Chosen, NotChosen, Of, Problem, Stack, Unassembled};
use restore::{Volume, VolumeMember};

use crate::args::{LayoutArgs, StackArgs};
use crate::exit::{Exit, Failure};
use crate::members;

/// A volume, and what speaks against it.
pub(crate) struct Joined {
    pub volume: Volume,
    /// Why only a salvage may go on with it.
    pub doubt: Option<Unassembled>,
}

impl From<Volume> for Joined {
    fn from(volume: Volume) -> Self {
        Self { volume, doubt: None }
    }
}

impl StackArgs {
    /// Whether nothing was said.
    pub(crate) const fn is_empty(&self) -> bool {
        let Self { lv, md, partitions } = self;
        lv.is_none() && md.is_none() && partitions.is_empty()
    }

    /// The same, but all of a disk with its partitions.
    pub(crate) fn whole_disk(&self) -> Self {
        Self { partitions: Vec::new(), ..self.clone() }
    }

    fn choice(&self) -> Result<Choice, Failure> {
        let of = match (&self.lv, &self.md) {
            (Some((group, name)), _) => {
                Of::LogicalVolume { group: group.clone(), name: name.clone() }
            }
            (None, Some(id)) => Of::Array(id.clone()),
            (None, None) => Of::Only,
        };
        match self.partitions.as_slice() {
            [] => Ok(Choice { of, partition: None }),
            [one] => Ok(Choice { of, partition: Some(*one) }),
            _ => Err(Failure::Usage {
                message: "a volume is one partition, several are given".into(),
                hint: "only attach --mount takes several",
            }),
        }
    }
}

/// Joins members as the arguments say, or else as what is written on them does. With `as_it_is`, one
/// member alone is the volume, whatever is on it.
pub(crate) fn join(
    members: Vec<VolumeMember>,
    layout: &LayoutArgs,
    meant: &StackArgs,
    as_it_is: bool,
) -> Result<Joined, Failure> {
    if !layout.is_empty() || (as_it_is && members.len() == 1 && meant.is_empty()) {
        return inside(members::join(members, layout)?, meant);
    }
    let stack = Stack::of_members(members.clone()).map_err(Failure::System)?;
    let only_members = |candidates: &[Chosen]| {
        candidates.iter().all(|candidate| matches!(candidate, Chosen::Member(_)))
    };
    match assemble(&stack, &meant.choice()?) {
        Err(Unassembled::Choice(NotChosen::Several { candidates }))
            if meant.is_empty() && only_members(&candidates) =>
        {
            members::join(members, layout).map(Joined::from)
        }
        result => result.map_err(Failure::from),
    }
}

/// What is meant of a volume: all of it, what its members hold, or what it holds itself.
pub(crate) fn inside(volume: Volume, meant: &StackArgs) -> Result<Joined, Failure> {
    if meant.is_empty() {
        return Ok(volume.into());
    }
    let choice = meant.choice()?;
    if choice.of != Of::Only {
        let members = volume.members().to_vec();
        let stack = Stack::of_members(members).map_err(Failure::System)?;
        match assemble(&stack, &choice) {
            Err(Unassembled::Choice(NotChosen::None { .. })) => {}
            result => return result.map_err(Failure::from),
        }
    }
    let stack = Stack::of_volume(&volume).map_err(Failure::System)?;
    Ok(assemble(&stack, &choice)?)
}

fn assemble(stack: &Stack, choice: &Choice) -> Result<Joined, Unassembled> {
    match stack.volume(choice, false) {
        Err(doubt @ Unassembled::Problems { can_be_salvaged: true, .. }) => {
            Ok(Joined { volume: stack.volume(choice, true)?, doubt: Some(doubt) })
        }
        result => Ok(result?.into()),
    }
}

impl From<Unassembled> for Failure {
    fn from(error: Unassembled) -> Self {
        Self::Stack(error)
    }
}

pub(crate) fn exit(error: &Unassembled) -> Exit {
    match error {
        Unassembled::Choice(NotChosen::Several { .. }) => Exit::Usage,
        Unassembled::Choice(NotChosen::None { .. }) => Exit::Incomplete,
        Unassembled::Problems { doubts, .. }
            if doubts.iter().all(|doubt| doubt.problem.is_absence()) =>
        {
            Exit::Incomplete
        }
        Unassembled::Problems { .. } | Unassembled::Layout(_) | Unassembled::Mismatch(_) => {
            Exit::SourceDamaged
        }
        Unassembled::System(_) => Exit::Failed,
    }
}

pub(crate) fn hint(error: &Unassembled) -> &'static str {
    match error {
        Unassembled::Choice(_) => {
            "choose with --lv VG/LV, --md UUID or --partition N; inspect shows what there is"
        }
        Unassembled::Problems { can_be_salvaged: true, doubts, .. } => {
            if doubts.iter().any(|doubt| is_of_filesystem(&doubt.problem)) {
                "are these all its members, of one moment? restore --salvage takes them as they are"
            } else {
                "give all members, of one moment; restore --salvage counts what is missing as damaged"
            }
        }
        Unassembled::Problems { .. } => "inspect shows all that is known",
        Unassembled::Layout(_) | Unassembled::Mismatch(_) => {
            "the metadata on the members contradicts itself"
        }
        Unassembled::System(_) => "nothing more is known",
    }
}

const fn is_of_filesystem(problem: &Problem) -> bool {
    matches!(problem, Problem::FilesystemCut { .. } | Problem::FilesystemBroken { .. })
}
