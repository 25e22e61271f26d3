//! What one directory has of a dump, and which snapshot each part of it is of.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use restore::renamed::without_added;

use super::answer::{Answer, Kind, SERVICE_ERROR};
use super::describe::Described;
use super::names::{
    BLOCKS, Form, Part, is_beside, is_called_list, is_called_proof, is_telling, page_number,
    snapshots_in,
};
use super::pages::PageFile;
use super::proxy::Segment;
use crate::backup::{Fault, FileFault, Name, Warning};

/// Why a file that can be read is not used.
pub(super) const NOTHING_KNOWN: &str =
    "it holds nothing that is known, by what is in it and its name";

const TOO_MANY: &str = "there are too many files with other names to look into all of them";

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
    pub numbered: HashMap<Form, Vec<u32>>,
    /// Documents with checksums of many blocks.
    pub checksums: Vec<PathBuf>,
    /// How many blocks have a checksum there or beside their files.
    pub digests: u64,
    /// Documents that cannot be read.
    pub broken: Vec<FileFault>,
    /// Names of files that say nothing; of those in `blocks/`, with this before it.
    pub others: Vec<Box<str>>,
    /// What is not used, and why.
    pub unused: Vec<(PathBuf, &'static str)>,
    /// Blocks whose files cannot be used.
    pub unusable_blocks: Vec<UnusableBlock>,
    /// Documents without an answer, and what they have in its place.
    pub without_answer: Vec<(PathBuf, &'static str)>,
    /// How many more files were not looked at, because there are so many.
    pub passed_over: u64,
    /// The first of them that is a part of a dump by its name.
    pub part_passed_over: Option<PathBuf>,
    pub segments: Vec<Segment>,
    /// Files that must be such segments, and whose names say nothing.
    pub no_segments: Vec<FileFault>,
    pub pages: Vec<PageFile>,
    /// Descriptions, and the documents that they stand in.
    pub described: Vec<(Arc<Path>, Described)>,
    /// Entries of descriptions that cannot be used.
    pub bad_entries: Vec<FileFault>,
    /// Documents with descriptions after which more follow.
    pub going_on: Vec<PathBuf>,
    /// Whether there is one after which nothing follows.
    pub has_end: bool,
}

/// A block whose file cannot be used.
#[derive(Debug)]
pub(super) struct UnusableBlock {
    pub block: u32,
    pub fault: FileFault,
}

/// How the answer that came with a block is called.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Beside {
    /// As the block's file, with `.json` behind it.
    pub appended: bool,
    /// As the block's file, with `.json` in place of what it ends with.
    pub replaced: bool,
}

impl Folder {
    pub(super) fn take(&mut self, path: &Path, answers: Vec<Answer>) {
        for (place, answer) in answers.into_iter().enumerate() {
            match answer {
                Answer::Page(page) => {
                    self.pages.push(PageFile { path: path.to_owned(), place, page });
                }
                Answer::Descriptions { snapshots, bad, goes_on } => {
                    if goes_on {
                        self.going_on.push(path.to_owned());
                    }
                    self.has_end |= !goes_on;
                    let document: Arc<Path> = path.into();
                    self.described.extend(snapshots.into_iter().map(|one| (document.clone(), one)));
                    let fault = |(place, why)| FileFault::new(path, Fault::Entry { place, why });
                    self.bad_entries.extend(bad.into_iter().map(fault));
                }
                Answer::Checksums(count) => {
                    self.checksums.push(path.to_owned());
                    self.digests = self.digests.saturating_add(count);
                }
                Answer::None(what) => self.without_answer.push((path.to_owned(), what)),
                Answer::Block(_) | Answer::Other => {}
            }
        }
    }

    /// Whether something of a dump is there, block files alone not counted: many files are called by
    /// numbers.
    pub(super) fn is_dump(&self) -> bool {
        self.has_documents()
            || !self.segments.is_empty()
            || !self.no_segments.is_empty()
            || !named(&self.path).is_empty()
            || self.files.keys().any(|form| form.is_plain())
    }

    pub(super) fn has_documents(&self) -> bool {
        !(self.pages.is_empty()
            && self.checksums.is_empty()
            && self.described.is_empty()
            && self.bad_entries.is_empty()
            && self.broken.is_empty())
    }

    /// Whether what is not used is called like part of a dump, and keeps only that.
    pub(super) fn is_telling(&mut self) -> bool {
        let tells =
            |path: &Path| path.file_name().is_some_and(|n| is_telling(&n.to_string_lossy()));
        self.unused.retain(|(path, _)| tells(path));
        !self.unused.is_empty()
    }

    /// Whether there are files that could be blocks by other names.
    pub(super) fn has_strange_files(&self) -> bool {
        self.unused.iter().any(|(path, _)| path.extension().is_none_or(|end| end != "json"))
    }

    /// The path of a file in it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The snapshots that its name says, or that of the directory it is in.
    pub(super) fn named(&self) -> Vec<Name> {
        let own = named(&self.path);
        match self.path.parent() {
            Some(parent) if own.is_empty() && parent != Path::new("") => named(parent),
            _ => own,
        }
    }

    /// The pages, by what they are a list of. One that says another snapshot than its name does belongs
    /// to the broken ones.
    pub(super) fn lists(&mut self, own: &[Name]) -> BTreeMap<Identity, Vec<PageFile>> {
        let mut lists: BTreeMap<Identity, Vec<PageFile>> = BTreeMap::new();
        let only = self.only_described();
        for page in std::mem::take(&mut self.pages) {
            match Identity::of(&page, own, only.as_ref()) {
                Ok(identity) => lists.entry(identity).or_default().push(page),
                Err(fault) => self.broken.push(FileFault::new(&page.path, fault)),
            }
        }
        lists
    }

    /// The one snapshot that is described here.
    pub(super) fn only_described(&self) -> Option<Name> {
        let first = &self.described.first()?.1.snapshot_id;
        self.described.iter().all(|(_, d)| d.snapshot_id == *first).then(|| first.clone())
    }

    /// What is not used here and is a snapshot's, by its own name or that of the directory: where nothing else
    /// of the snapshot is there, it is all there is of a dump.
    pub(super) fn unusable(&self, own: &[Name]) -> Vec<(Name, FileFault)> {
        let of = |(path, why): &(PathBuf, &'static str)| {
            let name = path.file_name().map(|name| snapshots_in(&name.to_string_lossy()));
            // A log or a checksum is called like a snapshot, too.
            let said = name.unwrap_or_default().pop().filter(|_| *why != NOTHING_KNOWN);
            let snapshot = said.or_else(|| own.last().cloned())?;
            let fault = Fault::NoDump { snapshot: snapshot.clone(), why };
            Some((snapshot, FileFault::new(path, fault)))
        };
        self.unused.iter().filter_map(of).collect()
    }

    /// Counts a file that is not looked at, and keeps the first that is a part of a dump by its name.
    pub(super) fn pass_over(&mut self, path: &Path) {
        self.passed_over += 1;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_below = path.parent().is_some_and(|parent| parent.ends_with(BLOCKS));
        if self.part_passed_over.is_none() && Part::of(&name, is_below, true).is_some() {
            self.part_passed_over = Some(path.to_owned());
        }
    }

    /// Finds the parts of the dump that cannot be used, by their names. With `is_own`, it is the directory of
    /// one snapshot.
    pub(super) fn find_unusable(&mut self, is_own: bool) {
        let is_list = !self.pages.is_empty() || !self.files.is_empty();
        for (path, what) in std::mem::take(&mut self.without_answer) {
            // Nothing at all may stand in a document of any kind, an error stands for an answer.
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_answer = is_list || (what == SERVICE_ERROR && self.is_dump());
            if is_answer && !is_called_proof(&name) {
                self.broken.push(FileFault::new(&path, Fault::NoAnswer { what }));
            } else {
                self.unused.push((path, NOTHING_KNOWN));
            }
        }
        if let Some(path) = self.part_passed_over.take() {
            self.broken.push(FileFault::new(&path, Fault::Unusable { why: TOO_MANY }));
        }
        let rows: HashSet<String> =
            self.pages.iter().filter_map(|page| row(&page.name())).collect();
        for (path, why) in &self.unused {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let is_page = is_called_list(name) || row(name).is_some_and(|row| rows.contains(&row));
            let is_below = path.parent().is_some_and(|parent| parent.ends_with(BLOCKS));
            let part = match *why {
                NOTHING_KNOWN => is_page.then_some(Part::Document),
                _ => Part::of(name, is_below, is_own),
            };
            match part {
                Some(Part::Block(block)) => {
                    let fault = FileFault::new(path, Fault::Unusable { why });
                    self.unusable_blocks.push(UnusableBlock { block, fault });
                }
                Some(Part::Document)
                    if (self.files.is_empty() || !is_beside(name, is_below))
                        && !is_there_otherwise(path, name) =>
                {
                    self.broken.push(FileFault::new(path, Fault::Unusable { why }));
                }
                Some(Part::Document) | None => {}
            }
        }
    }

    /// A word on everything that is not used, one for each reason.
    pub(super) fn warnings(&mut self) -> Vec<Warning> {
        let mut by_why: BTreeMap<&'static str, Vec<PathBuf>> = BTreeMap::new();
        for (path, why) in std::mem::take(&mut self.unused) {
            by_why.entry(why).or_default().push(path);
        }
        let word = |(why, paths): (&'static str, Vec<PathBuf>)| {
            let more = paths.len().saturating_sub(1) as u64;
            Some(Warning::NotUsed { path: paths.into_iter().min()?, more, why })
        };
        let passed_over = (self.passed_over > 0).then(|| Warning::NotUsed {
            path: self.path.clone(),
            more: self.passed_over,
            why: TOO_MANY,
        });
        by_why.into_iter().filter_map(word).chain(passed_over).collect()
    }
}

/// What the names of a row of numbered pages have in common.
fn row(name: &str) -> Option<String> {
    let (kept, number) = page_number(name);
    number.map(|_| kept.to_owned())
}

/// Whether what a file holds lies in its directory by another name as well: without what was added to this one,
/// or where a link leads.
fn is_there_otherwise(path: &Path, name: &str) -> bool {
    let plain = without_added(name);
    let is_packed = plain != name
        && path.with_file_name(plain).symlink_metadata().is_ok_and(|meta| !meta.is_symlink());
    let home = |path: &Path| std::fs::canonicalize(path.parent()?).ok();
    let target = || std::fs::canonicalize(path).ok().filter(|target| target.is_file());
    let is_near = || {
        path.is_symlink() && target().is_some_and(|target| target.parent() == home(path).as_deref())
    };
    is_packed || is_near()
}

/// The snapshots that the name of a directory says.
fn named(path: &Path) -> Vec<Name> {
    let real = path.file_name().is_none().then(|| std::fs::canonicalize(path).ok());
    let real = real.flatten().unwrap_or_else(|| path.to_owned());
    real.file_name().map(|n| snapshots_in(&n.to_string_lossy())).unwrap_or_default()
}

/// What a list is of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Identity {
    pub kind: Kind,
    pub snapshot: Option<Name>,
    pub parent: Option<Name>,
}

impl Identity {
    /// By what was written down with it, its file's name, its directory's name, or what is described
    /// beside it, in this order. What was written down and what the file is called must not differ.
    fn of(page: &PageFile, folder: &[Name], described: Option<&Name>) -> Result<Self, Fault> {
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
        let is_named = !own.is_empty() || !folder.is_empty();
        for (said, name) in [(&said.second, &snapshot), (&said.first, &parent)] {
            if let (Some(found), Some(expected)) = (said, name)
                && found != expected
                && is_named
            {
                let (found, expected) = (found.clone(), expected.clone());
                return Err(Fault::OtherSnapshot { found, expected });
            }
        }
        snapshot = said.second.clone().or(snapshot);
        parent = said.first.clone().or(parent);
        if said.kind == Kind::Full {
            parent = None;
        }
        Ok(Self { kind: said.kind, snapshot, parent })
    }
}
