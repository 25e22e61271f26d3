//! Filling a window from the members below it: every byte is read and checked here, or given up.

use std::ops::Range;
use std::sync::Arc;

use snapfmt::Segment;

use super::straddling_chunks::{Lost, Whole};
use super::target_window::TargetWindow;
use super::window::Window;
use super::worker::Worker;
use super::{OnDamage, RunError};
use crate::layout::{ColumnView, columns, push_joined};
use crate::ranges::{clip, length};
use crate::report::Damage;
use crate::source::{ChunkRef, Extent, ExtentKind, Proof, ReadError};

impl Worker<'_, '_> {
    /// Brings everything the members hold for `window` into the buffer.
    pub(super) fn fill(
        &mut self,
        segment: &Segment<'_>,
        window: &Range<u64>,
    ) -> Result<(), RunError> {
        self.window.begin(window.clone());
        self.window.reserve();
        if let Some(held) = &mut self.held {
            held.load(window).map_err(|e| self.job.unread(window.start, e))?;
        }
        let _permit = self.job.permits.take();
        for place in 0..columns(segment).len() {
            // A row of many large chunks takes seconds.
            if self.job.is_over() {
                return Err(RunError::Interrupted);
            }
            let Some(view) = ColumnView::new(segment, place) else { continue };
            let range = view.member_range(window);
            if !range.is_empty() {
                self.column(place, &view, &range)?;
            }
        }
        self.window.pieces.sort_unstable_by_key(|p| p.range.start);
        Ok(())
    }

    fn column(
        &mut self,
        place: usize,
        view: &ColumnView,
        range: &Range<u64>,
    ) -> Result<(), RunError> {
        let volume = self.job.volume;
        let mut extents = std::mem::take(&mut self.extents);
        extents.clear();
        if let Err(error) = volume.extents(view.member, range, &mut extents) {
            extents.clear();
            self.unlisted(view, range, error, &mut extents)?;
        }
        for extent in &extents {
            let wanted = clip(&extent.range, range);
            match &extent.kind {
                ExtentKind::Zero => self.findings.counts.zero += length(&wanted),
                ExtentKind::Hole => self.findings.counts.hole += length(&wanted),
                ExtentKind::Data(chunk) => self.data(place, view, &wanted, chunk)?,
                ExtentKind::Inherit => {
                    let error = volume.unresolved(view.member, wanted.start);
                    self.damaged(view, wanted, error)?;
                }
            }
        }
        self.extents = extents;
        Ok(())
    }

    /// The extents of `range` could not be listed: asks chunk by chunk, so that only those below
    /// the damaged part of an index are lost.
    fn unlisted(
        &mut self,
        view: &ColumnView,
        range: &Range<u64>,
        error: ReadError,
        extents: &mut Vec<Extent>,
    ) -> Result<(), RunError> {
        if self.job.options.on_damage == OnDamage::Stop {
            return self.damaged(view, range.clone(), error);
        }
        let volume = self.job.volume;
        let unit = u64::from(volume.member(view.member).source.largest_chunk()).max(1);
        let mut at = range.start;
        while at < range.end {
            let step = at..((at / unit + 1) * unit).min(range.end);
            at = step.end;
            let from = extents.len();
            match volume.extents(view.member, &step, extents) {
                Ok(()) => {
                    for extent in extents.iter_mut().skip(from) {
                        extent.range = clip(&extent.range, &step);
                    }
                }
                Err(error) => {
                    extents.truncate(from);
                    self.damaged(view, step, error)?;
                }
            }
        }
        Ok(())
    }

    /// Reads a chunk: straight into the window where it lies there whole and in order, otherwise by
    /// way of the carry. What the target has already is not read.
    fn data(
        &mut self,
        place: usize,
        view: &ColumnView,
        wanted: &Range<u64>,
        chunk: &ChunkRef,
    ) -> Result<(), RunError> {
        let whole = *wanted == chunk.range;
        if whole && self.is_held(view, chunk) {
            self.brought(length(wanted), Proof::Digest);
            return Ok(());
        }
        let volume = self.job.volume;
        let source = &*volume.member(view.member).source;
        let (filled, held) = (&mut self.window, &self.held);
        let mut direct = None;
        if whole {
            view.scatter(wanted, |part, logical| {
                direct = (part == *wanted).then_some(logical);
            });
        }
        let read = match direct {
            Some(logical) => {
                let out = filled.bytes_mut(&logical);
                let proof = source.read(chunk, out, &mut self.carry.scratch);
                proof.map(|proof| {
                    place_piece(filled, held.as_ref(), logical);
                    (proof, u64::from(chunk.at.len))
                })
            }
            None => self.carry.whole(place, source, chunk).map(|whole| {
                view.scatter(wanted, |part, logical| {
                    let bytes = whole.slice(chunk.range.start, &part);
                    filled.bytes_mut(&logical).copy_from_slice(bytes);
                    place_piece(filled, held.as_ref(), logical);
                });
                (whole.proof, whole.stored)
            }),
        };
        match read {
            Ok((proof, stored)) => {
                self.brought(length(wanted), proof);
                self.findings.counts.stored += stored;
                Ok(())
            }
            Err(error) => self.unread(place, view, wanted, chunk, error),
        }
    }

    /// A chunk that could not be read: lost as a whole, or but for its good sectors.
    fn unread(
        &mut self,
        place: usize,
        view: &ColumnView,
        wanted: &Range<u64>,
        chunk: &ChunkRef,
        error: ReadError,
    ) -> Result<(), RunError> {
        let salvage = self.job.options.on_damage != OnDamage::Stop && error.is_of_the_medium();
        let source = &*self.job.volume.member(view.member).source;
        let around = salvage.then(|| self.carry.around(place, source, chunk)).flatten();
        let Some((plain, lost)) = around else {
            return self.damaged(view, wanted.clone(), error);
        };
        let lost: Vec<Lost> = lost
            .iter()
            .map(|lost| Lost { range: clip(&lost.range, wanted), cause: lost.cause.clone() })
            .filter(|lost| !lost.range.is_empty())
            .collect();
        let whole = Whole { plain, proof: Proof::None, stored: 0 };
        let (filled, held) = (&mut self.window, &self.held);
        let mut good = 0;
        let ends = lost.iter().map(|lost| lost.range.clone());
        let mut at = wanted.start;
        for bad in ends.chain(std::iter::once(wanted.end..wanted.end)) {
            let part = at..bad.start;
            at = bad.end;
            good += length(&part);
            view.scatter(&part, |part, logical| {
                filled.bytes_mut(&logical).copy_from_slice(whole.slice(chunk.range.start, &part));
                place_piece(filled, held.as_ref(), logical);
            });
        }
        self.brought(good, Proof::None);
        self.findings.counts.stored += good;
        lost.into_iter().try_for_each(|Lost { range, cause }| self.damaged(view, range, cause))
    }

    /// Whether the target has a chunk, all of which is in the window: then that is as good as
    /// reading it.
    fn is_held(&mut self, view: &ColumnView, chunk: &ChunkRef) -> bool {
        let (Some(held), Some(digest)) = (&mut self.held, &chunk.digest) else { return false };
        if !held.has(digest, view, &chunk.range) {
            return false;
        }
        let hashing = self.job.options.digests.is_some();
        let filled = &mut self.window;
        view.scatter(&chunk.range, |_, logical| {
            if hashing {
                filled.bytes_mut(&logical).copy_from_slice(held.bytes(&logical));
            }
            filled.push(logical, true);
        });
        true
    }

    fn brought(&mut self, bytes: u64, proof: Proof) {
        self.findings.counts.count_data(bytes, proof);
        self.window.data += bytes;
    }

    /// Records lost bytes and fills their place, or stops.
    fn damaged(
        &mut self,
        view: &ColumnView,
        range: Range<u64>,
        cause: impl Into<Arc<ReadError>>,
    ) -> Result<(), RunError> {
        let mut logical = Vec::new();
        view.scatter(&range, |_, piece| push_joined(&mut logical, piece));
        if let OnDamage::Salvage { fill } = self.job.options.on_damage
            && fill != 0
        {
            for piece in &logical {
                self.window.bytes_mut(piece).fill(fill);
                let held = self.held.as_ref().map(|held| held.bytes(piece));
                let right = held.is_some_and(|held| held == self.window.bytes(piece));
                self.window.push(piece.clone(), right);
            }
        }
        self.window.damaged = true;
        let volume_id = self.job.volume.member(view.member).volume_id.clone();
        let damage = Damage { member: view.member, volume_id, range, logical, cause: cause.into() };
        match self.job.options.on_damage {
            OnDamage::Stop => Err(RunError::Damaged(Box::new(damage))),
            OnDamage::Salvage { .. } => {
                if let Some(told) = self.job.options.told {
                    (told.0)(&damage);
                }
                self.findings.damaged(damage);
                Ok(())
            }
        }
    }
}

/// Takes bytes that were brought for a piece of the window, which the target may have already.
fn place_piece(filled: &mut Window, held: Option<&TargetWindow<'_>>, logical: Range<u64>) {
    let right = held.is_some_and(|held| held.bytes(&logical) == filled.bytes(&logical));
    filled.push(logical, right);
}
