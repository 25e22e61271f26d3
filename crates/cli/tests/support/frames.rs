//! A walk over the frames of a Zstandard file (RFC 8878), enough to know where each one is and how much it
//! inflates to. It reads any such file and knows nothing of `.snap` beyond that.

use std::ops::Range;
use std::path::Path;

use super::{Outcome, ensure, scratch};

const ZSTD_MAGIC: u32 = 0xFD2F_B528;
const SKIPPABLE_MAGIC: u32 = 0x184D_2A50;

/// One frame of the file.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// Where it is in the file.
    pub(crate) stored: Range<u64>,
    /// Where its content is in the plain stream; empty for a skippable frame.
    pub(crate) plain: Range<u64>,
    pub(crate) skippable: bool,
}

/// All frames of a file, in order, to its last byte.
pub(crate) fn frames(path: &Path) -> Outcome<Vec<Frame>> {
    let bytes = scratch::read(path)?;
    let mut frames = Vec::new();
    let mut at = 0;
    let mut plain = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let magic = number(rest, 0, 4)?;
        let (len, content, skippable) = if magic & 0xFFFF_FFF0 == u64::from(SKIPPABLE_MAGIC) {
            (8 + usize::try_from(number(rest, 4, 4)?)?, 0, true)
        } else {
            ensure!(
                magic == u64::from(ZSTD_MAGIC),
                "{} at {at}: no frame but {magic:#x}",
                path.display()
            );
            let (len, content) = data_frame(rest)?;
            (len, content, false)
        };
        ensure!(len <= rest.len(), "{} at {at}: a frame of {len} bytes is cut off", path.display());
        let stored = at as u64..(at + len) as u64;
        frames.push(Frame { stored, plain: plain..plain + content, skippable });
        plain += content;
        at += len;
    }
    Ok(frames)
}

/// Stored length and plain length of the Zstandard frame at the start of `bytes`.
fn data_frame(bytes: &[u8]) -> Outcome<(usize, u64)> {
    let descriptor = *bytes.get(4).ok_or("frame header cut off")?;
    let single_segment = descriptor & 0x20 != 0;
    let checksum = descriptor & 0x04 != 0;
    let window = usize::from(!single_segment);
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let content_field = match descriptor >> 6 {
        0 => usize::from(single_segment),
        1 => 2,
        2 => 4,
        _ => 8,
    };
    ensure!(content_field > 0, "a frame without its content size");
    let content_at = 5 + window + dictionary;
    let mut content = number(bytes, content_at, content_field)?;
    if content_field == 2 {
        content += 256;
    }
    let mut at = content_at + content_field;
    loop {
        let header = number(bytes, at, 3)?;
        let size = usize::try_from(header >> 3)?;
        // A run-length block stores one byte, whatever it inflates to.
        at += 3 + if (header >> 1) & 3 == 1 { 1 } else { size };
        if header & 1 == 1 {
            break;
        }
    }
    Ok((at + if checksum { 4 } else { 0 }, content))
}

fn number(bytes: &[u8], at: usize, len: usize) -> Outcome<u64> {
    let field = bytes.get(at..at + len).ok_or("frame cut off")?;
    Ok(field.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

/// The parts of a `.snap` file a test may want to damage, found by their order alone.
pub(crate) struct Anatomy {
    pub(crate) frames: Vec<Frame>,
}

impl Anatomy {
    pub(crate) fn of(path: &Path) -> Outcome<Self> {
        let frames = frames(path)?;
        ensure!(frames.len() > 2, "{} has {} frames", path.display(), frames.len());
        Ok(Self { frames })
    }

    /// The first frame says what the file is.
    pub(crate) fn manifest(&self) -> &Frame {
        &self.frames[0]
    }

    /// The last frame.
    pub(crate) fn footer(&self) -> &Frame {
        &self.frames[self.frames.len() - 1]
    }

    /// The first frame after the last data: the index of a file that ends in data.
    pub(crate) fn index(&self) -> &Frame {
        let last = self.frames.iter().rposition(|f| !f.skippable).unwrap_or_default();
        &self.frames[(last + 1).min(self.frames.len() - 1)]
    }

    pub(crate) fn data(&self) -> impl Iterator<Item = &Frame> {
        self.frames.iter().filter(|f| !f.skippable)
    }
}

/// The middle byte of a frame.
pub(crate) fn middle(frame: &Frame) -> u64 {
    u64::midpoint(frame.stored.start, frame.stored.end)
}
