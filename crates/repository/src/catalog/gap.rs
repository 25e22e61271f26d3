//! Sets that are known by their children only.

use std::fmt;

use restore::set::Candidate;
use snapfmt::SetId;

/// A set that is known only because another one builds on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gap {
    /// Its id.
    pub set_id: SetId,
    /// The oldest of those that build on it.
    pub child: Candidate,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, which {} builds on", self.set_id.as_str().escape_debug(), self.child)
    }
}
