//! How a job runs.

use std::fmt;
use std::num::NonZeroUsize;

use crate::digests::Digests;
use crate::foreground::Foreground;
use crate::journal::Journal;
use crate::report::Damage;
use crate::sink::ReadBack;
use crate::throttle::Throttle;

/// What to do where bytes fail their checks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnDamage {
    /// Stop at the first damage; nothing under the target's name.
    Stop,
    /// Go on: leave the range filled with this byte and list it in the report.
    Salvage {
        /// The byte to fill with; 0 leaves a hole.
        fill: u8,
    },
}

/// What becomes of the bytes a target holds already.
#[derive(Clone, Copy, Debug)]
pub enum Existing<'a> {
    /// They are overwritten unseen.
    Overwrite,
    /// They are read, and stay where they are right.
    Keep(&'a ReadBack),
    /// They are read and must all be right; the sink is not called.
    Compare(&'a ReadBack),
}

impl<'a> Existing<'a> {
    /// Where they are read from, if they are.
    pub(super) const fn target(self) -> Option<&'a ReadBack> {
        match self {
            Self::Overwrite => None,
            Self::Keep(target) | Self::Compare(target) => Some(target),
        }
    }
}

/// Hears of every place with damage when it is found, in no order.
#[derive(Clone, Copy)]
pub struct Told<'a>(pub &'a (dyn Fn(&Damage) + Sync));

impl fmt::Debug for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Told")
    }
}

/// How a job runs.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// How many workers decode at a time.
    pub jobs: NonZeroUsize,
    /// What to do about damage.
    pub on_damage: OnDamage,
    /// What to do about bytes that the target holds already.
    pub existing: Existing<'a>,
    /// Leaves out what an earlier run has proved, and takes note of what this one does.
    pub journal: Option<&'a Journal>,
    /// Hashes the bytes in logical order, those that an earlier run has proved included.
    pub digests: Option<&'a Digests>,
    /// Holds writing back.
    pub throttle: Option<&'a Throttle>,
    /// Reads that go before this.
    pub foreground: Option<&'a Foreground>,
    /// Hears of all damage that is salvaged around, also of what the report only counts.
    pub told: Option<Told<'a>>,
}

impl Options<'_> {
    /// So many workers, stopping at the first damage, and nothing else.
    pub const fn new(jobs: NonZeroUsize) -> Self {
        Self {
            jobs,
            on_damage: OnDamage::Stop,
            existing: Existing::Overwrite,
            journal: None,
            digests: None,
            throttle: None,
            foreground: None,
            told: None,
        }
    }
}
