//! One member's way: record by record from its file to where the layout has its bytes.

use std::io;
use std::ops::Range;
use std::path::PathBuf;

use snapfmt::{
    Content, Decoder, Digest, FormatError, Geometry, MemberNo, Record, SetContentId, Stored,
    VolumeId,
};

use super::heads::Member;
use super::{Stop, StreamError};
use restore::Layout;
use restore::aligned::AlignedBuffer;
use restore::engine::RunError;
use restore::ranges::length;
use restore::sink::Sink;
use restore::source::{Proof, ReadError};
use restore::{Counts, Damage};

/// Chunks that follow each other are written together, up to this many bytes.
const BATCH: u32 = 1 << 20;
/// Zeros handed to the target in one step.
const ZERO_STEP: u64 = 64 << 20;

/// What the workers of one job share.
pub(super) struct Job<'a> {
    pub(super) layout: &'a Layout,
    pub(super) sink: &'a dyn Sink,
    pub(super) stop: &'a Stop<'a>,
}

impl Job<'_> {
    /// A long run of zeros, in steps: the job can be interrupted between them.
    pub(super) fn zeros(&self, logical: Range<u64>) -> Result<(), RunError> {
        let mut at = logical.start;
        while at < logical.end {
            self.go_on()?;
            let step = at..at.saturating_add(ZERO_STEP).min(logical.end);
            at = step.end;
            let (start, len) = (step.start, length(&step));
            self.sink.zero_at(step).map_err(|e| self.target(start, e))?;
            self.stop.progress.advance(len, 0);
        }
        Ok(())
    }

    /// Fails when the job is to stop; the worker that made it stop says why.
    fn go_on(&self) -> Result<(), RunError> {
        if self.stop.is_set() { Err(RunError::Interrupted) } else { Ok(()) }
    }

    fn target(&self, offset: u64, source: io::Error) -> RunError {
        RunError::Target { path: self.sink.path().to_owned(), offset: Some(offset), source }
    }
}

/// What came of a member.
pub(super) struct End {
    pub(super) path: PathBuf,
    pub(super) content: SetContentId,
    pub(super) counts: Counts,
}

/// One member's worker and its buffers, which live as long as the job: nothing is allocated for a
/// chunk.
pub(super) struct Worker<'w> {
    job: &'w Job<'w>,
    member: MemberNo,
    geometry: Geometry,
    path: PathBuf,
    volume_id: VolumeId,
    decoder: Decoder,
    batch: AlignedBuffer,
    /// Member bytes that the batch holds, decoded and not yet written.
    held: Range<u64>,
    counts: Counts,
}

/// What ends the reading of a member.
enum Broken {
    Format(FormatError),
    Job(RunError),
}

impl From<FormatError> for Broken {
    fn from(error: FormatError) -> Self {
        Self::Format(error)
    }
}

impl From<RunError> for Broken {
    fn from(error: RunError) -> Self {
        Self::Job(error)
    }
}

impl<'w> Worker<'w> {
    pub(super) fn new(job: &'w Job<'w>, member: &Member<'_>) -> Result<Self, StreamError> {
        let manifest = member.stream.manifest();
        let geometry = member.stream.geometry();
        let mut batch = AlignedBuffer::default();
        batch.reserve(geometry.chunk_size().bytes().max(BATCH) as usize, 0);
        Ok(Self {
            job,
            member: manifest.member,
            geometry,
            path: member.path.clone(),
            volume_id: manifest.own().volume_id.clone(),
            decoder: Decoder::new().map_err(RunError::Start)?,
            batch,
            held: 0..0,
            counts: Counts::default(),
        })
    }

    /// Reads the member to its end, where its file is proved.
    pub(super) fn run(mut self, member: Member<'_>) -> Result<End, StreamError> {
        let read = member.stream.read(|record, frame| self.record(record, frame));
        let footer = read.map_err(|broken| match broken {
            Broken::Format(error) => StreamError::format(&self.path, error),
            Broken::Job(error) => error.into(),
        })?;
        self.flush()?;
        Ok(End { path: self.path, content: footer.set_content, counts: self.counts })
    }

    fn record(&mut self, record: &Record, frame: &[u8]) -> Result<(), Broken> {
        self.job.go_on()?;
        let range = self.geometry.bytes(record.first, record.count);
        match record.content {
            Content::Data { stored, digest, .. } => {
                self.data(record, &range, &stored, &digest, frame)?;
            }
            Content::Zero { .. } => self.counts.zero += self.zeros(&range)?,
            Content::Hole { .. } => self.counts.hole += self.zeros(&range)?,
        }
        Ok(())
    }

    /// Decodes a chunk behind those that are held.
    fn data(
        &mut self,
        record: &Record,
        range: &Range<u64>,
        stored: &Stored,
        digest: &Digest,
        frame: &[u8],
    ) -> Result<(), RunError> {
        let most = u64::from(self.geometry.chunk_size().bytes().max(BATCH));
        if self.held.end != range.start || range.end - self.held.start > most {
            self.flush()?;
            self.held = range.start..range.start;
        }
        let place = within(&self.held, range);
        let out = &mut self.batch.bytes_mut()[place];
        let decoded =
            self.decoder.decode_frame(frame, stored, digest, record.stored_structure(), out);
        decoded.map_err(|error| self.damaged(range, error))?;
        self.held.end = range.end;
        self.counts.stored += frame.len() as u64;
        Ok(())
    }

    fn damaged(&self, range: &Range<u64>, error: FormatError) -> RunError {
        RunError::Damaged(Box::new(Damage {
            member: self.member,
            volume_id: self.volume_id.clone(),
            range: range.clone(),
            logical: self.job.layout.logical_ranges(self.member, range),
            cause: ReadError::new(&self.path, error).into(),
        }))
    }

    /// Gives zeros for a run; says how many logical bytes that are.
    fn zeros(&mut self, range: &Range<u64>) -> Result<u64, RunError> {
        self.flush()?;
        let (job, mut bytes) = (self.job, 0);
        job.layout.scatter(self.member, range, |_, logical| {
            bytes += length(&logical);
            job.zeros(logical)
        })?;
        Ok(bytes)
    }

    /// Writes what is held to where it belongs.
    fn flush(&mut self) -> Result<(), RunError> {
        let (job, held) = (self.job, self.held.clone());
        let (batch, mut bytes) = (self.batch.bytes(), 0);
        job.layout.scatter(self.member, &held, |part, logical| {
            let data = &batch[within(&held, &part)];
            bytes += data.len() as u64;
            job.sink.write_at(data, logical.start).map_err(|e| job.target(logical.start, e))
        })?;
        self.held.start = self.held.end;
        self.counts.count_data(bytes, Proof::Digest);
        job.stop.progress.advance(bytes, bytes);
        Ok(())
    }
}

/// Member bytes as a place in the batch that starts with `held`.
fn within(held: &Range<u64>, range: &Range<u64>) -> Range<usize> {
    let at = |offset: u64| usize::try_from(offset - held.start).unwrap_or(usize::MAX);
    at(range.start)..at(range.end)
}
