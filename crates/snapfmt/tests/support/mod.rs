//! Snapshots for tests, made in memory by the crate's own writer from a plain model of bytes.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

pub(crate) mod forge;
pub(crate) mod golden;

use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Read};
use std::sync::Arc;

use snapfmt::state::zero_digest;
use snapfmt::verify::{Depth, check_state, check_structure, check_unit, units};
use snapfmt::{
    CheckedManifest, ChunkNo, ChunkSize, Column, Consistency, Content, Decoder, Digest, Encoder,
    ExtentMap, Footer, Format, FormatError, Limits, Manifest, Mapping, Member, MemberNo, Parent,
    ReadAt, Record, Segment, SetManifest, Snapshot, SnapshotStream, SnapshotWriter, StateId,
    Unsealed, describe_map,
};

/// A part of a member's content, in whole chunks but for the member's end.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// Stored bytes, cut into chunks by the writer.
    Data(Vec<u8>),
    /// So many bytes of zeros.
    Zero(u64),
    /// So many bytes that the source has nothing for.
    Hole(u64),
    /// The parent's bytes.
    Inherit(Vec<u8>),
    /// So many bytes that are the parent's and zeros there.
    InheritZeros(u64),
}

impl Piece {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Data(bytes) | Self::Inherit(bytes) => bytes.len() as u64,
            Self::Zero(len) | Self::Hole(len) | Self::InheritZeros(len) => *len,
        }
    }
}

/// A segment of a layout, starting where the one before ends.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Unmapped(u64),
    Linear(u64, (u32, u64)),
    Striped(u64, u32, Vec<(u32, u64)>),
}

/// One member of a set.
#[derive(Clone, Debug)]
pub(crate) struct MemberSpec {
    pub(crate) volume: String,
    pub(crate) pieces: Vec<Piece>,
    /// Set id and state id of what it is incremental to.
    pub(crate) parent: Option<(String, StateId)>,
    pub(crate) stream: bool,
    pub(crate) dedup: bool,
}

impl MemberSpec {
    pub(crate) fn full(volume: &str, pieces: Vec<Piece>) -> Self {
        Self { volume: volume.into(), pieces, parent: None, stream: true, dedup: false }
    }

    pub(crate) fn compact(volume: &str, pieces: Vec<Piece>) -> Self {
        Self { stream: false, dedup: true, ..Self::full(volume, pieces) }
    }

    pub(crate) fn child(volume: &str, pieces: Vec<Piece>, set: &str, state: StateId) -> Self {
        Self { parent: Some((set.into(), state)), ..Self::compact(volume, pieces) }
    }

    pub(crate) fn size(&self) -> u64 {
        self.pieces.iter().map(Piece::len).sum()
    }

    /// The member's raw image.
    pub(crate) fn plain(&self) -> Vec<u8> {
        let mut plain = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Data(bytes) | Piece::Inherit(bytes) => plain.extend_from_slice(bytes),
                zeros => plain.resize(plain.len() + usize::try_from(zeros.len()).unwrap(), 0),
            }
        }
        plain
    }
}

/// A whole set.
#[derive(Clone, Debug)]
pub(crate) struct SetSpec {
    pub(crate) id: String,
    pub(crate) generation: u64,
    pub(crate) chunk_size: u32,
    pub(crate) level: i32,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) members: Vec<MemberSpec>,
    pub(crate) layout: Vec<Part>,
}

impl SetSpec {
    /// A set of one member, mapped as it is.
    pub(crate) fn single(chunk_size: u32, member: MemberSpec) -> Self {
        let layout = vec![Part::Linear(member.size(), (0, 0))];
        Self {
            id: "dsnap-test".into(),
            generation: 0,
            chunk_size,
            level: 3,
            tags: BTreeMap::new(),
            members: vec![member],
            layout,
        }
    }

    pub(crate) fn sizes(&self) -> Vec<u64> {
        self.members.iter().map(MemberSpec::size).collect()
    }

    pub(crate) fn extent_map(&self) -> ExtentMap {
        let columns: Vec<Vec<Column>> = self.layout.iter().map(part_columns).collect();
        let mut start = 0;
        let segments = self.layout.iter().zip(&columns).map(|(part, columns)| {
            let (length, mapping) = match (part, columns.as_slice()) {
                (Part::Linear(length, _), [column]) => (*length, Mapping::Linear(*column)),
                (Part::Striped(length, stripe, _), columns) => {
                    (*length, Mapping::Striped { stripe: *stripe, columns })
                }
                (Part::Unmapped(length) | Part::Linear(length, _), _) => {
                    (*length, Mapping::Unmapped)
                }
            };
            let segment = Segment { start, length, mapping };
            start += length;
            segment
        });
        let segments: Vec<_> = segments.collect();
        ExtentMap::new(start, &self.sizes(), segments, &Limits::DEFAULT).unwrap()
    }

    pub(crate) fn manifest(&self, member: u32) -> Manifest {
        let map = self.extent_map();
        let spec = &self.members[member as usize];
        let members = self.members.iter().map(|m| Member {
            volume_id: m.volume.parse().unwrap(),
            size: m.size(),
            logical_sector: 512,
            physical_sector: 4096,
            parent: m.parent.as_ref().map(|(set, state)| Parent {
                set_id: set.parse().unwrap(),
                volume_id: m.volume.parse().unwrap(),
                state_id: *state,
            }),
        });
        Manifest {
            about: vec![
                "This is a snapshot of a block volume, written by snaprestore.".into(),
                format!(
                    "It holds member {} of {} (volume {}) of set {}.",
                    member + 1,
                    self.members.len(),
                    spec.volume,
                    self.id
                ),
            ],
            format: Format::default(),
            tool: "snapfmt tests".into(),
            member: MemberNo(member),
            stream: spec.stream,
            dedup: spec.dedup,
            set: SetManifest {
                id: self.id.parse().unwrap(),
                source_volume_id: "vol-logical".parse().unwrap(),
                generation: self.generation,
                time: "2024-02-03T04:05:06Z".parse().unwrap(),
                consistency: Consistency::Crash,
                logical_size: map.size(),
                chunk_size: ChunkSize::try_from(self.chunk_size).unwrap(),
                tags: self.tags.clone(),
                members: members.collect(),
                extent_map: describe_map(&map).unwrap(),
            },
        }
    }

    /// Writes all members and seals them together.
    pub(crate) fn write(&self) -> Vec<Written> {
        let count = u32::try_from(self.members.len()).unwrap();
        let unsealed: Vec<_> = (0..count).map(|no| self.write_member(no)).collect();
        let ids: Vec<_> = unsealed.iter().map(Unsealed::snapshot_id).collect();
        let seal = |file: Unsealed<Vec<u8>>| {
            let (bytes, footer) = file.seal(&ids).unwrap();
            Written { bytes, footer }
        };
        unsealed.into_iter().map(seal).collect()
    }

    /// Writes the only member.
    pub(crate) fn write_one(&self) -> Written {
        let [written] = <[Written; 1]>::try_from(self.write()).unwrap();
        written
    }

    fn write_member(&self, no: u32) -> Unsealed<Vec<u8>> {
        let manifest = CheckedManifest::check(self.manifest(no), &Limits::DEFAULT).unwrap();
        let chunk_size = manifest.set.chunk_size;
        let mut feed = Feed {
            dedup: manifest.dedup,
            writer: SnapshotWriter::create(Vec::new(), spill(), manifest, &self.extent_map())
                .unwrap(),
            encoder: Encoder::new(self.level, chunk_size).unwrap(),
            seen: HashMap::new(),
            next: 0,
            frame: Vec::new(),
        };
        self.members[no as usize].pieces.iter().for_each(|piece| feed.piece(piece));
        feed.writer.finish().unwrap()
    }
}

/// A finished file.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) bytes: Vec<u8>,
    pub(crate) footer: Footer,
}

impl Written {
    pub(crate) fn open(&self) -> Snapshot {
        open(&self.bytes).unwrap()
    }
}

type Writer = SnapshotWriter<Vec<u8>, Cursor<Vec<u8>>>;

struct Feed {
    dedup: bool,
    writer: Writer,
    encoder: Encoder,
    seen: HashMap<Digest, snapfmt::Stored>,
    next: u32,
    frame: Vec<u8>,
}

impl Feed {
    fn piece(&mut self, piece: &Piece) {
        let chunk_size = self.writer.geometry().chunk_size().bytes();
        let count = u32::try_from(piece.len().div_ceil(chunk_size.into())).unwrap();
        let first = ChunkNo(self.next);
        self.next += count;
        match piece {
            Piece::Zero(_) => self.writer.zeros(first, count).unwrap(),
            Piece::Hole(_) => self.writer.hole(first, count).unwrap(),
            Piece::InheritZeros(_) => self.writer.inherit_zeros(first, count).unwrap(),
            Piece::Inherit(bytes) => {
                for (no, chunk) in (first.0..).zip(bytes.chunks(chunk_size as usize)) {
                    self.writer.inherit(ChunkNo(no), Digest::of(chunk)).unwrap();
                }
            }
            Piece::Data(bytes) => {
                for (no, chunk) in (first.0..).zip(bytes.chunks(chunk_size as usize)) {
                    self.data(ChunkNo(no), chunk);
                }
            }
        }
    }

    fn data(&mut self, no: ChunkNo, chunk: &[u8]) {
        let digest = Digest::of(chunk);
        match self.seen.get(&digest) {
            Some(stored) if self.dedup => self.writer.reference(no, digest, *stored).unwrap(),
            _ => {
                self.encoder.encode(chunk, &mut self.frame).unwrap();
                let stored = self.writer.data(no, digest, &self.frame).unwrap();
                self.seen.insert(digest, stored);
            }
        }
    }
}

pub(crate) fn spill() -> Cursor<Vec<u8>> {
    Cursor::new(Vec::new())
}

pub(crate) fn open(bytes: &[u8]) -> snapfmt::Result<Snapshot> {
    Snapshot::open(Arc::new(bytes.to_vec()), &Limits::DEFAULT)
}

/// Opens and verifies; gives the first finding.
pub(crate) fn check(file: Arc<dyn ReadAt>, depth: Depth) -> snapfmt::Result<()> {
    let snapshot = Snapshot::open(file, &Limits::DEFAULT)?;
    verify(&snapshot, depth).into_iter().next().map_or(Ok(()), Err)
}

/// All findings about an opened file.
pub(crate) fn verify(snapshot: &Snapshot, depth: Depth) -> Vec<FormatError> {
    let mut findings = Vec::new();
    let mut decoder = Decoder::strict().unwrap();
    let mut plain = Vec::new();
    findings.extend(check_structure(snapshot, || false).err());
    for unit in units(snapshot) {
        let found = &mut |error| findings.push(error);
        match unit {
            Ok(unit) => check_unit(snapshot, &unit, depth, &mut decoder, &mut plain, found),
            Err(error) => found(error),
        }
    }
    findings.extend(check_state(snapshot, || false).err());
    findings
}

/// A file read in one pass.
#[derive(PartialEq, Debug)]
pub(crate) struct Streamed {
    pub(crate) map: ExtentMap,
    pub(crate) records: Vec<Record>,
    pub(crate) footer: Footer,
}

/// Reads a file in one pass, with every check there is.
pub(crate) fn streamed(reader: impl Read) -> snapfmt::Result<Streamed> {
    let (stream, map) = SnapshotStream::open(reader, &Limits::DEFAULT)?;
    let geometry = stream.geometry();
    let mut decoder = Decoder::strict().unwrap();
    let (mut records, mut plain) = (Vec::new(), Vec::new());
    let footer = stream.read(|record, frame| {
        if let Content::Data { stored, digest, .. } = record.content {
            plain.resize(geometry.chunk_len(record.first) as usize, 0);
            let what = record.stored_structure();
            decoder.decode_frame(frame, &stored, &digest, what, &mut plain)?;
        }
        records.push(*record);
        Ok::<_, FormatError>(())
    })?;
    Ok(Streamed { map, records, footer })
}

/// The bytes of a file in order, as a pipe would give them.
pub(crate) struct InOrder<'f> {
    pub(crate) file: &'f dyn ReadAt,
    pub(crate) at: u64,
}

impl Read for InOrder<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let left = usize::try_from(self.file.len() - self.at).unwrap_or(usize::MAX);
        let len = buf.len().min(left);
        self.file.read_exact_at(&mut buf[..len], self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}

/// What a snapshot holds, by its records; chunks without one are taken from `parent`.
pub(crate) fn read_back(snapshot: &Snapshot, parent: &[u8]) -> Vec<u8> {
    let geometry = snapshot.geometry();
    let mut plain = parent.to_vec();
    plain.resize(usize::try_from(geometry.size()).unwrap(), 0xee);
    let mut decoder = Decoder::new().unwrap();
    for record in snapshot.records() {
        let record = record.unwrap();
        let range = geometry.bytes(record.first, record.count);
        let out =
            &mut plain[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
        match record.content {
            Content::Data { stored, digest, .. } => {
                snapshot.decode(&mut decoder, record.first, &stored, &digest, out).unwrap();
            }
            Content::Zero { .. } | Content::Hole { .. } => out.fill(0),
        }
    }
    plain
}

/// The state id by its definition, chunk by chunk.
pub(crate) fn state_of(plain: &[u8], chunk_size: u32) -> StateId {
    let size = ChunkSize::try_from(chunk_size).unwrap();
    let geometry = snapfmt::Geometry::new(plain.len() as u64, size, 1 << 28).unwrap();
    let mut state = snapfmt::state::StateBuilder::new(geometry);
    plain.chunks(chunk_size as usize).for_each(|chunk| state.push(Digest::of(chunk)));
    state.finish().unwrap()
}

/// Bytes that do not compress.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    // SplitMix64 (Steele, Lea and Flood, 2014).
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| next().to_le_bytes()).collect();
    bytes.truncate(len);
    bytes
}

/// Bytes that compress well.
pub(crate) fn text(seed: u64, len: usize) -> Vec<u8> {
    let lines = (seed..).flat_map(|n| format!("entry {n}: nothing to report\n").into_bytes());
    lines.take(len).collect()
}

/// The digest of a zero chunk must be BLAKE3 of that many zeros.
pub(crate) fn zeros_digest(len: u32) -> Digest {
    zero_digest(len)
}

fn part_columns(part: &Part) -> Vec<Column> {
    let column = |&(member, offset): &(u32, u64)| Column { member: MemberNo(member), offset };
    match part {
        Part::Unmapped(_) => Vec::new(),
        Part::Linear(_, one) => vec![column(one)],
        Part::Striped(_, _, columns) => columns.iter().map(column).collect(),
    }
}
