//! What a tree has of EBS snapshots: lists, block files, checksums and descriptions, by directory. Files
//! with other names than these have are looked into where a dump is: nothing of one is passed over without
//! a word.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use restore::renamed::without_added;

use super::answer::Answer;
use super::folder::{Folder, NOTHING_KNOWN};
use super::gather::Snapshots;
use super::names::{BLOCKS, Form, is_document, is_telling};
use super::proxy::{self, Segment};
use super::read;
use super::text::{Start, start};
use crate::backup::{Fault, FileFault};
use crate::limits::Limits;
use crate::walk::{Finder, Found};
use crate::within::Roots;

/// How many names that say nothing are kept, to look into their files.
const MAX_NAMES: u32 = 1 << 16;

/// What is found while the tree is walked.
pub(super) struct Tree<'l> {
    limits: &'l Limits,
    roots: Roots,
    /// How many documents may still be read.
    left: u32,
    /// How many names that say nothing may still be kept.
    names: u32,
    folders: BTreeMap<PathBuf, Folder>,
    faults: Vec<FileFault>,
}

impl<'l> Tree<'l> {
    pub(super) fn new(roots: Roots, limits: &'l Limits) -> Self {
        let (folders, faults) = (BTreeMap::new(), Vec::new());
        Self { limits, roots, left: limits.documents, names: MAX_NAMES, folders, faults }
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

    /// Reads a document; `false` when there is nothing known in it.
    fn document(&mut self, home: &Path, path: &Path) -> Result<bool, FileFault> {
        let max = self.limits.documents;
        if self.left == 0 {
            if self.faults.is_empty() {
                self.faults.push(FileFault::new(path, Fault::Documents { max }));
            }
            return Ok(true);
        }
        let answers = read::open(&self.roots, path, self.limits, &mut |_, _| ());
        let count = answers.as_ref().map_or(1, |answers| answers.len().max(1));
        self.left = self.left.saturating_sub(u32::try_from(count).unwrap_or(u32::MAX));
        let answers = answers?;
        let is_known = !answers.is_empty();
        if is_known {
            self.folder(home).take(path, answers);
        }
        Ok(is_known)
    }

    /// Reads what is called a document.
    fn named_document(&mut self, home: &Path, path: &Path) {
        match self.document(home, path) {
            Ok(true) => {}
            Ok(false) => self.unused(home, path, NOTHING_KNOWN),
            Err(fault) => self.folder(home).broken.push(fault),
        }
    }

    fn unused(&mut self, home: &Path, path: &Path, why: &'static str) {
        if let Some(left) = self.names.checked_sub(1) {
            self.names = left;
            self.folder(home).unused.push((path.to_owned(), why));
        } else if let Some(folder) = self.folders.get_mut(home) {
            folder.pass_over(path);
        }
    }

    /// Documents with the names of answers beside block files: pages, where no such files are there, or
    /// where there is no other list and the first of them is one.
    fn numbered_pages(&mut self) {
        let mut pages = Vec::new();
        for folder in self.folders.values_mut() {
            for (form, numbers) in std::mem::take(&mut folder.numbered) {
                let path = |number| form.path(&folder.path, number).with_extension("json");
                let has_files = folder.files.keys().any(|other| other.is_called_like(form));
                let is_page = |number: &u32| {
                    let answers =
                        read::open(&self.roots, &path(*number), self.limits, &mut |_, _| ());
                    let is_page = |answer: &Answer| matches!(answer, Answer::Page(_));
                    answers.is_ok_and(|answers| answers.iter().any(is_page))
                };
                let no_list = folder.pages.is_empty();
                if !has_files || (no_list && numbers.iter().min().is_some_and(is_page)) {
                    folder.beside.replaced = false;
                    folder.digests = folder.digests.saturating_sub(numbers.len() as u64);
                    pages.extend(numbers.into_iter().map(|n| (folder.path.clone(), path(n))));
                }
            }
        }
        for (home, path) in pages {
            self.named_document(&home, &path);
        }
    }

    /// Looks into files with names that say nothing, where a dump is, beside one, and where a name says
    /// more than others; gives the directories that are none of these.
    fn look_closer(&mut self) -> HashSet<PathBuf> {
        let dumps = self.folders.values().filter(|folder| folder.is_dump());
        let dumps: HashSet<PathBuf> = dumps.map(|folder| folder.path.clone()).collect();
        let beside: HashSet<PathBuf> =
            dumps.iter().filter_map(|path| path.parent()).map(Path::to_owned).collect();
        let mut far = HashSet::new();
        let paths: Vec<PathBuf> = self.folders.keys().cloned().collect();
        for path in paths {
            let others = std::mem::take(&mut self.folder(&path).others);
            let is_dump = dumps.contains(&path);
            for name in others {
                if !is_dump && !beside.contains(&path) && !is_telling(&name) {
                    continue;
                }
                let file = self.folder(&path).file(&name);
                match self.look_into(&path, &file, is_telling(&name)) {
                    Some(why) if is_dump || is_telling(&name) => self.unused(&path, &file, why),
                    _ => {}
                }
            }
            let folder = self.folder(&path);
            if !is_dump && !folder.is_dump() && !folder.is_telling() {
                far.insert(path);
            }
        }
        far
    }

    /// Reads a file if it is a document; otherwise says why it is not used.
    fn look_into(&mut self, home: &Path, path: &Path, is_telling: bool) -> Option<&'static str> {
        let start = self.roots.open(path).and_then(|(file, _)| start(&file));
        match start {
            Ok(Start::Json) => {}
            Ok(Start::Packed(how)) => return Some(how),
            Ok(Start::Other) if path.to_str().is_some_and(|name| without_added(name) != name) => {
                return Some("packed, or not whole, as its name says");
            }
            Ok(Start::Other) => return Some(NOTHING_KNOWN),
            Err(_) => return Some("it cannot be read"),
        }
        match self.document(home, path) {
            Ok(true) => None,
            Ok(false) => Some(NOTHING_KNOWN),
            Err(fault) if is_telling => {
                self.folder(home).broken.push(fault);
                None
            }
            Err(_) => Some("no JSON, or nothing that an answer of AWS can be"),
        }
    }

    /// Everything by snapshot; what cannot be read and belongs to no snapshot is added to `unreadable`.
    pub(super) fn finish(mut self, unreadable: &mut Vec<FileFault>) -> Snapshots<'l> {
        self.numbered_pages();
        let far = self.look_closer();
        unreadable.extend(self.faults);
        let mut found = Snapshots::new(self.roots, self.limits);
        for (path, folder) in self.folders {
            if !far.contains(&path) {
                found.add(folder, unreadable);
            }
        }
        found
    }
}

/// The directory whose dump a file is of, and whether the file is in `blocks/` below it.
fn home<'f>(found: &Found<'f>) -> (&'f Path, bool) {
    let is_below = found.directory.file_name().is_some_and(|name| name == BLOCKS);
    match found.directory.parent() {
        Some(parent) if is_below => (parent, true),
        _ => (found.directory, is_below),
    }
}

impl Tree<'_> {
    /// Takes the answer of a block that is called like the block's file.
    fn beside(&mut self, home: &Path, stem: &str, is_below: bool) -> bool {
        if Form::of(stem, is_below).is_some_and(|(form, _)| form.has_end()) {
            let folder = self.folder(home);
            folder.beside.appended = true;
            folder.digests += 1;
        } else if let Some((form, number)) = Form::of(&format!("{stem}.bin"), is_below) {
            let folder = self.folder(home);
            folder.beside.replaced = true;
            folder.digests += 1;
            folder.numbered.entry(form).or_default().push(number);
        } else {
            return false;
        }
        true
    }
}

impl Finder for Tree<'_> {
    fn knows(&self, found: &Found<'_>) -> bool {
        let ((_, is_below), name) = (home(found), found.name);
        let in_proxy = proxy::folder(found.directory).is_some();
        is_document(name)
            || name.strip_suffix(".json").is_some()
            || Form::of(name, is_below).is_some()
            || (in_proxy && (Segment::of(name).is_some() || proxy::is_like_segment(name)))
    }

    fn file(&mut self, found: &Found<'_>) {
        let ((home, is_below), name) = (home(found), found.name);
        let in_proxy = proxy::folder(found.directory).is_some();
        let form = Form::of(name, is_below).filter(|(form, _)| !in_proxy || form.is_plain());
        if let Some((form, number)) = form {
            self.folder(home).files.entry(form).or_default().push(number);
        } else if name.strip_suffix(".json").is_some_and(|stem| self.beside(home, stem, is_below)) {
        } else if is_document(name) {
            self.named_document(home, &found.path());
        } else if let Some(segment) =
            Segment::of(name).or_else(|| in_proxy.then(|| Segment::renamed(name)).flatten())
        {
            self.folder(found.directory).segments.push(segment);
        } else if in_proxy && proxy::is_like_segment(name) {
            let fault = FileFault::new(&found.path(), Fault::NoSegment);
            self.folder(found.directory).no_segments.push(fault);
        } else if let Some(left) = self.names.checked_sub(1) {
            self.names = left;
            let below = if is_below { format!("{BLOCKS}/{name}") } else { name.to_owned() };
            self.folder(home).others.push(below.into());
        } else if let Some(folder) = self.folders.get_mut(home) {
            folder.pass_over(&found.path());
        }
    }

    fn special(&mut self, found: &Found<'_>, what: &'static str) {
        if proxy::folder(found.directory).is_some() && proxy::is_like_segment(found.name) {
            let fault = FileFault::new(&found.path(), Fault::NoFile { what });
            self.folder(found.directory).no_segments.push(fault);
            return;
        }
        let (home, _) = home(found);
        self.unused(home, &found.path(), what);
    }
}
