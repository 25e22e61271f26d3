//! What a server has done so far, and what it has to say meanwhile.

use snapfmt::Offset;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use restore::image::ImageError;

/// An event in a server that a log should have.
#[derive(Clone, Debug)]
pub enum Event {
    /// Bytes could not be read; their reader got EIO.
    Unreadable {
        /// First byte asked for.
        offset: u64,
        /// How many bytes were asked for.
        length: u64,
        /// Why not; the first time that this is the reason.
        error: ImageError,
    },
    /// Bytes could not be written or made durable; their writer got an error.
    Unwritable {
        /// Why not.
        error: ImageError,
    },
    /// Something that would do good could not be had; all works without.
    Without {
        /// What.
        what: &'static str,
        /// Why not.
        why: String,
    },
    /// A local copy that was made in the background is finished, or will not be.
    LocalCopy {
        /// How it ended.
        end: String,
    },
    /// Asked to end while a process uses the volume; it goes on.
    StillInUse,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { offset, length, error } => {
                let (start, end) = (Offset(*offset), Offset(offset.saturating_add(*length)));
                write!(f, "bytes {start} to {end} cannot be read: {error}")
            }
            Self::Unwritable { error } => write!(f, "cannot be written: {error}"),
            Self::Without { what, why } => write!(f, "going on without {what}: {why}"),
            Self::LocalCopy { end } => f.write_str(end),
            Self::StillInUse => f.write_str("asked to end, but still in use: detach says by whom"),
        }
    }
}

/// What was read, written and found damaged since a server began.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Figures {
    /// Reads that were answered with bytes.
    pub reads: u64,
    /// The bytes of those.
    pub bytes_read: u64,
    /// Reads that were answered with EIO.
    pub failed_reads: u64,
    /// Different reasons for that: chunks or index pages that are damaged or cannot be read.
    pub damaged: u64,
    /// Bytes written.
    pub bytes_written: u64,
}

/// What a cache of chunks has done since a server began.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct CacheFigures {
    /// How often a chunk that was needed was there already, or on its way.
    pub hits: u64,
    /// Chunks read from their files, those read ahead included.
    pub loads: u64,
}

/// What is behind the image that is shown.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Behind {
    /// What the cache has done; `None` where nothing is cached.
    pub cache: Option<CacheFigures>,
    /// How many bytes are local already; `None` where no local copy is made.
    pub local: Option<u64>,
}

/// [`Figures`] in the making.
#[derive(Default, Debug)]
pub(super) struct Counters {
    reads: AtomicU64,
    bytes_read: AtomicU64,
    failed_reads: AtomicU64,
    bytes_written: AtomicU64,
    reasons: Mutex<BTreeSet<String>>,
}

/// A medium that fails everywhere must not fill the memory with reasons.
const MOST_REASONS: usize = 4096;

impl Counters {
    pub(super) fn read(&self, bytes: u64) {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.bytes_read.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn written(&self, bytes: u64) {
        self.bytes_written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes a read that failed; whether the reason is a new one.
    pub(super) fn failed(&self, error: &ImageError) -> bool {
        self.failed_reads.fetch_add(1, Ordering::Relaxed);
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        reasons.len() < MOST_REASONS && reasons.insert(error.to_string())
    }

    pub(super) fn figures(&self) -> Figures {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        Figures {
            reads: value(&self.reads),
            bytes_read: value(&self.bytes_read),
            failed_reads: value(&self.failed_reads),
            damaged: reasons.len() as u64,
            bytes_written: value(&self.bytes_written),
        }
    }
}
