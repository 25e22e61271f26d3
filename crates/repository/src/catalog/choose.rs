//! Choosing one set among all there are, whatever stored them: what was asked for, or the newest, never
//! a guess.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

use snapfmt::{SetContentId, SetId};

use super::gap::Gap;
use super::{Ambiguity, Candidate, CatalogError, Generation, Latest, Selection, SetKey};

/// What is known of a set's content id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ContentId {
    /// This is it.
    Known(SetContentId),
    /// The set has one, and no intact file says it.
    Unknown,
    /// Sets of this format have none.
    Never,
}

/// A set that can be chosen, whatever stored it.
pub trait Selectable {
    /// What it is told from others by.
    fn key(&self) -> SetKey<'_>;

    /// Its content id.
    fn content(&self) -> ContentId;

    /// What stored it, and one place where it lies.
    fn place(&self) -> (&'static str, PathBuf);

    /// The sets that it builds on, whether they are there or not.
    fn parents(&self) -> Vec<SetId>;

    /// Whether two sets that build on one are two lines, of which neither follows the other.
    fn forks(&self) -> bool;
}

/// What makes a choice doubtful beside the sets themselves.
#[derive(Debug)]
pub struct Doubts<E> {
    /// A path that was given and is not there.
    pub absent: Option<E>,
    /// The system failed over a file, which says nothing of the file.
    pub machine: Option<E>,
    /// A file or directory of which nobody knows what it holds: it could be of the newest set.
    pub unidentified: Option<E>,
}

/// Why a set cannot be taken, as those who look for one tell it.
pub trait Reason: From<CatalogError> {
    /// Why none of several sets, newest first, can be taken: the newest says it, unless there is more to tell.
    fn of_all(all: Vec<(Candidate, Self)>) -> Option<Self> {
        all.into_iter().next().map(|(_, why)| why)
    }
}

impl Reason for CatalogError {}

/// What was selected, and what was passed over for it.
#[derive(Debug)]
pub struct Selected<'s, S, E> {
    /// The set.
    pub set: &'s S,
    /// Newer sets that cannot be used, and why, with [`Selection::latest`].
    pub passed_over: Vec<(&'s S, E)>,
    /// Sets that are not there and may be newer, with [`Selection::latest`].
    pub gaps: Vec<Gap>,
}

/// The set that is meant. `obstacle` says why a set cannot be used; it is asked with
/// [`Selection::latest`] only, and fails where that cannot be known.
pub fn choose<'s, S: Selectable, E: Reason>(
    sets: &'s [S],
    selection: &Selection,
    doubts: Doubts<E>,
    mut obstacle: impl FnMut(&'s S) -> Result<Option<E>, E>,
) -> Result<Selected<'s, S, E>, E> {
    let Doubts { absent, machine, unidentified } = doubts;
    absent.map_or(Ok(()), Err)?;
    let is_any = selection.latest == Latest::Any;
    let named = selection.is_named();
    let gaps: Vec<Missed<'_, S>> =
        gaps(sets).into_iter().filter(|gap| gap.fits(selection)).collect();
    let found = fitting(sets, selection);
    if found.is_empty() {
        machine.or(unidentified).map_or(Ok(()), Err)?;
        return Err(nothing(sets, &gaps, selection).into());
    }
    let unseen = machine.or(unidentified.filter(|_| is_any));
    let line = line(sets, found, &gaps, selection)?;
    if !named {
        unseen.map_or(Ok(()), Err)?;
    }
    let mut passed_over = Vec::new();
    for (nth, set) in line.iter().enumerate() {
        if !is_any && let Some(why) = obstacle(set)? {
            passed_over.push((*set, why));
            continue;
        }
        let older = line.get(nth..).unwrap_or_default();
        for twin in older.iter().skip(1).filter(|twin| is_twin(*set, *twin)) {
            if is_any || obstacle(twin)?.is_none() {
                return Err(twice(*set, *twin).into());
            }
        }
        // What an older set builds on is older still.
        let newer = |gap: &Missed<'_, S>| !named && !gap.is_older_than_one_of(older);
        let gaps: Vec<Gap> = gaps.iter().filter(|gap| newer(gap)).map(Missed::gap).collect();
        if let Some(gap) = gaps.first().filter(|_| is_any) {
            let (gap, found) = (gap.clone(), set.key().candidate());
            return Err(CatalogError::Gap { gap, found: Some(found) }.into());
        }
        check_content(*set, sets, selection)?;
        return Ok(Selected { set, passed_over, gaps });
    }
    let all = passed_over.into_iter().map(|(set, why)| (set.key().candidate(), why)).collect();
    Err(E::of_all(all).unwrap_or_else(|| none_fits(sets).into()))
}

fn none_fits<S: Selectable>(sets: &[S]) -> CatalogError {
    if sets.is_empty() {
        return CatalogError::NotFound;
    }
    CatalogError::NoneFits { there: sets.iter().map(|set| set.key().candidate()).collect() }
}

/// The sets that fit, newest first; refused where they are not one clear line.
fn line<'s, S: Selectable>(
    sets: &'s [S],
    found: Vec<&'s S>,
    gaps: &[Missed<'_, S>],
    selection: &Selection,
) -> Result<Vec<&'s S>, CatalogError> {
    one_volume(&found)?;
    let found = one_capture(found, selection)?;
    one_id(&found, gaps, selection)?;
    all_timed(sets, &found, selection)?;
    newest_first(found)
}

/// The sets that fit.
fn fitting<'s, S: Selectable>(sets: &'s [S], selection: &Selection) -> Vec<&'s S> {
    let mut found: Vec<&S> = sets.iter().filter(|s| selection.fits(&s.key())).collect();
    // An id that is named in full is meant, even if it begins others.
    if let Some(id) = &selection.set_id
        && found.iter().any(|s| s.key().id.as_str() == id)
    {
        found.retain(|s| s.key().id.as_str() == id);
    }
    found
}

fn nothing<S: Selectable>(
    sets: &[S],
    gaps: &[Missed<'_, S>],
    selection: &Selection,
) -> CatalogError {
    match gaps.first() {
        // An id or a generation that nobody has is no reason to speak of others.
        Some(gap) if selection.is_named() || selection.at.is_some() => {
            CatalogError::Gap { gap: gap.gap(), found: None }
        }
        _ => none_fits(sets),
    }
}

fn one_volume<S: Selectable>(sets: &[&S]) -> Result<(), CatalogError> {
    let volume = |s: &S| s.key().source_volume_id.clone();
    match sets.first() {
        Some(first) if sets.iter().any(|s| volume(s) != volume(first)) => {
            Err(ambiguous(Ambiguity::SourceVolumes, sets))
        }
        _ => Ok(()),
    }
}

/// Two captures under one set id are told apart by content id or not at all.
fn one_capture<'s, S: Selectable>(
    sets: Vec<&'s S>,
    selection: &Selection,
) -> Result<Vec<&'s S>, CatalogError> {
    let pinned = |s: &S| selection.content_id.is_some() && has_content(s, selection);
    let mut ids: HashMap<SetId, Vec<&S>> = HashMap::new();
    for set in &sets {
        ids.entry(set.key().id.clone()).or_default().push(set);
    }
    for (set_id, alike) in &ids {
        let pin = alike.iter().any(|s| pinned(s));
        if let [first, second, ..] = alike.as_slice()
            && !pin
            && alike.iter().skip(1).any(|s| s.place().0 == first.place().0)
        {
            let (set_id, first, second) = (set_id.clone(), first.place().1, second.place().1);
            return Err(CatalogError::Mixed { set_id, first, second });
        }
    }
    // Whose content id is named stands alone under its set id.
    let stays = |s: &&S| {
        let alike = ids.get(s.key().id).map(Vec::as_slice).unwrap_or_default();
        pinned(s) || !alike.iter().any(|other| pinned(other))
    };
    Ok(sets.into_iter().filter(stays).collect())
}

/// A prefix of several ids means none of them.
fn one_id<S: Selectable>(
    sets: &[&S],
    gaps: &[Missed<'_, S>],
    selection: &Selection,
) -> Result<(), CatalogError> {
    let Some(id) = &selection.set_id else { return Ok(()) };
    if selection.generation.is_some() || selection.at.is_some() {
        return Ok(());
    }
    let ids: HashSet<&SetId> = sets.iter().map(|s| s.key().id).collect();
    if ids.len() > 1 {
        return Err(ambiguous(Ambiguity::SetId, sets));
    }
    match (sets.first(), gaps.first()) {
        (Some(only), Some(gap)) if only.key().id.as_str() != id => {
            let found = Some(only.key().candidate());
            Err(CatalogError::Gap { gap: gap.gap(), found })
        }
        _ => Ok(()),
    }
}

/// A set of unknown time may be the newest before any time, and the newest of all.
fn all_timed<S: Selectable>(
    sets: &[S],
    found: &[&S],
    selection: &Selection,
) -> Result<(), CatalogError> {
    if selection.is_named() {
        return Ok(());
    }
    let any_time = Selection { at: None, ..selection.clone() };
    let mut timeless = sets.iter().filter(|s| s.key().time.is_none());
    let doubtful = timeless.any(|s| any_time.fits(&s.key()));
    if doubtful && (selection.at.is_some() || found.len() > 1) {
        let all: Vec<&S> = sets.iter().filter(|s| any_time.fits(&s.key())).collect();
        let timeless: Vec<&S> = all.into_iter().filter(|s| s.key().time.is_none()).collect();
        return Err(ambiguous(Ambiguity::Time, &timeless));
    }
    Ok(())
}

/// The sets of one volume, newest first.
fn newest_first<S: Selectable>(mut line: Vec<&S>) -> Result<Vec<&S>, CatalogError> {
    line.sort_by_key(|s| Reverse((s.key().generation, s.key().time, s.key().id.clone())));
    let same_generation = |p: &&[&S]| match p {
        [a, b] => a.key().generation == b.key().generation && !is_twin(*a, *b),
        _ => false,
    };
    let forks: Vec<&S> = line
        .windows(2)
        .find(same_generation)
        .map(<[_]>::to_vec)
        .or_else(|| siblings(&line))
        .unwrap_or_default();
    if !forks.is_empty() {
        return Err(ambiguous(Ambiguity::Fork, &forks));
    }
    if !line.is_sorted_by_key(|s| Reverse(s.key().time)) {
        return Err(ambiguous(Ambiguity::Order, &line));
    }
    match upside_down(&line) {
        Some(pair) => Err(ambiguous(Ambiguity::Order, &pair)),
        None => Ok(line),
    }
}

/// A set that seems newer than one that builds on it, and that one: what says the time of one of them is wrong.
fn upside_down<'s, S: Selectable>(line: &[&'s S]) -> Option<[&'s S; 2]> {
    let places: HashMap<&SetId, usize> =
        line.iter().enumerate().map(|(place, set)| (set.key().id, place)).collect();
    line.iter().enumerate().find_map(|(place, child)| {
        let parents = child.parents();
        let newer =
            parents.iter().filter_map(|parent| places.get(parent)).find(|at| **at < place)?;
        Some([*line.get(*newer)?, *child])
    })
}

/// Two sets that build on one, and are not of one line therefore.
fn siblings<'s, S: Selectable>(line: &[&'s S]) -> Option<Vec<&'s S>> {
    let mut children: HashMap<SetId, &'s S> = HashMap::new();
    for set in line.iter().filter(|set| set.forks()) {
        for parent in set.parents() {
            match children.insert(parent, set) {
                Some(other) if other.key().id != set.key().id => return Some(vec![other, *set]),
                _ => {}
            }
        }
    }
    None
}

/// Whether two formats have one set.
fn is_twin<S: Selectable>(a: &S, b: &S) -> bool {
    a.key().id == b.key().id
}

fn twice<S: Selectable>(a: &S, b: &S) -> CatalogError {
    let (set_id, first, second) = (a.key().id.clone(), a.place(), b.place());
    CatalogError::Twice { set_id, first, second }
}

/// A gap, and all that build on it.
struct Missed<'s, S> {
    set_id: SetId,
    children: Vec<&'s S>,
}

/// The sets that are known only because others build on them.
fn gaps<S: Selectable>(sets: &[S]) -> Vec<Missed<'_, S>> {
    let known: HashSet<&SetId> = sets.iter().map(|s| s.key().id).collect();
    let mut gaps: BTreeMap<SetId, Vec<&S>> = BTreeMap::new();
    for set in sets {
        for parent in set.parents() {
            if !known.contains(&parent) {
                gaps.entry(parent).or_default().push(set);
            }
        }
    }
    for children in gaps.values_mut() {
        children.sort_by_key(|s| (s.key().generation, s.key().time));
    }
    gaps.into_iter().map(|(set_id, children)| Missed { set_id, children }).collect()
}

impl<S: Selectable> Missed<'_, S> {
    /// Whether it may be a set that the selection asks for: its time is not known, and of its generation
    /// only that it is less than that of those that build on it.
    fn fits(&self, selection: &Selection) -> bool {
        let prefix = |prefix: &String| self.set_id.as_str().starts_with(prefix.as_str());
        let child = |is: &dyn Fn(SetKey<'_>) -> bool| self.children.iter().any(|s| is(s.key()));
        selection.set_id.as_ref().is_none_or(prefix)
            && selection
                .source_volume
                .as_ref()
                .is_none_or(|volume| child(&|key| key.source_volume_id == volume))
            && match selection.generation {
                Some(Generation::Number(number)) => !child(&|key| key.generation <= number),
                Some(Generation::Id(_)) | None => true,
            }
    }

    fn is_older_than_one_of(&self, line: &[&S]) -> bool {
        self.children.iter().any(|child| line.iter().any(|set| std::ptr::eq(*set, *child)))
    }

    fn gap(&self) -> Gap {
        let child = self.children.first().map(|s| s.key().candidate());
        match child {
            Some(child) => Gap { set_id: self.set_id.clone(), child },
            None => unreachable!("a gap is known by what builds on it"),
        }
    }
}

fn has_content<S: Selectable>(set: &S, selection: &Selection) -> bool {
    match (&selection.content_id, set.content()) {
        (Some(expected), ContentId::Known(found)) => {
            found.to_string().starts_with(&expected.to_lowercase())
        }
        (Some(_), ContentId::Never) => false,
        (Some(_), ContentId::Unknown) | (None, _) => true,
    }
}

fn check_content<S: Selectable>(
    set: &S,
    sets: &[S],
    selection: &Selection,
) -> Result<(), CatalogError> {
    let Some(expected) = selection.content_id.clone().filter(|_| !has_content(set, selection))
    else {
        return Ok(());
    };
    let set_id = set.key().id.clone();
    Err(match set.content() {
        ContentId::Known(found) => {
            let is_known = |other: &&S| matches!(other.content(), ContentId::Known(_));
            let mut holders = sets.iter().filter(is_known);
            let holder = holders.find(|other| has_content(*other, selection));
            let holder = holder.map(|other| other.key().candidate());
            CatalogError::ContentId { set_id, expected, found, holder }
        }
        ContentId::Unknown | ContentId::Never => CatalogError::NoContentId { set_id, expected },
    })
}

fn ambiguous<S: Selectable>(why: Ambiguity, sets: &[&S]) -> CatalogError {
    CatalogError::Ambiguous { why, candidates: sets.iter().map(|s| s.key().candidate()).collect() }
}
