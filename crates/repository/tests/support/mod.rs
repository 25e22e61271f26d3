//! The samples in `testdata/stacks`: disks made by lvm2 and mdadm, and the hashes of what is on them.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

pub(crate) mod forge;

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use restore::image::ImageBytes;
use restore::reader::{Options, Reader};
use restore::snapfmt::ReadAt;
use restore::source::{ChunkRef, Extent, ExtentKind, Proof, ReadError, Scratch, Source, StoredAt};
use restore::{Volume, VolumeMember};
use sha2::{Digest, Sha256};

/// A file of the samples, shared by all tests of a process.
pub(crate) type Bytes = Arc<Vec<u8>>;

/// All files, by their path in the archive.
fn files() -> &'static BTreeMap<String, Bytes> {
    static FILES: OnceLock<BTreeMap<String, Bytes>> = OnceLock::new();
    FILES.get_or_init(|| unpack("samples.tar.zst"))
}

/// The disks of a sample of `testdata/stacks/faults`, by name.
pub(crate) fn fault(name: &str) -> Vec<(String, Bytes)> {
    let disk = |(path, bytes): (String, Bytes)| {
        let name = path.trim_start_matches("./").strip_suffix(".img")?;
        Some((name.to_owned(), bytes))
    };
    unpack(&format!("faults/{name}.tar.zst")).into_iter().filter_map(disk).collect()
}

/// The disks of one state of a sample, by name.
pub(crate) fn disks(sample: &str, state: &str) -> Vec<(String, Bytes)> {
    let prefix = format!("{sample}/{state}/");
    let disk = |(path, bytes): (&String, &Bytes)| {
        let name = path.strip_prefix(&prefix)?.strip_suffix(".img")?;
        Some((name.to_owned(), Arc::clone(bytes)))
    };
    let disks: Vec<_> = files().iter().filter_map(disk).collect();
    assert!(!disks.is_empty(), "{prefix}");
    disks
}

/// What a sample's manifest says: (state, volume or nothing, SHA-256, size).
pub(crate) fn expected(sample: &str) -> Vec<(String, String, String, u64)> {
    let manifest = &files()[&format!("{sample}/manifest.json")];
    let manifest: serde_json::Value = serde_json::from_slice(manifest).unwrap();
    let entry = |e: &serde_json::Value| {
        let name = e["name"].as_str().unwrap();
        let (state, volume) = name.split_once('/').unwrap_or((name, ""));
        let sha256 = e["sha256"].as_str().unwrap();
        (state.to_owned(), volume.to_owned(), sha256.to_owned(), e["size"].as_u64().unwrap())
    };
    manifest["expected"].as_array().unwrap().iter().map(entry).collect()
}

/// A disk as a member of a volume; its name is its volume id.
pub(crate) fn member(name: &str, bytes: &Bytes) -> VolumeMember {
    VolumeMember { volume_id: name.parse().unwrap(), source: Arc::new(Memory(Arc::clone(bytes))) }
}

/// SHA-256 of what a restore of the volume would write.
pub(crate) fn sha256_of(volume: Volume) -> String {
    let reader = Reader::new(Arc::new(volume), &Options::default()).unwrap();
    sha256(&ImageBytes(&reader))
}

struct Memory(Bytes);

const CHUNK: u64 = 64 << 10;

impl Source for Memory {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn largest_chunk(&self) -> u32 {
        u32::try_from(CHUNK).unwrap()
    }

    fn extents(&self, range: Range<u64>, out: &mut Vec<Extent>) -> Result<(), ReadError> {
        let mut start = range.start - range.start % CHUNK;
        while start < range.end {
            let end = (start + CHUNK).min(self.size());
            let at = StoredAt { offset: start, len: 0, crc: 0 };
            let kind = ExtentKind::Data(ChunkRef::new(start..end, None, at));
            out.push(Extent { range: start..end, kind });
            start = end;
        }
        Ok(())
    }

    fn read(&self, chunk: &ChunkRef, out: &mut [u8], _: &mut Scratch) -> Result<Proof, ReadError> {
        self.0.read_exact_at(out, chunk.range.start).unwrap();
        Ok(Proof::None)
    }
}

/// SHA-256 of all bytes, in hexadecimal.
pub(crate) fn sha256(bytes: &dyn ReadAt) -> String {
    let mut hash = Sha256::new();
    let mut buf = vec![0; 1 << 20];
    let mut at = 0;
    while at < bytes.len() {
        let len = usize::try_from(bytes.len() - at).unwrap().min(buf.len());
        bytes.read_exact_at(&mut buf[..len], at).unwrap();
        hash.update(&buf[..len]);
        at += len as u64;
    }
    hash.finalize().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn unpack(archive: &str) -> BTreeMap<String, Bytes> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = here.ancestors().map(|dir| dir.join("testdata/stacks").join(archive));
    let path = paths.find(|path| path.exists()).unwrap();
    let packed = std::fs::File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut packed = zstd::Decoder::new(packed).unwrap();
    packed.window_log_max(27).unwrap();
    let mut files = BTreeMap::new();
    let mut header = [0; 512];
    while packed.read_exact(&mut header).is_ok() && header[0] != 0 {
        let (name, size) = (text(&header[0..100]), octal(&header[124..136]));
        let mut runs = vec![(0, size)];
        let mut real = size;
        // An old GNU sparse file: where its data are stands in the header, and in more behind it.
        if header[156] == b'S' {
            real = octal(&header[483..495]);
            runs = sparse(&header[386..482]);
            let mut goes_on = header[482] != 0;
            while goes_on {
                packed.read_exact(&mut header).unwrap();
                runs.extend(sparse(&header[..504]));
                goes_on = header[504] != 0;
            }
        }
        let mut bytes = vec![0; real];
        for (at, len) in runs {
            packed.read_exact(&mut bytes[at..at + len]).unwrap();
        }
        let padding = size.next_multiple_of(512) - size;
        packed.read_exact(&mut [0; 512][..padding]).unwrap();
        files.insert(name, Arc::new(bytes));
    }
    files
}

fn text(field: &[u8]) -> String {
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    std::str::from_utf8(&field[..end]).unwrap().trim().to_owned()
}

fn octal(field: &[u8]) -> usize {
    usize::from_str_radix(&text(field), 8).unwrap()
}

/// Offsets and lengths of data.
fn sparse(entries: &[u8]) -> Vec<(usize, usize)> {
    let used = entries.chunks_exact(24).filter(|entry| entry[0] != 0);
    used.map(|entry| (octal(&entry[..12]), octal(&entry[12..]))).collect()
}
