//! Snapshots of this project, and what is left of one that lost its beginning or its end.

use memchr::memmem;
use snapfmt::{ChunkSize, FOOTER_BYTES, HEADER_LEN, PROJECT_MAGIC, is_frame_header};

use super::{Format, Probe, magic};

/// How far the next frame may be from a place where the file was cut, in bytes: the longest chunk, which may
/// not compress, and what is around it.
const REACH: u64 = ChunkSize::MAX.bytes() as u64 + (1 << 20);
/// How much is searched at once, in bytes.
const STEP: usize = 256 << 10;
/// Where the project's magic is in a frame's header.
const MAGIC_AT: usize = 8;

/// What begins as one.
pub(super) const WHOLE: &[Format] =
    &[magic("snaprestore snapshot", "give the .snap files of its set as paths", begins)];

/// What is left of one, for which the bytes are searched.
pub(super) const LEFT: &[Format] = &[magic(
    "snaprestore snapshot that lost its beginning",
    "look for another copy, or try snaprestore rebuild",
    is_left,
)];

fn begins(probe: &Probe<'_>) -> bool {
    probe.bytes(0).is_some_and(|header: [u8; HEADER_LEN]| is_frame_header(&header))
        || probe.has(MAGIC_AT as u64, &PROJECT_MAGIC)
}

/// Whether there is a frame at the very end, as the last one of a file is, or one near the beginning.
/// A volume that a snapshot lies on begins with a filesystem, or else is taken for one.
fn is_left(probe: &Probe<'_>) -> bool {
    let last = probe.len().checked_sub(FOOTER_BYTES).and_then(|at| probe.bytes(at));
    last.is_some_and(|header: [u8; HEADER_LEN]| is_frame_header(&header)) || is_near(probe)
}

fn is_near(probe: &Probe<'_>) -> bool {
    let end = probe.len().min(REACH);
    let mut at = 0;
    while at < end {
        let len = usize::try_from(end - at).unwrap_or(STEP).min(STEP + HEADER_LEN);
        let Some(bytes) = probe.block(at, len) else { return false };
        let header = |magic: usize| bytes.get(magic.checked_sub(MAGIC_AT)?..)?.first_chunk();
        if memmem::find_iter(&bytes, &PROJECT_MAGIC).filter_map(header).any(is_frame_header) {
            return true;
        }
        at += STEP as u64;
    }
    false
}
