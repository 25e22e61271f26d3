//! Files → snapshot sets: which there are, which are whole, and what is missing.

mod assemble;
mod error;
mod files;
mod select;
mod selection;
mod set;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use snapfmt::{Limits, SetId, Snapshot, VolumeId, identify};

pub use assemble::OpenSet;
pub use error::{Ambiguity, Candidate, CatalogError, Missing};
pub(crate) use files::open_file;
pub use files::{BadFile, FileError, Lookup, SnapshotFile};
pub use select::Selected;
pub use selection::{
    GENERATION_TAG, Generation, Instant, NotAGeneration, Selectable, Selection, SetKey, line,
};
pub use set::{MemberFile, SetEntry, SetState};

use files::hidden_set;
use set::group;

/// The snapshot files found under some paths, and the sets they make.
#[derive(Debug, Default)]
pub struct Catalog {
    files: Vec<SnapshotFile>,
    bad: Vec<BadFile>,
    sets: Vec<SetEntry>,
    limits: Limits,
    seen: HashSet<(u64, u64)>,
    /// The files of each set and member volume: a chain is followed without searching all files.
    by_volume: HashMap<(SetId, VolumeId), Vec<usize>>,
}

impl Catalog {
    /// Opens every snapshot file under `paths`: files as they are named, directories searched for
    /// `*.snap`. A path that cannot be read is an entry of [`Catalog::bad`], not an error.
    pub fn open(paths: &[PathBuf], lookup: &Lookup) -> Self {
        let mut catalog = Self { limits: lookup.limits, ..Self::default() };
        for path in paths {
            catalog.add(path, lookup);
        }
        catalog.files.sort_by(|a, b| a.path.cmp(&b.path));
        catalog.sets = group(&catalog.files, &catalog.bad);
        for (number, file) in catalog.files.iter().enumerate() {
            let manifest = file.snapshot.manifest();
            let key = (manifest.set.id.clone(), manifest.own().volume_id.clone());
            catalog.by_volume.entry(key).or_default().push(number);
        }
        catalog
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
            if kind.is_dir() && !hidden_set(&path) {
                self.search(&path, lookup);
            } else if path.extension().is_some_and(|e| e == "snap") && !path.is_dir() {
                self.add(&path, lookup);
            }
        }
    }

    fn add_file(&mut self, path: &Path, lookup: &Lookup) {
        let file = match open_file(path, lookup) {
            Ok(file) => file,
            Err(e) => {
                return self.bad.push(BadFile { error: FileError::io(path, e), manifest: None });
            }
        };
        match Snapshot::open(file.clone(), &lookup.limits) {
            Ok(snapshot) => {
                let snapshot = Arc::new(snapshot);
                self.files.push(SnapshotFile { path: path.to_owned(), snapshot });
            }
            Err(cause) => {
                let error = FileError { path: path.to_owned(), cause: Arc::new(cause) };
                let manifest = identify(&*file, &lookup.limits).map(Box::new);
                self.bad.push(BadFile { error, manifest });
            }
        }
    }
}
