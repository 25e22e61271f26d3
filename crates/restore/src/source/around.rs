//! What can be read around bad sectors.
//!
//! As `ddrescue` does: after an error small steps, down to one sector; after a success ever larger ones.
//! Each sector that cannot be read is tried once by itself, so that none beside it is lost.

use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use rustix::io::Errno;

use super::{ChunkRef, ReadCause, ReadError, Source};
use crate::ranges::length;

/// Reads the bytes `range` of a chunk in parts of whole sectors, each of which `out` then has unless `lost`
/// is called with it. The chunk's medium has failed to give all of it, and its source gives parts.
pub(crate) fn read_around(
    source: &dyn Source,
    chunk: &ChunkRef,
    range: &Range<u64>,
    out: &mut [u8],
    mut lost: impl FnMut(Range<u64>, ReadError) -> ControlFlow<()>,
) {
    let Some(sector) = source.sector(chunk).map(|sector| u64::from(sector).max(1)) else { return };
    let largest = length(&chunk.range).next_multiple_of(sector);
    let (mut at, mut step) = (range.start, largest / 2);
    while at < range.end {
        step = (step - step % sector).max(sector);
        // Steps end at whole sectors of the chunk, wherever the range begins.
        let inside = at - chunk.range.start;
        let end = at.saturating_add(step - inside % sector).min(range.end);
        let place = |byte: u64| usize::try_from(byte - range.start).unwrap_or(usize::MAX);
        match source.read_part(chunk, at..end, &mut out[place(at)..place(end)]) {
            Ok(()) => {
                at = end;
                step = step.saturating_mul(2).min(largest);
            }
            // The device is gone: no sector of it will be read any more.
            Err(error) if !error.is_of_the_medium() => {
                let _ = lost(at..range.end, error);
                return;
            }
            Err(_) if step > sector => step /= 2,
            Err(error) => {
                if lost(at..end, error).is_break() {
                    return;
                }
                at = end;
            }
        }
    }
}

impl ReadError {
    /// Whether the medium could not give some of the bytes: then others beside them may be good.
    pub(crate) fn is_of_the_medium(&self) -> bool {
        match &self.cause {
            ReadCause::Io { source, .. } => is_of_the_medium(source),
            ReadCause::Below(below) => below.is_of_the_medium(),
            _ => false,
        }
    }

    /// Whether another error says the same of other bytes.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        match (&self.cause, &other.cause) {
            (ReadCause::Io { source: a, .. }, ReadCause::Io { source: b, .. }) => {
                self.path == other.path && errno(a) == errno(b) && a.kind() == b.kind()
            }
            _ => self.to_string() == other.to_string(),
        }
    }
}

fn is_of_the_medium(error: &io::Error) -> bool {
    let failing = [
        Errno::IO,
        Errno::NODATA,
        Errno::REMOTEIO,
        Errno::ILSEQ,
        Errno::BADMSG,
        Errno::UCLEAN,
        Errno::TIMEDOUT,
    ];
    errno(error).is_some_and(|found| failing.contains(&found))
}

/// The system's error, where an error is one or is about one.
fn errno(error: &io::Error) -> Option<Errno> {
    let inner = || error.get_ref()?.downcast_ref::<Arc<io::Error>>().and_then(|e| errno(e));
    error.raw_os_error().map(Errno::from_raw_os_error).or_else(inner)
}
