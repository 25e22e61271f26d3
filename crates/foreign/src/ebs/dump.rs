//! What there is of a snapshot → its content, opened when it is needed.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use restore::source::{Chain, ReadError, Source};

use super::answer::Listed;
use super::block_count;
use super::blocks::Blocks;
use super::folder::Folder;
use super::gather::Parts;
use super::pages::{List, contradiction};
use super::proxy;
use super::runs::{Run, Runs};
use super::source::{BlockSource, damaged};
use crate::backup::{Fault, FileFault, Missing, Name, Problem, Stored, Warning};
use crate::limits::Limits;
use crate::within::Roots;

/// How many blocks a snapshot has lost, and the first of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lost {
    pub count: u32,
    pub first: u32,
}

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
    /// What else there is of the snapshot, and is not used.
    unused: Vec<Warning>,
    /// What other lists say of it.
    pub rivals: Option<Box<Rivals>>,
}

/// The lists of a snapshot that it is not read by.
pub(super) struct Rivals {
    /// The one that it is read by, without its blocks.
    pub chosen: List,
    /// Each with the snapshot whose differences it lists; lists of all blocks have none.
    pub others: Vec<(Option<Name>, List)>,
}

/// The list that a snapshot is read by, and the others.
struct Chosen {
    list: List,
    parent: Option<Name>,
    others: Vec<(Option<Name>, List)>,
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

/// What is wrong with snapshots besides what is wrong with their files.
pub(super) type Faults = BTreeMap<Name, Vec<Problem>>;

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
        roots: &Roots,
        limits: &Limits,
    ) -> Option<Result<Self, Vec<Problem>>> {
        let Parts { full, changes, folders, proxy, broken, is_at_home, .. } = parts;
        if !broken.is_empty() {
            return Some(Err(broken.into_iter().map(Problem::from).collect()));
        }
        let lists = Lists { full, changes, is_at_home };
        let made = Self::of_folders(id, lists, folders, described, roots, limits);
        let (mut dumps, mut unused) = (Vec::new(), Vec::new());
        for dump in proxy {
            match dump {
                Ok(dump) => dumps.push(dump),
                // Blocks with a list are whole without it.
                Err(fault) if matches!(made, Some(Ok(_))) => unused.push(bad_twin(&fault)),
                Err(fault) => return Some(Err(vec![fault.into()])),
            }
        }
        match (made, dumps.as_slice()) {
            // What flexible-snapshot-proxy wrote may lack its end.
            (Some(Err(_)) | None, [dump, others @ ..]) => {
                let made = Self::of_proxy(id, dump, others, described);
                Some(made.map_err(|fault| vec![fault.into()]))
            }
            (made, _) => made.map(|made| Ok(Self { unused, ..made? })),
        }
    }

    fn of_folders(
        id: &Name,
        lists: Lists,
        folders: Vec<Folder>,
        described: Option<u64>,
        roots: &Roots,
        limits: &Limits,
    ) -> Option<Result<Self, Vec<Problem>>> {
        let is_any_file = |folder: &Folder| !folder.files.is_empty();
        let is_any_unusable = folders.iter().any(|folder| !folder.unusable_blocks.is_empty());
        if !folders.iter().any(is_any_file) && !lists.is_any_empty() {
            // A list and files that cannot be used are a dump of which all is lost.
            if !is_any_unusable || lists.all().next().is_none() {
                return lists.without_files();
            }
        }
        let made = Blocks::new(folders, roots).map_err(Problem::from).and_then(|blocks| {
            let chosen = choose(lists.full, lists.changes, &blocks)?;
            Self::of_blocks(id, chosen, blocks, described, limits)
        });
        Some(made.map_err(|problem| vec![problem]))
    }

    fn of_proxy(
        id: &Name,
        dump: &proxy::Dump,
        others: &[proxy::Dump],
        described: Option<u64>,
    ) -> Result<Self, FileFault> {
        if let Some(other) = others.iter().find(|other| !other.is_copy_of(dump)) {
            let (path, about) = (dump.path.clone(), "the blocks of a snapshot".into());
            return Err(FileFault::new(&other.path, Fault::Contradicts { other: path, about }));
        }
        if let Some(fault) = other_size(dump.size, described) {
            return Err(FileFault::new(&dump.path, fault));
        }
        let (path, size) = (dump.path.clone(), dump.size);
        Ok(Self::of(id, size, path, Content::Proxy(dump.clone())))
    }

    fn of(id: &Name, size: u64, path: PathBuf, content: Content) -> Self {
        Self { id: id.clone(), size, path, content, unused: Vec::new(), rivals: None }
    }

    fn of_blocks(
        id: &Name,
        chosen: Chosen,
        blocks: Blocks,
        described: Option<u64>,
        limits: &Limits,
    ) -> Result<Self, Problem> {
        let Chosen { mut list, parent, others } = chosen;
        // A file that the list does not name shows that a page of it is missing.
        if let Some(block) = blocks.files().first_not_in(&list.blocks) {
            return Err(Missing::PageOf { block, path: blocks.path(block) }.into());
        }
        let fault = |fault| Problem::from(FileFault::new(&list.path, fault));
        if let Some(fault) = blocks.unlisted(&list.blocks) {
            return Err(fault.clone().into());
        }
        let gone = list.blocks.runs().iter().filter(|run| run.value == Listed::Gone);
        if let Some(block) = gone.flat_map(Run::range).find(|block| blocks.has(*block)) {
            let fault = Fault::NotGone { block, file: blocks.path(block) };
            return Err(FileFault::new(list.page_of(block), fault).into());
        }
        let max = limits.volume_size >> 30;
        let Some(size) = list.volume_size.or(described) else {
            return Err(fault(Fault::VolumeSize { found: 0, max }));
        };
        if let Some(other) = other_size(size, described) {
            return Err(fault(other));
        }
        let blocks_in = block_count(size);
        if let Some((_, block)) = list.blocks.bounds().filter(|(_, b)| u64::from(*b) >= blocks_in) {
            return Err(fault(Fault::Beyond { block, blocks: blocks_in }));
        }
        let path = blocks.directory().or(list.path.parent()).unwrap_or(&list.path).to_owned();
        let own = Arc::new(std::mem::take(&mut list.blocks));
        let content = Content::Blocks { list: own, blocks: Arc::new(blocks), parent };
        let rivals = (!others.is_empty()).then(|| Box::new(Rivals { chosen: list, others }));
        Ok(Self { rivals, ..Self::of(id, size, path, content) })
    }

    /// The snapshot it builds on.
    pub(super) const fn parent(&self) -> Option<&Name> {
        match &self.content {
            Content::Blocks { parent, .. } => parent.as_ref(),
            Content::Proxy(_) => None,
        }
    }

    /// The file of a block, whether it is there or not, if this says itself what the block is.
    fn file(&self, block: u32) -> Option<PathBuf> {
        match &self.content {
            Content::Blocks { list, blocks, parent }
                if parent.is_none() || list.get(block).is_some() =>
            {
                let unusable = blocks.unusable(block).map(Path::to_owned);
                Some(unusable.unwrap_or_else(|| blocks.path(block)))
            }
            Content::Blocks { .. } | Content::Proxy(_) => None,
        }
    }

    /// The blocks that have no file: its own and, of those of its parent, `below`, what it does not
    /// name.
    pub(super) fn lost(&self, below: &Runs<()>) -> Runs<()> {
        match &self.content {
            Content::Proxy(_) => Runs::default(),
            Content::Blocks { list, blocks, .. } => {
                let below = below.runs().iter().map(|run| self.within(run.range()));
                missing(list, blocks).chain(below.flat_map(|range| list.gaps(range))).collect()
            }
        }
    }

    /// The list that it is read by.
    pub(super) fn list(&self) -> Option<&Runs<Listed>> {
        match &self.content {
            Content::Blocks { list, .. } => Some(list),
            Content::Proxy(_) => None,
        }
    }

    /// The blocks that it has, where those are known that it builds on.
    pub(super) fn content(&self, below: Option<&Runs<()>>) -> Option<Runs<()>> {
        let list = self.list()?;
        match self.parent() {
            Some(_) => Some(self.changed(list, below?)),
            None => Some(stored(list).collect()),
        }
    }

    /// The blocks that it has by a list of what differs from another snapshot, which has those `below`.
    pub(super) fn changed(&self, list: &Runs<Listed>, below: &Runs<()>) -> Runs<()> {
        let below = below.runs().iter().map(|run| self.within(run.range()));
        stored(list).chain(below.flat_map(|range| list.gaps(range))).collect()
    }

    /// What should be known of it.
    fn warning(&self) -> Option<Warning> {
        let path = self.path.clone();
        match &self.content {
            Content::Proxy(_) => Some(Warning::LastRun { path }),
            Content::Blocks { list, blocks, .. } => {
                let stored = stored(list).map(|range| u64::from(range.end - range.start));
                let of: u64 = stored.sum();
                let lacking = of.saturating_sub(blocks.digests);
                (lacking > 0).then_some(Warning::NoDigests { path, blocks: lacking, of })
            }
        }
    }

    /// Those of the blocks that its volume has.
    fn within(&self, blocks: Range<u32>) -> Range<u32> {
        let count = u32::try_from(block_count(self.size)).unwrap_or(u32::MAX);
        blocks.start..blocks.end.min(count)
    }

    fn source(&self, parent_size: u64, limits: &Limits) -> Result<Box<dyn Source>, FileFault> {
        Ok(match &self.content {
            Content::Proxy(dump) => Box::new(dump.clone()),
            Content::Blocks { list, blocks, parent } => Box::new(BlockSource {
                size: self.size,
                inherited: parent_size.min(self.size),
                list: list.clone(),
                blocks: blocks.clone(),
                checksums: blocks.checksums(list, parent.is_none(), limits)?,
                limits: *limits,
            }),
        })
    }
}

/// The lists of a snapshot.
struct Lists {
    full: Vec<Result<List, Problem>>,
    changes: Vec<(Option<Name>, Result<List, Problem>)>,
    is_at_home: bool,
}

impl Lists {
    fn all(&self) -> impl Iterator<Item = &Result<List, Problem>> {
        self.full.iter().chain(self.changes.iter().map(|(_, list)| list))
    }

    /// Whether one of them needs no files.
    fn is_any_empty(&self) -> bool {
        let is_empty = |list: &List| stored(&list.blocks).next().is_none();
        self.all().any(|list| list.as_ref().is_ok_and(is_empty))
    }

    /// What is missing where no file of a block is there. A list that lies somewhere is no dump.
    fn without_files<T>(&self) -> Option<Result<T, Vec<Problem>>> {
        let problem = match self.all().next().filter(|_| self.is_at_home)? {
            Ok(list) => {
                let blocks = stored(&list.blocks).map(|range| u64::from(range.end - range.start));
                Missing::Files { path: list.path.clone(), blocks: blocks.sum() }.into()
            }
            Err(problem) => problem.clone(),
        };
        Some(Err(vec![problem]))
    }
}

/// The list to go by. That of all blocks, unless the files are just those of a list of changes: then
/// only what had changed was fetched.
fn choose(
    full: Vec<Result<List, Problem>>,
    changes: Vec<(Option<Name>, Result<List, Problem>)>,
    blocks: &Blocks,
) -> Result<Chosen, Problem> {
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
    let exact = |list: &List| blocks.files().first_not_in(&list.blocks).is_none() && !lacks(list);
    let readable =
        |(parent, list): (Option<Name>, Result<List, Problem>)| Some((Some(parent?), list.ok()?));
    if let Some(full) = good.into_iter().next() {
        let mut others: Vec<_> = changes.into_iter().filter_map(readable).collect();
        if lacks(&full)
            && let Some(fetched) = others.iter().position(|(_, list)| exact(list))
        {
            let (parent, list) = others.remove(fetched);
            others.push((None, full));
            return Ok(Chosen { list, parent, others });
        }
        return Ok(Chosen { list: full, parent: None, others });
    }
    if let Some(problem) = bad {
        return Err(problem);
    }
    // Of several, the one whose blocks were fetched.
    let fetched = changes.iter().position(|(_, list)| list.as_ref().is_ok_and(exact));
    let mut changes: VecDeque<_> = changes.into();
    match changes.remove(fetched.unwrap_or(0)) {
        Some((Some(parent), list)) => {
            let (list, others) = (list?, changes.into_iter().filter_map(readable).collect());
            Ok(Chosen { list, parent: Some(parent), others })
        }
        Some((None, list)) => Err(Missing::ParentName { path: list?.path }.into()),
        None => {
            let path = blocks.directory().unwrap_or(Path::new("")).to_owned();
            Err(Missing::List { path }.into())
        }
    }
}

/// A word on runs of blocks that cannot be used, where the snapshot's blocks can.
fn bad_twin(fault: &FileFault) -> Warning {
    let why = "it is not as runs of blocks must be; the snapshot is read from its blocks";
    Warning::NotUsed { path: fault.path.clone(), more: 0, why }
}

/// The size that a description gives, if it is another one.
fn other_size(found: u64, described: Option<u64>) -> Option<Fault> {
    let expected = described.filter(|expected| *expected != found)? >> 30;
    Some(Fault::OtherSize { found: found >> 30, expected, other: PathBuf::from("its description") })
}

/// The size of a volume is never less than it was.
fn smaller(child: &Dump, parent: &Dump) -> Problem {
    Problem::Smaller {
        snapshot: child.id.clone(),
        size: child.size,
        parent: parent.id.clone(),
        parent_size: parent.size,
    }
}

/// The blocks that a list says are stored.
fn stored(list: &Runs<Listed>) -> impl Iterator<Item = Range<u32>> {
    list.runs().iter().filter(|run| run.value == Listed::Stored).map(Run::range)
}

/// Those of them that have no file.
fn missing(list: &Runs<Listed>, blocks: &Blocks) -> impl Iterator<Item = Range<u32>> {
    stored(list).flat_map(|range| blocks.files().gaps(range))
}

impl Line {
    /// Follows a snapshot to what it builds on, down to one that stands alone.
    pub(super) fn of(
        dump: &Arc<Dump>,
        dumps: &Dumps,
        faults: &Faults,
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
                // What is wrong with a snapshot is wrong with all that have its bytes.
                Some(Ok(_)) if faults.contains_key(&snapshot) => {
                    return Err(faults.get(&snapshot).cloned().unwrap_or_default());
                }
                Some(Ok(parent)) if parent.size > child.size => {
                    return Err(vec![smaller(child, parent)]);
                }
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

    /// That blocks of it are lost.
    pub(super) fn without(&self, lost: Lost) -> Option<Problem> {
        let first = self.layers.iter().find_map(|layer| layer.file(lost.first))?;
        Some(Problem::Blocks { lost: lost.count.into(), first })
    }

    /// What should be known of what it is made of.
    pub(super) fn warnings(&self) -> Vec<Warning> {
        self.layers
            .iter()
            .flat_map(|dump| dump.unused.iter().cloned().chain(dump.warning()))
            .collect()
    }
}

impl Stored for Line {
    fn open(&self, limits: &Limits) -> Result<Arc<dyn Source>, Problem> {
        let sizes = self.layers.iter().skip(1).map(|layer| layer.size).chain([0]);
        let mut layers = Vec::with_capacity(self.layers.len());
        for (layer, parent_size) in self.layers.iter().zip(sizes) {
            layers.push((layer.path.clone(), layer.source(parent_size, limits)?));
        }
        match Chain::new(layers) {
            Some(chain) => Ok(Arc::new(chain)),
            None => unreachable!("a line has at least the snapshot itself"),
        }
    }

    fn damage(&self) -> Vec<ReadError> {
        let (mut damage, mut above) = (Vec::new(), Runs::<()>::default());
        let mut seen = 0..u32::MAX;
        for layer in &self.layers {
            let Content::Blocks { list, blocks, .. } = &layer.content else { break };
            seen = layer.within(seen);
            let stored = stored(list).map(|range| range.start..range.end.min(seen.end));
            let files = stored.flat_map(|range| above.gaps(range)).flatten();
            let room = MAX_DAMAGE - damage.len();
            damage.extend(files.filter_map(|block| damaged(blocks, block)).take(room));
            if damage.len() == MAX_DAMAGE {
                break;
            }
            let named = list.runs().iter().flat_map(|run| above.gaps(run.range()));
            above = above.runs().iter().map(Run::range).chain(named).collect();
        }
        damage
    }
}
