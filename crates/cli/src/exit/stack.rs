//! What can go wrong with what is written on members.

use repository::stack::{NotChosen, Problem, Unassembled};

use super::{Exit, Failure};

impl From<Unassembled> for Failure {
    fn from(error: Unassembled) -> Self {
        Self::Stack(error)
    }
}

/// Its exit code.
pub(super) fn exit(error: &Unassembled) -> Exit {
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

/// What to try next.
pub(super) fn hint(error: &Unassembled) -> &'static str {
    match error {
        Unassembled::Choice(_) => {
            "choose with --lv VG/LV, --md UUID or --partition N; inspect shows what there is"
        }
        Unassembled::Problems { can_be_salvaged: true, doubts, .. } => {
            if doubts.iter().any(|doubt| is_of_filesystem(&doubt.problem)) {
                "are these all its members, of one moment? restore --salvage takes them as they are"
            } else if doubts.iter().all(|doubt| is_of_pool(&doubt.problem)) {
                "restore --salvage takes the pool as it is, and ends with 3"
            } else {
                "give all members, of one moment; restore --salvage counts what is missing as damaged"
            }
        }
        Unassembled::Problems { doubts, .. }
            if doubts.iter().any(|doubt| matches!(*doubt.problem, Problem::Split { .. })) =>
        {
            "give the members of one half only: either is a state of its own"
        }
        Unassembled::Problems { .. } => "inspect shows all that is known",
        Unassembled::Layout(_) | Unassembled::Mismatch(_) => {
            "the metadata on the members contradicts itself"
        }
        Unassembled::System(_) => "nothing more is known",
    }
}

const fn is_of_pool(problem: &Problem) -> bool {
    matches!(problem, Problem::ThinPool { .. })
}

const fn is_of_filesystem(problem: &Problem) -> bool {
    matches!(problem, Problem::FilesystemCut { .. } | Problem::FilesystemBroken { .. })
}
