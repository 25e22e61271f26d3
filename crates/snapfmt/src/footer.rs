//! The tail of a file: the seal, which ties the members of a set together, and the footer.

use byteorder::{LittleEndian as Le, ReadBytesExt, WriteBytesExt};
use std::io::{self, Write};

use crate::envelope::{Header, Kind, expect, read_frame};
use crate::error::{Fault, Result, Structure};
use crate::ids::{Digest, FileTag, SetContentId, SnapshotId, StateId};
use crate::input::Input;
use crate::limits::Limits;
use crate::wire::{FOOTER_BYTES, FOOTER_PAYLOAD, HEADER_BYTES, array, short};

/// The longest extent map that is repeated in the tail, in stored bytes.
pub(crate) const MAX_MAP_COPY: u64 = 1 << 20;

/// Where everything in a file stands, and what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Footer {
    /// File offset of the footer this one replaces, written by an appender; 0 for the first.
    pub previous: u64,
    /// File offset of the first record header: the end of manifest and extent map.
    pub records: u64,
    /// File offset of the first index page (or what follows the records): their end.
    pub index: u64,
    /// File offset of the index root.
    pub root: u64,
    /// File offset of the manifest's copy in the tail.
    pub manifest_copy: u64,
    /// File offset of the extent map's copy in the tail, 0 when the map was too long to repeat.
    pub extent_map_copy: u64,
    /// File offset of the seal.
    pub seal: u64,
    /// What the member contains.
    pub state: StateId,
    /// Which snapshot file this is.
    pub snapshot: SnapshotId,
    /// Which set it belongs to.
    pub set_content: SetContentId,
}

impl Footer {
    /// Parses the payload of the footer frame at file offset `at`.
    pub(crate) fn parse(payload: &[u8], at: u64) -> Result<Self> {
        let what = Structure::Footer;
        if payload.len() as u64 != u64::from(FOOTER_PAYLOAD) {
            let value = payload.len() as u64;
            let expected = FOOTER_PAYLOAD.into();
            return Err(what.fault(at, Fault::Value { field: "payload length", value, expected }));
        }
        let (footer, reserved) = Self::read(payload).map_err(short(what, at))?;
        let ordered = [HEADER_BYTES, footer.records, footer.index, footer.root, footer.seal, at];
        let copies = [footer.manifest_copy, footer.extent_map_copy.max(footer.manifest_copy)];
        if reserved != [0; 16]
            || !ordered.is_sorted()
            || copies.iter().any(|c| !(footer.root..footer.seal).contains(c))
            || (footer.previous != 0 && !(footer.seal..at).contains(&footer.previous))
        {
            let rule = "structures stand in order before the footer; reserved bytes are zero";
            return Err(what.fault(at, Fault::Rule { field: "offsets", value: footer.root, rule }));
        }
        Ok(footer)
    }

    fn read(mut payload: &[u8]) -> io::Result<(Self, [u8; 16])> {
        let r = &mut payload;
        let footer = Self {
            previous: r.read_u64::<Le>()?,
            records: r.read_u64::<Le>()?,
            index: r.read_u64::<Le>()?,
            root: r.read_u64::<Le>()?,
            manifest_copy: r.read_u64::<Le>()?,
            extent_map_copy: r.read_u64::<Le>()?,
            seal: r.read_u64::<Le>()?,
            state: StateId(Digest::from_bytes(array(r)?)),
            snapshot: SnapshotId(Digest::from_bytes(array(r)?)),
            set_content: SetContentId(Digest::from_bytes(array(r)?)),
        };
        Ok((footer, array(r)?))
    }

    pub(crate) fn encode(&self) -> io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(FOOTER_PAYLOAD as usize);
        for offset in [
            self.previous,
            self.records,
            self.index,
            self.root,
            self.manifest_copy,
            self.extent_map_copy,
            self.seal,
        ] {
            out.write_u64::<Le>(offset)?;
        }
        for id in [self.state.0, self.snapshot.0, self.set_content.0] {
            out.write_all(id.as_bytes())?;
        }
        out.write_all(&[0; 16])?;
        Ok(out)
    }
}

/// Reads everything behind the seal: the first footer and what appenders added, up to the last
/// footer, which ends the file. Gives the first one, which all others repeat, and where the last one
/// stands.
pub(crate) fn read_footers(
    input: &mut dyn Input,
    tag: FileTag,
    limits: &Limits,
) -> Result<(Footer, u64)> {
    let (header, payload) = read_frame(input, Kind::Footer, tag, limits)?;
    let mut last = header.offset;
    let first = Footer::parse(&payload, last)?;
    in_place(Structure::Footer, 0, first.previous)?;
    let mut footers = 1;
    while !input.is_at_end(Structure::Footer)? {
        let header = Header::read(input, Structure::Footer)?;
        let payload = header.payload(input, limits)?;
        match header.kind {
            Kind::Footer => {
                expect(&header, Kind::Footer, tag)?;
                let footer = Footer::parse(&payload, header.offset)?;
                in_place(Structure::Footer, last, footer.previous)?;
                if (Footer { previous: 0, ..footer }) != first {
                    let fault = Fault::Disagrees(Structure::Footer);
                    return Err(Structure::Footer.fault(header.offset, fault));
                }
                (last, footers) = (header.offset, footers + 1);
            }
            Kind::Unknown(_) if !header.required && header.tag == tag => {}
            Kind::Unknown(n) if header.required => {
                let name = format!("frame kind {n}");
                return Err(header.kind.structure().fault(header.offset, Fault::Feature { name }));
            }
            _ => {
                let fault = Fault::Kind { found: header.kind.number() };
                return Err(Structure::Footer.fault(header.offset, fault));
            }
        }
        if footers > limits.footers {
            let max = limits.footers.into();
            let fault = Fault::Limit { field: "number of footers", value: footers.into(), max };
            return Err(Structure::Footer.fault(header.offset, fault));
        }
    }
    // A whole file ends in a footer.
    if last.saturating_add(FOOTER_BYTES) != input.at() {
        return Err(Structure::Footer.fault(input.at(), Fault::Missing));
    }
    Ok((first, last))
}

/// Checks that a structure stands where another names it, and gives that place.
pub(crate) const fn in_place(what: Structure, at: u64, named: u64) -> Result<u64> {
    if at == named {
        return Ok(at);
    }
    let fault = Fault::Value { field: "the offset named for it", value: named, expected: at };
    Err(what.fault(at, fault))
}

/// Parses a seal: the snapshot ids of `members` members in roster order.
pub(crate) fn parse_seal(payload: &[u8], members: usize, at: u64) -> Result<Vec<SnapshotId>> {
    let (ids, rest) = payload.as_chunks::<{ Digest::LEN }>();
    if ids.len() != members || !rest.is_empty() {
        let (value, expected) = (payload.len() as u64, (members * Digest::LEN) as u64);
        return Err(
            Structure::Seal.fault(at, Fault::Value { field: "payload length", value, expected })
        );
    }
    Ok(ids.iter().map(|id| SnapshotId(Digest::from_bytes(*id))).collect())
}

pub(crate) fn encode_seal(ids: &[SnapshotId]) -> Vec<u8> {
    ids.iter().flat_map(|id| *id.0.as_bytes()).collect()
}
