//! What there is of a snapshot → its content, opened when it is needed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use restore::source::{BackupFault, Chain, ReadError, Source};

use super::answer::Listed;
use super::blocks::Blocks;
use super::find::Parts;
use super::pages::{List, contradiction};
use super::proxy;
use super::runs::Runs;
use super::source::{BlockSource, bytes, not_read};
use super::{BLOCK_SIZE, block_count};
use crate::backup::{Fault, FileFault, Missing, Name, Opened, Problem, Stored};
use crate::limits::Limits;

/// How many lost blocks of a member are named; a restore that goes on finds them all.
const MAX_DAMAGE: usize = 1000;

/// One snapshot, as it was dumped.
pub(super) struct Dump {
    pub id: Name,
    /// In bytes.
    pub size: u64,
    /// A directory of it.
    pub path: PathBuf,
    content: Content,
}

enum Content {
    /// Blocks in files, and the list that names them. With a parent, what it does not name is the
    /// parent's; without, nothing.
    Blocks { list: Arc<Runs<Listed>>, blocks: Arc<Blocks>, parent: Option<Name> },
    /// Runs of blocks, compressed.
    Proxy(proxy::Dump),
}

/// The snapshots that were dumped.
pub(super) type Dumps = BTreeMap<Name, Result<Arc<Dump>, Vec<Problem>>>;

/// A snapshot and what it builds on, newest first.
pub(super) struct Line {
    layers: Vec<Arc<Dump>>,
}

impl Dump {
    /// Makes one of what there is of snapshot `id`; `None` when nothing of its data was dumped.
    /// `described` is its size in bytes, where a description gives it.
    pub(super) fn new(
        id: &Name,
        parts: Parts,
        described: Option<u64>,
        limits: &Limits,
    ) -> Option<Result<Self, Vec<Problem>>> {
        let Parts { full, changes, mut folders, proxy } = parts;
        if let Some(dump) = proxy.into_iter().next() {
            let (path, size) = (dump.path.clone(), dump.size);
            return Some(Ok(Self { id: id.clone(), size, path, content: Content::Proxy(dump) }));
        }
        let is_empty = |list: &Result<List, Problem>| {
            list.as_ref().is_ok_and(|list| list.blocks.iter().all(|(_, l)| l == Listed::Gone))
        };
        let lists = || full.iter().chain(changes.iter().map(|(_, list)| list));
        if folders.is_empty() && !lists().any(is_empty) {
            return None;
        }
        let broken: Vec<Problem> =
            folders.iter_mut().flat_map(|f| f.broken.drain(..)).map(Problem::from).collect();
        if !broken.is_empty() {
            return Some(Err(broken));
        }
        let made = Blocks::new(folders).map_err(Problem::from).and_then(|blocks| {
            let (list, parent) = choose(full, changes, &blocks)?;
            Self::of_blocks(id, list, parent, blocks, described, limits)
        });
        Some(made.map_err(|problem| vec![problem]))
    }

    fn of_blocks(
        id: &Name,
        list: List,
        parent: Option<Name>,
        blocks: Blocks,
        described: Option<u64>,
        limits: &Limits,
    ) -> Result<Self, Problem> {
        // A file that the list does not name shows that a page of it is missing.
        if let Some(block) = blocks.files().first_not_in(&list.blocks) {
            return Err(Missing::PageOf { block, path: blocks.path(block) }.into());
        }
        let fault = |fault| Problem::from(FileFault::new(&list.path, fault));
        let max = limits.volume_size >> 30;
        let size = match (list.volume_size, described) {
            (Some(found), Some(expected)) if found != expected => {
                let (found, expected) = (found >> 30, expected >> 30);
                let other = PathBuf::from("its description");
                return Err(fault(Fault::OtherSize { found, expected, other }));
            }
            (Some(size), _) | (None, Some(size)) => size,
            (None, None) => return Err(fault(Fault::VolumeSize { found: 0, max })),
        };
        let blocks_in = block_count(size);
        if let Some((_, block)) = list.blocks.bounds().filter(|(_, b)| u64::from(*b) >= blocks_in) {
            return Err(fault(Fault::Beyond { block, blocks: blocks_in }));
        }
        let path = blocks.directory().or(list.path.parent()).unwrap_or(&list.path).to_owned();
        let (list, blocks) = (Arc::new(list.blocks), Arc::new(blocks));
        let content = Content::Blocks { list, blocks, parent };
        Ok(Self { id: id.clone(), size, path, content })
    }

    /// The snapshot it builds on.
    pub(super) const fn parent(&self) -> Option<&Name> {
        match &self.content {
            Content::Blocks { parent, .. } => parent.as_ref(),
            Content::Proxy(_) => None,
        }
    }

    /// Whether it says itself what block `block` is.
    fn names(&self, block: u32) -> bool {
        match &self.content {
            Content::Blocks { list, parent, .. } => parent.is_none() || list.get(block).is_some(),
            Content::Proxy(_) => true,
        }
    }

    fn source(&self, parent_size: u64, limits: &Limits) -> Result<Box<dyn Source>, FileFault> {
        Ok(match &self.content {
            Content::Proxy(dump) => Box::new(dump.clone()),
            Content::Blocks { list, blocks, .. } => Box::new(BlockSource {
                size: self.size,
                inherited: parent_size.min(self.size),
                list: list.clone(),
                blocks: blocks.clone(),
                checksums: blocks.checksums(list, limits)?,
                limits: *limits,
            }),
        })
    }
}

/// The list to go by. That of all blocks, unless the files are just those of a list of changes: then
/// only what had changed was fetched.
fn choose(
    full: Vec<Result<List, Problem>>,
    changes: Vec<(Option<Name>, Result<List, Problem>)>,
    blocks: &Blocks,
) -> Result<(List, Option<Name>), Problem> {
    let mut good = Vec::new();
    let mut bad = None;
    for list in full {
        match list {
            Ok(list) => good.push(list),
            Err(problem) => bad = Some(problem),
        }
    }
    let other = |first: &List| good.iter().find(|l| l.blocks != first.blocks);
    if let Some((first, other)) = good.first().and_then(|first| Some((first, other(first)?))) {
        return Err(contradiction(first, other));
    }
    let lacks = |list: &List| missing(&list.blocks, blocks).next().is_some();
    if let Some(full) = good.into_iter().next() {
        if lacks(&full) {
            let exact =
                |list: &List| blocks.files().first_not_in(&list.blocks).is_none() && !lacks(list);
            let mut fetched = changes.into_iter().filter_map(|(p, list)| Some((p?, list.ok()?)));
            if let Some((parent, list)) = fetched.find(|(_, list)| exact(list)) {
                return Ok((list, Some(parent)));
            }
        }
        return Ok((full, None));
    }
    if let Some(problem) = bad {
        return Err(problem);
    }
    let mut changes = changes.into_iter();
    match changes.next() {
        Some((Some(parent), list)) => Ok((list?, Some(parent))),
        Some((None, list)) => Err(Missing::ParentName { path: list?.path }.into()),
        None => {
            let path = blocks.directory().unwrap_or(Path::new("")).to_owned();
            Err(Missing::List { path }.into())
        }
    }
}

/// The blocks that a list says are stored and that have no file.
fn missing(list: &Runs<Listed>, blocks: &Blocks) -> impl Iterator<Item = u32> {
    let stored = list.iter().filter(|(_, listed)| *listed == Listed::Stored);
    stored.map(|(block, _)| block).filter(|block| blocks.files().get(*block).is_none())
}

impl Line {
    /// Follows a snapshot to what it builds on, down to one that stands alone.
    pub(super) fn of(
        dump: &Arc<Dump>,
        dumps: &Dumps,
        limits: &Limits,
    ) -> Result<Self, Vec<Problem>> {
        let mut layers = vec![dump.clone()];
        while let Some(child) = layers.last()
            && let Some(snapshot) = child.parent().cloned()
        {
            if layers.len() >= limits.chain as usize {
                let (snapshot, max) = (dump.id.clone(), limits.chain);
                return Err(vec![Problem::Chain { snapshot, max }]);
            }
            match dumps.get(&snapshot) {
                Some(Ok(parent)) => layers.push(parent.clone()),
                Some(Err(problems)) => return Err(problems.clone()),
                None => {
                    let child = child.id.clone();
                    return Err(vec![Missing::Parent { snapshot, child }.into()]);
                }
            }
        }
        Ok(Self { layers })
    }

    /// The block files of all layers that can be seen from the top.
    fn visible(&self) -> impl Iterator<Item = (u32, &Blocks)> {
        self.layers.iter().enumerate().flat_map(move |(depth, layer)| {
            let files = match &layer.content {
                Content::Blocks { list, blocks, .. } => Some((list, blocks)),
                Content::Proxy(_) => None,
            };
            files.into_iter().flat_map(move |(list, blocks)| {
                let stored = list.iter().filter(|(_, listed)| *listed == Listed::Stored);
                let hidden = move |block: u32| {
                    self.layers.iter().take(depth).any(|above| above.names(block))
                };
                stored
                    .map(|(block, _)| (block, &**blocks))
                    .filter(move |(block, _)| !hidden(*block))
            })
        })
    }

    /// The blocks that have no file, if there are any.
    pub(super) fn lost(&self) -> Option<Problem> {
        let mut absent =
            self.visible().filter(|(block, blocks)| blocks.files().get(*block).is_none());
        let (block, blocks) = absent.next()?;
        let first = blocks.path(block);
        Some(Problem::Blocks { lost: 1 + absent.count() as u64, first })
    }

    /// The directories of it that flexible-snapshot-proxy wrote.
    pub(super) fn proxies(&self) -> impl Iterator<Item = &Path> {
        let is_proxy = |layer: &&Arc<Dump>| matches!(layer.content, Content::Proxy(_));
        self.layers.iter().filter(is_proxy).map(|layer| layer.path.as_path())
    }

    /// The first block files that are not there, or not as long as a block.
    fn damage(&self) -> Vec<ReadError> {
        let check = |(block, blocks): (u32, &Blocks)| {
            let (path, range) = (blocks.path(block), bytes(block, block.saturating_add(1)));
            match std::fs::metadata(&path) {
                Ok(meta) if meta.is_file() && meta.len() == BLOCK_SIZE => None,
                Ok(meta) => {
                    let (expected, found) = (BLOCK_SIZE, meta.len());
                    let fault = BackupFault::Length { range, expected, found };
                    Some(ReadError::new(&path, fault))
                }
                Err(e) => Some(not_read(&path, &range, e)),
            }
        };
        self.visible().filter_map(check).take(MAX_DAMAGE).collect()
    }
}

impl Stored for Line {
    fn open(&self, limits: &Limits) -> Result<Opened, Problem> {
        let sizes = self.layers.iter().skip(1).map(|layer| layer.size).chain([0]);
        let mut layers = Vec::with_capacity(self.layers.len());
        for (layer, parent_size) in self.layers.iter().zip(sizes) {
            layers.push((layer.path.clone(), layer.source(parent_size, limits)?));
        }
        match Chain::new(layers) {
            Some(chain) => Ok(Opened { source: Arc::new(chain), damage: self.damage() }),
            None => unreachable!("a line has at least the snapshot itself"),
        }
    }
}
