//! Pages of a list of blocks → the list, or which page is missing.
//!
//! A page says that another follows, by a token which that one does not repeat. So pages are put in
//! order by their blocks; names only show that one of a numbered row is not there.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::answer::{Listed, Page};
use super::names::{other_page, page_number};
use super::runs::Runs;
use super::{BLOCK_SIZE, block_count, gib};
use crate::backup::{Fault, FileFault, Missing, Name, Problem};
use crate::limits::Limits;

/// A page and where it was found.
#[derive(Clone, Debug)]
pub(super) struct PageFile {
    pub path: PathBuf,
    /// Its place among the pages of its file.
    pub place: usize,
    pub page: Page,
}

/// A whole list of blocks.
#[derive(Clone, Debug)]
pub(super) struct List {
    pub blocks: Runs<Listed>,
    /// In bytes, where the pages say it.
    pub volume_size: Option<u64>,
    /// The file of its first page.
    pub path: PathBuf,
    /// The files of its pages, each with its first block.
    pages: Vec<(u32, PathBuf)>,
}

impl List {
    /// The page that names a block.
    pub(super) fn page_of(&self, block: u32) -> &Path {
        let at = self.pages.partition_point(|(first, _)| *first <= block);
        let page = at.checked_sub(1).and_then(|at| self.pages.get(at));
        page.map_or(&self.path, |(_, path)| path)
    }
}

/// Joins the pages that a directory has of one list. Where it has the list several times, under
/// different names, all must say the same.
pub(super) fn join(pages: &[PageFile], limits: &Limits) -> Result<List, Problem> {
    let whole = row(pages.iter().collect(), limits);
    if whole.is_ok() {
        return whole;
    }
    // Lists that are whole each by itself are of one volume all the same.
    volume_size(&pages.iter().collect::<Vec<_>>(), limits)?;
    let mut rows: BTreeMap<String, Vec<&PageFile>> = BTreeMap::new();
    for page in pages {
        rows.entry(page_number(&page.name()).0.to_owned()).or_default().push(page);
    }
    let mut lists: Vec<List> = rows.into_values().filter_map(|r| row(r, limits).ok()).collect();
    let Some(list) = lists.pop() else { return whole };
    if let Some(other) = lists.iter().find(|other| other.blocks != list.blocks) {
        return Err(contradiction(&list, other));
    }
    // One that lacks what another page names is the end of something, and no list by itself.
    let lacks = |page: &PageFile| page.page.blocks.first_not_in(&list.blocks).is_some();
    if pages.iter().any(lacks) { whole } else { Ok(list) }
}

/// Two lists of one snapshot that are not the same.
pub(super) fn contradiction(list: &List, other: &List) -> Problem {
    let block = list.blocks.first_difference(&other.blocks).unwrap_or_default();
    contradiction_about(list, other, block)
}

/// Two lists that are not the same about a block.
pub(super) fn contradiction_about(list: &List, other: &List, block: u32) -> Problem {
    let other = other.page_of(block).to_owned();
    let about = Name::from(format!("block {block}").as_str());
    FileFault::new(list.page_of(block), Fault::Contradicts { other, about }).into()
}

/// Joins pages that are all of one list.
fn row(mut pages: Vec<&PageFile>, limits: &Limits) -> Result<List, Problem> {
    pages.sort_by(|a, b| (a.first(), &a.path, a.place).cmp(&(b.first(), &b.path, b.place)));
    no_gap(&pages)?;
    let volume_size = volume_size(&pages, limits)?;
    let runs = pages.iter().map(|page| page.page.blocks.runs().len()).sum();
    let mut blocks = Runs::with_capacity(runs);
    let mut last: Option<&PageFile> = None;
    // Pages without blocks are first.
    for page in pages.iter().copied() {
        if !blocks.extend(&page.page.blocks) {
            let other = last.map_or(&page.path, |last| &last.path).clone();
            let block = page.first().unwrap_or_default();
            return Err(FileFault::new(&page.path, Fault::Twice { block, other }).into());
        }
        last = Some(page);
    }
    let mut ends = pages.iter().filter(|page| !page.page.goes_on);
    match (ends.next(), ends.next(), last) {
        (Some(end), Some(other), _) => {
            let (other, about) = (other.path.clone(), "the end of a list".into());
            return Err(FileFault::new(&end.path, Fault::Contradicts { other, about }).into());
        }
        // The end may be a page without blocks; otherwise it is the one with the last of them.
        (Some(end), None, Some(last)) if end.first().is_none() || std::ptr::eq(*end, last) => {}
        (_, _, Some(last)) => return Err(Missing::NextPage { path: last.path.clone() }.into()),
        (_, _, None) => {}
    }
    let path = pages.first().map(|page| page.path.clone()).unwrap_or_default();
    let firsts = pages.iter().filter_map(|page| Some((page.first()?, page.path.clone())));
    Ok(List { blocks, volume_size, path, pages: firsts.collect() })
}

impl PageFile {
    fn first(&self) -> Option<u32> {
        self.page.blocks.bounds().map(|(first, _)| first)
    }

    pub(super) fn name(&self) -> Cow<'_, str> {
        self.path.file_name().map(OsStr::to_string_lossy).unwrap_or_default()
    }
}

/// The most pages that a number counts without zeros before it: a larger one is a date, or a size.
const MAX_COUNTED: u32 = 1000;

/// Names that count their pages must count all of them, from 0 or 1 on.
fn no_gap(pages: &[&PageFile]) -> Result<(), Missing> {
    let mut rows: BTreeMap<PathBuf, BTreeMap<u32, (usize, &PageFile)>> = BTreeMap::new();
    for page in pages {
        let name = page.name();
        if let (_, Some((number, digits))) = page_number(&name) {
            // All pages of a row would have this name if they had no number.
            let row = page.path.with_file_name(other_page(&name, 0, 0));
            rows.entry(row).or_default().insert(number, (digits, page));
        }
    }
    for row in rows.into_values() {
        let is_padded = |(number, (digits, _)): &(&u32, &(usize, _))| {
            *digits > number.checked_ilog10().unwrap_or(0) as usize + 1
        };
        let counted = row.iter().next().filter(|first| *first.0 < MAX_COUNTED || is_padded(first));
        let digits = counted.filter(is_padded).map_or(0, |(_, (digits, _))| *digits);
        // Whether 0 or 1 is the first is not known where only later ones are there.
        let mut expected = counted.map(|(first, _)| if *first > 1 { first - 1 } else { *first });
        for (number, (_, page)) in &row {
            let Some(next) = expected else { break };
            if *number != next {
                let path = page.path.with_file_name(other_page(&page.name(), next, digits));
                return Err(Missing::Page { path });
            }
            expected = next.checked_add(1);
        }
    }
    Ok(())
}

/// The size that all pages give, in bytes, if any does; all blocks are within it.
fn volume_size(pages: &[&PageFile], limits: &Limits) -> Result<Option<u64>, FileFault> {
    let mut said: Option<(&PageFile, u64)> = None;
    for page in pages {
        let fault = |fault| Err(FileFault::new(&page.path, fault));
        if let Some(found) = page.page.block_size.filter(|size| *size != BLOCK_SIZE) {
            return fault(Fault::BlockSize { expected: BLOCK_SIZE, found });
        }
        let Some(found) = page.page.volume_size else { continue };
        match said {
            Some((other, expected)) if expected != found => {
                let other = other.path.clone();
                return fault(Fault::OtherSize { found, expected, other });
            }
            _ => said = Some((page, found)),
        }
        if let Some((_, block)) = page.page.blocks.bounds() {
            let blocks =
                block_count(gib(found, limits).map_err(|e| FileFault::new(&page.path, e))?);
            if u64::from(block) >= blocks {
                return fault(Fault::Beyond { block, blocks });
            }
        }
    }
    match said {
        Some((page, found)) => {
            gib(found, limits).map(Some).map_err(|fault| FileFault::new(&page.path, fault))
        }
        None => Ok(None),
    }
}
