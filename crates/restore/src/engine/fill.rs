//! Filling a window from the members below it: every byte is read and checked here, or given up.

use std::ops::Range;

use snapfmt::Segment;

use super::worker::{Piece, Worker, within};
use super::{OnDamage, RunError};
use crate::layout::{ColumnView, columns, push_joined};
use crate::report::Damage;
use crate::source::{ChunkRef, Extent, ExtentKind, Proof, ReadError, clip, length};

impl Worker<'_, '_> {
    /// Brings everything the members hold for `window` into the buffer.
    pub(super) fn fill(
        &mut self,
        segment: &Segment<'_>,
        window: &Range<u64>,
    ) -> Result<(), RunError> {
        self.pieces.clear();
        let len = usize::try_from(length(window)).unwrap_or(usize::MAX);
        self.window.reserve(len, window.start);
        if let Some(held) = &mut self.held {
            held.load(window).map_err(|e| self.job.unread(window.start, e))?;
        }
        let _permit = self.job.permits.take();
        for place in 0..columns(segment).len() {
            let Some(view) = ColumnView::new(segment, place) else { continue };
            let range = view.member_range(window);
            if !range.is_empty() {
                self.column(place, &view, window, &range)?;
            }
        }
        self.pieces.sort_unstable_by_key(|p| p.range.start);
        Ok(())
    }

    fn column(
        &mut self,
        place: usize,
        view: &ColumnView,
        window: &Range<u64>,
        range: &Range<u64>,
    ) -> Result<(), RunError> {
        let volume = self.job.volume;
        let mut extents = std::mem::take(&mut self.extents);
        extents.clear();
        if let Err(error) = volume.extents(view.member, range, &mut extents) {
            extents.clear();
            self.unlisted(view, window, range, error, &mut extents)?;
        }
        for extent in &extents {
            let wanted = clip(&extent.range, range);
            match &extent.kind {
                ExtentKind::Zero => self.findings.counts.zero += length(&wanted),
                ExtentKind::Hole => self.findings.counts.hole += length(&wanted),
                ExtentKind::Data(chunk) => self.data(place, view, window, &wanted, chunk)?,
                ExtentKind::Inherit => {
                    let error = volume.nobodys(view.member, wanted.start);
                    self.damaged(view, window, wanted, error)?;
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
        window: &Range<u64>,
        range: &Range<u64>,
        error: ReadError,
        extents: &mut Vec<Extent>,
    ) -> Result<(), RunError> {
        if self.job.options.on_damage == OnDamage::Stop {
            return self.damaged(view, window, range.clone(), error);
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
                    self.damaged(view, window, step, error)?;
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
        window: &Range<u64>,
        wanted: &Range<u64>,
        chunk: &ChunkRef,
    ) -> Result<(), RunError> {
        let whole = *wanted == chunk.range;
        if whole && self.is_held(view, window, chunk) {
            self.findings.counts.count_data(length(wanted), Proof::Digest);
            return Ok(());
        }
        let volume = self.job.volume;
        let source = &*volume.member(view.member).source;
        let (buffer, pieces, held) = (self.window.bytes_mut(), &mut self.pieces, &self.held);
        let mut direct = None;
        if whole {
            view.scatter(wanted, |part, logical| {
                direct = (part == *wanted).then_some(logical);
            });
        }
        let mut place_piece = |logical: Range<u64>, bytes: &[u8]| {
            let right = held.as_ref().is_some_and(|held| held.bytes(&logical) == bytes);
            push_piece(pieces, logical, right);
        };
        let read = match direct {
            Some(logical) => {
                let out = &mut buffer[within(window, &logical)];
                let proof = source.read(chunk, out, &mut self.carry.scratch);
                proof.map(|proof| {
                    place_piece(logical, out);
                    (proof, u64::from(chunk.at.len))
                })
            }
            None => self.carry.whole(place, source, chunk).map(|whole| {
                view.scatter(wanted, |part, logical| {
                    let bytes = whole.slice(chunk.range.start, &part);
                    buffer[within(window, &logical)].copy_from_slice(bytes);
                    place_piece(logical, bytes);
                });
                (whole.proof, whole.stored)
            }),
        };
        match read {
            Ok((proof, stored)) => {
                self.findings.counts.count_data(length(wanted), proof);
                self.findings.counts.stored += stored;
                Ok(())
            }
            Err(error) => self.damaged(view, window, wanted.clone(), error),
        }
    }

    /// Whether the target has a chunk, all of which is in the window: then that is as good as
    /// reading it.
    fn is_held(&mut self, view: &ColumnView, window: &Range<u64>, chunk: &ChunkRef) -> bool {
        let (Some(held), Some(digest)) = (&mut self.held, &chunk.digest) else { return false };
        if !held.has(digest, view, &chunk.range) {
            return false;
        }
        let hashing = self.job.options.digests.is_some();
        let (buffer, pieces) = (self.window.bytes_mut(), &mut self.pieces);
        view.scatter(&chunk.range, |_, logical| {
            if hashing {
                buffer[within(window, &logical)].copy_from_slice(held.bytes(&logical));
            }
            push_piece(pieces, logical, true);
        });
        true
    }

    /// Records lost bytes and fills their place, or stops.
    fn damaged(
        &mut self,
        view: &ColumnView,
        window: &Range<u64>,
        range: Range<u64>,
        cause: ReadError,
    ) -> Result<(), RunError> {
        let mut logical = Vec::new();
        view.scatter(&range, |_, piece| push_joined(&mut logical, piece));
        if let OnDamage::Salvage { fill } = self.job.options.on_damage
            && fill != 0
        {
            for piece in &logical {
                self.window.bytes_mut()[within(window, piece)].fill(fill);
                let bytes = &self.window.bytes()[within(window, piece)];
                let right = self.held.as_ref().is_some_and(|held| held.bytes(piece) == bytes);
                push_piece(&mut self.pieces, piece.clone(), right);
            }
        }
        let volume_id = self.job.volume.member(view.member).volume_id.clone();
        let damage = Damage { member: view.member, volume_id, range, logical, cause: cause.into() };
        match self.job.options.on_damage {
            OnDamage::Stop => Err(RunError::Damaged(Box::new(damage))),
            OnDamage::Salvage { .. } => {
                self.findings.damage.push(damage);
                Ok(())
            }
        }
    }
}

/// Appends a piece, joining it to the last one where they touch and are alike.
fn push_piece(pieces: &mut Vec<Piece>, range: Range<u64>, right: bool) {
    match pieces.last_mut() {
        Some(last) if last.range.end == range.start && last.right == right => {
            last.range.end = range.end;
        }
        _ => pieces.push(Piece { range, right }),
    }
}
