//! A metadata area: a header, and behind it a ring in which every change is written as a new text.

use snapfmt::ReadAt;

use super::crc::crc;
use super::{Area, LvmError, Section, VolumeGroup};
use crate::fields::{array, le32, le64};

const HEADER_LEN: usize = 512;
const HEADER_BYTES: u64 = 512;
const MAGIC: [u8; 16] = *b" LVM2 x[5A%r0N*>";
const VERSION: u32 = 1;
/// Flag of a location: the area is not in use (`layout.h`, `RAW_LOCN_IGNORED`).
const IGNORED: u32 = 1;
/// Longest text that is read, in bytes; real ones seldom reach 1 MiB.
const MAX_TEXT: u64 = 16 << 20;

/// The committed metadata of one area.
#[derive(Clone, Debug)]
pub struct MetadataArea {
    /// Where the area starts on the device, in bytes.
    pub offset: u64,
    /// What it says.
    pub group: VolumeGroup,
    /// The text it was read from.
    pub text: Vec<u8>,
}

/// Reads what an area holds; `None` where it is ignored or its volume is in no group.
pub fn read_area(device: &dyn ReadAt, area: Area) -> Result<Option<MetadataArea>, LvmError> {
    let offset = area.offset;
    let Some(location) = header(device, area)? else { return Ok(None) };
    let text = location.text(device, offset)?;
    let fault = |source| LvmError::Text { offset, source };
    // The final NUL is counted in the text's length.
    let bare = text.split(|byte| *byte == 0).next().unwrap_or(&text);
    let root = Section::parse(bare).map_err(fault)?;
    let group = VolumeGroup::of(&root).map_err(fault)?;
    Ok(Some(MetadataArea { offset, group, text }))
}

/// Where in the ring the committed text is (`struct raw_locn`).
struct Location {
    offset: u64,
    size: u64,
    checksum: u32,
    ring: u64,
}

/// Reads the header of an area (`struct mda_header`).
fn header(device: &dyn ReadAt, area: Area) -> Result<Option<Location>, LvmError> {
    let offset = area.offset;
    let bad = |field, found| LvmError::Field { what: "metadata area", offset, field, found };
    let io = |source| LvmError::Io { offset, source };
    let mut bytes = [0; HEADER_LEN];
    device.read_exact_at(&mut bytes, offset).map_err(io)?;
    let (_, checked) = bytes.split_at(4);
    let (expected, found) = (le32(&bytes, 0).unwrap_or(0), crc(checked));
    if found != expected {
        return Err(LvmError::Checksum { what: "metadata area", offset, expected, found });
    }
    if array(&bytes, 4) != Some(MAGIC) {
        return Err(bad("its magic number", le64(&bytes, 4).unwrap_or(0)));
    }
    match le32(&bytes, 20) {
        Some(VERSION) => {}
        version => return Err(bad("its version", version.unwrap_or(0).into())),
    }
    match le64(&bytes, 24) {
        Some(start) if start == offset => {}
        start => return Err(bad("its own offset", start.unwrap_or(0))),
    }
    let ring = le64(&bytes, 32).unwrap_or(0);
    if ring <= HEADER_BYTES || offset.checked_add(ring).is_none_or(|end| end > device.len()) {
        return Err(bad("its size", ring));
    }
    let location = Location {
        offset: le64(&bytes, 40).unwrap_or(0),
        size: le64(&bytes, 48).unwrap_or(0),
        checksum: le32(&bytes, 56).unwrap_or(0),
        ring,
    };
    let flags = le32(&bytes, 60).unwrap_or(0);
    if location.offset == 0 || flags & IGNORED != 0 {
        return Ok(None);
    }
    if location.offset < HEADER_BYTES || location.offset >= ring {
        return Err(bad("the place of its text", location.offset));
    }
    if location.size == 0 || location.size > (ring - HEADER_BYTES).min(MAX_TEXT) {
        return Err(bad("the length of its text", location.size));
    }
    Ok(Some(location))
}

impl Location {
    /// The text, whose end may be at the beginning of the ring.
    fn text(&self, device: &dyn ReadAt, area: u64) -> Result<Vec<u8>, LvmError> {
        let bad = |found| LvmError::Field {
            what: "metadata area",
            offset: area,
            field: "the length of its text",
            found,
        };
        let first = self.size.min(self.ring - self.offset);
        let wrapped = self.size - first;
        if HEADER_BYTES + wrapped > self.offset {
            return Err(bad(self.size));
        }
        let mut text = vec![0; usize::try_from(self.size).map_err(|_| bad(self.size))?];
        let (start, end) = text.split_at_mut(usize::try_from(first).unwrap_or(0));
        for (part, from) in [(start, self.offset), (end, HEADER_BYTES)] {
            let offset = area + from;
            device.read_exact_at(part, offset).map_err(|source| LvmError::Io { offset, source })?;
        }
        let found = crc(&text);
        if found != self.checksum {
            let (offset, expected) = (area + self.offset, self.checksum);
            return Err(LvmError::Checksum { what: "metadata text", offset, expected, found });
        }
        Ok(text)
    }
}
