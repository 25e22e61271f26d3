//! Files → snapshot sets: which there are, which are whole, and what is missing.

mod assemble;
mod choose;
mod error;
mod files;
mod gap;
mod pool;
mod select;
mod selection;
mod set;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use snapfmt::{CheckedManifest, Fault, Limits, SetId, Snapshot, VolumeId, identify};

pub use assemble::{OpenSet, Replaced, state_of};
pub use choose::{ContentId, Doubts, Reason, Selectable, Selected, choose};
pub use error::{Ambiguity, CatalogError, Missing};
pub(crate) use files::open_file;
pub use files::{BadFile, FileError, Lookup};
pub use gap::Gap;
pub use select::FileSet;
pub use selection::{Generation, Instant, Latest, NotAGeneration, Selection};
pub use set::{MemberFile, SetEntry};

pub use restore::set::{Candidate, SetKey, SetState};
pub use restore::source::SnapshotFile;

use files::{name_copies, open_pooled};
use pool::FilePool;
use restore::renamed::Likeness;
use restore::set::is_unfinished_capture;
use set::group;

/// The snapshot files found under some paths, and the sets they make.
#[derive(Debug, Default)]
pub struct Catalog {
    files: Vec<SnapshotFile>,
    bad: Vec<BadFile>,
    sets: Vec<SetEntry>,
    /// How many captures there are under each set id.
    captures: HashMap<SetId, u32>,
    limits: Limits,
    /// The paths that were looked at.
    given: Vec<PathBuf>,
    seen: HashSet<(u64, u64)>,
    /// Thousands of files do not take thousands of descriptors.
    pool: Arc<FilePool>,
    /// The files of each set and member volume: a chain is followed without searching all files.
    by_volume: HashMap<(SetId, VolumeId), Vec<usize>>,
    /// The bad files by what they say they are.
    bad_by_volume: HashMap<(SetId, VolumeId), Vec<usize>>,
}

impl Catalog {
    /// Opens every snapshot file under `paths`: files as they are named, directories searched for
    /// `*.snap`, and for what is called like one that was renamed. A path that cannot be read is an entry of [`Catalog::bad`], not an error.
    pub fn open(paths: &[PathBuf], lookup: &Lookup) -> Self {
        let mut catalog = Self::empty(paths, lookup);
        for path in paths {
            catalog.add(path, lookup);
        }
        catalog.finish()
    }

    /// Opens the snapshot files that were found under the paths `given`.
    pub fn of_files(given: &[PathBuf], found: &[PathBuf], lookup: &Lookup) -> Self {
        let mut catalog = Self::empty(given, lookup);
        for path in found {
            catalog.add(path, lookup);
        }
        catalog.finish()
    }

    fn empty(given: &[PathBuf], lookup: &Lookup) -> Self {
        Self { limits: lookup.limits, given: given.to_vec(), ..Self::default() }
    }

    fn finish(mut self) -> Self {
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
        name_copies(&mut self.files);
        self.sets = group(&self.files, &self.bad);
        for set in &self.sets {
            *self.captures.entry(set.manifest.id.clone()).or_default() += 1;
        }
        for (number, file) in self.files.iter().enumerate() {
            let key = volume_key(file.snapshot.manifest());
            self.by_volume.entry(key).or_default().push(number);
        }
        for (number, file) in self.bad.iter().enumerate() {
            let Some(manifest) = &file.manifest else { continue };
            self.bad_by_volume.entry(volume_key(manifest)).or_default().push(number);
        }
        self
    }

    /// Whether there are several captures under one set id.
    pub fn is_captured_twice(&self, set_id: &SetId) -> bool {
        self.captures.get(set_id).is_some_and(|count| *count > 1)
    }

    /// Whether a file that cannot be opened is a path that was given and is not there.
    fn is_absent(&self, file: &FileError) -> bool {
        let is_nowhere = matches!(&file.cause.fault,
            Fault::Io(error) if error.kind() == std::io::ErrorKind::NotFound);
        is_nowhere && self.given.contains(&file.path)
    }

    /// The files that are sound as far as opening tells, by path.
    pub fn files(&self) -> &[SnapshotFile] {
        &self.files
    }

    /// The files that are not.
    pub fn bad(&self) -> &[BadFile] {
        &self.bad
    }

    /// The sets: by source volume, generation and time.
    pub fn sets(&self) -> &[SetEntry] {
        &self.sets
    }

    /// The files that say they are a member volume's snapshot in a set; more than one only where
    /// captures are mixed.
    fn snapshots_of(
        &self,
        set_id: &SetId,
        volume_id: &VolumeId,
    ) -> impl Iterator<Item = &SnapshotFile> + Clone {
        let numbers = self.by_volume.get(&(set_id.clone(), volume_id.clone()));
        numbers.into_iter().flatten().filter_map(|n| self.files.get(*n))
    }

    /// The bad files that say they are a member volume's snapshot in a set.
    fn damaged_of(&self, set_id: &SetId, volume_id: &VolumeId) -> impl Iterator<Item = &BadFile> {
        let numbers = self.bad_by_volume.get(&(set_id.clone(), volume_id.clone()));
        numbers.into_iter().flatten().filter_map(|n| self.bad.get(*n))
    }

    fn add(&mut self, path: &Path, lookup: &Lookup) {
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => self.search(path, lookup),
            // One file by two names, or named and found, is one file.
            Ok(meta) if self.seen.insert((meta.dev(), meta.ino())) => self.add_file(path, lookup),
            Ok(_) => {}
            Err(e) => self.bad.push(BadFile { error: FileError::io(path, e), manifest: None }),
        }
    }

    fn search(&mut self, directory: &Path, lookup: &Lookup) {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(e) => {
                return self
                    .bad
                    .push(BadFile { error: FileError::io(directory, e), manifest: None });
            }
        };
        for entry in entries {
            // What is not listed could be the newest set.
            let found = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)));
            let (path, kind) = match found {
                Ok(found) => found,
                Err(e) => {
                    let error = FileError::io(directory, e);
                    self.bad.push(BadFile { error, manifest: None });
                    continue;
                }
            };
            // A directory reached by a symbolic link may lead in circles.
            if kind.is_dir() && !is_unfinished_capture(&path) {
                self.search(&path, lookup);
            } else if Likeness::of(&path) == Likeness::Snapshot && !path.is_dir() {
                self.add(&path, lookup);
            }
        }
    }

    fn add_file(&mut self, path: &Path, lookup: &Lookup) {
        let file = match open_pooled(path, lookup, &self.pool) {
            Ok(file) => file,
            Err(e) => {
                return self.bad.push(BadFile { error: FileError::io(path, e), manifest: None });
            }
        };
        match Snapshot::open(file.clone(), &lookup.limits) {
            Ok(snapshot) => {
                let snapshot = Arc::new(snapshot);
                self.files.push(SnapshotFile { path: path.to_owned(), snapshot, copy: None });
            }
            Err(cause) => {
                let error = FileError { path: path.to_owned(), cause: Arc::new(cause) };
                let manifest = identify(&*file, &lookup.limits).map(Box::new);
                self.bad.push(BadFile { error, manifest });
            }
        }
    }
}

/// The set and the member volume that a file says it is of.
fn volume_key(manifest: &CheckedManifest) -> (SetId, VolumeId) {
    (manifest.set.id.clone(), manifest.own().volume_id.clone())
}
