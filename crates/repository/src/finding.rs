//! What is wrong with a file or chain.

use std::sync::Arc;

use host::is_of_machine;
use restore::source::ReadError;
use snapfmt::{Fault, FormatError, StateId};

/// Something wrong with a file or chain.
#[derive(Debug, thiserror::Error)]
pub enum Finding {
    /// A structure or chunk is damaged.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The file, or one that it builds on, breaks the chain.
    #[error("the chain cannot be followed: {0}")]
    Chain(#[source] Arc<ReadError>),
    /// The chain adds up to another content than the file names.
    #[error("the chain adds up to state {found}, the file names {expected}")]
    State {
        /// What the footer says.
        expected: StateId,
        /// What the chain gives.
        found: StateId,
    },
}

impl Finding {
    /// Whether the system failed over the file, which says nothing of what the file holds.
    pub fn is_of_machine(&self) -> bool {
        match self {
            Self::Format(error) => matches!(&error.fault, Fault::Io(e) if is_of_machine(e)),
            Self::Chain(error) => error.is_of_machine(),
            Self::State { .. } => false,
        }
    }
}
