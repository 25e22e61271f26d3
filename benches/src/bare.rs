//! The bare loops: the least that any program has to do with the same frames on the same disk. No
//! index, no layout, no checks but the one named.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use repository::catalog::OpenSet;
use rustix::fs::{FallocateFlags, OFlags, fallocate};
use snapfmt::{Content, ReadAt};
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::DParameter;

/// What `O_DIRECT` asks buffers, offsets and lengths to be multiples of.
const ALIGN: usize = 4096;

/// Where the stored chunks of a set's own files are.
#[derive(Debug)]
pub struct Frames {
    files: Vec<File>,
    list: Vec<Frame>,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    file: usize,
    /// Offset and length of the stored bytes.
    offset: u64,
    stored: usize,
    /// Offset and length of the plain bytes on the member.
    at: u64,
    plain: usize,
}

/// Whether plain bytes are hashed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hash {
    /// They are not.
    No,
    /// With BLAKE3.
    Blake3,
}

/// What becomes of decoded chunks.
#[derive(Clone, Copy, Debug)]
pub enum Output<'f> {
    /// Nothing.
    Drop,
    /// Written at their place in pieces of so many bytes.
    Write(&'f File, usize),
}

impl Frames {
    /// Lists the frames of a set.
    pub fn of(set: &OpenSet) -> Self {
        let (mut files, mut list) = (Vec::new(), Vec::new());
        for (file, own) in set.own_files().enumerate() {
            files.push(File::open(&own.path).expect("a file of the set"));
            for record in own.snapshot.records() {
                let record = record.expect("a sound index");
                let Content::Data { stored, .. } = record.content else { continue };
                let plain = own.snapshot.geometry().bytes(record.first, record.count);
                list.push(Frame {
                    file,
                    offset: stored.offset,
                    stored: stored.len as usize,
                    at: plain.start,
                    plain: usize::try_from(plain.end - plain.start).expect("a chunk's length"),
                });
            }
        }
        Self { files, list }
    }

    /// Plain bytes of all frames.
    pub fn plain(&self) -> u64 {
        self.list.iter().map(|f| f.plain as u64).sum()
    }

    /// Stored bytes of all frames.
    pub fn stored(&self) -> u64 {
        self.list.iter().map(|f| f.stored as u64).sum()
    }

    /// Reads each frame and computes its CRC-32.
    pub fn checksum(&self, threads: usize) {
        self.share(threads, |next| {
            let mut stored = Vec::new();
            for frame in next {
                std::hint::black_box(crc32fast::hash(self.read(frame, &mut stored)));
            }
        });
    }

    /// Reads and decodes each frame, hashes and writes it as asked.
    pub fn decode(&self, threads: usize, hash: Hash, output: Output<'_>) {
        let longest = self.list.iter().map(|f| f.plain).max().unwrap_or(0);
        self.share(threads, |next| {
            let mut zstd = decompressor();
            let (mut stored, mut buffer) = (Vec::new(), Aligned::new(longest));
            for frame in next {
                let plain = &mut buffer.bytes()[..frame.plain];
                let bytes = self.read(frame, &mut stored);
                let len = zstd.decompress_to_buffer(bytes, plain).expect("a sound frame");
                assert_eq!(len, frame.plain);
                if hash == Hash::Blake3 {
                    std::hint::black_box(blake3::hash(plain));
                }
                if let Output::Write(file, piece) = output {
                    write(file, plain, frame.at, piece);
                }
            }
        });
    }

    /// Writes what each frame holds, taken from the raw image, as large as the writes may be: what a
    /// restore costs at least on this disk.
    pub fn write(&self, image: &dyn ReadAt, file: &File, piece: usize, threads: usize) {
        let runs = self.runs(piece.max(1 << 20) as u64);
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let longest = runs.iter().map(|r| r.end - r.start).max().unwrap_or(0);
                    let mut buffer = Aligned::new(usize::try_from(longest).expect("a length"));
                    while let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let len = usize::try_from(run.end - run.start).expect("a length");
                        let bytes = &mut buffer.bytes()[..len];
                        image.read_exact_at(bytes, run.start).expect("the image's bytes");
                        write(file, bytes, run.start, piece);
                    }
                });
            }
        });
    }

    /// Sets room aside in `file` for what the frames hold.
    pub fn reserve(&self, file: &File) {
        for run in self.runs(u64::MAX) {
            fallocate(file, FallocateFlags::KEEP_SIZE, run.start, run.end - run.start)
                .expect("a filesystem that sets room aside");
        }
    }

    /// The bytes that frames hold, joined up to `most` where they touch.
    fn runs(&self, most: u64) -> Vec<std::ops::Range<u64>> {
        let mut runs: Vec<std::ops::Range<u64>> = Vec::new();
        for frame in &self.list {
            let end = frame.at + frame.plain as u64;
            match runs.last_mut() {
                Some(last) if last.end == frame.at && end - last.start <= most => last.end = end,
                _ => runs.push(frame.at..end),
            }
        }
        runs
    }

    fn read<'b>(&self, frame: &Frame, buffer: &'b mut Vec<u8>) -> &'b [u8] {
        if buffer.len() < frame.stored {
            buffer.resize(frame.stored, 0);
        }
        let bytes = &mut buffer[..frame.stored];
        self.files[frame.file].read_exact_at(bytes, frame.offset).expect("the frame's bytes");
        bytes
    }

    /// Lets threads take frames in order.
    fn share(&self, threads: usize, work: impl Fn(&mut dyn Iterator<Item = &Frame>) + Sync) {
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let take = || self.list.get(next.fetch_add(1, Ordering::Relaxed));
                    work(&mut std::iter::from_fn(take));
                });
            }
        });
    }
}

/// Reads `file` in chunks, hashes each with BLAKE3 and, if asked, compresses it at `level`: what a
/// capture costs at least.
pub fn encode(file: &File, chunk: usize, level: Option<i32>, threads: usize) {
    let len = file.metadata().expect("a length").len();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut zstd = level.map(|level| Compressor::new(level).expect("memory"));
                let mut frame = Vec::with_capacity(zstd::zstd_safe::compress_bound(chunk));
                let mut plain = vec![0; chunk];
                loop {
                    let at = (next.fetch_add(1, Ordering::Relaxed) * chunk) as u64;
                    if at >= len {
                        break;
                    }
                    let part = usize::try_from(len - at).unwrap_or(chunk).min(chunk);
                    let plain = &mut plain[..part];
                    file.read_exact_at(plain, at).expect("the raw member");
                    std::hint::black_box(blake3::hash(plain));
                    if let Some(zstd) = &mut zstd {
                        frame.clear();
                        zstd.compress_to_buffer(plain, &mut frame).expect("room");
                    }
                }
            });
        }
    });
}

/// Copies `from` to `to` in pieces of `piece` bytes, `threads` at a time.
pub fn copy(from: &[u8], to: &mut [u8], piece: usize, threads: usize) {
    let share = from.len().div_ceil(threads).next_multiple_of(piece);
    thread::scope(|scope| {
        for (from, to) in from.chunks(share).zip(to.chunks_mut(share)) {
            scope.spawn(move || {
                for (from, to) in from.chunks(piece).zip(to.chunks_mut(piece)) {
                    to.copy_from_slice(from);
                }
                std::hint::black_box(to);
            });
        }
    });
}

/// Writes `image` to `file` in pieces of `piece` bytes: what a restore to it costs at least.
pub fn write_all(file: &File, image: &[u8], piece: usize, threads: usize) {
    let next = AtomicUsize::new(0);
    // A thread goes through some contiguous bytes, as a worker of the engine does.
    let share = piece.max(1 << 20);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut buffer = Aligned::new(share);
                loop {
                    let at = next.fetch_add(share, Ordering::Relaxed);
                    let Some(from) = image.get(at..image.len().min(at + share)) else { break };
                    if from.is_empty() {
                        break;
                    }
                    let buffer = &mut buffer.bytes()[..from.len()];
                    buffer.copy_from_slice(from);
                    write(file, buffer, at as u64, piece);
                }
            });
        }
    });
}

fn write(file: &File, bytes: &[u8], mut offset: u64, piece: usize) {
    for part in bytes.chunks(piece) {
        file.write_all_at(part, offset).expect("room for the image");
        offset += part.len() as u64;
    }
}

/// A new file of `size` bytes, all of them a hole; for writing past the page cache if `direct`.
pub fn create(path: &Path, size: u64, direct: bool) -> io::Result<File> {
    let flag = if direct { i32::try_from(OFlags::DIRECT.bits()).unwrap_or(0) } else { 0 };
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).custom_flags(flag).open(path)?;
    file.set_len(size)?;
    Ok(file)
}

/// A decoder that skips XXH64: the loops that want a check have BLAKE3.
fn decompressor() -> Decompressor<'static> {
    let mut zstd = Decompressor::new().expect("memory for a decoder");
    zstd.set_parameter(DParameter::ForceIgnoreChecksum(true)).expect("a known parameter");
    zstd
}

/// A buffer whose start is a multiple of [`ALIGN`].
struct Aligned {
    all: Vec<u8>,
    len: usize,
}

impl Aligned {
    fn new(len: usize) -> Self {
        Self { all: vec![0; len + ALIGN], len }
    }

    fn bytes(&mut self) -> &mut [u8] {
        let skip = self.all.as_ptr().addr().next_multiple_of(ALIGN) - self.all.as_ptr().addr();
        &mut self.all[skip..skip + self.len]
    }
}
