//! What is written on members, in the place of a layout that is given.

use repository::disagreement;
use repository::stack::{Choice, Chosen, NotChosen, Of, Stack, Unassembled};
use restore::{Volume, VolumeMember};

use crate::args::{LayoutArgs, StackArgs};
use crate::exit::Failure;
use crate::members;
use crate::output::note;

/// A volume, and what is known of how its members make it.
pub(crate) struct Joined {
    pub volume: Volume,
    pub assembly: Assembly,
    /// What there is to be said of its content. It has been said on standard error; reports say it, too.
    pub warnings: Vec<String>,
}

/// Whether members are laid together as they should be.
pub(crate) enum Assembly {
    /// As they or the arguments say.
    Sound,
    /// Something speaks against it: only a salvage may go on.
    Doubtful(Unassembled),
    /// Nothing says how they should be: they are one after the other to be looked at.
    Apart,
}

impl Joined {
    /// What the filesystem on it says against its members is said at once.
    pub(crate) fn new(volume: Volume, assembly: Assembly) -> Self {
        let is_sound = matches!(assembly, Assembly::Sound);
        let found = if is_sound { disagreement(&volume) } else { None };
        let mut joined = Self { volume, assembly, warnings: Vec::new() };
        joined.warn(found.iter().map(ToString::to_string));
        joined
    }

    /// Says what else there is to be said of it.
    pub(crate) fn warn(&mut self, warnings: impl Iterator<Item = String>) {
        for warning in warnings {
            note(&format!("warning: {warning}"));
            self.warnings.push(warning);
        }
    }

    /// Refuses what cannot be proved to be put together as it was.
    pub(crate) fn proved(self) -> Result<Self, Failure> {
        Ok(Self { assembly: self.assembly.proved()?, ..self })
    }
}

impl Assembly {
    /// Refuses what cannot be proved to be put together as it was.
    pub(crate) fn proved(self) -> Result<Self, Failure> {
        match self {
            Self::Doubtful(doubt) => Err(doubt.into()),
            Self::Sound | Self::Apart => Ok(self),
        }
    }
}

impl From<Volume> for Joined {
    fn from(volume: Volume) -> Self {
        Self::new(volume, Assembly::Sound)
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
            (Some(lv), _) => lv.clone().into(),
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
    Ok(assemble(&Stack::chosen_on(&volume, &choice)?, &choice)?)
}

/// The one way from a stack to a volume: what is to be said of its content is said here, whatever the
/// command does with it.
fn assemble(stack: &Stack, choice: &Choice) -> Result<Joined, Unassembled> {
    let remarks = match stack.choose(choice) {
        Ok(no) => stack.remarks(no),
        Err(_) => Vec::new(),
    };
    let (volume, assembly) = match stack.volume(choice, false) {
        Err(doubt @ Unassembled::Problems { can_be_salvaged: true, .. }) => {
            (stack.volume(choice, true)?, Assembly::Doubtful(doubt))
        }
        result => (result?, Assembly::Sound),
    };
    let mut joined = Joined::new(volume, assembly);
    joined.warn(remarks.iter().map(ToString::to_string));
    Ok(joined)
}
