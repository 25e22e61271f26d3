//! What the target already holds of a window, for keeping or checking it.

use std::io;
use std::ops::Range;

use snapfmt::Digest;

use super::window::within;
use crate::aligned::AlignedBuffer;
use crate::layout::ColumnView;
use crate::ranges::length;
use crate::sink::ReadBack;

/// Bytes of the target read together where they should all be zeros.
const STEP: u64 = 1 << 20;

/// A window as the target has it.
pub(super) struct TargetWindow<'j> {
    target: &'j ReadBack,
    window: Range<u64>,
    bytes: AlignedBuffer,
    gathered: Vec<u8>,
}

impl<'j> TargetWindow<'j> {
    pub(super) fn new(target: &'j ReadBack) -> Self {
        Self { target, window: 0..0, bytes: AlignedBuffer::default(), gathered: Vec::new() }
    }

    /// Reads what the target has of `window`.
    pub(super) fn load(&mut self, window: &Range<u64>) -> io::Result<()> {
        let len = usize::try_from(length(window)).unwrap_or(usize::MAX);
        self.bytes.reserve(len, window.start);
        self.window = window.clone();
        self.target.read_at(&mut self.bytes.bytes_mut()[..len], window.start)
    }

    /// The bytes of `logical`, which lies in the window.
    pub(super) fn bytes(&self, logical: &Range<u64>) -> &[u8] {
        &self.bytes.bytes()[within(&self.window, logical)]
    }

    /// Whether the member bytes `range`, all of them in the window, have this digest.
    pub(super) fn has(&mut self, digest: &Digest, view: &ColumnView, range: &Range<u64>) -> bool {
        self.gathered.clear();
        let mut whole = None;
        view.scatter(range, |part, logical| {
            if part == *range {
                whole = Some(logical);
            } else {
                let bytes = &self.bytes.bytes()[within(&self.window, &logical)];
                self.gathered.extend_from_slice(bytes);
            }
        });
        let bytes = match &whole {
            Some(logical) => self.bytes(logical),
            None => &self.gathered,
        };
        Digest::of(bytes) == *digest
    }

    /// Whether `logical`, which lies in the window, is all zeros.
    pub(super) fn is_zero(&self, logical: &Range<u64>) -> bool {
        is_zero(self.bytes(logical))
    }

    /// Goes through the target's bytes `range`, which should all be zeros, and tells of those pieces
    /// that are not. The window is lost.
    pub(super) fn each_not_zero(
        &mut self,
        range: &Range<u64>,
        mut found: impl FnMut(Range<u64>),
    ) -> io::Result<()> {
        let mut at = self.target.hole_until(range.start)?;
        while at < range.end {
            let piece = at..at.saturating_add(STEP).min(range.end);
            self.load(&piece)?;
            if !self.is_zero(&piece) {
                found(piece.clone());
            }
            at = self.target.hole_until(piece.end)?;
        }
        Ok(())
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    // In pieces: each is a loop without an exit, which the compiler vectorises.
    bytes.chunks(4096).all(|piece| piece.iter().fold(0, |all, byte| all | byte) == 0)
}
