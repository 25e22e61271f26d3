//! One chunk's frame: encode, or decode into a buffer of known size with every check.

use std::collections::VecDeque;
use std::io;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{self, CParameter, DParameter};

use crate::error::{Fault, Result, Structure};
use crate::geometry::ChunkSize;
use crate::ids::Digest;
use crate::limits::Limits;
use crate::read_at::ReadAt;
use crate::record::Stored;

/// log2 of the largest window a frame may ask a decoder for: 8 MiB, what RFC 8878 (3.1.1.1.2)
/// tells every decoder to support.
pub const MAX_WINDOW_LOG: u32 = 23;

/// CRC-32 (IEEE 802.3) as the format uses it.
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// Decodes chunks; one for each thread. It owns the buffer for stored bytes, so that a chunk costs
/// no allocation.
pub struct Decoder {
    zstd: Decompressor<'static>,
    stored: Vec<u8>,
    strict: bool,
    /// Whether what was found damaged is not read again.
    remembers: bool,
    /// What was proved last: thousands of records may refer to one chunk.
    proved: VecDeque<Known>,
    /// What was found damaged last, and how.
    refuted: VecDeque<(Known, Fault)>,
}

/// A chunk that was decoded, by all that its proof rests on: the file's address, what was decoded, and to what.
type Known = (usize, Stored, Digest, usize);

/// How many chunks a decoder remembers as proved.
const REMEMBERED: usize = 64;
/// How many it remembers as damaged.
const REFUTED: usize = 16;

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("strict", &self.strict).finish_non_exhaustive()
    }
}

impl Decoder {
    /// A decoder.
    pub fn new() -> io::Result<Self> {
        Self::with(false, false)
    }

    /// A decoder for one pass over files, in which a chunk that was found damaged stays so.
    pub fn for_one_pass() -> io::Result<Self> {
        Self::with(false, true)
    }

    /// A decoder that also holds each frame to the rules stock zstd relies on: one frame, content
    /// size, window, a checksum. For verification.
    pub fn strict() -> io::Result<Self> {
        Self::with(true, true)
    }

    fn with(strict: bool, remembers: bool) -> io::Result<Self> {
        let mut zstd = Decompressor::new()?;
        // The CRC covers zstd's own XXH64 as it was written, and BLAKE3 the bytes that it is of.
        zstd.set_parameter(DParameter::ForceIgnoreChecksum(true))?;
        let (proved, refuted) = (VecDeque::new(), VecDeque::new());
        Ok(Self { zstd, stored: Vec::new(), strict, remembers, proved, refuted })
    }

    /// Checks the CRC of the stored bytes, and nothing else.
    pub fn check_stored(
        &mut self,
        file: &dyn ReadAt,
        stored: &Stored,
        what: Structure,
    ) -> Result<()> {
        check_crc(read_stored(file, stored, what, &mut self.stored)?, stored, what)
    }

    /// Checks that the stored bytes are exactly `expected`, a canonical zero frame for `plain` bytes.
    pub fn check_zero_frame(
        &mut self,
        file: &dyn ReadAt,
        stored: &Stored,
        what: Structure,
        plain: u64,
        expected: &[u8],
    ) -> Result<()> {
        let bytes = read_stored(file, stored, what, &mut self.stored)?;
        check_zero_bytes(bytes, stored, what, plain, expected)
    }

    /// Decodes a chunk into `out`, which has exactly the chunk's plain length. In one pass what was found damaged a
    /// little before, in the same file, is not read again.
    ///
    /// On an error `out` holds nothing that may be used.
    pub fn decode(
        &mut self,
        file: &dyn ReadAt,
        stored: &Stored,
        digest: &Digest,
        what: Structure,
        out: &mut [u8],
    ) -> Result<()> {
        let known = (std::ptr::from_ref(file).addr(), *stored, *digest, out.len());
        let mut refuted = self.refuted.iter().filter(|(chunk, _)| *chunk == known);
        if let Some(fault) = refuted.next().and_then(|(_, fault)| lasting(fault)) {
            return Err(what.fault(stored.offset, fault));
        }
        let Self { zstd, stored: scratch, strict, .. } = self;
        let bytes = read_stored(file, stored, what, scratch)?;
        let decoded = decode_frame(zstd, *strict, bytes, stored, digest, what, out);
        let fault = decoded.as_ref().err().and_then(|error| lasting(&error.fault));
        if let Some(fault) = fault.filter(|_| self.remembers) {
            if self.refuted.len() >= REFUTED {
                self.refuted.pop_front();
            }
            self.refuted.push_back((known, fault));
        }
        decoded
    }

    /// Proves that a chunk decodes to `len` bytes with this digest. What was proved a little before, in the same
    /// file, is not decoded again. `plain` is a buffer that keeps its capacity; it holds nothing of use.
    pub fn prove(
        &mut self,
        file: &dyn ReadAt,
        stored: &Stored,
        digest: &Digest,
        what: Structure,
        plain: &mut Vec<u8>,
        len: usize,
    ) -> Result<()> {
        let proved = (std::ptr::from_ref(file).addr(), *stored, *digest, len);
        if self.proved.contains(&proved) {
            return Ok(());
        }
        plain.resize(len, 0);
        self.decode(file, stored, digest, what, plain)?;
        if self.proved.len() >= REMEMBERED {
            self.proved.pop_front();
        }
        self.proved.push_back(proved);
        Ok(())
    }

    /// Decodes a chunk, as [`Decoder::decode`] does, whose stored bytes are at hand: `frame` is what
    /// stands at `stored`.
    pub fn decode_frame(
        &mut self,
        frame: &[u8],
        stored: &Stored,
        digest: &Digest,
        what: Structure,
        out: &mut [u8],
    ) -> Result<()> {
        decode_frame(&mut self.zstd, self.strict, frame, stored, digest, what, out)
    }
}

/// What is wrong with a chunk whenever it is read, and not with what its medium gave this time.
const fn lasting(fault: &Fault) -> Option<Fault> {
    Some(match *fault {
        Fault::Checksum { expected, found } => Fault::Checksum { expected, found },
        Fault::Digest { expected, found } => Fault::Digest { expected, found },
        Fault::Decode { reason } => Fault::Decode { reason },
        Fault::Value { field, value, expected } => Fault::Value { field, value, expected },
        _ => return None,
    })
}

/// Decodes the stored bytes of a chunk with every check.
fn decode_frame(
    zstd: &mut Decompressor<'_>,
    strict: bool,
    bytes: &[u8],
    stored: &Stored,
    digest: &Digest,
    what: Structure,
    out: &mut [u8],
) -> Result<()> {
    check_crc(bytes, stored, what)?;
    if strict {
        check_frame(bytes, out.len()).map_err(|reason| what.fault(stored.offset, reason))?;
    }
    // In one call zstd ignores `WindowLogMax`, and with it what a frame asks for: `out` is its
    // window, so nothing is allocated for it.
    let written = zstd.decompress_to_buffer(bytes, out);
    // The binding's error is text of the library; which of its messages does not matter here.
    let Ok(written) = written else {
        let reason = "the frame is not valid zstd or longer than its chunk";
        return Err(what.fault(stored.offset, Fault::Decode { reason }));
    };
    if written != out.len() {
        let (value, expected) = (written as u64, out.len() as u64);
        let fault = Fault::Value { field: "decompressed length", value, expected };
        return Err(what.fault(stored.offset, fault));
    }
    let found = Digest::of(out);
    if found != *digest {
        return Err(what.fault(stored.offset, Fault::Digest { expected: *digest, found }));
    }
    Ok(())
}

/// Checks the stored bytes of a run: `expected`, the canonical frame for `plain` zero bytes.
pub(crate) fn check_zero_bytes(
    bytes: &[u8],
    stored: &Stored,
    what: Structure,
    plain: u64,
    expected: &[u8],
) -> Result<()> {
    check_crc(bytes, stored, what)?;
    if bytes == expected {
        return Ok(());
    }
    Err(what.fault(stored.offset, Fault::NotCanonical { len: plain }))
}

/// Reads the stored bytes of a frame.
fn read_stored<'a>(
    file: &'a dyn ReadAt,
    stored: &Stored,
    what: Structure,
    scratch: &'a mut Vec<u8>,
) -> Result<&'a [u8]> {
    file.window(stored.offset, stored.len as usize, scratch)
        .map_err(|e| what.io(stored.offset, stored.len.into(), file.len(), e))
}

fn check_crc(bytes: &[u8], stored: &Stored, what: Structure) -> Result<()> {
    let found = crc32fast::hash(bytes);
    if found == stored.crc {
        return Ok(());
    }
    Err(what.fault(stored.offset, Fault::Checksum { expected: stored.crc, found }))
}

/// Holds a frame to the rules for chunk frames (FORMAT, "Chunk frames").
fn check_frame(bytes: &[u8], plain: usize) -> std::result::Result<(), Fault> {
    let reason = |reason| Err(Fault::Decode { reason });
    let content = zstd_safe::get_frame_content_size(bytes);
    if !matches!(content, Ok(Some(size)) if size == plain as u64) {
        return reason("the frame does not state the chunk's length");
    }
    if zstd_safe::find_frame_compressed_size(bytes) != Ok(bytes.len()) {
        return reason("the stored bytes are not exactly one frame");
    }
    // Frame_Header_Descriptor (RFC 8878, 3.1.1.1.1), and the Window_Descriptor behind it.
    let [b'\x28', b'\xb5', b'\x2f', b'\xfd', descriptor, window, ..] = *bytes else {
        return reason("the stored bytes do not start a zstd frame");
    };
    if descriptor & CHECKSUM_FLAG == 0 {
        return reason("the frame has no checksum");
    }
    if descriptor & DICTIONARY_ID_FLAG != 0 {
        return reason("the frame names a dictionary");
    }
    let window = if descriptor & SINGLE_SEGMENT_FLAG != 0 {
        plain as u64
    } else {
        let base = 1_u64 << (10 + (window >> 3));
        base + base / 8 * u64::from(window & 7)
    };
    if window > 1 << MAX_WINDOW_LOG {
        return reason("the frame's window is over 8 MiB");
    }
    Ok(())
}

const DICTIONARY_ID_FLAG: u8 = 0b11;
const CHECKSUM_FLAG: u8 = 1 << 2;
const SINGLE_SEGMENT_FLAG: u8 = 1 << 5;

/// Encodes chunks; one for each thread.
pub struct Encoder {
    zstd: Compressor<'static>,
    chunk_size: ChunkSize,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

impl Encoder {
    /// Compression level when nothing else is asked for.
    pub const DEFAULT_LEVEL: i32 = 3;

    /// An encoder at a zstd level (1 to 22, negative levels are faster).
    pub fn new(level: i32, chunk_size: ChunkSize) -> io::Result<Self> {
        let mut zstd = Compressor::new(level)?;
        zstd.set_parameter(CParameter::ChecksumFlag(true))?;
        zstd.set_parameter(CParameter::ContentSizeFlag(true))?;
        // A smaller chunk bounds the window by itself: zstd knows the length before it starts.
        if chunk_size.bytes().ilog2() > MAX_WINDOW_LOG {
            zstd.set_parameter(CParameter::WindowLog(MAX_WINDOW_LOG))?;
        }
        Ok(Self { zstd, chunk_size })
    }

    /// Replaces `out` by the frame for `plain`, a chunk: 1 byte up to the chunk size. `out` keeps
    /// its capacity from call to call.
    pub fn encode(&mut self, plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        out.clear();
        let len = u32::try_from(plain.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        if !(1..=self.chunk_size.bytes()).contains(&len) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        out.reserve(Limits::stored_bytes(len) as usize);
        self.zstd.compress_to_buffer(plain, out).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{Decoder, Encoder, crc32};
    use crate::error::Structure;
    use crate::geometry::{ChunkNo, ChunkSize};
    use crate::ids::Digest;
    use crate::read_at::ReadAt;
    use crate::record::Stored;

    struct Counted {
        bytes: Vec<u8>,
        reads: AtomicUsize,
    }

    impl ReadAt for Counted {
        fn len(&self) -> u64 {
            self.bytes.len() as u64
        }

        fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            self.bytes.read_exact_at(buf, offset)
        }
    }

    #[test]
    fn a_damaged_chunk_is_read_once_for_all_that_refer_to_it() {
        let plain = [7; 4096];
        let mut frame = Vec::new();
        let chunk_size = ChunkSize::try_from(4096_u32).unwrap();
        Encoder::new(3, chunk_size).unwrap().encode(&plain, &mut frame).unwrap();
        let sound =
            Stored { offset: 0, len: u32::try_from(frame.len()).unwrap(), crc: crc32(&frame) };
        let file = Counted { bytes: frame, reads: AtomicUsize::new(0) };
        let mut decoder = Decoder::for_one_pass().unwrap();
        let mut decode = |stored: &Stored, digest: &Digest, no| {
            let what = Structure::Chunk(ChunkNo(no));
            decoder.decode(&file, stored, digest, what, &mut [0; 4096])
        };
        let (right, wrong) = (Digest::of(&plain), Digest::of(b"else"));
        for (stored, digest) in [(sound, wrong), (Stored { crc: !sound.crc, ..sound }, right)] {
            file.reads.store(0, Ordering::Relaxed);
            let first = decode(&stored, &digest, 1).unwrap_err();
            let again = decode(&stored, &digest, 2).unwrap_err();
            assert_eq!(file.reads.load(Ordering::Relaxed), 1, "{first}");
            assert_eq!(again.fault.to_string(), first.fault.to_string());
            assert_eq!(again.what, Structure::Chunk(ChunkNo(2)));
        }
        decode(&sound, &right, 3).unwrap();
    }
}
