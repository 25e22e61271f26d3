//! The label that makes a device a physical volume.

use snapfmt::ReadAt;

use super::crc::crc;
use super::{LvmError, LvmId, SECTOR};
use crate::fields::{array, le32, le64};

/// The label is in one of the first four sectors (`label.h`, `LABEL_SCAN_SECTORS`).
const SCAN: u64 = 4;
const SECTOR_LEN: usize = 512;
/// `pvcreate(8)` makes none, one or two.
const MOST_METADATA_AREAS: usize = 2;
/// Where the checksummed part of a label starts.
const CHECKED: usize = 20;

/// A range of a physical volume.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Area {
    /// First byte.
    pub offset: u64,
    /// Length in bytes; 0 means up to the end.
    pub size: u64,
}

/// What the label of a physical volume says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PvLabel {
    /// Which of the first four sectors it is in.
    pub sector: u64,
    /// The physical volume's id.
    pub id: LvmId,
    /// Size of the device in bytes, as it was when the volume was made or resized.
    pub device_size: u64,
    /// Where extents are.
    pub data: Vec<Area>,
    /// Where metadata is: none, or one or two.
    pub metadata: Vec<Area>,
}

impl PvLabel {
    /// Looks for a label; `None` if no sector has one.
    pub fn read(device: &dyn ReadAt) -> Result<Option<Self>, LvmError> {
        let mut first_fault = None;
        for sector in 0..SCAN {
            let offset = sector * SECTOR;
            let mut bytes = [0; SECTOR_LEN];
            if offset + SECTOR > device.len() {
                break;
            }
            device
                .read_exact_at(&mut bytes, offset)
                .map_err(|source| LvmError::Io { offset, source })?;
            if !bytes.starts_with(b"LABELONE") {
                continue;
            }
            match Self::parse(&bytes, sector) {
                Ok(label) => return Ok(Some(label)),
                // A stale label may stand before the right one.
                Err(fault) => first_fault = first_fault.or(Some(fault)),
            }
        }
        first_fault.map_or(Ok(None), Err)
    }

    /// Reads the label in the sector `sector`, whose bytes these are.
    pub fn parse(bytes: &[u8; SECTOR_LEN], sector: u64) -> Result<Self, LvmError> {
        let offset = sector * SECTOR;
        let bad = |field, found| LvmError::Field { what: "label", offset, field, found };
        let (_, checked) = bytes.split_at(CHECKED);
        let (expected, found) = (le32(bytes, 16).unwrap_or(0), crc(checked));
        if found != expected {
            return Err(LvmError::Checksum { what: "label", offset, expected, found });
        }
        match le64(bytes, 8) {
            Some(own) if own == sector => {}
            own => return Err(bad("its own sector", own.unwrap_or(0))),
        }
        if array(bytes, 24) != Some(*b"LVM2 001") {
            return Err(bad("its type", le64(bytes, 24).unwrap_or(0)));
        }
        let start = le32(bytes, 20).unwrap_or(0);
        let header = usize::try_from(start).ok().and_then(|start| bytes.get(start..));
        let header = header.ok_or_else(|| bad("where it starts", start.into()))?;
        let id = array(header, 0).and_then(|id| LvmId::from_bytes(id).ok());
        let id = id.ok_or_else(|| bad("the id", 0))?;
        let device_size = le64(header, 32).ok_or_else(|| bad("where it starts", start.into()))?;
        let mut at = 40;
        let data = areas(header, &mut at).ok_or_else(|| bad("the data areas", at as u64))?;
        let metadata =
            areas(header, &mut at).ok_or_else(|| bad("the metadata areas", at as u64))?;
        if metadata.len() > MOST_METADATA_AREAS {
            return Err(bad("the number of metadata areas", metadata.len() as u64));
        }
        Ok(Self { sector, id, device_size, data, metadata })
    }
}

/// A list of areas that ends with an empty one, within the sector.
fn areas(header: &[u8], at: &mut usize) -> Option<Vec<Area>> {
    let mut list = Vec::new();
    loop {
        let area = Area { offset: le64(header, *at)?, size: le64(header, *at + 8)? };
        *at += 16;
        if area == (Area { offset: 0, size: 0 }) {
            return Some(list);
        }
        list.push(area);
    }
}
