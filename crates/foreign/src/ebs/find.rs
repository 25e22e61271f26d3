//! What a tree has of EBS snapshots: lists, block files, checksums and descriptions, by directory, and
//! then by the snapshot they are of.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::answer::{self, Answer, Kind};
use super::describe::Described;
use super::names::{BLOCKS, Form, snapshots_in};
use super::pages::{List, PageFile, join};
use super::proxy::{self, Segment};
use crate::backup::{Fault, FileFault, Name, Problem, Warning};
use crate::limits::Limits;
use crate::walk::{Finder, Found};

/// What is found while the tree is walked.
pub(super) struct Tree<'l> {
    limits: &'l Limits,
    /// How many documents may still be read.
    left: u32,
    folders: BTreeMap<PathBuf, Folder>,
    faults: Vec<FileFault>,
}

/// What one directory has; `blocks/` in it counts as the same.
#[derive(Default)]
pub(super) struct Folder {
    pub path: PathBuf,
    /// The numbers of the block files, by how they are called.
    pub files: HashMap<Form, Vec<u32>>,
    /// Whether answers of get-snapshot-block lie beside block files.
    pub beside: Beside,
    /// The numbers of documents that are called like block files: such answers where there are block
    /// files that are called so, numbered pages where there are none.
    numbered: HashMap<Form, Vec<u32>>,
    /// Documents with checksums of many blocks.
    pub checksums: Vec<PathBuf>,
    /// Documents that cannot be read.
    pub broken: Vec<FileFault>,
    segments: Vec<Segment>,
    pages: Vec<PageFile>,
    described: Vec<Described>,
    /// Documents with descriptions after which more follow.
    going_on: Vec<PathBuf>,
    /// Whether there is one after which nothing follows.
    has_end: bool,
}

/// How the answer that came with a block is called.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Beside {
    /// As the block's file, with `.json` behind it.
    pub appended: bool,
    /// As the block's file, with `.json` in place of `.bin`.
    pub replaced: bool,
}

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
    pub proxy: Vec<proxy::Dump>,
}

/// A description and where it stands.
pub(super) struct DescribedIn {
    pub path: PathBuf,
    pub snapshot: Described,
    /// The document ends with a `NextToken`, and what follows is not there.
    pub unfinished: Option<PathBuf>,
}

/// Everything, by snapshot.
#[derive(Default)]
pub(super) struct Snapshots {
    pub parts: BTreeMap<Name, Parts>,
    pub described: Vec<DescribedIn>,
    pub warnings: Vec<Warning>,
    pub evidence: Vec<PathBuf>,
}

impl<'l> Tree<'l> {
    pub(super) fn new(limits: &'l Limits) -> Self {
        Self { limits, left: limits.documents, folders: BTreeMap::new(), faults: Vec::new() }
    }

    fn folder(&mut self, path: &Path) -> &mut Folder {
        if !self.folders.contains_key(path) {
            let folder = Folder { path: path.to_owned(), ..Folder::default() };
            self.folders.insert(path.to_owned(), folder);
        }
        match self.folders.get_mut(path) {
            Some(folder) => folder,
            None => unreachable!("it was put there just now"),
        }
    }

    fn document(&mut self, home: &Path, path: &Path) {
        let max = self.limits.documents;
        if self.left == 0 {
            if self.faults.is_empty() {
                self.faults.push(FileFault::new(path, Fault::Documents { max }));
            }
            return;
        }
        let answers = answer::open(path, self.limits, &mut |_, _| ());
        let count = answers.as_ref().map_or(1, |answers| answers.len().max(1));
        self.left = self.left.saturating_sub(u32::try_from(count).unwrap_or(u32::MAX));
        match answers {
            Ok(answers) if answers.is_empty() => {}
            Ok(answers) => self.folder(home).take(path, answers),
            Err(fault) => self.folder(home).broken.push(fault),
        }
    }

    /// Documents with the names of block files that are not there.
    fn numbered_pages(&mut self) {
        let mut pages = Vec::new();
        for folder in self.folders.values_mut() {
            for (form, numbers) in std::mem::take(&mut folder.numbered) {
                if !folder.files.contains_key(&form) {
                    let path = |number| form.path(&folder.path, number).with_extension("json");
                    pages.extend(numbers.into_iter().map(|n| (folder.path.clone(), path(n))));
                }
            }
        }
        for (home, path) in pages {
            self.document(&home, &path);
        }
    }

    /// Everything by snapshot; what cannot be read and belongs to no snapshot is added to `unreadable`.
    pub(super) fn finish(mut self, unreadable: &mut Vec<FileFault>) -> Snapshots {
        self.numbered_pages();
        unreadable.extend(self.faults);
        let mut found = Snapshots::default();
        for (_, folder) in self.folders {
            found.add(folder, unreadable, self.limits);
        }
        found
    }
}

impl Finder for Tree<'_> {
    fn file(&mut self, found: &Found<'_>) {
        let is_below = found.directory.file_name().is_some_and(|name| name == BLOCKS);
        let home = match found.directory.parent() {
            Some(parent) if is_below => parent,
            _ => found.directory,
        };
        if let Some((form, number)) = Form::of(found.name, is_below) {
            self.folder(home).files.entry(form).or_default().push(number);
        } else if let Some(stem) = found.name.strip_suffix(".json") {
            if Form::of(stem, is_below).is_some() {
                self.folder(home).beside.appended = true;
            } else if let Some((form, number)) = Form::of(&format!("{stem}.bin"), is_below) {
                let folder = self.folder(home);
                folder.beside.replaced = true;
                folder.numbered.entry(form).or_default().push(number);
            } else {
                self.document(home, &found.path());
            }
        } else if let Some(segment) = Segment::of(found.name)
            && proxy::folder(found.directory).is_some()
        {
            self.folder(found.directory).segments.push(segment);
        }
    }
}

impl Folder {
    fn take(&mut self, path: &Path, answers: Vec<Answer>) {
        for (place, answer) in answers.into_iter().enumerate() {
            match answer {
                Answer::Page(page) => {
                    self.pages.push(PageFile { path: path.to_owned(), place, page });
                }
                Answer::Descriptions { snapshots, goes_on } => {
                    if goes_on {
                        self.going_on.push(path.to_owned());
                    }
                    self.has_end |= !goes_on;
                    self.described.extend(snapshots);
                }
                Answer::Checksums(_) => self.checksums.push(path.to_owned()),
                Answer::Block(_) | Answer::Other => {}
            }
        }
    }

    /// The snapshots that its name says, or that of the directory it is in.
    fn named(&self) -> Vec<Name> {
        let name = |path: &Path| {
            let real = path.file_name().is_none().then(|| std::fs::canonicalize(path).ok());
            let real = real.flatten().unwrap_or_else(|| path.to_owned());
            real.file_name().map(|n| snapshots_in(&n.to_string_lossy())).unwrap_or_default()
        };
        let own = name(&self.path);
        match self.path.parent() {
            Some(parent) if own.is_empty() && parent != Path::new("") => name(parent),
            _ => own,
        }
    }

    /// The pages, by what they are a list of.
    fn lists(&mut self, own: &[Name]) -> BTreeMap<Identity, Vec<PageFile>> {
        let mut lists: BTreeMap<Identity, Vec<PageFile>> = BTreeMap::new();
        let only = self.only_described();
        for page in std::mem::take(&mut self.pages) {
            let identity = Identity::of(&page, own, only.as_ref());
            lists.entry(identity).or_default().push(page);
        }
        lists
    }

    /// The one snapshot that is described here.
    fn only_described(&self) -> Option<Name> {
        let first = &self.described.first()?.snapshot_id;
        self.described.iter().all(|d| d.snapshot_id == *first).then(|| first.clone())
    }
}

/// What a list is of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Identity {
    kind: Kind,
    snapshot: Option<Name>,
    parent: Option<Name>,
}

impl Identity {
    /// By what was written down with it, its file's name, its directory's name, or what is described
    /// beside it, in this order.
    fn of(page: &PageFile, folder: &[Name], described: Option<&Name>) -> Self {
        let own = snapshots_in(&page.name());
        let in_folder = |nth: usize| folder.get(nth).cloned();
        let (mut parent, mut snapshot) = match (own.as_slice(), folder) {
            ([first, second], _) => (Some(first.clone()), Some(second.clone())),
            // A single name is what it is of, unless the directory says that already.
            ([other], [.., child]) if page.page.kind == Kind::Changes && other != child => {
                (Some(other.clone()), Some(child.clone()))
            }
            ([one], [first, _]) => (Some(first.clone()), Some(one.clone())),
            ([one], _) => (None, Some(one.clone())),
            (_, [_, _]) => (in_folder(0), in_folder(1)),
            (_, [_]) => (None, in_folder(0)),
            _ => (None, described.cloned()),
        };
        let said = &page.page;
        snapshot = said.second.clone().or(snapshot);
        parent = said.first.clone().or(parent);
        if said.kind == Kind::Full {
            parent = None;
        }
        Self { kind: said.kind, snapshot, parent }
    }
}

impl Snapshots {
    fn add(&mut self, mut folder: Folder, unreadable: &mut Vec<FileFault>, limits: &Limits) {
        self.evidence.push(folder.path.clone());
        let own = folder.named();
        let lists = folder.lists(&own);
        let mut listed: Vec<&Name> = lists.keys().filter_map(|i| i.snapshot.as_ref()).collect();
        listed.dedup();
        let only_listed = match listed.as_slice() {
            [only] => Some((*only).clone()),
            _ => None,
        };
        let id = own.last().cloned().or(only_listed).or_else(|| folder.only_described());
        for (identity, pages) in lists {
            self.evidence.extend(pages.iter().map(|page| page.path.clone()));
            let Some(snapshot) = identity.snapshot else {
                let stray = |page: PageFile| Warning::Stray { path: page.path };
                self.warnings.extend(pages.into_iter().map(stray));
                continue;
            };
            let list = join(&pages, limits);
            let parts = self.parts.entry(snapshot).or_default();
            match identity.kind {
                Kind::Full => parts.full.push(list),
                Kind::Changes => parts.changes.push((identity.parent, list)),
            }
        }
        let unfinished = folder.going_on.iter().min().filter(|_| !folder.has_end).cloned();
        for snapshot in std::mem::take(&mut folder.described) {
            let (path, unfinished) = (folder.path.clone(), unfinished.clone());
            self.described.push(DescribedIn { path, snapshot, unfinished });
        }
        self.proxy(&mut folder, unreadable, limits);
        if folder.files.is_empty() {
            unreadable.append(&mut folder.broken);
        } else if let Some(id) = id {
            self.parts.entry(id).or_default().folders.push(folder);
        } else {
            unreadable.append(&mut folder.broken);
            self.warnings.push(Warning::Stray { path: folder.path });
        }
    }

    fn proxy(&mut self, folder: &mut Folder, unreadable: &mut Vec<FileFault>, limits: &Limits) {
        if folder.segments.is_empty() {
            return;
        }
        let Some((id, size)) = proxy::folder(&folder.path) else { return };
        let segments = std::mem::take(&mut folder.segments);
        match proxy::Dump::new(folder.path.clone(), size, segments, limits) {
            Ok(dump) => self.parts.entry(id).or_default().proxy.push(dump),
            Err(fault) => unreadable.push(fault),
        }
    }
}
