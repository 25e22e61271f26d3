//! The block files of a snapshot, and the checksums that came with them.

use std::path::{Path, PathBuf};

use super::answer::{Answer, Listed};
use super::checksum::Sha256;
use super::folder::{Beside, Folder, UnusableBlock};
use super::names::Form;
use super::read;
use super::runs::Runs;
use crate::backup::{Fault, FileFault};
use crate::limits::Limits;
use crate::within::Roots;

/// The files with a snapshot's blocks, in any number of directories. Paths are not kept: a number and
/// the way files are called give them.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// Where each block is: which of the places.
    files: Runs<u16>,
    /// What they are opened below.
    pub roots: Roots,
    places: Vec<Place>,
    checksums: Vec<PathBuf>,
    /// Those whose files cannot be used and that have no other.
    unusable: Vec<UnusableBlock>,
    /// How many of them have a checksum, as far as can be told without reading these again.
    pub digests: u64,
}

/// A directory and how its block files are called.
#[derive(Clone, Debug)]
struct Place {
    directory: PathBuf,
    form: Form,
    beside: Beside,
}

/// The checksums of a list's blocks, by their place in it. All zeros where there is none.
#[derive(Debug, Default)]
pub(super) struct Checksums(Vec<Sha256>);

impl Blocks {
    /// Joins the files of all directories; of a block that several have, the first counts.
    pub(super) fn new(folders: Vec<Folder>, roots: &Roots) -> Result<Self, FileFault> {
        let mut blocks = Self { roots: roots.clone(), ..Self::default() };
        let count = folders.iter().flat_map(|folder| folder.files.values()).map(Vec::len).sum();
        let mut all: Vec<(u32, u16)> = Vec::with_capacity(count);
        for mut folder in folders {
            blocks.checksums.append(&mut folder.checksums);
            blocks.unusable.append(&mut folder.unusable_blocks);
            blocks.digests = blocks.digests.saturating_add(folder.digests);
            let mut forms: Vec<_> = folder.files.into_iter().collect();
            forms.sort_unstable_by_key(|(form, _)| *form);
            for (form, numbers) in forms {
                // There are as many ways to call files as directories times a handful.
                let Ok(place) = u16::try_from(blocks.places.len()) else { break };
                let (directory, beside) = (folder.path.clone(), folder.beside);
                blocks.places.push(Place { directory, form, beside });
                all.extend(numbers.into_iter().map(|number| (number, place)));
            }
        }
        all.sort_unstable();
        let mut before: Option<(u32, u16)> = None;
        for (number, place) in all {
            match before {
                Some((other, held)) if other == number => {
                    blocks.same_folder(number, held, place)?;
                }
                _ if blocks.files.push(number, place) => before = Some((number, place)),
                _ => {}
            }
        }
        let Self { files, unusable, .. } = &mut blocks;
        unusable.retain(|one| files.get(one.block).is_none());
        unusable.sort_by(|a, b| (a.block, &a.fault.path).cmp(&(b.block, &b.fault.path)));
        Ok(blocks)
    }

    /// A block whose file is there, cannot be used, and is not missed by the list.
    pub(super) fn unlisted(&self, list: &Runs<Listed>) -> Option<&FileFault> {
        let is_missed = |block| matches!(list.get(block), Some((Listed::Stored, _)));
        let one = self.unusable.iter().find(|one| !is_missed(one.block))?;
        Some(&one.fault)
    }

    /// The file of a block that cannot be used.
    pub(super) fn unusable(&self, block: u32) -> Option<&Path> {
        let at = self.unusable.binary_search_by_key(&block, |one| one.block).ok()?;
        self.unusable.get(at).map(|one| one.fault.path.as_path())
    }

    /// A directory that has a block twice does not say which one is meant.
    fn same_folder(&self, block: u32, held: u16, place: u16) -> Result<(), FileFault> {
        let at = |place: u16| self.places.get(usize::from(place));
        match (at(held), at(place)) {
            (Some(held), Some(twin)) if held.directory == twin.directory => {
                let other = held.form.path(&held.directory, block);
                let path = twin.form.path(&twin.directory, block);
                Err(FileFault::new(&path, Fault::Twice { block, other }))
            }
            _ => Ok(()),
        }
    }

    pub(super) const fn files(&self) -> &Runs<u16> {
        &self.files
    }

    fn place(&self, block: u32) -> Option<&Place> {
        let (place, _) = self.files.get(block)?;
        self.places.get(usize::from(place))
    }

    /// Whether a file was found for a block. What has none is never looked for: something else, say
    /// a symbolic link or a FIFO, could have its name.
    pub(super) fn has(&self, block: u32) -> bool {
        self.files.get(block).is_some()
    }

    /// The file of a block; where there is none, that it would be.
    pub(super) fn path(&self, block: u32) -> PathBuf {
        match self.place(block).or(self.places.first()) {
            Some(Place { directory, form, .. }) => {
                form.path(&self.roots.absolute(directory), block)
            }
            None => PathBuf::from(format!("{block}")),
        }
    }

    /// The directory that the first block is in.
    pub(super) fn directory(&self) -> Option<&Path> {
        self.places.first().map(|place| place.directory.as_path())
    }

    /// The checksum in the answer that lies beside a block's file.
    pub(super) fn checksum_beside(
        &self,
        block: u32,
        limits: &Limits,
    ) -> Result<Option<Sha256>, FileFault> {
        let Some(Place { directory, form, beside }) = self.place(block) else { return Ok(None) };
        let file = form.path(&self.roots.absolute(directory), block);
        let mut appended = file.clone().into_os_string();
        appended.push(".json");
        let names = [
            beside.appended.then(|| PathBuf::from(appended)),
            beside.replaced.then(|| file.with_extension("json")),
        ];
        let is_file = |path: &PathBuf| path.symlink_metadata().is_ok_and(|meta| meta.is_file());
        let Some(path) = names.into_iter().flatten().find(is_file) else { return Ok(None) };
        for answer in read::open(&self.roots, &path, limits, &mut |_, _| ())? {
            if let Answer::Block(checksum) = answer {
                return Ok(checksum);
            }
        }
        Err(FileFault::new(&path, Fault::NoChecksum))
    }

    /// The checksums that documents have of the blocks of a list. One of a block that a list of all blocks
    /// does not name says that it is damaged, or a page of it is missing.
    pub(super) fn checksums(
        &self,
        list: &Runs<Listed>,
        is_full: bool,
        limits: &Limits,
    ) -> Result<Checksums, FileFault> {
        let mut checksums = Checksums::default();
        let mut wrong = None;
        for path in &self.checksums {
            let other = self.checksums.first().unwrap_or(path);
            // Room for all of them only where there is one of any.
            let take = &mut |block: u32, checksum: Sha256| {
                let fault = match list.get(block) {
                    None if is_full => Fault::Unlisted { block },
                    None => return,
                    Some((Listed::Gone, _)) => Fault::Gone { block },
                    Some((Listed::Stored, place)) => {
                        if checksums.set(place, list.len(), checksum) {
                            return;
                        }
                        Fault::OtherChecksum { block, other: other.clone() }
                    }
                };
                wrong.get_or_insert(fault);
            };
            read::open(&self.roots, path, limits, take)?;
            if let Some(fault) = wrong {
                return Err(FileFault::new(path, fault));
            }
        }
        Ok(checksums)
    }
}

impl Checksums {
    /// Keeps a checksum; `false` when there is another one already.
    fn set(&mut self, place: u32, of: u32, checksum: Sha256) -> bool {
        if self.0.is_empty() {
            self.0.resize(of as usize, Sha256::default());
        }
        match self.0.get_mut(place as usize) {
            Some(held) if *held == Sha256::default() => *held = checksum,
            Some(held) => return *held == checksum,
            None => {}
        }
        true
    }

    pub(super) fn get(&self, place: u32) -> Option<Sha256> {
        self.0.get(place as usize).copied().filter(|checksum| *checksum != Sha256::default())
    }
}
