//! Memory that direct I/O takes.

/// What offset, length and address of a direct write are multiples of. Logical sectors are 512 or
/// 4096 bytes; `open(2)` asks for no more than that.
pub const ALIGN: usize = 4096;

/// A buffer whose bytes are aligned to [`ALIGN`] as those of a file are.
#[derive(Debug, Default)]
pub struct AlignedBuffer {
    bytes: Vec<u8>,
    start: usize,
}

impl AlignedBuffer {
    /// Makes room for `len` bytes that belong at byte `offset` of a file, aligned in memory as they
    /// are there. What is in the buffer is then undefined, but initialised.
    pub fn reserve(&mut self, len: usize, offset: u64) {
        if self.bytes.len() < len + 2 * ALIGN {
            self.bytes.resize(len + 2 * ALIGN, 0);
        }
        let phase = usize::try_from(offset % ALIGN as u64).unwrap_or(0);
        self.start = self.bytes.as_ptr().align_offset(ALIGN).min(ALIGN) + phase;
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// The bytes, to be filled.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }
}
