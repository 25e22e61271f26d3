//! Handing a window to the sink.

use std::ops::Range;

use super::target_window::TargetWindow;
use super::window::Window;
use super::worker::Findings;
use super::{Existing, Job, RunError};
use crate::ranges::length;

impl Job<'_> {
    /// Data in as few writes as the window has runs of it, the rest as zeros; but for what the target
    /// has as it is, as far as it was looked at.
    pub(super) fn write(
        &self,
        window: &Window,
        held: Option<&TargetWindow<'_>>,
        findings: &mut Findings,
    ) -> Result<(), RunError> {
        let mut left = window.pieces.iter().peekable();
        let mut at = window.range.start;
        while let Some(first) = left.next() {
            let mut run = first.range.clone();
            while let Some(next) =
                left.next_if(|next| next.range.start == run.end && next.right == first.right)
            {
                run.end = next.range.end;
            }
            self.zero_gap(at..run.start, held, findings)?;
            at = run.end;
            if first.right {
                findings.counts.kept += length(&run);
                continue;
            }
            self.differs(&run, findings, || self.put(window.bytes(&run), run.start))?;
        }
        self.zero_gap(at..window.range.end, held, findings)
    }

    /// Takes note of a window that the target has.
    pub(super) fn written(&self, window: &Window) {
        self.progress.advance(length(&window.range), window.data);
        // What is lost is not done: a later run must come upon it and say so again.
        if let (Some(journal), false) = (self.options.journal, window.damaged) {
            journal.done(window.range.clone(), window.data);
        }
    }

    /// The bytes of a window between data.
    fn zero_gap(
        &self,
        range: Range<u64>,
        held: Option<&TargetWindow<'_>>,
        findings: &mut Findings,
    ) -> Result<(), RunError> {
        if range.is_empty() {
            return Ok(());
        }
        if held.is_some_and(|held| held.is_zero(&range)) {
            findings.counts.kept += length(&range);
            return Ok(());
        }
        self.differs(&range, findings, || self.zero(range.clone()))
    }

    /// The target has something else there: that is found, or put right.
    pub(super) fn differs(
        &self,
        range: &Range<u64>,
        findings: &mut Findings,
        put_right: impl FnOnce() -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        match self.options.existing {
            Existing::Compare(_) => {
                findings.mismatches.insert(range.clone());
                Ok(())
            }
            Existing::Overwrite | Existing::Keep(_) => put_right(),
        }
    }

    /// Writes data to the target.
    fn put(&self, data: &[u8], offset: u64) -> Result<(), RunError> {
        if let Some(throttle) = self.options.throttle {
            throttle.pass(data.len() as u64, || self.is_over());
        }
        if self.is_over() {
            return Err(RunError::Interrupted);
        }
        self.sink.write_at(data, offset).map_err(|e| self.unwritten(offset, e))
    }

    /// Makes bytes of the target zeros.
    pub(super) fn zero(&self, range: Range<u64>) -> Result<(), RunError> {
        let start = range.start;
        if let (Some(throttle), true) = (self.options.throttle, self.sink.is_ordered()) {
            throttle.pass(length(&range), || self.is_over());
        }
        if self.is_over() {
            return Err(RunError::Interrupted);
        }
        self.sink.zero_at(range).map_err(|e| self.unwritten(start, e))
    }

    fn unwritten(&self, offset: u64, source: std::io::Error) -> RunError {
        RunError::Target { path: self.sink.path().to_owned(), offset: Some(offset), source }
    }
}
