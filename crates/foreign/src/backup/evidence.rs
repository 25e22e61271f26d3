//! What must not be overwritten while something is restored of backups.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::Backups;
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
        };
        self.evidence.iter().chain(targets.iter().filter(is_held)).cloned().collect()
    }
}
