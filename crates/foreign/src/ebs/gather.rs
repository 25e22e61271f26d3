//! Directories → what there is of each snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::answer::Kind;
use super::describe::Described;
use super::folder::Folder;
use super::names::snapshots_in;
use super::pages::{List, PageFile, join};
use super::proxy;
use crate::backup::{Fault, FileFault, Missing, Name, Problem, Warning};
use crate::limits::Limits;
use crate::within::Roots;

/// What there is of one snapshot.
#[derive(Default)]
pub(super) struct Parts {
    /// Lists of all blocks.
    pub full: Vec<Result<List, Problem>>,
    /// Lists of what differs from another snapshot, and which one that is.
    pub changes: Vec<(Option<Name>, Result<List, Problem>)>,
    /// The directories with its blocks.
    pub folders: Vec<Folder>,
    /// What flexible-snapshot-proxy has written.
    pub proxy: Vec<Result<proxy::Dump, FileFault>>,
    /// Documents of it that cannot be read.
    pub broken: Vec<FileFault>,
    /// What lies with it and is not used.
    pub warnings: Vec<Warning>,
    /// Whether a list of it lies where a dump of it should: in a directory that is called by it, or
    /// beside files that could be its blocks.
    pub is_at_home: bool,
}

/// A description and where it stands.
pub(super) struct DescribedIn {
    pub path: Arc<Path>,
    pub snapshot: Described,
    /// The document ends with a `NextToken`, and what follows is not there.
    pub unfinished: Option<PathBuf>,
}

/// Everything, by snapshot.
pub(super) struct Snapshots<'l> {
    pub roots: Roots,
    limits: &'l Limits,
    pub parts: BTreeMap<Name, Parts>,
    pub described: Vec<DescribedIn>,
    pub warnings: Vec<Warning>,
    pub evidence: Vec<PathBuf>,
    /// What is not used and is a snapshot's by its name.
    pub unusable: BTreeMap<Name, FileFault>,
}

impl Parts {
    /// A document with a list of it.
    pub(super) fn list(&self) -> Option<PathBuf> {
        let lists = || self.full.iter().chain(self.changes.iter().map(|(_, list)| list));
        let path = |list: &Result<List, Problem>| match list {
            Ok(list) => Some(list.path.clone()),
            Err(Problem::File(file)) => Some(file.path.clone()),
            Err(Problem::Missing(Missing::NextPage { path } | Missing::Page { path })) => {
                Some(path.clone())
            }
            Err(_) => None,
        };
        lists().find_map(path)
    }

    /// Whether documents that cannot be read are all there is.
    pub(super) fn is_only_broken(&self) -> bool {
        self.full.is_empty()
            && self.changes.is_empty()
            && self.folders.iter().all(|folder| folder.files.is_empty())
            && self.proxy.is_empty()
    }
}

/// The snapshot that a file's name says.
fn named(path: &Path) -> Option<Name> {
    snapshots_in(&path.file_name()?.to_string_lossy()).pop()
}

impl<'l> Snapshots<'l> {
    pub(super) fn new(roots: Roots, limits: &'l Limits) -> Self {
        Self {
            roots,
            limits,
            parts: BTreeMap::new(),
            described: Vec::new(),
            warnings: Vec::new(),
            evidence: Vec::new(),
            unusable: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, mut folder: Folder, unreadable: &mut Vec<FileFault>) {
        if folder.is_dump() {
            self.evidence.push(folder.path.clone());
        }
        let own = folder.named();
        folder.find_unusable(!own.is_empty() || !folder.files.is_empty());
        let lists = folder.lists(&own);
        let listed = lists.keys().filter_map(|i| i.snapshot.clone());
        let listed: BTreeSet<Name> =
            listed.chain(folder.broken.iter().filter_map(|f| named(&f.path))).collect();
        let only_listed = listed.first().filter(|_| listed.len() == 1).cloned();
        let id = own.last().cloned().or(only_listed.clone()).or_else(|| folder.only_described());
        let strangers = unreadable.len();
        for (identity, pages) in lists {
            self.evidence.extend(pages.iter().map(|page| page.path.clone()));
            let Some(snapshot) = identity.snapshot else {
                let stray = |page: PageFile| FileFault::new(&page.path, Fault::NoSnapshot);
                unreadable.extend(pages.into_iter().map(stray));
                continue;
            };
            let list = join(&pages, self.limits);
            let is_at_home = own.last() == Some(&snapshot)
                || (only_listed.as_ref() == Some(&snapshot) && folder.has_strange_files());
            let parts = self.parts.entry(snapshot).or_default();
            parts.is_at_home |= is_at_home;
            match identity.kind {
                Kind::Full => parts.full.push(list),
                Kind::Changes => parts.changes.push((identity.parent, list)),
            }
        }
        self.descriptions(&mut folder, unreadable);
        self.proxy(&mut folder, unreadable);
        for fault in std::mem::take(&mut folder.broken) {
            match named(&fault.path).or_else(|| id.clone()) {
                Some(id) => self.parts.entry(id).or_default().broken.push(fault),
                None => unreadable.push(fault),
            }
        }
        for (snapshot, fault) in folder.unusable(&own) {
            self.unusable.entry(snapshot).or_insert(fault);
        }
        let warnings = folder.warnings();
        match id.as_ref().and_then(|id| self.parts.get_mut(id)) {
            Some(parts) => parts.warnings.extend(warnings),
            None => self.warnings.extend(warnings),
        }
        if folder.files.is_empty() && folder.unusable_blocks.is_empty() {
            return;
        }
        if let Some(id) = id {
            self.parts.entry(id).or_default().folders.push(folder);
        } else if folder.has_documents() {
            unreadable.push(FileFault::new(&folder.path, Fault::NoSnapshot));
        } else if unreadable.len() == strangers && folder.files.keys().any(|form| form.is_plain()) {
            self.warnings.push(Warning::Stray { path: folder.path });
        }
    }

    fn descriptions(&mut self, folder: &mut Folder, unreadable: &mut Vec<FileFault>) {
        let unfinished = folder.going_on.iter().min().filter(|_| !folder.has_end).cloned();
        for (path, snapshot) in std::mem::take(&mut folder.described) {
            let unfinished = unfinished.clone();
            self.described.push(DescribedIn { path, snapshot, unfinished });
        }
        unreadable.append(&mut folder.bad_entries);
    }

    fn proxy(&mut self, folder: &mut Folder, unreadable: &mut Vec<FileFault>) {
        let segments = std::mem::take(&mut folder.segments);
        let strange = std::mem::take(&mut folder.no_segments);
        if segments.is_empty() && strange.is_empty() {
            return;
        }
        let Some((id, size)) = proxy::folder(&folder.path) else {
            unreadable.push(FileFault::new(&folder.path, Fault::NoSnapshot));
            return;
        };
        let path = folder.path.clone();
        let dump = match strange.into_iter().next() {
            Some(fault) => Err(fault),
            None => proxy::Dump::new(path, size, segments, &self.roots, self.limits),
        };
        self.parts.entry(id).or_default().proxy.push(dump);
    }
}
