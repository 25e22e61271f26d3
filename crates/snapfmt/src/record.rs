//! One record: what is stored for a chunk or a run of chunks, and where.

use byteorder::{LittleEndian as Le, ReadBytesExt, WriteBytesExt};
use std::io::Write;
use std::ops::Range;

use crate::error::{Fault, FormatError, Result, Structure};
use crate::geometry::{ChunkNo, Geometry};
use crate::ids::Digest;
use crate::limits::Limits;
use crate::wire::{HEADER_BYTES, RECORD_BYTES, RECORD_LEN, array, short};
use crate::zero_frame;

const KIND_DATA: u8 = 1;
const KIND_ZERO: u8 = 2;
const KIND_HOLE: u8 = 3;
const CODEC_NONE: u8 = 0;
const CODEC_ZSTD: u8 = 1;
const FLAG_REFERENCE: u16 = 1;

/// Where a zstd frame lies in the file and how its stored bytes are checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stored {
    /// File offset in bytes.
    pub offset: u64,
    /// Length in bytes.
    pub len: u32,
    /// CRC-32 (IEEE) of the stored bytes.
    pub crc: u32,
}

impl Stored {
    /// The first byte after the frame.
    pub(crate) const fn end(&self) -> u64 {
        self.offset.saturating_add(self.len as u64)
    }
}

/// What a record says of its chunks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// One chunk of data.
    Data {
        /// Its frame.
        stored: Stored,
        /// BLAKE3 of the plain bytes.
        digest: Digest,
        /// Whether the frame stands behind an earlier record and is only named here.
        reference: bool,
    },
    /// A run that reads as zeros.
    Zero {
        /// Its canonical frame, in a `stream` file.
        stored: Option<Stored>,
    },
    /// A run that the source had nothing for; reads as zeros.
    Hole {
        /// Its canonical frame, in a `stream` file.
        stored: Option<Stored>,
    },
}

/// A record, checked on its own and against its member's geometry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// First chunk.
    pub first: ChunkNo,
    /// Number of chunks: 1 for data.
    pub count: u32,
    /// What they are.
    pub content: Content,
}

impl Record {
    /// The first chunk after the run.
    pub const fn end(&self) -> u32 {
        self.first.0.saturating_add(self.count)
    }

    /// The frame the record names, wherever it stands.
    pub(crate) const fn stored(&self) -> Option<Stored> {
        match self.content {
            Content::Data { stored, .. } => Some(stored),
            Content::Zero { stored } | Content::Hole { stored } => stored,
        }
    }

    /// The frame that stands directly behind this record's header, if one does.
    pub const fn own_frame(&self) -> Option<Stored> {
        match self.content {
            Content::Data { reference: true, .. } => None,
            _ => self.stored(),
        }
    }

    /// Where the record's header stands, for one with a frame of its own.
    pub(crate) fn header_offset(&self) -> Option<u64> {
        self.own_frame()?.offset.checked_sub(HEADER_BYTES + u64::from(RECORD_BYTES))
    }

    /// Whether this is the rest of a run that `before`, the record before, had room for. One content
    /// has one encoding, so that a file rebuilt is the file there was.
    pub(crate) fn continues(&self, before: &Self, context: &RecordContext) -> bool {
        let alike = matches!(
            (self.content, before.content),
            (Content::Zero { .. }, Content::Zero { .. })
                | (Content::Hole { .. }, Content::Hole { .. })
        );
        alike && before.end() == self.first.0 && before.count < context.longest_run()
    }

    /// Whether the stored bytes stand where they must when the record's header stands at
    /// `header_at`: directly behind it or, for a reference, before it.
    pub(crate) fn fits_header_at(&self, header_at: u64) -> bool {
        let behind = header_at.saturating_add(HEADER_BYTES + u64::from(RECORD_BYTES));
        match (self.own_frame(), self.stored()) {
            (Some(own), _) => own.offset == behind,
            (None, Some(reference)) => reference.end() <= header_at,
            (None, None) => true,
        }
    }

    /// The same as an error about this record.
    pub(crate) fn check_place(&self, header_at: u64) -> Result<()> {
        if self.fits_header_at(header_at) {
            return Ok(());
        }
        let rule = "a frame stands behind its header, a reference names one before its own";
        let value = self.stored().map_or(0, |stored| stored.offset);
        let fault = Fault::Rule { field: "stored offset", value, rule };
        Err(Structure::Record(self.first).fault(header_at, fault))
    }

    /// The structure an error about the stored bytes names.
    pub const fn stored_structure(&self) -> Structure {
        match self.content {
            Content::Data { .. } => Structure::Chunk(self.first),
            _ => Structure::ZeroFrame(self.first),
        }
    }

    /// The 64 bytes of a header's payload and of an index page alike.
    pub fn encode(&self) -> [u8; RECORD_LEN] {
        let (kind, stored, digest, reference) = match self.content {
            Content::Data { stored, digest, reference } => {
                (KIND_DATA, Some(stored), digest, reference)
            }
            Content::Zero { stored } => (KIND_ZERO, stored, Digest::default(), false),
            Content::Hole { stored } => (KIND_HOLE, stored, Digest::default(), false),
        };
        let codec = if stored.is_some() { CODEC_ZSTD } else { CODEC_NONE };
        let Stored { offset, len, crc } = stored.unwrap_or(Stored { offset: 0, len: 0, crc: 0 });
        let mut bytes = [0; RECORD_LEN];
        let mut w = bytes.as_mut_slice();
        let written = (|| {
            w.write_u32::<Le>(self.first.0)?;
            w.write_u32::<Le>(self.count)?;
            w.write_u8(kind)?;
            w.write_u8(codec)?;
            w.write_u16::<Le>(if reference { FLAG_REFERENCE } else { 0 })?;
            w.write_u32::<Le>(crc)?;
            w.write_u64::<Le>(offset)?;
            w.write_u32::<Le>(len)?;
            w.write_u32::<Le>(0)?;
            w.write_all(digest.as_bytes())
        })();
        debug_assert!(written.is_ok(), "a record is {RECORD_LEN} bytes");
        bytes
    }

    /// The columns that say what is contained, not how it is stored: hashed into the snapshot id.
    pub(crate) fn hash_logical(&self, hasher: &mut blake3::Hasher) {
        let (kind, digest) = match self.content {
            Content::Data { digest, .. } => (KIND_DATA, digest),
            Content::Zero { .. } => (KIND_ZERO, Digest::default()),
            Content::Hole { .. } => (KIND_HOLE, Digest::default()),
        };
        hasher.update(&self.first.0.to_le_bytes());
        hasher.update(&self.count.to_le_bytes());
        hasher.update(&[kind]);
        hasher.update(digest.as_bytes());
    }
}

/// What a record is checked against.
#[derive(Clone, Copy, Debug)]
pub struct RecordContext {
    /// The member's geometry.
    pub geometry: Geometry,
    /// Whether zero and hole runs must have their canonical frames, or may have none.
    pub stream: bool,
    /// Whether a data record may be a reference.
    pub dedup: bool,
    /// The bytes of the file that may hold chunk frames.
    pub frames: (u64, u64),
}

impl RecordContext {
    /// Parses the record whose 64 bytes stand at file offset `at`.
    pub fn parse(&self, bytes: &[u8; RECORD_LEN], at: u64) -> Result<Record> {
        let raw = RawRecord::read(bytes).map_err(short(Structure::RecordHeader, at))?;
        let record = Record {
            first: ChunkNo(raw.first),
            count: raw.count,
            content: self.content(&raw, at)?,
        };
        self.check_run(&record, at)?;
        if let Some(stored) = record.stored() {
            self.check_bounds(&record, stored, at)?;
        }
        Ok(record)
    }

    fn content(&self, raw: &RawRecord, at: u64) -> Result<Content> {
        let rule = |field, value: u64, rule| -> FormatError {
            Structure::Record(ChunkNo(raw.first)).fault(at, Fault::Rule { field, value, rule })
        };
        if raw.reserved != 0 {
            return Err(rule("reserved field", raw.reserved.into(), "must be zero"));
        }
        let reference = raw.flags & FLAG_REFERENCE != 0;
        if raw.flags & !FLAG_REFERENCE != 0 || (reference && !(self.dedup && raw.kind == KIND_DATA))
        {
            return Err(rule(
                "flags",
                raw.flags.into(),
                "only a data record of a deduplicated snapshot may have bit 0",
            ));
        }
        let stored = match raw.codec {
            CODEC_ZSTD => Some(Stored { offset: raw.offset, len: raw.len, crc: raw.crc }),
            CODEC_NONE if raw.offset == 0 && raw.len == 0 && raw.crc == 0 => None,
            CODEC_NONE => {
                return Err(rule("stored offset", raw.offset, "must be zero without a frame"));
            }
            other => return Err(rule("codec", other.into(), "must be 0 (none) or 1 (zstd)")),
        };
        if matches!(raw.kind, KIND_ZERO | KIND_HOLE) && raw.digest != [0; 32] {
            return Err(rule("digest", 1, "must be zero in a run without data"));
        }
        match (raw.kind, stored) {
            (KIND_DATA, Some(stored)) => {
                Ok(Content::Data { stored, digest: Digest::from_bytes(raw.digest), reference })
            }
            (KIND_DATA, None) => Err(rule("codec", 0, "data must have a frame")),
            (KIND_ZERO | KIND_HOLE, stored) if stored.is_some() != self.stream => Err(rule(
                "codec",
                raw.codec.into(),
                "zero runs have frames in stream form and only there",
            )),
            (KIND_ZERO, stored) => Ok(Content::Zero { stored }),
            (KIND_HOLE, stored) => Ok(Content::Hole { stored }),
            (other, _) => Err(rule("kind", other.into(), "must be 1 (data), 2 (zero) or 3 (hole)")),
        }
    }

    /// Most chunks one zero or hole run covers.
    fn longest_run(&self) -> u32 {
        if self.stream { longest_zero_run(&self.geometry) } else { self.geometry.chunks() }
    }

    fn check_run(&self, record: &Record, at: u64) -> Result<()> {
        let what = Structure::Record(record.first);
        let end = u64::from(record.first.0) + u64::from(record.count);
        let max = u64::from(self.geometry.chunks());
        if end > max {
            return Err(what.fault(at, Fault::Limit { field: "end of run", value: end, max }));
        }
        let longest = match record.content {
            Content::Data { .. } => 1,
            _ => self.longest_run(),
        };
        if !(1..=longest).contains(&record.count) {
            let max = longest.into();
            let fault = Fault::Limit { field: "length of run", value: record.count.into(), max };
            return Err(what.fault(at, fault));
        }
        Ok(())
    }

    fn check_bounds(&self, record: &Record, stored: Stored, at: u64) -> Result<()> {
        let what = record.stored_structure();
        let max = if let Content::Data { .. } = record.content {
            u64::from(Limits::stored_bytes(self.geometry.chunk_size().bytes()))
        } else {
            let plain = length(&self.geometry.bytes(record.first, record.count));
            let expected = zero_frame::encoded_len(plain);
            if u64::from(stored.len) != expected {
                let fault =
                    Fault::Value { field: "stored length", value: stored.len.into(), expected };
                return Err(what.fault(at, fault));
            }
            expected
        };
        let len = u64::from(stored.len);
        if len == 0 || len > max {
            return Err(what.fault(at, Fault::Limit { field: "stored length", value: len, max }));
        }
        let (start, end) = self.frames;
        let frame_end = stored.end();
        if stored.offset < start.saturating_add(HEADER_BYTES) || frame_end > end {
            let fault = Fault::Limit { field: "end of stored bytes", value: frame_end, max: end };
            return Err(what.fault(at, fault));
        }
        Ok(())
    }
}

/// Most chunks one zero or hole run of a `stream` file covers: 1 GiB of them.
pub(crate) fn longest_zero_run(geometry: &Geometry) -> u32 {
    let chunks = zero_frame::MAX_PLAIN / u64::from(geometry.chunk_size().bytes());
    u32::try_from(chunks).unwrap_or(u32::MAX)
}

const fn length(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}

/// A record as it lies in the file; nothing is checked.
struct RawRecord {
    first: u32,
    count: u32,
    kind: u8,
    codec: u8,
    flags: u16,
    crc: u32,
    offset: u64,
    len: u32,
    reserved: u32,
    digest: [u8; 32],
}

impl RawRecord {
    fn read(mut bytes: &[u8]) -> std::io::Result<Self> {
        let r = &mut bytes;
        Ok(Self {
            first: r.read_u32::<Le>()?,
            count: r.read_u32::<Le>()?,
            kind: r.read_u8()?,
            codec: r.read_u8()?,
            flags: r.read_u16::<Le>()?,
            crc: r.read_u32::<Le>()?,
            offset: r.read_u64::<Le>()?,
            len: r.read_u32::<Le>()?,
            reserved: r.read_u32::<Le>()?,
            digest: array(r)?,
        })
    }
}
