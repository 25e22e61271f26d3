//! What snapshots have with all that they build on: the blocks that they have lost, and those that they have.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::dump::{Dump, Dumps, Lost};
use super::runs::Runs;
use crate::backup::Name;

/// Finds something of each snapshot, by itself and by what was found of the one that it builds on: a long line costs no more for each of its snapshots, and few of those sets are held at a
/// time.
fn upwards<T: Default>(dumps: &Dumps, mut step: impl FnMut(&Dump, &T) -> Arc<T>) {
    let mut above: BTreeMap<&Name, Vec<&Dump>> = BTreeMap::new();
    let mut order: Vec<&Dump> = Vec::new();
    for dump in dumps.values().filter_map(|dump| dump.as_deref().ok()) {
        match dump.parent() {
            Some(parent) => above.entry(parent).or_default().push(dump),
            None => order.push(dump),
        }
    }
    let nothing = Arc::new(T::default());
    let mut next: Vec<_> = order.iter().map(|dump| (*dump, Arc::clone(&nothing))).collect();
    smallest_last(&mut above, order);
    while let Some((dump, below)) = next.pop() {
        let own = step(dump, &below);
        let children = above.get(&dump.id).into_iter().flatten();
        next.extend(children.map(|child| (*child, Arc::clone(&own))));
    }
}

/// The blocks that are listed and have no file.
pub(super) fn lost(dumps: &Dumps) -> BTreeMap<Name, Lost> {
    let mut all = BTreeMap::new();
    upwards(dumps, |dump, below| {
        let lost = dump.lost(below);
        if let Some((first, _)) = lost.bounds() {
            all.insert(dump.id.clone(), Lost { count: lost.len(), first });
        }
        Arc::new(lost)
    });
    all
}

/// The blocks that some of the snapshots have, as far as all that they build on is known.
pub(super) fn contents(
    dumps: &Dumps,
    wanted: &BTreeSet<Name>,
) -> BTreeMap<Name, Arc<Option<Runs<()>>>> {
    let mut all = BTreeMap::new();
    upwards(dumps, |dump, below: &Option<Runs<()>>| {
        let content = Arc::new(dump.content(below.as_ref()));
        if wanted.contains(&dump.id) {
            all.insert(dump.id.clone(), Arc::clone(&content));
        }
        content
    });
    all
}

/// Sorts what builds on each snapshot, so that what has least on top of it comes last. `order` is those
/// that stand alone.
fn smallest_last<'d>(above: &mut BTreeMap<&'d Name, Vec<&'d Dump>>, mut order: Vec<&'d Dump>) {
    let mut at = 0;
    while let Some(dump) = order.get(at) {
        order.extend(above.get(&dump.id).into_iter().flatten());
        at += 1;
    }
    let mut sizes: BTreeMap<&Name, usize> = BTreeMap::new();
    for dump in order.iter().rev() {
        let size = |child: &&Dump| sizes.get(&child.id).copied().unwrap_or(0);
        let on_top: usize = above.get(&dump.id).into_iter().flatten().map(size).sum();
        sizes.insert(&dump.id, 1 + on_top);
    }
    for children in above.values_mut() {
        children.sort_by_key(|child| Reverse(sizes.get(&child.id).copied()));
    }
}
