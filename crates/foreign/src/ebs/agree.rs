//! Several lists of one snapshot → whether they say the same of its blocks. Each says which blocks the snapshot
//! has: one of all blocks by itself, one of changes with what the other snapshot has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::answer::Listed;
use super::dump::{Dump, Dumps, Rivals};
use super::lost::contents;
use super::pages::{List, contradiction_about};
use super::runs::{Run, Runs};
use crate::backup::{Name, Problem};

/// The blocks of those snapshots that lists are compared with.
type Contents = BTreeMap<Name, Arc<Option<Runs<()>>>>;

/// Lists that contradict each other about a block, by the snapshot that they are of.
pub(super) fn disagreements(dumps: &Dumps) -> Vec<(Name, Problem)> {
    let rivals = || {
        let whole = dumps.values().filter_map(|dump| dump.as_ref().ok());
        whole.filter_map(|dump| Some((&**dump, dump.rivals.as_deref()?)))
    };
    let names = |(dump, rivals): (&Dump, &Rivals)| {
        let others = rivals.others.iter().filter_map(|(parent, _)| parent.clone());
        others.chain([dump.id.clone()]).collect::<Vec<_>>()
    };
    let wanted: BTreeSet<Name> = rivals().flat_map(names).collect();
    let contents = if wanted.is_empty() { Contents::new() } else { contents(dumps, &wanted) };
    let problem = |(dump, rivals): (&Dump, &Rivals)| {
        let mut others = rivals.others.iter();
        let (other, block) = others.find_map(|(parent, other)| {
            Some((other, disagreement(dump, parent.as_ref(), other, &contents)?))
        })?;
        Some((dump.id.clone(), contradiction_about(&rivals.chosen, other, block)))
    };
    rivals().filter_map(problem).collect()
}

/// The first block about which another list of a snapshot says something else than that which it is read by.
fn disagreement(
    dump: &Dump,
    parent: Option<&Name>,
    other: &List,
    contents: &Contents,
) -> Option<u32> {
    let own = dump.list()?;
    if parent.is_some() && parent == dump.parent() {
        return own.first_difference(&other.blocks);
    }
    let content = |name: &Name| contents.get(name).and_then(|content| (**content).as_ref());
    let has = content(&dump.id);
    match (parent, has) {
        (None, Some(has)) => has.first_difference(&all(&other.blocks)),
        (None, None) => denied(own, &all(&other.blocks)),
        (Some(parent), Some(has)) => match content(parent) {
            Some(below) => has.first_difference(&dump.changed(&other.blocks, below)),
            None => denied(&other.blocks, has),
        },
        (Some(_), None) => None,
    }
}

/// All blocks of a list of these.
fn all(list: &Runs<Listed>) -> Runs<()> {
    list.runs().iter().map(Run::range).collect()
}

/// The first block that a list says is there and is not, or that it says is gone and is there.
fn denied(list: &Runs<Listed>, has: &Runs<()>) -> Option<u32> {
    list.runs().iter().find_map(|run| {
        let mut gaps = has.gaps(run.range());
        match run.value {
            Listed::Stored => gaps.next().map(|gap| gap.start),
            Listed::Gone => match gaps.next() {
                None => Some(run.first),
                Some(gap) if gap.start > run.first => Some(run.first),
                Some(gap) => Some(gap.end).filter(|end| *end < run.end()),
            },
        }
    })
}
