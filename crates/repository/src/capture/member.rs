//! One member: chunks are read, hashed and compressed by all workers, and written in order.

use std::fs::File;
use std::io::{self, BufWriter};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use lru::LruCache;
use rayon::iter::{IntoParallelRefMutIterator, ParallelIterator};
use snapfmt::{
    CheckedManifest, ChunkNo, Digest, Encoder, Geometry, MemberNo, SnapshotWriter, Stored,
    WriteError,
};

use super::parent::{Inheritable, ParentState};
use super::set_files::{SetDirectory, WrittenMember};
use super::{CaptureError, CaptureRequest, CapturedFile, ChunkCounts};
use restore::Progress;
use restore::Volume;
use restore::engine::{StraddlingChunks, pool};
use restore::ranges::{clip, length};
use restore::source::{Extent, ExtentKind, ReadCause, ReadError, Source};
use restore::threads;

/// Equal chunks are found among this many different ones.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(1 << 17).unwrap();
/// Plain bytes a worker has in hand at a time, about.
const BATCH_BYTES: u32 = 4 << 20;

type Writer = SnapshotWriter<BufWriter<File>, File>;

/// Writes member `no` of the volume.
pub(super) fn write(
    volume: &Volume,
    no: MemberNo,
    manifest: CheckedManifest,
    parent: Option<ParentState>,
    directory: &SetDirectory,
    request: &CaptureRequest<'_>,
    progress: &Progress,
) -> Result<WrittenMember, CaptureError> {
    let (path, out) = directory.member_file(&manifest.set, no)?;
    let spill = directory.spill()?;
    let geometry = manifest.geometry();
    let (stream, dedup) = (manifest.stream, manifest.dedup);
    let incremental = manifest.own().parent.is_some();
    let volume_id = manifest.own().volume_id.clone();
    let writer = SnapshotWriter::create(out, spill, manifest, volume.layout().map());
    let failed = |source: WriteError| CaptureError::Write { path: path.clone(), source };
    let mut output = Output {
        writer: writer.map_err(failed)?,
        seen: dedup.then(|| LruCache::new(REMEMBERED)),
        counts: ChunkCounts::default(),
    };
    let source = &*volume.member(no).source;
    let mut feed = Feed { source, geometry, parent, at: 0, extents: Vec::new() };
    let jobs = request.jobs.min(threads::most()).get();
    let pool = pool(jobs).map_err(CaptureError::Start)?;
    let each = (BATCH_BYTES / geometry.chunk_size().bytes()).clamp(2, 256) as usize;
    let tools = (0..jobs).map(|_| Tools::new(request.level, geometry).map(Mutex::new));
    let tools: Vec<_> = tools.collect::<Result<_, _>>().map_err(CaptureError::Start)?;
    let mut batches = [0; 2].map(|_| Batch::new(jobs * each));
    // One batch is compressed while the one before it is written.
    while !feed.is_done() {
        if progress.is_cancelled() {
            return Err(CaptureError::Interrupted);
        }
        let [ready, next] = &mut batches;
        next.fill(&mut feed)?;
        let (written, read) =
            pool.join(|| output.write(ready, progress), || next.process(source, geometry, &tools));
        written.map_err(failed)?;
        read.map_err(CaptureError::Source)?;
        batches.swap(0, 1);
    }
    let [last, _] = &mut batches;
    output.write(last, progress).map_err(failed)?;
    let counts = output.counts;
    let unsealed = output.writer.finish().map_err(failed)?;
    let file = CapturedFile {
        path: path.clone(),
        volume_id,
        incremental,
        stream,
        snapshot_id: unsealed.snapshot_id(),
        state_id: unsealed.state_id(),
        chunks: counts,
        plain_bytes: geometry.size(),
        stored_bytes: 0,
    };
    Ok(WrittenMember { path, unsealed, file })
}

/// What comes next in the member: runs that need no reading, and chunks that do.
struct Feed<'s> {
    source: &'s dyn Source,
    geometry: Geometry,
    parent: Option<ParentState>,
    at: u32,
    extents: Vec<Extent>,
}

#[derive(Clone, Copy)]
struct Work {
    first: ChunkNo,
    count: u32,
    /// `None`: to be read. Otherwise zeros, of which `true` are holes.
    hole: Option<bool>,
    inheritable: Inheritable,
}

impl Feed<'_> {
    const fn is_done(&self) -> bool {
        self.at >= self.geometry.chunks()
    }

    fn next(&mut self) -> Result<Option<Work>, CaptureError> {
        if self.is_done() {
            return Ok(None);
        }
        let first = ChunkNo(self.at);
        let (hole, mut count) = self.run(first).map_err(CaptureError::Source)?;
        let inheritable = match &mut self.parent {
            None => Inheritable::Nothing,
            Some(parent) => {
                let (inheritable, alike) =
                    parent.at(first.0, count).map_err(CaptureError::Parent)?;
                count = count.min(alike);
                inheritable
            }
        };
        self.at += count;
        Ok(Some(Work { first, count, hole, inheritable }))
    }

    /// Whether the chunks from `first` on are zeros for certain, and how many.
    fn run(&mut self, first: ChunkNo) -> Result<(Option<bool>, u32), ReadError> {
        let chunk = self.geometry.bytes(first, 1);
        self.extents.clear();
        self.source.extents(chunk.clone(), &mut self.extents)?;
        let Some(extent) = self.extents.first() else { return Ok((None, 1)) };
        let hole = match extent.kind {
            ExtentKind::Zero => false,
            ExtentKind::Hole => true,
            ExtentKind::Data(_) | ExtentKind::Inherit => return Ok((None, 1)),
        };
        if extent.range.end < chunk.end {
            return Ok((None, 1));
        }
        let bytes = length(&(chunk.start..extent.range.end));
        let size = u64::from(self.geometry.chunk_size().bytes());
        // A run that ends inside a chunk leaves that chunk to be read, unless it is the last.
        let whole = if extent.range.end >= self.geometry.size() {
            bytes.div_ceil(size)
        } else {
            bytes / size
        };
        let left = self.geometry.chunks() - first.0;
        Ok((Some(hole), u32::try_from(whole).unwrap_or(left).clamp(1, left)))
    }
}

/// Some work and the buffers for it, which are used again and again.
struct Batch {
    slots: Vec<Slot>,
    used: usize,
}

struct Slot {
    work: Work,
    outcome: Outcome,
    plain: Vec<u8>,
    frame: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Outcome {
    Zeros,
    Same(Digest),
    Data(Digest),
}

/// What one thread needs to read and compress chunks.
struct Tools {
    encoder: Encoder,
    carry: StraddlingChunks,
    extents: Vec<Extent>,
}

impl Batch {
    fn new(slots: usize) -> Self {
        let work =
            Work { first: ChunkNo(0), count: 0, hole: None, inheritable: Inheritable::Nothing };
        let slot = || Slot { work, outcome: Outcome::Zeros, plain: Vec::new(), frame: Vec::new() };
        Self { slots: std::iter::repeat_with(slot).take(slots).collect(), used: 0 }
    }

    fn fill(&mut self, feed: &mut Feed<'_>) -> Result<(), CaptureError> {
        self.used = 0;
        for slot in &mut self.slots {
            let Some(work) = feed.next()? else { break };
            slot.work = work;
            self.used += 1;
        }
        Ok(())
    }

    fn process(
        &mut self,
        source: &dyn Source,
        geometry: Geometry,
        tools: &[Mutex<Tools>],
    ) -> Result<(), ReadError> {
        self.slots[..self.used].par_iter_mut().try_for_each(|slot| {
            slot.outcome = Outcome::Zeros;
            if slot.work.hole.is_some() {
                return Ok(());
            }
            // Each thread has tools of its own, so the lock is always free.
            let own = rayon::current_thread_index().unwrap_or(0) % tools.len();
            let mut tools = tools[own].lock().unwrap_or_else(PoisonError::into_inner);
            slot.process(source, geometry, &mut tools)
        })
    }
}

impl Slot {
    fn process(
        &mut self,
        source: &dyn Source,
        geometry: Geometry,
        tools: &mut Tools,
    ) -> Result<(), ReadError> {
        tools.read(source, &geometry.bytes(self.work.first, 1), &mut self.plain)?;
        if is_zero(&self.plain) {
            return Ok(());
        }
        let digest = Digest::of(&self.plain);
        if self.work.inheritable == Inheritable::Chunk(digest) {
            self.outcome = Outcome::Same(digest);
            return Ok(());
        }
        self.outcome = Outcome::Data(digest);
        tools.encoder.encode(&self.plain, &mut self.frame).map_err(|source| {
            let offset = geometry.offset(self.work.first);
            ReadError::new(Path::new("zstd"), ReadCause::Io { offset, source })
        })
    }
}

impl Tools {
    fn new(level: i32, geometry: Geometry) -> io::Result<Self> {
        let encoder = Encoder::new(level, geometry.chunk_size())?;
        Ok(Self { encoder, carry: StraddlingChunks::new()?, extents: Vec::new() })
    }

    /// Gathers the member bytes `range` from the source's own extents, which may be cut differently.
    fn read(
        &mut self,
        source: &dyn Source,
        range: &Range<u64>,
        plain: &mut Vec<u8>,
    ) -> Result<(), ReadError> {
        plain.clear();
        plain.resize(usize::try_from(length(range)).unwrap_or(0), 0);
        self.extents.clear();
        source.extents(range.clone(), &mut self.extents)?;
        for extent in &self.extents {
            let ExtentKind::Data(chunk) = &extent.kind else { continue };
            let wanted = clip(&extent.range, range);
            let at = |offset: u64| usize::try_from(offset - range.start).unwrap_or(usize::MAX);
            let out = &mut plain[at(wanted.start)..at(wanted.end)];
            if wanted == chunk.range {
                source.read(chunk, out, &mut self.carry.scratch)?;
            } else {
                let whole = self.carry.whole(0, source, chunk)?;
                out.copy_from_slice(whole.slice(chunk.range.start, &wanted));
            }
        }
        Ok(())
    }
}

/// Whether all bytes are zero.
fn is_zero(bytes: &[u8]) -> bool {
    let (blocks, rest) = bytes.as_chunks::<64>();
    let zero = |block: &[u8]| block.iter().fold(0, |all, b| all | b) == 0;
    blocks.iter().all(|block| zero(block)) && zero(rest)
}

/// The writer and what it remembers.
struct Output {
    writer: Writer,
    seen: Option<LruCache<Digest, Stored>>,
    counts: ChunkCounts,
}

impl Output {
    fn write(&mut self, batch: &mut Batch, progress: &Progress) -> Result<(), WriteError> {
        for slot in &batch.slots[..std::mem::take(&mut batch.used)] {
            let Work { first, count, hole, inheritable } = slot.work;
            match (slot.outcome, inheritable) {
                (Outcome::Zeros, Inheritable::Zeros) => {
                    self.writer.inherit_zeros(first, count)?;
                    self.counts.inherited += u64::from(count);
                }
                (Outcome::Zeros, _) => {
                    if hole == Some(true) {
                        self.writer.hole(first, count)?;
                    } else {
                        self.writer.zeros(first, count)?;
                    }
                    self.counts.zero += u64::from(count);
                }
                (Outcome::Same(digest), _) => {
                    self.writer.inherit(first, digest)?;
                    self.counts.inherited += 1;
                }
                (Outcome::Data(digest), _) => self.data(first, digest, &slot.frame)?,
            }
            let bytes = length(&self.writer.geometry().bytes(first, count));
            progress.advance(bytes, if hole.is_none() { bytes } else { 0 });
        }
        Ok(())
    }

    fn data(&mut self, no: ChunkNo, digest: Digest, frame: &[u8]) -> Result<(), WriteError> {
        if let Some(stored) = self.seen.as_mut().and_then(|seen| seen.get(&digest)) {
            self.counts.reused += 1;
            return self.writer.reference(no, digest, *stored);
        }
        let stored = self.writer.data(no, digest, frame)?;
        self.counts.data += 1;
        if let Some(seen) = &mut self.seen {
            seen.put(digest, stored);
        }
        Ok(())
    }
}
