//! What must not be overwritten while something is restored of backups.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::backup::Backups;
use crate::ebs;

impl Backups {
    /// What must not be overwritten: the directories that files were found in, lists and descriptions,
    /// and whatever of `targets` is there already and beside them. The files themselves may be very many.
    pub fn sources(&self, targets: &[PathBuf]) -> Vec<PathBuf> {
        let real = |path: &Path| path.canonicalize().ok();
        let held: HashSet<PathBuf> = self
            .evidence
            .iter()
            .flat_map(|path| [real(path), real(&path.join(ebs::BLOCKS))])
            .flatten()
            .collect();
        let is_held = |target: &&PathBuf| {
            real(target)
                .is_some_and(|path| path.parent().is_some_and(|parent| held.contains(parent)))
                || has_name_in(target, &held)
        };
        self.evidence.iter().chain(targets.iter().filter(is_held)).cloned().collect()
    }
}

/// Whether a file has another name in one of these directories.
fn has_name_in(file: &Path, directories: &HashSet<PathBuf>) -> bool {
    let Ok(meta) = file.metadata() else { return false };
    if !meta.is_file() || meta.nlink() < 2 {
        return false;
    }
    let on_its_device = |directory: &&PathBuf| {
        fs::metadata(directory).is_ok_and(|directory| directory.dev() == meta.dev())
    };
    let mut entries = directories.iter().filter(on_its_device).flat_map(fs::read_dir).flatten();
    entries.any(|entry| entry.is_ok_and(|entry| entry.ino() == meta.ino()))
}
