//! The one envelope around everything that is not chunk data: a zstd skippable frame (RFC 8878,
//! 3.1.2) with a checked header.

use byteorder::{LittleEndian as Le, ReadBytesExt, WriteBytesExt};
use std::io::Write;

use crate::error::{Fault, Result, Structure};
use crate::ids::FileTag;
use crate::input::Input;
use crate::limits::Limits;
use crate::wire::{FOOTER_PAYLOAD, HEADER_BYTES, HEADER_LEN, RECORD_BYTES, array};

/// The skippable-frame magic of all our frames: neither pzstd's (…50) nor seekable zstd's (…5E).
pub const SKIPPABLE_MAGIC: u32 = 0x184D_2A53;
/// What follows the 8 bytes of every skippable frame of ours.
pub const PROJECT_MAGIC: [u8; 8] = *b"SNAPRST\x01";
/// What zstd counts as the skippable frame's content besides our payload.
const ZSTD_EXTRA: u32 = 56;

const FLAG_REQUIRED: u16 = 1;

/// What a frame holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// The manifest, JSON.
    Manifest,
    /// Counts and page digests of the extent map.
    ExtentMapRoot,
    /// Segments of the extent map.
    SegmentPage,
    /// Columns of the extent map.
    ColumnPage,
    /// One record, followed by its zstd frame where it has one.
    Record,
    /// Records, sorted.
    IndexPage,
    /// Entries for index pages.
    DirectoryPage,
    /// Totals and entries for directory pages.
    IndexRoot,
    /// Snapshot ids of all members.
    Seal,
    /// Where everything is.
    Footer,
    /// A kind of a later version.
    Unknown(u16),
}

impl Kind {
    /// The number in the header.
    pub(crate) const fn number(self) -> u16 {
        match self {
            Self::Manifest => 1,
            Self::ExtentMapRoot => 2,
            Self::SegmentPage => 3,
            Self::ColumnPage => 4,
            Self::Record => 5,
            Self::IndexPage => 6,
            Self::DirectoryPage => 7,
            Self::IndexRoot => 8,
            Self::Seal => 9,
            Self::Footer => 10,
            Self::Unknown(n) => n,
        }
    }

    const fn from_number(n: u16) -> Self {
        match n {
            1 => Self::Manifest,
            2 => Self::ExtentMapRoot,
            3 => Self::SegmentPage,
            4 => Self::ColumnPage,
            5 => Self::Record,
            6 => Self::IndexPage,
            7 => Self::DirectoryPage,
            8 => Self::IndexRoot,
            9 => Self::Seal,
            10 => Self::Footer,
            n => Self::Unknown(n),
        }
    }

    /// The structure an error about a frame of this kind names.
    pub(crate) const fn structure(self) -> Structure {
        match self {
            Self::Manifest => Structure::Manifest,
            Self::ExtentMapRoot => Structure::ExtentMapRoot,
            Self::SegmentPage => Structure::SegmentPage(0),
            Self::ColumnPage => Structure::ColumnPage(0),
            Self::Record => Structure::RecordHeader,
            Self::IndexPage => Structure::IndexPage,
            Self::DirectoryPage => Structure::DirectoryPage,
            Self::IndexRoot => Structure::IndexRoot,
            Self::Seal => Structure::Seal,
            Self::Footer => Structure::Footer,
            Self::Unknown(n) => Structure::UnknownFrame(n),
        }
    }

    /// The longest payload a frame of this kind may have, in bytes.
    fn max_payload(self, limits: &Limits) -> u32 {
        match self {
            Self::Manifest => limits.manifest_bytes,
            Self::Record => RECORD_BYTES,
            Self::Footer => FOOTER_PAYLOAD,
            // Pages, roots and seals: 64 KiB of fixed-size entries and, for the roots, a short head.
            _ => 1 << 20,
        }
    }
}

/// A frame's header, checked: magics, own offset, CRC of the header itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    /// What the payload holds.
    pub kind: Kind,
    /// Whether a reader that does not know the kind must refuse the file.
    pub required: bool,
    /// The file it belongs to.
    pub tag: FileTag,
    /// Where the header starts in the file.
    pub offset: u64,
    /// Length of the payload in bytes.
    pub payload_len: u32,
    payload_crc: u32,
}

impl Header {
    /// Where the payload starts.
    pub(crate) const fn payload_offset(&self) -> u64 {
        self.offset.saturating_add(HEADER_BYTES)
    }

    /// The first byte after the frame.
    pub(crate) const fn end(&self) -> u64 {
        self.payload_offset().saturating_add(self.payload_len as u64)
    }

    /// Parses and checks the header whose bytes stand at `offset` in the file.
    ///
    /// `expected` is only the structure an error names when the header cannot say its own kind.
    pub(crate) fn parse(
        bytes: &[u8; HEADER_LEN],
        offset: u64,
        expected: Structure,
    ) -> Result<Self> {
        let raw = RawHeader::read(bytes).map_err(|e| expected.fault(offset, Fault::Io(e)))?;
        if raw.skippable_magic != SKIPPABLE_MAGIC || raw.project_magic != PROJECT_MAGIC {
            return Err(expected.fault(offset, Fault::Magic));
        }
        let found = crc32fast::hash(bytes.split_last_chunk::<4>().map_or(&[], |(head, _)| head));
        if found != raw.header_crc {
            return Err(expected.fault(offset, Fault::Checksum { expected: raw.header_crc, found }));
        }
        let kind = Kind::from_number(raw.kind);
        let rule = |field, value: u64, rule| {
            Err(kind.structure().fault(offset, Fault::Rule { field, value, rule }))
        };
        if raw.offset != offset {
            let fault = Fault::Misplaced { claimed: raw.offset };
            return Err(kind.structure().fault(offset, fault));
        }
        if raw.flags & !FLAG_REQUIRED != 0 {
            return rule("flags", raw.flags.into(), "only bit 0 is defined");
        }
        if raw.reserved != 0 {
            return rule("reserved field", raw.reserved, "must be zero");
        }
        let zstd_len = u64::from(raw.payload_len) + u64::from(ZSTD_EXTRA);
        if u64::from(raw.zstd_len) != zstd_len {
            return rule("zstd frame length", raw.zstd_len.into(), "must be payload length + 56");
        }
        Ok(Self {
            kind,
            required: raw.flags & FLAG_REQUIRED != 0,
            tag: FileTag(raw.tag),
            offset,
            payload_len: raw.payload_len,
            payload_crc: raw.payload_crc,
        })
    }

    /// Reads and checks the next header.
    pub(crate) fn read(input: &mut dyn Input, expected: Structure) -> Result<Self> {
        let offset = input.at();
        let mut bytes = [0; HEADER_LEN];
        input.fill(&mut bytes, expected)?;
        Self::parse(&bytes, offset, expected)
    }

    /// Reads the payload, which comes next, and checks its CRC; `limits` bound the allocation.
    pub(crate) fn payload(&self, input: &mut dyn Input, limits: &Limits) -> Result<Vec<u8>> {
        let mut payload = Vec::new();
        self.payload_into(input, limits, &mut payload)?;
        Ok(payload)
    }

    /// Replaces `payload` by the payload, as [`Header::payload`] does, keeping its capacity.
    pub(crate) fn payload_into(
        &self,
        input: &mut dyn Input,
        limits: &Limits,
        payload: &mut Vec<u8>,
    ) -> Result<()> {
        let what = self.kind.structure();
        let max = self.kind.max_payload(limits);
        if self.payload_len > max {
            let fault = Fault::Limit {
                field: "payload length",
                value: self.payload_len.into(),
                max: max.into(),
            };
            return Err(what.fault(self.offset, fault));
        }
        let (need, have) = (u64::from(self.payload_len), input.left());
        if need > have {
            return Err(what.fault(self.offset, Fault::Truncated { need, have }));
        }
        payload.clear();
        payload.resize(self.payload_len as usize, 0);
        input.fill(payload, what)?;
        self.check_payload(payload)
    }

    /// Checks that `payload` has the CRC the header names.
    pub(crate) fn check_payload(&self, payload: &[u8]) -> Result<()> {
        let found = crc32fast::hash(payload);
        if found == self.payload_crc {
            return Ok(());
        }
        let fault = Fault::Checksum { expected: self.payload_crc, found };
        Err(self.kind.structure().fault(self.payload_offset(), fault))
    }
}

/// The header as it lies in the file; nothing is checked.
struct RawHeader {
    skippable_magic: u32,
    zstd_len: u32,
    project_magic: [u8; 8],
    kind: u16,
    flags: u16,
    payload_len: u32,
    offset: u64,
    tag: [u8; 16],
    reserved: u64,
    payload_crc: u32,
    header_crc: u32,
}

impl RawHeader {
    fn read(mut bytes: &[u8]) -> std::io::Result<Self> {
        let r = &mut bytes;
        Ok(Self {
            skippable_magic: r.read_u32::<Le>()?,
            zstd_len: r.read_u32::<Le>()?,
            project_magic: array(r)?,
            kind: r.read_u16::<Le>()?,
            flags: r.read_u16::<Le>()?,
            payload_len: r.read_u32::<Le>()?,
            offset: r.read_u64::<Le>()?,
            tag: array(r)?,
            reserved: r.read_u64::<Le>()?,
            payload_crc: r.read_u32::<Le>()?,
            header_crc: r.read_u32::<Le>()?,
        })
    }
}

/// Reads and checks the next frame, which must be of `kind` and carry `tag`.
pub(crate) fn read_frame(
    input: &mut dyn Input,
    kind: Kind,
    tag: FileTag,
    limits: &Limits,
) -> Result<(Header, Vec<u8>)> {
    let header = Header::read(input, kind.structure())?;
    expect(&header, kind, tag)?;
    let payload = header.payload(input, limits)?;
    Ok((header, payload))
}

/// Checks that a header is of `kind` and carries `tag`.
pub(crate) fn expect(header: &Header, kind: Kind, tag: FileTag) -> Result<()> {
    let fault = if header.kind != kind {
        Fault::Kind { found: header.kind.number() }
    } else if header.tag != tag {
        Fault::ForeignTag
    } else if !header.required {
        Fault::Value { field: "required flag", value: 0, expected: 1 }
    } else {
        return Ok(());
    };
    Err(kind.structure().fault(header.offset, fault))
}

/// Whether these bytes are the header of a frame of this project, wherever they are from: both magic
/// numbers and its own checksum.
pub fn is_frame_header(bytes: &[u8; HEADER_LEN]) -> bool {
    let is_ours = bytes.starts_with(&SKIPPABLE_MAGIC.to_le_bytes())
        && bytes.get(8..16) == Some(PROJECT_MAGIC.as_slice());
    let (head, crc) = bytes.split_last_chunk::<4>().unwrap_or((&[], &[0; 4]));
    is_ours && crc32fast::hash(head) == u32::from_le_bytes(*crc)
}

/// Encodes the header of a frame of a known, required kind that will stand at `offset`.
pub(crate) fn encode_header(
    kind: Kind,
    tag: FileTag,
    offset: u64,
    payload: &[u8],
) -> std::io::Result<[u8; HEADER_LEN]> {
    let payload_len = u32::try_from(payload.len())
        .ok()
        .filter(|len| *len <= u32::MAX - ZSTD_EXTRA)
        .ok_or(std::io::ErrorKind::InvalidInput)?;
    let mut bytes = [0; HEADER_LEN];
    let mut w = bytes.as_mut_slice();
    w.write_u32::<Le>(SKIPPABLE_MAGIC)?;
    w.write_u32::<Le>(payload_len + ZSTD_EXTRA)?;
    w.write_all(&PROJECT_MAGIC)?;
    w.write_u16::<Le>(kind.number())?;
    w.write_u16::<Le>(FLAG_REQUIRED)?;
    w.write_u32::<Le>(payload_len)?;
    w.write_u64::<Le>(offset)?;
    w.write_all(&tag.0)?;
    w.write_u64::<Le>(0)?;
    w.write_u32::<Le>(crc32fast::hash(payload))?;
    if let Some((head, crc)) = bytes.split_last_chunk_mut::<4>() {
        *crc = crc32fast::hash(head).to_le_bytes();
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{HEADER_LEN, Header, Kind, encode_header};
    use crate::error::Structure;
    use crate::ids::FileTag;

    fn frame() -> [u8; HEADER_LEN] {
        encode_header(Kind::Seal, FileTag([7; 16]), 4096, b"payload").unwrap()
    }

    #[test]
    fn a_header_is_read_back() {
        let header = Header::parse(&frame(), 4096, Structure::File).unwrap();
        assert_eq!(
            (header.kind, header.tag, header.payload_len),
            (Kind::Seal, FileTag([7; 16]), 7)
        );
        header.check_payload(b"payload").unwrap();
        assert!(header.check_payload(b"pAyload").is_err());
    }

    #[test]
    fn every_bit_of_a_header_is_covered() {
        for bit in 0..HEADER_LEN * 8 {
            let mut bytes = frame();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // The payload's CRC stands in the header, so a flip there is caught by the header's own.
            assert!(Header::parse(&bytes, 4096, Structure::File).is_err(), "bit {bit}");
        }
        assert!(Header::parse(&frame(), 8192, Structure::File).is_err(), "moved");
    }

    #[test]
    fn kinds_are_numbered_once() {
        for n in 0..=20 {
            assert_eq!(Kind::from_number(n).number(), n);
        }
    }
}
