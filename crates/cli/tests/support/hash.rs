//! Hashes and fingerprints of files: what proves that two are equal, or that one was not touched.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Outcome, ensure, scratch, tool};

/// SHA-256 by the stock tool: fast in debug builds, and not our code.
pub(crate) fn sha256(path: &Path) -> Outcome<String> {
    let text = tool::run("sha256sum", [Path::new("--"), path])?;
    // A leading backslash marks a file name that had to be escaped.
    let sum = text.trim_start_matches('\\').split_whitespace().next().unwrap_or_default();
    ensure!(sum.len() == 64, "sha256sum of {} said {text:?}", path.display());
    Ok(sum.to_owned())
}

/// Two files have the same length and SHA-256.
pub(crate) fn same_sha256(what: &str, found: &Path, truth: &Path) -> Outcome {
    is_sha256_of(what, found, truth, &sha256(truth)?)
}

/// The same where the truth was hashed before.
pub(crate) fn is_sha256_of(what: &str, found: &Path, truth: &Path, truth_sum: &str) -> Outcome {
    let (found_len, truth_len) = (scratch::len(found)?, scratch::len(truth)?);
    ensure!(found_len == truth_len, "{what}: {found_len} bytes, expected {truth_len}");
    let found_sum = sha256(found)?;
    if found_sum == truth_sum {
        return Ok(());
    }
    let first = tool::same_bytes(found, truth).err();
    let first = first.as_ref().and_then(|e| e.message()).unwrap_or_default().to_owned();
    Err(format!("{what}: sha256 {found_sum}, expected {truth_sum}\n{first}").into())
}

/// What must not change of a file that is only read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    sha256: String,
    len: u64,
    mode: u32,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
    fn of(path: &Path) -> Outcome<Self> {
        let meta = std::fs::metadata(path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Self {
            sha256: sha256(path)?,
            len: meta.len(),
            mode: meta.mode(),
            inode: meta.ino(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

/// The fingerprints of all files below some directories, to be compared later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Census {
    files: BTreeMap<PathBuf, Fingerprint>,
    dirs: Vec<PathBuf>,
}

impl Census {
    pub(crate) fn take(dirs: &[&Path]) -> Outcome<Self> {
        let mut files = BTreeMap::new();
        for dir in dirs {
            for path in scratch::files_below(dir)? {
                let fingerprint = Fingerprint::of(&path)?;
                files.insert(path, fingerprint);
            }
        }
        Ok(Self { files, dirs: dirs.iter().map(|d| (*d).to_owned()).collect() })
    }

    /// No file came, went or changed since.
    pub(crate) fn unchanged(&self, after: &str) -> Outcome {
        let dirs: Vec<&Path> = self.dirs.iter().map(PathBuf::as_path).collect();
        let now = Self::take(&dirs)?;
        for (path, old) in &self.files {
            let Some(new) = now.files.get(path) else {
                return Err(format!("{} is gone after: {after}", path.display()).into());
            };
            ensure!(new == old, "{} changed\nafter: {after}\n{old:?}\n{new:?}", path.display());
        }
        let extra = now.files.keys().find(|path| !self.files.contains_key(*path));
        match extra {
            Some(path) => Err(format!("{} was left by: {after}", path.display()).into()),
            None => Ok(()),
        }
    }
}
