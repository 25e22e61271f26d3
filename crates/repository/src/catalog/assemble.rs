//! A set → the volume: every member with its chain, checked for completeness before anything is
//! read or written.

use std::path::PathBuf;
use std::sync::Arc;

use snapfmt::{MemberNo, Parent, SetContentId, SetId};

use super::files::{BadFile, FileError};
use super::set::{MemberFile, SetEntry};
use super::{Catalog, CatalogError, Missing};
use restore::Layout;
use restore::set::SetState;
use restore::source::SnapshotFile;
use restore::source::{Chain, NativeSource, PageCache, Source};
use restore::{Volume, VolumeMember};

/// A complete set: for each member its chain, newest first.
#[derive(Debug)]
pub struct OpenSet {
    /// The set's content id.
    pub content: SetContentId,
    /// The chains, by member number.
    pub chains: Vec<Vec<SnapshotFile>>,
    /// Damaged files in whose place copies are read.
    pub replaced: Vec<Replaced>,
}

/// A file that cannot be opened, and the copy that is read in its place.
#[derive(Clone, Debug)]
pub struct Replaced {
    /// The file and what is wrong with it.
    pub damaged: FileError,
    /// The copy.
    pub by: PathBuf,
}

impl std::fmt::Display for Replaced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { damaged, by } = self;
        write!(
            f,
            "{damaged}; {} has the same member of the same set and is read instead",
            by.display()
        )
    }
}

/// What opening a set tells of its state.
pub const fn state_of(opened: &Result<OpenSet, CatalogError>) -> SetState {
    match opened {
        Ok(_) => SetState::Complete,
        Err(CatalogError::Incomplete { .. }) => SetState::Incomplete,
        Err(_) => SetState::Damaged,
    }
}

impl Catalog {
    /// Finds the files of a set and of all its ancestors.
    ///
    /// # Errors
    ///
    /// Everything that is missing, in one error; otherwise the first thing that is damaged or does
    /// not belong.
    pub fn open_set(&self, entry: &SetEntry) -> Result<OpenSet, CatalogError> {
        self.check_own(entry)?;
        let mut missing = entry.missing();
        let mut damaged = None;
        let mut chains = Vec::new();
        for member in &entry.members {
            match member {
                MemberFile::Present(n) => {
                    let Some(file) = self.files().get(*n) else { continue };
                    match self.chain(file) {
                        Ok(chain) => chains.push(chain),
                        Err(CatalogError::Incomplete { missing: more, .. }) => missing.extend(more),
                        Err(e) => drop(damaged.get_or_insert(e)),
                    }
                }
                MemberFile::Damaged(n) => {
                    if let Some(bad) = self.bad().get(*n) {
                        let (set_id, file) = (entry.manifest.id.clone(), bad.error.clone());
                        damaged.get_or_insert(CatalogError::Damaged { set_id, file });
                    }
                }
                MemberFile::Missing => {}
            }
        }
        let set_id = entry.manifest.id.clone();
        if !missing.is_empty() {
            return Err(self.incomplete(set_id, missing));
        }
        if let Some(error) = damaged {
            return Err(error);
        }
        if let Some(other) = entry.contradiction.and_then(|n| self.files().get(n)) {
            let first = entry.first_path(self.files(), self.bad()).to_owned();
            return Err(CatalogError::Contradiction { set_id, first, second: other.path.clone() });
        }
        match entry.content {
            Some(content) => {
                let replaced = self.replaced(&chains);
                Ok(OpenSet { content, chains, replaced })
            }
            None => Err(CatalogError::NoneFits { there: Vec::new() }),
        }
    }

    /// A set names its files by their numbers, which in another catalog are of other files.
    fn check_own(&self, entry: &SetEntry) -> Result<(), CatalogError> {
        let is_own = |(index, member): (u32, &MemberFile)| match member {
            MemberFile::Present(n) => self.files().get(*n).is_some_and(|file| {
                let manifest = file.snapshot.manifest();
                manifest.set.id == entry.manifest.id
                    && manifest.member == MemberNo(index)
                    && Some(file.snapshot.footer().set_content) == entry.content
            }),
            MemberFile::Damaged(n) => self.bad().get(*n).is_some_and(|bad| {
                let set = bad.manifest.as_ref().map(|manifest| &manifest.set.id);
                set == Some(&entry.manifest.id)
            }),
            MemberFile::Missing => true,
        };
        if (0..).zip(&entry.members).all(is_own) {
            return Ok(());
        }
        Err(CatalogError::NotOfThisCatalog { set_id: entry.manifest.id.clone() })
    }

    /// A file and the ancestors it needs, newest first.
    fn chain(&self, file: &SnapshotFile) -> Result<Vec<SnapshotFile>, CatalogError> {
        let max = self.limits.chain;
        let mut chain = vec![file.clone()];
        while let Some(child) = chain.last()
            && child.snapshot.is_incremental()
        {
            if chain.len() as u64 >= u64::from(max) {
                return Err(CatalogError::ChainTooLong { path: file.path.clone(), max });
            }
            let parent = self.parent(child)?;
            chain.push(parent);
        }
        Ok(chain)
    }

    /// The chain of the snapshot that a manifest names as parent, if all of it is there.
    pub(crate) fn chain_of(&self, parent: &Parent) -> Option<Vec<SnapshotFile>> {
        let right = |f: &&SnapshotFile| f.snapshot.footer().state == parent.state_id;
        let file = self.snapshots_of(&parent.set_id, &parent.volume_id).find(right)?;
        self.chain(file).ok()
    }

    /// The damaged files that say they are what one of a set's files is.
    fn replaced(&self, chains: &[Vec<SnapshotFile>]) -> Vec<Replaced> {
        let of_file = |file: &SnapshotFile| {
            let manifest = file.snapshot.manifest();
            let is_same = |bad: &&BadFile| bad.manifest.as_deref() == Some(manifest);
            let damaged = self.damaged_of(&manifest.set.id, &manifest.own().volume_id);
            let by = &file.path;
            damaged
                .filter(is_same)
                .map(|bad| Replaced { damaged: bad.error.clone(), by: by.clone() })
                .collect::<Vec<_>>()
        };
        chains.iter().flatten().flat_map(of_file).collect()
    }

    fn parent(&self, child: &SnapshotFile) -> Result<SnapshotFile, CatalogError> {
        let manifest = child.snapshot.manifest();
        let Some(named) = &manifest.own().parent else {
            return Err(CatalogError::NoneFits { there: Vec::new() });
        };
        let (volume_id, set_id) = (named.volume_id.clone(), named.set_id.clone());
        let right = |f: &&SnapshotFile| f.snapshot.footer().state == named.state_id;
        let mut all = self.snapshots_of(&named.set_id, &named.volume_id);
        let Some(parent) = all.clone().find(right).or_else(|| all.next()) else {
            return Err(self.no_parent(child, Missing::Parent { volume_id, set_id }));
        };
        let found = parent.snapshot.footer().state;
        let (child_path, parent_path) = (child.path.clone(), parent.path.clone());
        if found != named.state_id {
            return Err(CatalogError::WrongParent {
                child: child_path,
                parent: parent_path,
                volume_id,
                set_id,
                expected: named.state_id,
                found,
            });
        }
        if parent.snapshot.geometry().chunk_size() != child.snapshot.geometry().chunk_size() {
            return Err(CatalogError::ChunkSize { child: child_path, parent: parent_path });
        }
        Ok(parent.clone())
    }

    fn incomplete(&self, set_id: SetId, missing: Vec<Missing>) -> CatalogError {
        let unknown = self.bad().iter().filter(|b| b.manifest.is_none());
        let unreadable = unknown.map(|b| b.error.clone()).collect();
        CatalogError::Incomplete { set_id, missing, unreadable }
    }

    /// The parent is not among the sound files: damaged, or not there at all.
    fn no_parent(&self, child: &SnapshotFile, missing: Missing) -> CatalogError {
        let named = child.snapshot.manifest().own().parent.as_ref();
        let damaged = named.and_then(|p| self.damaged_of(&p.set_id, &p.volume_id).next());
        let set_id = child.snapshot.manifest().set.id.clone();
        match damaged {
            Some(bad) => CatalogError::Damaged { set_id, file: bad.error.clone() },
            None => self.incomplete(set_id, vec![missing]),
        }
    }
}

impl OpenSet {
    /// The files of the set itself, by member number.
    pub fn own_files(&self) -> impl Iterator<Item = &SnapshotFile> {
        self.chains.iter().filter_map(|chain| chain.first())
    }

    /// Every file that the set needs, each once.
    pub fn all_files(&self) -> impl Iterator<Item = &SnapshotFile> {
        self.chains.iter().flatten()
    }

    /// The layout that the set's extent map gives.
    pub fn layout(&self) -> Result<Layout, CatalogError> {
        let Some(first) = self.own_files().next() else {
            return Err(CatalogError::NoneFits { there: Vec::new() });
        };
        let map = first.snapshot.extent_map();
        let read = |source| CatalogError::Read { path: first.path.clone(), source };
        Ok(Layout::new(map.map_err(read)?))
    }

    /// The source that a member's chain makes.
    pub fn source(&self, member: MemberNo, pages: &Arc<PageCache>) -> Option<Chain> {
        let layers = self.chains.get(member.index())?.iter().map(|link| {
            let source = NativeSource::of(link.clone(), pages.clone());
            (link.path.clone(), Box::new(source) as Box<dyn Source>)
        });
        Chain::new(layers.collect())
    }

    /// The logical volume.
    pub fn volume(&self) -> Result<Volume, CatalogError> {
        let layout = self.layout()?;
        let pages = Arc::new(PageCache::default());
        let mut members = Vec::with_capacity(self.chains.len());
        for (no, own) in (0..).zip(self.own_files()) {
            let volume_id = own.snapshot.manifest().own().volume_id.clone();
            if let Some(source) = self.source(MemberNo(no), &pages) {
                members.push(VolumeMember { volume_id, source: Arc::new(source) });
            }
        }
        Ok(Volume::new(layout, members)?)
    }
}
