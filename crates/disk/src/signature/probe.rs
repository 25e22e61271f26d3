//! Fields at fixed places of something untrusted.

use snapfmt::ReadAt;

use super::{HEAD_LEN, Kind, Signature};

/// How much of the end counts when it is said to be blank.
const TAIL_LEN: u64 = 4096;

/// A device or image with its head in memory.
pub(crate) struct Probe<'a> {
    head: Vec<u8>,
    tail: Vec<u8>,
    source: &'a dyn ReadAt,
}

impl<'a> Probe<'a> {
    /// `None` if the head cannot be read.
    pub(crate) fn new(source: &'a dyn ReadAt) -> Option<Self> {
        let len = source.len();
        let mut head = vec![0; usize::try_from(len).map_or(HEAD_LEN, |len| len.min(HEAD_LEN))];
        let mut tail = vec![0; usize::try_from(len.min(TAIL_LEN)).ok()?];
        source.read_exact_at(&mut head, 0).ok()?;
        if source.read_exact_at(&mut tail, len.saturating_sub(TAIL_LEN)).is_err() {
            // Bytes that cannot be read are not zeros.
            tail.fill(u8::MAX);
        }
        Some(Self { head, tail, source })
    }

    pub(crate) fn len(&self) -> u64 {
        self.source.len()
    }

    pub(crate) fn is_blank(&self) -> bool {
        self.head.iter().chain(&self.tail).all(|byte| *byte == 0)
    }

    /// `N` bytes at `offset`.
    pub(crate) fn bytes<const N: usize>(&self, offset: u64) -> Option<[u8; N]> {
        if let Ok(start) = usize::try_from(offset)
            && let Some(bytes) = self.head.get(start..).and_then(<[u8]>::first_chunk)
        {
            return Some(*bytes);
        }
        let mut bytes = [0; N];
        let end = offset.checked_add(N as u64)?;
        (end <= self.len() && self.source.read_exact_at(&mut bytes, offset).is_ok())
            .then_some(bytes)
    }

    /// `len` bytes at `offset`, for what is too long to be an array.
    pub(crate) fn block(&self, offset: u64, len: usize) -> Option<Vec<u8>> {
        let end = offset.checked_add(len as u64)?;
        if end > self.len() {
            return None;
        }
        let mut bytes = vec![0; len];
        self.source.read_exact_at(&mut bytes, offset).ok().map(|()| bytes)
    }

    /// Whether `magic` is at `offset`.
    pub(crate) fn has<const N: usize>(&self, offset: u64, magic: &[u8; N]) -> bool {
        self.bytes(offset).is_some_and(|bytes: [u8; N]| bytes == *magic)
    }

    /// A little-endian number.
    pub(crate) fn le32(&self, offset: u64) -> Option<u32> {
        self.bytes(offset).map(u32::from_le_bytes)
    }

    /// A big-endian number.
    pub(crate) fn be32(&self, offset: u64) -> Option<u32> {
        self.bytes(offset).map(u32::from_be_bytes)
    }

    /// Text up to the first zero byte, without blanks around it; `None` if there is none.
    pub(crate) fn text<const N: usize>(&self, offset: u64) -> Option<String> {
        let bytes: [u8; N] = self.bytes(offset)?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(N);
        let text = String::from_utf8_lossy(bytes.get(..end)?);
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// An id of 16 bytes in order, as RFC 9562 writes it; `None` if it is all zeros.
    pub(crate) fn uuid(&self, offset: u64) -> Option<String> {
        self.bytes(offset).and_then(uuid)
    }
}

/// Sixteen bytes as a UUID.
pub(crate) fn uuid(bytes: [u8; 16]) -> Option<String> {
    if bytes == [0; 16] {
        return None;
    }
    let digits = format!("{:032x}", u128::from_be_bytes(bytes));
    grouped(&digits, &[8, 4, 4, 4, 12])
}

/// Text cut into groups of these lengths with hyphens between them.
pub(crate) fn grouped(text: &str, lengths: &[usize]) -> Option<String> {
    let mut rest = text;
    let mut groups = Vec::new();
    for length in lengths {
        let (group, after) = rest.split_at_checked(*length)?;
        groups.push(group);
        rest = after;
    }
    Some(groups.join("-"))
}

impl Signature {
    pub(super) const fn bare(kind: Kind) -> Self {
        Self { kind, label: None, uuid: None }
    }
}
