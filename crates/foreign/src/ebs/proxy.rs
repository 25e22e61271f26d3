//! What flexible-snapshot-proxy's `movetos3` leaves in a bucket: a directory `SNAPSHOT.GIB` with a file
//! `FIRST.SHA.COUNT.zstd` for each run of blocks (awslabs/flexible-snapshot-proxy, `src/fsp.py`). The
//! names are the index; nothing says what should be there and is not.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use restore::source::{
    BackupFault, ChunkRef, Extent, ExtentKind, Proof, ReadCause, ReadError, Scratch, Source,
    StoredAt,
};

use super::checksum::Sha256;
use super::names::{decimal, is_snapshot};
use super::proof::{opened, proved};
use super::{BLOCK_LEN, BLOCK_SIZE, block_count, gib};
use crate::backup::{Fault, FileFault, Name};
use crate::limits::Limits;
use crate::within::Roots;

/// Most blocks in a file: 32 MiB.
const MAX_COUNT: u32 = 64;

/// A run of blocks, by its file's name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Segment {
    first: u32,
    count: u32,
    sha256: Sha256,
    /// What its file is called, where that is not what the program calls it.
    name: Option<Box<str>>,
}

impl Segment {
    /// What a file's name says.
    pub(super) fn of(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".zstd")?.split('.');
        let mut next = || parts.next();
        let (first, sha, count) = (next()?, next()?, next()?);
        let sha256 = URL_SAFE.decode(sha).ok()?.try_into().ok()?;
        let segment = Self { first: decimal(first)?, count: decimal(count)?, sha256, name: None };
        // Otherwise its file would not be found again.
        (segment.to_string() == name && segment.count > 0).then_some(segment)
    }

    /// The same of a file that something else has renamed: with `%3D` for the `=`, without it, in the other
    /// alphabet, with zeros before numbers, or with something else behind it. What it says is proved
    /// when the file is read.
    pub(super) fn renamed(name: &str) -> Option<Self> {
        let plain = decoded(name);
        let mut parts = plain.splitn(4, '.');
        let mut next = || parts.next();
        let (first, sha, count) = (next()?, next()?, next()?);
        let sha = sha.trim_end_matches('=').replace('+', "-").replace('/', "_");
        let sha256 = URL_SAFE_NO_PAD.decode(sha).ok()?.try_into().ok()?;
        let (first, count) = (decimal(first)?, decimal(count).filter(|count| *count > 0)?);
        Some(Self { first, count, sha256, name: Some(name.into()) })
    }

    /// What its file is called.
    fn file_name(&self) -> String {
        self.name.as_ref().map_or_else(|| self.to_string(), ToString::to_string)
    }

    /// What it says, wherever it stands.
    const fn said(&self) -> (u32, u32, Sha256) {
        (self.first, self.count, self.sha256)
    }

    const fn range(&self) -> Range<u64> {
        let start = self.first as u64 * BLOCK_SIZE;
        start..start + self.count as u64 * BLOCK_SIZE
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.zstd", self.first, URL_SAFE.encode(self.sha256), self.count)
    }
}

/// A name with what stands for a byte as `%3D` does put back.
fn decoded(name: &str) -> String {
    let mut parts = name.split('%');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let byte = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(byte) = byte.filter(u8::is_ascii_graphic) {
            plain.push(char::from(byte));
            plain.push_str(part.get(2..).unwrap_or_default());
        } else {
            plain.push('%');
            plain.push_str(part);
        }
    }
    plain
}

/// Whether a file can hardly be anything but a run of blocks, whatever its name says.
pub(super) fn is_like_segment(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_digit()) || name.contains(".zst")
}

/// The snapshot and size in GiB that a directory's name says.
pub(super) fn folder(path: &Path) -> Option<(Name, u64)> {
    let (snapshot, size) = path.file_name()?.to_str()?.split_once('.')?;
    Some((is_snapshot(snapshot).then(|| Name::from(snapshot))?, decimal(size)?))
}

/// A directory with such files.
#[derive(Clone, Debug)]
pub(super) struct Dump {
    pub path: PathBuf,
    roots: Roots,
    /// In bytes.
    pub size: u64,
    /// Sorted, disjoint, within the volume.
    segments: Vec<Segment>,
}

impl Dump {
    pub(super) fn new(
        path: PathBuf,
        size: u64,
        mut segments: Vec<Segment>,
        roots: &Roots,
        limits: &Limits,
    ) -> Result<Self, FileFault> {
        let fault = |at: &Path, fault| Err(FileFault::new(at, fault));
        let bytes = gib(size, limits).map_err(|e| FileFault::new(&path, e))?;
        let blocks = block_count(bytes);
        // Of a run that is there twice, the file that is called as it should be is first.
        segments.sort_unstable_by(|a, b| (a.said(), &a.name).cmp(&(b.said(), &b.name)));
        segments.dedup_by_key(|segment| segment.said());
        let mut before: Option<&Segment> = None;
        for segment in &segments {
            let Segment { first: block, count, .. } = *segment;
            let file = path.join(segment.file_name());
            if count > MAX_COUNT {
                let (expected, found) = (u64::from(MAX_COUNT), u64::from(count));
                return fault(&file, Fault::RunLength { expected, found });
            }
            if u64::from(block) + u64::from(count) > blocks {
                return fault(&file, Fault::Beyond { block, blocks });
            }
            if let Some(other) = before.filter(|other| other.range().end > segment.range().start) {
                let other = path.join(other.file_name());
                return fault(&file, Fault::Twice { block, other });
            }
            before = Some(segment);
        }
        Ok(Self { path, roots: roots.clone(), size: bytes, segments })
    }

    /// Whether it says the same of all blocks, wherever it is.
    pub(super) fn is_copy_of(&self, other: &Self) -> bool {
        let (one, other_one) = (self.segments.iter(), other.segments.iter());
        self.size == other.size && one.map(Segment::said).eq(other_one.map(Segment::said))
    }

    fn file(&self, segment: &Segment) -> PathBuf {
        self.roots.absolute(&self.path).join(segment.file_name())
    }

    /// The segments from the one that holds byte `at` on.
    fn from(&self, at: u64) -> &[Segment] {
        let at = self.segments.partition_point(|segment| segment.range().end <= at);
        self.segments.get(at..).unwrap_or_default()
    }
}

/// Most bytes a frame of so many can have: what zstd allows for incompressible data, and a little.
fn frame_bound(plain: u64) -> u64 {
    plain + plain / 128 + 1024
}

impl Source for Dump {
    fn size(&self) -> u64 {
        self.size
    }

    fn largest_chunk(&self) -> u32 {
        self.segments.iter().map(|segment| segment.count).max().unwrap_or(1) * BLOCK_LEN
    }

    fn extents(&self, range: Range<u64>, out: &mut Vec<Extent>) -> Result<(), ReadError> {
        let mut at = range.start;
        for segment in self.from(range.start) {
            let own = segment.range();
            if own.start >= range.end {
                break;
            }
            if own.start > at {
                out.push(Extent { range: at..own.start, kind: ExtentKind::Hole });
            }
            let stored = StoredAt { offset: own.start, len: 0, crc: 0 };
            let chunk = ChunkRef::new(own.clone(), None, stored);
            at = own.end;
            out.push(Extent { range: own, kind: ExtentKind::Data(chunk) });
        }
        if at < range.end {
            let end = self.from(at).first().map_or(self.size, |next| next.range().start);
            out.push(Extent { range: at..end, kind: ExtentKind::Hole });
        }
        Ok(())
    }

    fn read(&self, chunk: &ChunkRef, out: &mut [u8], _: &mut Scratch) -> Result<Proof, ReadError> {
        let range = chunk.range.clone();
        let Some(segment) = self.from(range.start).first().filter(|s| s.range() == range) else {
            unreachable!("a chunk is read from the source that named it")
        };
        let path = self.file(segment);
        let fault = |fault: BackupFault| ReadError::new(&path, fault);
        let (file, found) = opened(&self.roots, &path, &range)?;
        let most = frame_bound(range.end - range.start);
        if found > most {
            return Err(fault(BackupFault::Length { range, expected: most, found }));
        }
        let stored = stored(file, found)
            .map_err(|source| ReadError::new(&path, ReadCause::Io { offset: 0, source }))?;
        let expected = out.len() as u64;
        let compressed = |source| fault(BackupFault::Compressed { range: range.clone(), source });
        let length = zstd::bulk::decompress_to_buffer(&stored, out).map_err(compressed)?;
        if length as u64 != expected {
            let found = length as u64;
            return Err(fault(BackupFault::Length { range, expected, found }));
        }
        proved(&path, &range, out, &segment.sha256)
    }
}

fn stored(file: File, len: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
    file.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{Segment, folder};
    use std::path::Path;

    const SHA: &str = "B4VNL-8pega6gWheZgwzLeNtXRjVRpJ9MNqtbX_aFUE=";

    #[test]
    fn names_are_read_strictly() {
        let segment = Segment::of(&format!("64.{SHA}.3.zstd")).unwrap();
        assert_eq!((segment.first, segment.count), (64, 3));
        assert_eq!(segment.to_string(), format!("64.{SHA}.3.zstd"));
        let plus = SHA.replace('-', "+");
        for bad in [
            format!("064.{SHA}.3.zstd"),
            format!("64.{SHA}.+3.zstd"),
            format!("64.{SHA}.0.zstd"),
            format!("64.{SHA}.3.4.zstd"),
            format!("64.{plus}.3.zstd"),
            format!("64.{}.3.zstd", SHA.trim_end_matches('=')),
            format!("4294967296.{SHA}.3.zstd"),
            format!("64.{SHA}.3.zst"),
        ] {
            assert_eq!(Segment::of(&bad), None, "{bad}");
        }
    }

    #[test]
    fn what_was_renamed_says_the_same() {
        let plain = SHA.trim_end_matches('=');
        let other = SHA.replace('-', "+");
        for name in [
            format!("64.{plain}%3D.3.zstd"),
            format!("64.{plain}.3.zstd"),
            format!("64.{SHA}.3.zstd.tmp"),
            format!("64.{SHA}.3.zst"),
            format!("064.{SHA}.3"),
            format!("64.{other}.3.zstd"),
        ] {
            let segment = Segment::renamed(&name).unwrap();
            assert_eq!((segment.first, segment.count), (64, 3));
            assert_eq!(segment.to_string(), format!("64.{SHA}.3.zstd"));
            assert_eq!(segment.file_name(), name);
        }
        for bad in ["notes.txt", "64.AAAA.3.zstd", "64.zstd", "%", "64.%zz.3.zstd"] {
            assert_eq!(Segment::renamed(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_directory_says_snapshot_and_size() {
        let (id, size) = folder(Path::new("x/snap-72c89b87fef997e87.8")).unwrap();
        assert_eq!((id.as_str(), size), ("snap-72c89b87fef997e87", 8));
        for bad in ["snap-72c89b87fef997e87", "snap-72c89b87fef997e87.8G", "vol-1.8"] {
            assert!(folder(Path::new(bad)).is_none(), "{bad}");
        }
    }
}
