//! The sample of EBS dumps, unpacked, and what is expected of it.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use restore::source::{ExtentKind, Proof, ReadError, Scratch, Source};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// The sample in a directory of its own.
pub(crate) struct Sample {
    directory: TempDir,
}

/// One disk of the sample and its hash.
pub(crate) struct Expected {
    pub(crate) snapshot: String,
    pub(crate) name: String,
    pub(crate) sha256: String,
}

fn packed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/ebs-direct/datafy-pairs")
}

impl Sample {
    /// Unpacks it.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(packed()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "json") {
                fs::copy(&path, directory.path().join(path.file_name().unwrap())).unwrap();
            }
        }
        let file = fs::File::open(packed().join("snapshots.tar.zst")).unwrap();
        let mut plain = zstd::Decoder::new(file).unwrap();
        plain.window_log_max(27).unwrap();
        let mut tar = Command::new("tar")
            .args(["-x", "-C"])
            .arg(directory.path())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        io::copy(&mut plain, &mut tar.stdin.take().unwrap()).unwrap();
        assert!(tar.wait().unwrap().success());
        Self { directory }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Leaves of snapshot `second` only what differs from `first`.
    pub(crate) fn only_changes(&self, first: &str, second: &str) {
        let name = format!("list-changed-blocks.{first}..{second}.json");
        let text = fs::read_to_string(self.path().join(name)).unwrap();
        let directory = self.path().join(second);
        for number in 0..3 {
            let page = directory.join(format!("list-snapshot-blocks.{number:04}.json"));
            let _ = fs::remove_file(page);
        }
        let (mut kept, mut gone) = (0, 0);
        for entry in fs::read_dir(directory.join("blocks")).unwrap() {
            let path = entry.unwrap().path();
            let number: u32 = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
            if text.contains(&format!("\"BlockIndex\": {number},")) {
                kept += 1;
            } else {
                fs::remove_file(path).unwrap();
                gone += 1;
            }
        }
        assert!(kept > 0 && gone > 0, "{kept} kept, {gone} gone");
    }
}

/// The disks of a generation, or of all.
pub(crate) fn disks() -> Vec<Expected> {
    let text = fs::read(packed().join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let text = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
    let all = manifest["expected"].as_array().unwrap();
    let disks = all.iter().filter(|e| e["snapshot_id"].is_string());
    disks
        .map(|e| Expected {
            snapshot: text(&e["snapshot_id"]),
            name: text(&e["name"]),
            sha256: text(&e["sha256"]),
        })
        .collect()
}

/// Some bytes of a source.
pub(crate) fn bytes(source: &dyn Source, range: Range<u64>) -> Result<Vec<u8>, ReadError> {
    let mut out = vec![0; usize::try_from(range.end - range.start).unwrap()];
    let (mut extents, mut scratch) = (Vec::new(), Scratch::new().unwrap());
    source.extents(range.clone(), &mut extents)?;
    let at = |offset: u64, from: u64| usize::try_from(offset - from).unwrap();
    for extent in extents {
        let (start, stop) = (extent.range.start.max(range.start), extent.range.end.min(range.end));
        if let ExtentKind::Data(chunk) = extent.kind {
            let mut plain = vec![0xa5; chunk.len()];
            source.read(&chunk, &mut plain, &mut scratch)?;
            let own = &plain[at(start, chunk.range.start)..at(stop, chunk.range.start)];
            out[at(start, range.start)..at(stop, range.start)].copy_from_slice(own);
        }
    }
    Ok(out)
}

/// SHA-256 of all bytes of a source, and how many bytes of data were proved by a digest, and not.
pub(crate) fn hash(source: &dyn Source) -> Result<(String, u64, u64), ReadError> {
    const STEP: u64 = 48 << 20;
    let (mut hasher, mut scratch) = (Sha256::new(), Scratch::new().unwrap());
    let (mut proved, mut unproved, mut at) = (0, 0, 0);
    let zeros = vec![0; 1 << 20];
    while at < source.size() {
        let mut extents = Vec::new();
        let end = (at + STEP).min(source.size());
        source.extents(at..end, &mut extents)?;
        for extent in extents {
            let (start, stop) = (extent.range.start.max(at), extent.range.end.min(end));
            assert!(start == at && stop > at, "{extent:?} at {at}");
            match extent.kind {
                ExtentKind::Data(chunk) => {
                    let mut plain = vec![0xa5; chunk.len()];
                    match source.read(&chunk, &mut plain, &mut scratch)? {
                        Proof::Digest => proved += stop - start,
                        _ => unproved += stop - start,
                    }
                    let within = |at: u64| usize::try_from(at - chunk.range.start).unwrap();
                    hasher.update(&plain[within(start)..within(stop)]);
                }
                ExtentKind::Zero | ExtentKind::Hole => {
                    let mut left = stop - start;
                    while left > 0 {
                        let len = left.min(zeros.len() as u64);
                        hasher.update(&zeros[..usize::try_from(len).unwrap()]);
                        left -= len;
                    }
                }
                ExtentKind::Inherit => panic!("nothing says what is at {start}"),
            }
            at = stop;
        }
        assert_eq!(at, end);
    }
    let hex = restore::source::Checksum::from(hasher.finalize().as_slice()).to_string();
    Ok((hex, proved, unproved))
}
