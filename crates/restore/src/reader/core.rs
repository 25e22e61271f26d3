//! Reading through layout, chain and cache: what those who ask and those who read ahead share.

use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex, PoisonError};

use snapfmt::{Mapping, MemberNo};

use super::Options;
use super::cache::{Cache, Claim, Found as InCache, Key, Loaded, Plain};
use super::damage::{Failing, Found};
use super::fair_semaphore::FairSemaphore;
use super::tally::{Counts, Tally};
use crate::image::{ImageError, Run};
use crate::layout::ColumnView;
use crate::ranges::clip;
use crate::report::Damage;
use crate::runs::Runs;
use crate::source::{ChunkRef, Extent, ExtentKind, ReadCause, ReadError, Scratch, read_around};
use crate::volume::Volume;

/// A volume, its cache, and what was found out on the way.
pub(super) struct Core {
    volume: Arc<Volume>,
    cache: Cache,
    tally: Tally,
    found: Found,
    failing: Failing,
    turns: FairSemaphore,
    contexts: Mutex<Vec<ReadContext>>,
}

/// What was read of a chunk.
enum Bytes {
    Whole(Arc<Plain>),
    /// From this byte of the member on.
    Part(u64, Vec<u8>),
}

impl Bytes {
    /// The bytes, and which of the member is the first.
    fn bytes(&self, chunk: &ChunkRef) -> (u64, &[u8]) {
        match self {
            Self::Whole(plain) => (chunk.range.start, plain.bytes()),
            Self::Part(first, bytes) => (*first, bytes),
        }
    }
}

/// What a thread needs for as long as it reads.
#[derive(Default)]
pub(super) struct ReadContext {
    /// Made when a chunk has to be decoded.
    scratch: Option<Scratch>,
    pub(super) extents: Vec<Extent>,
}

impl Core {
    pub(super) fn new(volume: Arc<Volume>, options: &Options) -> Self {
        let chunks = volume.members().iter().map(|m| u64::from(m.source.largest_chunk()));
        // With less, a chunk would be decoded anew for each sector of it that is read.
        let cache = options.cache.max(chunks.max().unwrap_or(0));
        Self {
            volume,
            cache: Cache::new(cache),
            tally: Tally::default(),
            found: Found::default(),
            failing: Failing::default(),
            turns: FairSemaphore::new(options.threads),
            contexts: Mutex::default(),
        }
    }

    pub(super) const fn volume(&self) -> &Arc<Volume> {
        &self.volume
    }

    pub(super) fn counts(&self) -> Counts {
        self.tally.counts()
    }

    pub(super) fn damage(&self) -> Vec<Damage> {
        self.found.list()
    }

    /// Fills `out` with the bytes from `offset`, which the volume has.
    pub(super) fn read(
        &self,
        offset: u64,
        out: &mut [u8],
        in_sequence: bool,
    ) -> Result<(), ImageError> {
        self.tally.reads.add(1);
        let read = self.with_context(|context| self.pieces(offset, out, in_sequence, context));
        match &read {
            Ok(()) => self.tally.bytes.add(out.len() as u64),
            Err(_) => self.tally.damaged.add(1),
        }
        read
    }

    pub(super) fn run_at(&self, offset: u64) -> Result<Run, ImageError> {
        let run =
            self.with_context(|context| Runs::new(&self.volume, &mut context.extents).at(offset));
        run.map_err(|(byte, error)| self.unlisted(byte.member, &byte.range, error))
    }

    /// Segment by segment, and there column by column: a read over many short stripes asks for each
    /// chunk below it once, not once for each stripe.
    fn pieces(
        &self,
        offset: u64,
        out: &mut [u8],
        in_sequence: bool,
        context: &mut ReadContext,
    ) -> Result<(), ImageError> {
        let map = self.volume.layout().map();
        let (mut at, mut rest) = (offset, out);
        while !rest.is_empty() {
            let Some(segment) = map.find(at).and_then(|n| map.segment(n)) else {
                rest.fill(0);
                break;
            };
            let left = usize::try_from(segment.end() - at).unwrap_or(usize::MAX).min(rest.len());
            let (part, behind) = std::mem::take(&mut rest).split_at_mut(left);
            let window = at..at + part.len() as u64;
            if segment.mapping == Mapping::Unmapped {
                part.fill(0);
            }
            for view in ColumnView::below(&segment, &window) {
                self.column(&view, &window, part, in_sequence, context)?;
            }
            at = window.end;
            rest = behind;
        }
        Ok(())
    }

    /// The bytes that a column has of the logical bytes `window`, which `out` is for.
    fn column(
        &self,
        view: &ColumnView,
        window: &Range<u64>,
        out: &mut [u8],
        in_sequence: bool,
        context: &mut ReadContext,
    ) -> Result<(), ImageError> {
        let (member, range) = (view.member, view.member_range(window));
        let ReadContext { extents, scratch } = context;
        extents.clear();
        self.volume
            .extents(member, &range, extents)
            .map_err(|error| self.unlisted(member, &range, error))?;
        for extent in extents.iter() {
            let wanted = clip(&extent.range, &range);
            match &extent.kind {
                ExtentKind::Zero | ExtentKind::Hole => view.scatter(&wanted, |_, logical| {
                    out[within(window.start, &logical)].fill(0);
                }),
                ExtentKind::Data(chunk) => {
                    let read = self.data(member, chunk, &wanted, scratch)?;
                    let (first, bytes) = read.bytes(chunk);
                    view.scatter(&wanted, |part, logical| {
                        let bytes = &bytes[within(first, &part)];
                        out[within(window.start, &logical)].copy_from_slice(bytes);
                    });
                    if in_sequence && wanted.end == chunk.range.end {
                        self.cache.pass(Key::new(member, chunk));
                    }
                }
                ExtentKind::Inherit => {
                    let error = self.volume.unresolved(member, wanted.start);
                    return Err(self.unlisted(member, &wanted, error));
                }
            }
        }
        Ok(())
    }

    /// The bytes `wanted` of a chunk and more: all of it or, where its medium cannot give that, their
    /// sectors.
    fn data(
        &self,
        member: MemberNo,
        chunk: &ChunkRef,
        wanted: &Range<u64>,
        scratch: &mut Option<Scratch>,
    ) -> Result<Bytes, ImageError> {
        let key = Key::new(member, chunk);
        let source = &*self.volume.member(member).source;
        if !self.failing.has(&key) {
            let error = match self.chunk(member, chunk, scratch) {
                Ok(plain) => return Ok(Bytes::Whole(plain)),
                Err(error) => error,
            };
            if !error.is_of_the_medium() || source.sector(chunk).is_none() {
                return Err(self.lost(member, &chunk.range, error));
            }
            self.failing.add(key);
        }
        let sector = u64::from(source.sector(chunk).unwrap_or(1)).max(1);
        let first = wanted.start - (wanted.start - chunk.range.start) % sector;
        let len = (wanted.end - first).next_multiple_of(sector).min(chunk.range.end - first);
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        let mut lost = None;
        read_around(source, chunk, &(first..first + len), &mut bytes, |range, error| {
            lost = Some((range, error));
            ControlFlow::Break(())
        });
        match lost {
            None => Ok(Bytes::Part(first, bytes)),
            Some((range, error)) => Err(self.lost(member, &range, Arc::new(error))),
        }
    }

    /// A whole chunk, from the cache, from the thread that is reading it just now, or from its file.
    fn chunk(&self, member: MemberNo, chunk: &ChunkRef, scratch: &mut Option<Scratch>) -> Loaded {
        loop {
            match self.cache.find(Key::new(member, chunk)) {
                InCache::Here(plain) => {
                    self.tally.hits.add(1);
                    return Ok(plain);
                }
                InCache::Elsewhere(loading) => {
                    if let Some(loaded) = loading.wait() {
                        self.tally.hits.add(1);
                        return loaded;
                    }
                }
                InCache::Ours(claim) => {
                    self.volume.member(member).source.will_need(chunk);
                    return self.load(claim, member, chunk, scratch);
                }
            }
        }
    }

    /// Reads a chunk that was not asked for yet, unless that is done or going on.
    pub(super) fn load_ahead(&self, member: MemberNo, chunk: &ChunkRef) {
        let key = Key::new(member, chunk);
        if self.failing.has(&key) {
            return;
        }
        if let Some(claim) = self.cache.claim(key) {
            self.tally.read_ahead.add(1);
            // What is wrong with it is told to the read that asks for it.
            self.with_context(|context| {
                drop(self.load(claim, member, chunk, &mut context.scratch));
            });
        }
    }

    fn load(
        &self,
        claim: Claim<'_>,
        member: MemberNo,
        chunk: &ChunkRef,
        scratch: &mut Option<Scratch>,
    ) -> Loaded {
        self.tally.loads.add(1);
        let _turn = self.turns.take();
        claim.finish(self.plain(member, chunk, scratch))
    }

    fn plain(
        &self,
        member: MemberNo,
        chunk: &ChunkRef,
        scratch: &mut Option<Scratch>,
    ) -> Result<Plain, ReadError> {
        let member = self.volume.member(member);
        let scratch = match scratch {
            Some(scratch) => scratch,
            none => none.insert(Scratch::new().map_err(|source| {
                let cause = ReadCause::Io { offset: chunk.stored_at().offset, source };
                ReadError::new(member.volume_id.as_str().as_ref(), cause)
            })?),
        };
        let mut plain = self.cache.buffer(chunk.len());
        member.source.read(chunk, plain.bytes_mut(), scratch)?;
        Ok(plain)
    }

    /// Nothing says what is stored for these bytes: they are noted by the chunk, so that a damaged
    /// index page is not noted once for each sector below it.
    fn unlisted(&self, member: MemberNo, range: &Range<u64>, error: ReadError) -> ImageError {
        let source = &self.volume.member(member).source;
        let unit = u64::from(source.largest_chunk()).max(1);
        let start = range.start - range.start % unit;
        let end = range.end.div_ceil(unit).saturating_mul(unit).min(source.size());
        self.lost(member, &(start..end), Arc::new(error))
    }

    fn lost(&self, member: MemberNo, range: &Range<u64>, error: Arc<ReadError>) -> ImageError {
        self.found.add(&self.volume, member, range, &error);
        ImageError::Damaged(error)
    }

    /// Lends a context.
    pub(super) fn with_context<T>(&self, work: impl FnOnce(&mut ReadContext) -> T) -> T {
        let contexts = || self.contexts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut context = contexts().pop().unwrap_or_default();
        let done = work(&mut context);
        contexts().push(context);
        done
    }
}

/// Bytes as a place in a buffer that begins with byte `start`.
fn within(start: u64, range: &Range<u64>) -> Range<usize> {
    let at = |offset: u64| usize::try_from(offset - start).unwrap_or(usize::MAX);
    at(range.start)..at(range.end)
}
