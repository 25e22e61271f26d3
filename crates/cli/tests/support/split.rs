//! The independent splitter and joiner: a logical image to member images and back, one piece after
//! the other, keeping holes. What the product does with layouts is held against this.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::layout::Layout;
use super::{Outcome, ensure, scratch};

const PAGE: usize = 4096;
const BUFFER: usize = 64 << 10;
static ZERO: [u8; PAGE] = [0; PAGE];

/// Splits a logical image into `<dir>/<member>.raw`. Every byte of an unmapped range must be zero.
pub(crate) fn split(
    logical: &Path,
    layout: &Layout,
    dir: &Path,
) -> Outcome<BTreeMap<String, PathBuf>> {
    let image = File::open(logical).map_err(|e| format!("{}: {e}", logical.display()))?;
    let size = image.metadata()?.len();
    ensure!(size == layout.logical_size(), "image of {size}, layout of {}", layout.logical_size());
    let mut paths = BTreeMap::new();
    let mut members = BTreeMap::new();
    for (id, size) in layout.member_sizes() {
        let path = dir.join(format!("{id}.raw"));
        members.insert(id.clone(), scratch::new_sparse(&path, size)?);
        paths.insert(id, path);
    }
    for piece in layout.pieces() {
        match piece.place {
            None => all_zero(&image, &piece.logical)?,
            Some(place) => {
                let member = members.get(&place.member).ok_or("no such member")?;
                copy_range(&image, &piece.logical, member, place.offset)?;
            }
        }
    }
    Ok(paths)
}

/// Puts member images together again, as `README.txt` tells a person to.
pub(crate) fn join(
    members: &BTreeMap<String, PathBuf>,
    layout: &Layout,
    logical: &Path,
) -> Outcome {
    let image = scratch::new_sparse(logical, layout.logical_size())?;
    for piece in layout.pieces() {
        let Some(place) = piece.place else { continue };
        let path = members.get(&place.member).ok_or("no such member")?;
        let member = File::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let end = place.offset + (piece.logical.end - piece.logical.start);
        copy_range(&member, &(place.offset..end), &image, piece.logical.start)?;
    }
    Ok(())
}

/// Whether a range of a file reads as zeros.
pub(crate) fn is_zero(file: &File, range: &Range<u64>) -> Outcome<bool> {
    let mut buffer = vec![0; BUFFER];
    let mut at = range.start;
    while at < range.end {
        let part = part(&mut buffer, range.end - at);
        file.read_exact_at(part, at)?;
        if part.chunks(PAGE).any(|page| !zero(page)) {
            return Ok(false);
        }
        at += part.len() as u64;
    }
    Ok(true)
}

fn all_zero(file: &File, range: &Range<u64>) -> Outcome {
    ensure!(is_zero(file, range)?, "the test's own fault: unmapped {range:?} holds data");
    Ok(())
}

/// Copies a range into a file that is zero there, leaving zero pages as the holes they are.
fn copy_range(from: &File, range: &Range<u64>, to: &File, at: u64) -> Outcome {
    let mut buffer = vec![0; BUFFER];
    let mut done = 0;
    while range.start + done < range.end {
        let part = part(&mut buffer, range.end - range.start - done);
        from.read_exact_at(part, range.start + done)?;
        let mut page_at = at + done;
        for page in part.chunks(PAGE) {
            if !zero(page) {
                to.write_all_at(page, page_at)?;
            }
            page_at += page.len() as u64;
        }
        done += part.len() as u64;
    }
    Ok(())
}

fn part(buffer: &mut [u8], left: u64) -> &mut [u8] {
    let len = usize::try_from(left).map_or(BUFFER, |left| left.min(BUFFER));
    &mut buffer[..len]
}

fn zero(page: &[u8]) -> bool {
    page == &ZERO[..page.len()]
}
