//! The tail of a file: the seal, which ties the members of a set together, and the footer.

use byteorder::{LittleEndian as Le, ReadBytesExt, WriteBytesExt};
use std::io::{self, Write};

use crate::error::{Fault, Result, Structure};
use crate::ids::{Digest, SetContentId, SnapshotId, StateId};
use crate::wire::{FOOTER_PAYLOAD, HEADER_BYTES, array, short};

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
