//! A member in memory as a source, and sources that count what they are asked.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use restore::source::{
    ChunkRef, Extent, ExtentKind, Proof, ReadCause, ReadError, Scratch, Source, StoredAt,
};
use restore::{Layout, Volume, VolumeMember};

use super::model::{Kind, MemberModel, VolumeModel};
use super::{index, indices};

/// A member whose content is a plain vector. It lists holes, and its chunks are on a grid that has
/// nothing to do with the snapshot's.
pub struct MemorySource {
    bytes: Arc<Vec<u8>>,
    runs: Vec<(Range<u64>, Kind)>,
    cut: u32,
    /// The read that fails: counted from 0.
    fails_at: Option<u64>,
    reads: AtomicU64,
}

impl MemorySource {
    pub fn new(member: &MemberModel, cut: u32) -> Self {
        let mut runs: Vec<(Range<u64>, Kind)> = Vec::new();
        for (at, kind) in (0..).zip(&member.kinds) {
            match runs.last_mut() {
                Some((range, last)) if last == kind => range.end = at + 1,
                _ => runs.push((at..at + 1, *kind)),
            }
        }
        let bytes = Arc::new(member.bytes.clone());
        Self { bytes, runs, cut, fails_at: None, reads: AtomicU64::new(0) }
    }

    /// The same, with the `n`-th read failing.
    pub fn failing_at(self, n: u64) -> Self {
        Self { fails_at: Some(n), ..self }
    }
}

impl Source for MemorySource {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn largest_chunk(&self) -> u32 {
        self.cut
    }

    fn extents(&self, range: Range<u64>, out: &mut Vec<Extent>) -> Result<(), ReadError> {
        assert!(range.end <= self.size() && !range.is_empty(), "asked for {range:?}");
        for (run, kind) in &self.runs {
            if run.end <= range.start || run.start >= range.end {
                continue;
            }
            match kind {
                Kind::Zero => out.push(Extent { range: run.clone(), kind: ExtentKind::Zero }),
                Kind::Hole => out.push(Extent { range: run.clone(), kind: ExtentKind::Hole }),
                Kind::Data => self.chunks(run, &range, out),
            }
        }
        Ok(())
    }

    fn read(&self, chunk: &ChunkRef, out: &mut [u8], _: &mut Scratch) -> Result<Proof, ReadError> {
        let number = self.reads.fetch_add(1, Ordering::Relaxed);
        out.copy_from_slice(&self.bytes[indices(&chunk.range)]);
        if self.fails_at == Some(number) {
            // On an error the buffer may hold anything.
            out.fill(0xEE);
            let offset = chunk.stored_at().offset;
            let source = std::io::Error::other("made to fail");
            return Err(ReadError::new(Path::new("memory"), ReadCause::Io { offset, source }));
        }
        Ok(Proof::Crc)
    }
}

impl MemorySource {
    /// The chunks below the part of `run` that `range` needs.
    fn chunks(&self, run: &Range<u64>, range: &Range<u64>, out: &mut Vec<Extent>) {
        let cut = u64::from(self.cut);
        let first = range.start.max(run.start);
        let mut start = first - first % cut;
        while start < range.end.min(run.end) {
            let end = (start + cut).min(self.size());
            let visible = start.max(run.start)..end.min(run.end);
            let len = u32::try_from(end - start).unwrap();
            let at = StoredAt { offset: start, len, crc: 0 };
            let kind = ExtentKind::Data(ChunkRef::new(start..end, None, at));
            out.push(Extent { range: visible, kind });
            start = end;
        }
    }
}

/// How often a source was asked for extents and for chunks.
#[derive(Debug, Default)]
pub struct Calls {
    pub extents: AtomicU64,
    pub reads: AtomicU64,
}

impl Calls {
    pub fn extents(&self) -> u64 {
        self.extents.load(Ordering::Relaxed)
    }

    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }
}

/// Another source, counted.
pub struct Counted {
    pub source: Box<dyn Source>,
    pub calls: Arc<Calls>,
}

impl Source for Counted {
    fn size(&self) -> u64 {
        self.source.size()
    }

    fn largest_chunk(&self) -> u32 {
        self.source.largest_chunk()
    }

    fn extents(&self, range: Range<u64>, out: &mut Vec<Extent>) -> Result<(), ReadError> {
        self.calls.extents.fetch_add(1, Ordering::Relaxed);
        self.source.extents(range, out)
    }

    fn read(
        &self,
        chunk: &ChunkRef,
        out: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<Proof, ReadError> {
        self.calls.reads.fetch_add(1, Ordering::Relaxed);
        self.source.read(chunk, out, scratch)
    }
}

/// A member of any size with the same data in a few chunks and zeros in between: nothing of it is
/// kept.
pub struct SparseSource {
    pub size: u64,
    pub chunk: u32,
    /// The chunks that hold data, sorted.
    pub data: Vec<u64>,
    /// Whether the rest are holes rather than zeros.
    pub holes: bool,
    /// What the data chunks of even number depend on besides.
    pub version: u64,
}

impl Source for SparseSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn largest_chunk(&self) -> u32 {
        self.chunk
    }

    fn extents(&self, range: Range<u64>, out: &mut Vec<Extent>) -> Result<(), ReadError> {
        let chunk = u64::from(self.chunk);
        let mut at = range.start / chunk;
        while at * chunk < range.end {
            let next = self.data.partition_point(|n| *n < at);
            let end = self.data.get(next).map_or(self.size, |n| n * chunk);
            let kind = if end == at * chunk {
                let here = end..(end + chunk).min(self.size);
                let stored = StoredAt { offset: end, len: self.chunk, crc: 0 };
                ExtentKind::Data(ChunkRef::new(here, None, stored))
            } else if self.holes {
                ExtentKind::Hole
            } else {
                ExtentKind::Zero
            };
            let end = if end == at * chunk { (end + chunk).min(self.size) } else { end };
            out.push(Extent { range: at * chunk..end, kind });
            at = end.div_ceil(chunk);
        }
        Ok(())
    }

    fn read(&self, chunk: &ChunkRef, out: &mut [u8], _: &mut Scratch) -> Result<Proof, ReadError> {
        let number = chunk.range.start / u64::from(self.chunk);
        let version = if number.is_multiple_of(2) { self.version } else { 0 };
        out.fill(0x11);
        out[..8].copy_from_slice(&number.to_le_bytes());
        out[8..16].copy_from_slice(&version.to_le_bytes());
        Ok(Proof::None)
    }
}

/// The volume of a model over any sources.
pub fn volume_of(
    model: &VolumeModel,
    source: impl Fn(usize, &MemberModel) -> Box<dyn Source>,
) -> Volume {
    let members = model.members.iter().enumerate().map(|(no, member)| VolumeMember {
        volume_id: member.volume.parse().unwrap(),
        source: source(no, member).into(),
    });
    Volume::new(Layout::new(model.extent_map()), members.collect()).unwrap()
}

/// One member that is the volume.
pub fn volume_over(source: Box<dyn Source>) -> Volume {
    use snapfmt::{Column, ExtentMap, Limits, Mapping, MemberNo, Segment};
    let size = source.size();
    let mapping = Mapping::Linear(Column { member: MemberNo(0), offset: 0 });
    let segment = Segment { start: 0, length: size, mapping };
    let map = ExtentMap::new(size, &[size], [segment], &Limits::DEFAULT).unwrap();
    let member = VolumeMember { volume_id: "vol-0".parse().unwrap(), source: source.into() };
    Volume::new(Layout::new(map), vec![member]).unwrap()
}

/// A stretch of a vector, for comparing.
pub fn part<'a>(bytes: &'a [u8], range: &Range<u64>) -> &'a [u8] {
    &bytes[index(range.start)..index(range.end)]
}
