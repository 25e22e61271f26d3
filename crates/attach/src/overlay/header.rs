//! The first sector of an overlay: what it is and what it is over.

use std::path::Path;

use snapfmt::crc32;

use super::{BLOCK, Medium, OverlayError, Places, REGION};

/// Bytes before the map.
pub(crate) const LEN: u64 = 4096;

/// The header proper: one sector. The rest up to the map is zeros.
const SECTOR: usize = 512;
const MAGIC: [u8; 8] = *b"SNAPOVL\0";
const VERSION: u32 = 1;
/// Longest content, in bytes: what is left between the fixed fields and the checksum.
const MOST: usize = 256;

const AT_VERSION: usize = 8;
const AT_BLOCK: usize = 12;
const AT_REGION: usize = 16;
const AT_CONTENT_LEN: usize = 20;
const AT_SIZE: usize = 24;
const AT_CONTENT: usize = 32;
const AT_CRC: usize = SECTOR - 4;

pub(super) fn write(
    medium: &dyn Medium,
    path: &Path,
    content: &str,
    size: u64,
) -> Result<(), OverlayError> {
    let too_large =
        || OverlayError::TooLarge { path: path.to_owned(), size, content: content.to_owned() };
    let places = Places::new(size).ok_or_else(too_large)?;
    let sector = encode(content, size).ok_or_else(too_large)?;
    let written = medium
        .set_len(places.data())
        .and_then(|()| medium.write_all_at(&sector, 0))
        .and_then(|()| medium.sync());
    written.map_err(|e| OverlayError::io(path, e))
}

fn encode(content: &str, size: u64) -> Option<[u8; SECTOR]> {
    let mut sector = [0; SECTOR];
    let mut put = |at: usize, bytes: &[u8]| sector[at..at + bytes.len()].copy_from_slice(bytes);
    let len = u32::try_from(content.len()).ok().filter(|_| content.len() <= MOST)?;
    put(0, &MAGIC);
    put(AT_VERSION, &VERSION.to_le_bytes());
    put(AT_BLOCK, &u32::try_from(BLOCK).ok()?.to_le_bytes());
    put(AT_REGION, &u32::try_from(REGION).ok()?.to_le_bytes());
    put(AT_CONTENT_LEN, &len.to_le_bytes());
    put(AT_SIZE, &size.to_le_bytes());
    put(AT_CONTENT, content.as_bytes());
    let crc = crc32(&sector[..AT_CRC]);
    sector[AT_CRC..].copy_from_slice(&crc.to_le_bytes());
    Some(sector)
}

pub(super) fn check(
    medium: &dyn Medium,
    path: &Path,
    content: &str,
    size: u64,
) -> Result<Places, OverlayError> {
    let sector = read(medium, path)?;
    let found = word(&sector, AT_VERSION);
    if found != VERSION {
        return Err(OverlayError::Version { path: path.to_owned(), found, known: VERSION });
    }
    let (found, expected) = (crc32(&sector[..AT_CRC]), word(&sector, AT_CRC));
    if found != expected {
        return Err(OverlayError::Damaged { path: path.to_owned(), found, expected });
    }
    let not_one = || OverlayError::NotAnOverlay { path: path.to_owned() };
    let shape = [AT_BLOCK, AT_REGION].map(|at| u64::from(word(&sector, at)));
    let len = usize::try_from(word(&sector, AT_CONTENT_LEN)).ok().filter(|len| *len <= MOST);
    let its = len.and_then(|len| std::str::from_utf8(&sector[AT_CONTENT..AT_CONTENT + len]).ok());
    let its = its.filter(|_| shape == [BLOCK, REGION]).ok_or_else(not_one)?;
    if its != content {
        let (expected, found) = (content.to_owned(), its.to_owned());
        return Err(OverlayError::OtherContent { path: path.to_owned(), expected, found });
    }
    let found = (0..8).rev().fold(0, |n, i| n << 8 | u64::from(sector[AT_SIZE + i]));
    if found != size {
        return Err(OverlayError::OtherSize { path: path.to_owned(), expected: size, found });
    }
    Places::new(size).ok_or_else(not_one)
}

/// The sector of what begins like an overlay.
pub(super) fn read(medium: &dyn Medium, path: &Path) -> Result<[u8; SECTOR], OverlayError> {
    let mut sector = [0; SECTOR];
    match medium.read_exact_at(&mut sector, 0) {
        Err(e) if e.kind() != std::io::ErrorKind::UnexpectedEof => Err(OverlayError::io(path, e)),
        Ok(()) if sector.starts_with(&MAGIC) => Ok(sector),
        _ => Err(OverlayError::NotAnOverlay { path: path.to_owned() }),
    }
}

fn word(sector: &[u8; SECTOR], at: usize) -> u32 {
    (0..4).rev().fold(0, |n, i| n << 8 | u32::from(sector[at + i]))
}
