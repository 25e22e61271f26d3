//! Writes a snapshot file in one pass, chunks in address order.

use std::io::{self, Write};

use crate::envelope::{Kind, encode_header};
use crate::error::Structure;
use crate::extent_map::{EncodedMap, ExtentMap};
use crate::footer::{Footer, MAX_MAP_COPY, encode_seal};
use crate::geometry::{ChunkNo, Geometry, MemberNo};
use crate::ids::{Digest, FileTag, SetContentId, SnapshotId, StateId};
use crate::index::{IndexBuilder, Spill, Totals};
use crate::limits::Limits;
use crate::manifest::{CheckedManifest, ExtentMapDigest};
use crate::record::{Content, Record, Stored, longest_zero_run};
use crate::state::StateBuilder;
use crate::wire::{HEADER_BYTES, RECORD_BYTES};
use crate::zero_frame;

/// Why a snapshot could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Writing failed.
    #[error("cannot be written: {0}")]
    Io(#[from] io::Error),
    /// The caller's chunks are not in order, or not all there.
    #[error("chunk {found} was given, chunk {expected} is next")]
    Order {
        /// What was given; the number of chunks when the file was finished too early or late.
        found: u32,
        /// What was expected.
        expected: u32,
    },
    /// A chunk was to be inherited by, or referenced in, a snapshot whose manifest excludes it.
    #[error("chunk {0} cannot be inherited or referenced in this snapshot")]
    NotAllowed(ChunkNo),
    /// What was given is not what the manifest describes.
    #[error("the {0} does not fit the manifest")]
    Mismatch(Structure),
    /// The file would be one that readers refuse.
    #[error("{field} is {value}, the limit is {max}")]
    Limit {
        /// Which value.
        field: &'static str,
        /// What it is.
        value: u64,
        /// The most that a reader accepts.
        max: u64,
    },
}

/// What the extent map's place in a manifest must say.
pub fn describe_map(map: &ExtentMap) -> io::Result<ExtentMapDigest> {
    let root = map.encode()?.root;
    let root_bytes = u32::try_from(root.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    Ok(ExtentMapDigest { digest: Digest::of(&root), root_bytes })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum RunKind {
    Zero,
    Hole,
}

/// A writer: every chunk of the member is given once, in order, as data, zeros, a hole, a reference
/// or (with a parent) inherited. The result depends on nothing but what is given.
pub struct SnapshotWriter<W, S> {
    out: Frames<W>,
    manifest: CheckedManifest,
    manifest_json: Vec<u8>,
    map: EncodedMap,
    records_offset: u64,
    index: IndexBuilder<S>,
    state: StateBuilder,
    run: Option<(RunKind, ChunkNo, u32)>,
    zero_frame: Vec<u8>,
}

impl<W: Write, S: Spill> SnapshotWriter<W, S> {
    /// Writes manifest and extent map. `spill` holds the index until the end: 64 bytes a record.
    pub fn create(
        out: W,
        spill: S,
        manifest: CheckedManifest,
        map: &ExtentMap,
    ) -> Result<Self, WriteError> {
        let manifest_json = manifest.to_json()?;
        let (field, value) = ("manifest length", manifest_json.len() as u64);
        within(field, value, Limits::DEFAULT.manifest_bytes)?;
        let set = &manifest.set;
        if describe_map(map)? != set.extent_map || map.size() != set.logical_size {
            return Err(WriteError::Mismatch(Structure::ExtentMapRoot));
        }
        let map = map.encode()?;
        let mut out = Frames { out, at: 0, tag: FileTag::of_manifest(&manifest_json) };
        out.frame(Kind::Manifest, &manifest_json)?;
        out.map(&map)?;
        Ok(Self {
            records_offset: out.at,
            out,
            state: StateBuilder::new(manifest.geometry()),
            manifest,
            manifest_json,
            map,
            index: IndexBuilder::new(spill),
            run: None,
            zero_frame: Vec::new(),
        })
    }

    /// The member's geometry.
    pub const fn geometry(&self) -> Geometry {
        self.manifest.geometry()
    }

    /// Bytes written so far.
    pub const fn written(&self) -> u64 {
        self.out.at
    }

    /// What the records so far cover.
    pub const fn totals(&self) -> Totals {
        self.index.totals()
    }

    /// The next chunk: its zstd frame, as [`crate::Encoder`] makes it, and the BLAKE3 of its plain
    /// bytes. Returns where it stands, for later references.
    pub fn data(
        &mut self,
        no: ChunkNo,
        digest: Digest,
        frame: &[u8],
    ) -> Result<Stored, WriteError> {
        self.expect(no, 1)?;
        let max = Limits::stored_bytes(self.geometry().chunk_size().bytes());
        let len = within("stored length", frame.len() as u64, max)?;
        self.flush_run()?;
        let stored = self.out.behind_record(len, crc32fast::hash(frame));
        let content = Content::Data { stored, digest, reference: false };
        self.record(&Record { first: no, count: 1, content }, frame)?;
        self.state.push(digest);
        Ok(stored)
    }

    /// The next chunk, equal to one written before.
    pub fn reference(
        &mut self,
        no: ChunkNo,
        digest: Digest,
        stored: Stored,
    ) -> Result<(), WriteError> {
        self.expect(no, 1)?;
        if !self.manifest.dedup
            || stored.offset < self.records_offset
            || stored.end() > self.written()
        {
            return Err(WriteError::NotAllowed(no));
        }
        self.flush_run()?;
        let content = Content::Data { stored, digest, reference: true };
        self.record(&Record { first: no, count: 1, content }, &[])?;
        self.state.push(digest);
        Ok(())
    }

    /// The next `count` chunks read as zeros.
    pub fn zeros(&mut self, first: ChunkNo, count: u32) -> Result<(), WriteError> {
        self.extend_run(RunKind::Zero, first, count)
    }

    /// The next `count` chunks are not there in the source.
    pub fn hole(&mut self, first: ChunkNo, count: u32) -> Result<(), WriteError> {
        self.extend_run(RunKind::Hole, first, count)
    }

    /// The next chunk is the parent's, whose plain bytes have this digest.
    pub fn inherit(&mut self, no: ChunkNo, digest: Digest) -> Result<(), WriteError> {
        self.before_inherited(no, 1)?;
        self.state.push(digest);
        Ok(())
    }

    /// The next `count` chunks are the parent's and read as zeros there.
    pub fn inherit_zeros(&mut self, first: ChunkNo, count: u32) -> Result<(), WriteError> {
        self.before_inherited(first, count)?;
        self.state.push_zeros(count);
        Ok(())
    }

    /// Writes index and tail up to the seal. Every chunk must have been given.
    pub fn finish(mut self) -> Result<Unsealed<W>, WriteError> {
        self.flush_run()?;
        let (found, expected) = (self.state.len(), self.geometry().chunks());
        let Some(state) = self.state.finish() else {
            return Err(WriteError::Order { found, expected });
        };
        let Self { mut out, manifest, manifest_json, map, index, records_offset, .. } = self;
        let index_offset = out.at;
        let (root, root_offset) = index.finish(|kind, payload| out.frame(kind, payload))?;
        let snapshot = root.snapshot_id(&manifest_json, manifest.set.extent_map.digest);
        let manifest_copy = out.frame(Kind::Manifest, &manifest_json)?;
        let extent_map_copy = if map.stored_len() <= MAX_MAP_COPY { out.map(&map)? } else { 0 };
        Ok(Unsealed {
            member: manifest.member,
            members: manifest.set.members.len(),
            footer: Footer {
                previous: 0,
                records: records_offset,
                index: index_offset,
                root: root_offset,
                manifest_copy,
                extent_map_copy,
                seal: out.at,
                state,
                snapshot,
                set_content: SetContentId::default(),
            },
            out,
        })
    }

    fn before_inherited(&mut self, no: ChunkNo, count: u32) -> Result<(), WriteError> {
        self.expect(no, count)?;
        if self.manifest.own().parent.is_none() {
            return Err(WriteError::NotAllowed(no));
        }
        self.flush_run()
    }

    fn extend_run(&mut self, kind: RunKind, first: ChunkNo, count: u32) -> Result<(), WriteError> {
        self.expect(first, count)?;
        match &mut self.run {
            Some((open, _, so_far)) if *open == kind => *so_far += count,
            _ => {
                self.flush_run()?;
                self.run = Some((kind, first, count));
            }
        }
        self.state.push_zeros(count);
        Ok(())
    }

    /// Writes the open run: in one record or, in `stream` form, one for each GiB.
    fn flush_run(&mut self) -> Result<(), WriteError> {
        let Some((kind, mut first, mut left)) = self.run.take() else {
            return Ok(());
        };
        let longest =
            if self.manifest.stream { longest_zero_run(&self.geometry()) } else { u32::MAX };
        while left > 0 {
            let count = left.min(longest);
            let mut frame = std::mem::take(&mut self.zero_frame);
            frame.clear();
            let mut stored = None;
            if self.manifest.stream {
                let bytes = self.geometry().bytes(first, count);
                zero_frame::encode(bytes.end - bytes.start, &mut frame);
                let len = u32::try_from(frame.len()).unwrap_or(u32::MAX);
                stored = Some(self.out.behind_record(len, crc32fast::hash(&frame)));
            }
            let content = match kind {
                RunKind::Zero => Content::Zero { stored },
                RunKind::Hole => Content::Hole { stored },
            };
            self.record(&Record { first, count, content }, &frame)?;
            self.zero_frame = frame;
            first = ChunkNo(first.0 + count);
            left -= count;
        }
        Ok(())
    }

    fn record(&mut self, record: &Record, frame: &[u8]) -> Result<(), WriteError> {
        debug_assert!(record.first.0 >= self.index.next_chunk());
        let offset = self.out.frame(Kind::Record, &record.encode())?;
        self.out.bytes(frame)?;
        self.index.push(record, offset)?;
        Ok(())
    }

    /// The next `count` chunks start at `no` and end within the member.
    const fn expect(&self, no: ChunkNo, count: u32) -> Result<(), WriteError> {
        let (next, chunks) = (self.state.len(), self.geometry().chunks());
        if no.0 != next {
            return Err(WriteError::Order { found: no.0, expected: next });
        }
        if count > chunks.saturating_sub(next) {
            return Err(WriteError::Order { found: next.saturating_add(count), expected: chunks });
        }
        Ok(())
    }
}

/// `value` as a length that a reader accepts.
fn within(field: &'static str, value: u64, max: u32) -> Result<u32, WriteError> {
    match u32::try_from(value) {
        Ok(len) if len > 0 && len <= max => Ok(len),
        _ => Err(WriteError::Limit { field, value, max: max.into() }),
    }
}

/// A file that is whole but for seal and footer, which need the snapshot ids of all members.
#[derive(Debug)]
pub struct Unsealed<W> {
    out: Frames<W>,
    member: MemberNo,
    members: usize,
    footer: Footer,
}

impl<W: Write> Unsealed<W> {
    /// The file's snapshot id.
    pub const fn snapshot_id(&self) -> SnapshotId {
        self.footer.snapshot
    }

    /// What the member contains.
    pub const fn state_id(&self) -> StateId {
        self.footer.state
    }

    /// Writes seal and footer: `members` are the snapshot ids of the whole set, in roster order.
    pub fn seal(mut self, members: &[SnapshotId]) -> Result<(W, Footer), WriteError> {
        if members.len() != self.members
            || members.get(self.member.index()) != Some(&self.footer.snapshot)
        {
            return Err(WriteError::Mismatch(Structure::Seal));
        }
        self.out.frame(Kind::Seal, &encode_seal(members))?;
        let footer = Footer { set_content: SetContentId::of(members), ..self.footer };
        self.out.frame(Kind::Footer, &footer.encode()?)?;
        self.out.out.flush()?;
        Ok((self.out.out, footer))
    }
}

/// The output, counted, and the tag its frames carry.
#[derive(Debug)]
struct Frames<W> {
    out: W,
    at: u64,
    tag: FileTag,
}

impl<W: Write> Frames<W> {
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Writes one frame and says where it starts.
    fn frame(&mut self, kind: Kind, payload: &[u8]) -> io::Result<u64> {
        let at = self.at;
        self.bytes(&encode_header(kind, self.tag, at, payload)?)?;
        self.bytes(payload)?;
        Ok(at)
    }

    fn map(&mut self, map: &EncodedMap) -> io::Result<u64> {
        let at = self.frame(Kind::ExtentMapRoot, &map.root)?;
        for page in &map.segments {
            self.frame(Kind::SegmentPage, page)?;
        }
        for page in &map.columns {
            self.frame(Kind::ColumnPage, page)?;
        }
        Ok(at)
    }

    /// Where the frame behind the next record header will stand.
    const fn behind_record(&self, len: u32, crc: u32) -> Stored {
        Stored { offset: self.at + HEADER_BYTES + RECORD_BYTES as u64, len, crc }
    }
}

impl EncodedMap {
    fn stored_len(&self) -> u64 {
        let payloads = std::iter::once(&self.root).chain(&self.segments).chain(&self.columns);
        payloads.map(|p| p.len() as u64 + HEADER_BYTES).sum()
    }
}
