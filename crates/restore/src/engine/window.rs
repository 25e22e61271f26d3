//! Logical bytes that travel together: a worker fills them, it or a writer hands them to the sink.

use std::ops::Range;

use crate::aligned::AlignedBuffer;
use crate::ranges::length;

/// A window of the plan. Its buffers live as long as the job: nothing is allocated for a chunk.
#[derive(Default)]
pub(super) struct Window {
    pub(super) range: Range<u64>,
    pub(super) buffer: AlignedBuffer,
    /// The parts of it that are data, sorted once it is filled; the rest is zeros.
    pub(super) pieces: Vec<Piece>,
    /// How many bytes of the members' data were found for it.
    pub(super) data: u64,
    /// Whether some of it is lost.
    pub(super) damaged: bool,
}

/// Logical bytes of a window that are data.
pub(super) struct Piece {
    pub(super) range: Range<u64>,
    /// Whether the target has them as they are.
    pub(super) right: bool,
}

impl Window {
    /// Is the window `range` from now on: zeros, with nothing brought for it yet.
    pub(super) fn begin(&mut self, range: Range<u64>) {
        self.range = range;
        self.pieces.clear();
        (self.data, self.damaged) = (0, false);
    }

    /// Makes room for data anywhere in it.
    pub(super) fn reserve(&mut self) {
        let len = usize::try_from(length(&self.range)).unwrap_or(usize::MAX);
        self.buffer.reserve(len, self.range.start);
    }

    /// The bytes of `logical`, which is data of the window.
    pub(super) fn bytes(&self, logical: &Range<u64>) -> &[u8] {
        &self.buffer.bytes()[within(&self.range, logical)]
    }

    /// The same, to be filled.
    pub(super) fn bytes_mut(&mut self, logical: &Range<u64>) -> &mut [u8] {
        &mut self.buffer.bytes_mut()[within(&self.range, logical)]
    }

    /// Takes `range` for data, joined to the last piece where they touch and are alike.
    pub(super) fn push(&mut self, range: Range<u64>, right: bool) {
        match self.pieces.last_mut() {
            Some(last) if last.range.end == range.start && last.right == right => {
                last.range.end = range.end;
            }
            _ => self.pieces.push(Piece { range, right }),
        }
    }
}

/// Logical bytes as a place in the window's buffer.
pub(super) fn within(window: &Range<u64>, logical: &Range<u64>) -> Range<usize> {
    let at = |offset: u64| usize::try_from(offset - window.start).unwrap_or(usize::MAX);
    at(logical.start)..at(logical.end)
}
