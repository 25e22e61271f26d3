//! What is known of the legs of a mirror.

use std::fmt;

/// What is known of a leg.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LegState {
    /// It has all that the volume has.
    Current,
    /// Not all of its physical volumes are there.
    Missing,
    /// It was split off, and is a volume of its own.
    Split,
    /// It is to be written anew.
    Rebuilding,
    /// Nothing tells what it has seen: its superblock is missing, or none.
    Unknown,
    /// It, or another that is as new, says that it failed.
    Failed,
    /// It has seen less than the superblock of another leg.
    Older {
        /// What it is at.
        events: u64,
        /// What the other one is at.
        newest: u64,
    },
    /// It was never made equal to the first (`--nosync`).
    NeverSynced,
    /// Only its first bytes are in sync.
    Syncing {
        /// How many.
        good: u64,
    },
    /// No log on disk says which parts of it are in sync.
    Unlogged,
    /// The log on disk does not have all of it in sync.
    PartlyLogged,
}

impl fmt::Display for LegState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Current => "is in sync",
            Self::Missing => "is missing",
            Self::Split => "was split off",
            Self::Rebuilding => "was to be rebuilt",
            Self::Unknown => "has no superblock that says what it has seen",
            Self::Failed => "has failed",
            Self::Older { events, newest } => {
                return write!(
                    f,
                    "is of an earlier moment: its events are {events}, those of another {newest}"
                );
            }
            Self::NeverSynced => "was never made equal to the first",
            Self::Syncing { good } => return write!(f, "is in sync up to byte {good} only"),
            Self::Unlogged => "may not be in sync: no log on disk says so",
            Self::PartlyLogged => "is not in sync everywhere, as the log on disk says",
        })
    }
}

/// A leg that is not whole and current.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LegNote {
    /// The volume whose leg it is.
    pub lv: String,
    /// Which.
    pub leg: usize,
    /// How many there are.
    pub of: usize,
    /// What is known of it.
    pub state: LegState,
}

impl fmt::Display for LegNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lv, leg, of, state } = self;
        write!(f, "leg {leg} of {of} of {lv:?} {state}")
    }
}

/// Bytes of which no copy is there and current.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lost {
    /// The volume that has them.
    pub lv: String,
    /// What its legs are.
    pub legs: Vec<LegState>,
    /// Size of the volume: they are counted from its first byte.
    pub size: u64,
}
