//! A raw image or block device as a source.

use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::fs::{Advice, fadvise};
use snapfmt::PreadFile;

use super::sectors::Sectors;
use super::{ChunkRef, Extent, ExtentKind, Proof, ReadCause, ReadError, Scratch, Source, StoredAt};
use crate::ranges::length;
use disk::signature::Container;
use host::{device, sparse};

/// A raw file or device, read with `pread(2)`. What `SEEK_DATA` leaves out is zeros.
#[derive(Debug)]
pub struct RawSource {
    path: PathBuf,
    file: File,
    size: u64,
    unit: u32,
    /// The run of data that was found last: some filesystems look for its end page by page.
    run: Mutex<Range<u64>>,
    /// For a medium that fails.
    sectors: OnceLock<Sectors>,
}

/// Why a file or device is no raw member.
#[derive(Debug, thiserror::Error)]
pub enum NotRaw {
    /// It cannot be opened, or be asked for its size.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It has no byte, as what is left of a copy that failed.
    #[error("is empty (0 bytes)")]
    Empty,
    /// It holds a disk, or files, in a form of its own: its bytes are not those of a disk.
    #[error("is not a raw copy ({0}): {way}", way = .0.way)]
    Container(&'static Container),
}

impl RawSource {
    /// Opens `path` read-only; data is given in chunks of `unit` bytes. What is known to be no raw copy
    /// of a disk is refused.
    pub fn open(path: &Path, unit: u32) -> Result<Self, NotRaw> {
        let source = Self::open_as_it_is(path, unit)?;
        if source.size == 0 {
            return Err(NotRaw::Empty);
        }
        let file = PreadFile::new(source.file.try_clone()?, source.size);
        match Container::of(&file) {
            Some(container) => Err(NotRaw::Container(container)),
            None => Ok(source),
        }
    }

    /// The same of anything that has bytes, whatever they are.
    pub fn open_as_it_is(path: &Path, unit: u32) -> io::Result<Self> {
        device::check_kind(&std::fs::metadata(path)?)?;
        let file = File::open(path)?;
        let size = device::size(&file)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            size,
            unit,
            run: Mutex::default(),
            sectors: OnceLock::new(),
        })
    }

    fn failed(&self, offset: u64, source: io::Error) -> ReadError {
        ReadError::new(&self.path, ReadCause::Io { offset, source })
    }

    /// The end of the data around byte `at`, if that is known. What has become a hole since then reads
    /// as zeros all the same.
    fn known_data(&self, at: u64) -> Option<u64> {
        let run = self.run();
        run.contains(&at).then_some(run.end)
    }

    fn run(&self) -> MutexGuard<'_, Range<u64>> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sectors(&self) -> &Sectors {
        self.sectors.get_or_init(|| Sectors::of(&self.file))
    }

    /// The chunk that holds byte `offset`.
    fn chunk(&self, offset: u64) -> Range<u64> {
        let unit = u64::from(self.unit);
        let start = offset - offset % unit;
        start..start.saturating_add(unit).min(self.size)
    }
}

impl Source for RawSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn largest_chunk(&self) -> u32 {
        self.unit
    }

    fn extents(&self, range: Range<u64>, out: &mut Vec<Extent>) -> Result<(), ReadError> {
        let mut at = range.start;
        let mut data_end = self.known_data(at).unwrap_or(at);
        while at < range.end {
            if at >= data_end {
                let data = sparse::data_from(&self.file, at, self.size);
                let data = data.map_err(|e| self.failed(at, e))?;
                if data > at {
                    out.push(Extent { range: at..data, kind: ExtentKind::Zero });
                    at = data;
                    continue;
                }
                let hole = sparse::hole_from(&self.file, at, self.size);
                data_end = hole.map_err(|e| self.failed(at, e))?.max(at + 1);
                *self.run() = at..data_end;
            }
            let chunk = self.chunk(at);
            let len = u32::try_from(chunk.end - chunk.start).unwrap_or(self.unit);
            let stored = StoredAt { offset: chunk.start, len, crc: 0 };
            let visible = at..chunk.end.min(data_end);
            at = visible.end;
            let kind = ExtentKind::Data(ChunkRef::new(chunk, None, stored));
            out.push(Extent { range: visible, kind });
        }
        Ok(())
    }

    fn will_need(&self, chunk: &ChunkRef) {
        // What cannot be read will fail when it is read.
        let len = NonZeroU64::new(length(&chunk.range));
        let _ = fadvise(&self.file, chunk.range.start, len, Advice::WillNeed);
    }

    fn read(&self, chunk: &ChunkRef, out: &mut [u8], _: &mut Scratch) -> Result<Proof, ReadError> {
        let offset = chunk.range.start;
        self.file.read_exact_at(out, offset).map_err(|e| self.failed(offset, e))?;
        Ok(Proof::None)
    }

    fn sector(&self, _: &ChunkRef) -> Option<u32> {
        Some(self.sectors().size())
    }

    fn read_part(&self, _: &ChunkRef, part: Range<u64>, out: &mut [u8]) -> Result<(), ReadError> {
        let read = self.sectors().read(&self.file, part.start, out);
        read.map_err(|e| self.failed(part.start, e))
    }
}
