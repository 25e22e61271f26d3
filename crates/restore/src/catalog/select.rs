//! Choosing one set: what was asked for, or the newest, never a guess.

use std::str::FromStr;

use jiff::Timestamp;
use snapfmt::{SetManifest, VolumeId};

use super::set::{SetEntry, SetState};
use super::{Ambiguity, Catalog, CatalogError};

/// A point in time, as a user gives it: RFC 3339, or a date, which is its first instant in UTC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Instant(pub Timestamp);

impl FromStr for Instant {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        let date = || text.parse::<jiff::civil::Date>();
        let at_midnight = || date()?.to_zoned(jiff::tz::TimeZone::UTC).map(|z| z.timestamp());
        text.parse().or_else(|e| at_midnight().map_err(|_: jiff::Error| e)).map(Self)
    }
}

/// What a user says of the set that is meant. Empty: the newest.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// How its id begins.
    pub set_id: Option<String>,
    /// Its logical volume.
    pub source_volume: Option<VolumeId>,
    /// Its generation.
    pub generation: Option<u64>,
    /// The newest set not after this.
    pub at: Option<Timestamp>,
    /// How its content id begins or, of 64 digits, what it is.
    pub content_id: Option<String>,
    /// Whether an older set may be taken because the newest is not complete.
    pub latest_complete: bool,
}

impl Selection {
    /// Whether a set may be the one that is meant, by all that its manifest says of it.
    pub fn fits(&self, set: &SetManifest) -> bool {
        let prefix = |prefix: &String| set.id.as_str().starts_with(prefix.as_str());
        self.set_id.as_ref().is_none_or(prefix)
            && self.source_volume.as_ref().is_none_or(|v| *v == set.source_volume_id)
            && self.generation.is_none_or(|g| g == set.generation)
            && self.at.is_none_or(|at| set.time <= at)
    }
}

/// What was selected, and what was passed over for it.
#[derive(Debug)]
pub struct Selected<'c> {
    /// The set.
    pub entry: &'c SetEntry,
    /// Newer sets that are not complete, with [`Selection::latest_complete`].
    pub skipped: Vec<&'c SetEntry>,
}

impl Catalog {
    /// The set that is meant.
    pub fn select(&self, selection: &Selection) -> Result<Selected<'_>, CatalogError> {
        let by_id = self.matching(selection)?;
        one_volume(&by_id)?;
        self.not_mixed(&by_id, selection)?;
        if selection.set_id.is_some() {
            let distinct = |s: &&SetEntry| s.manifest.id.clone();
            let mut ids: Vec<_> = by_id.iter().map(distinct).collect();
            ids.dedup();
            if ids.len() > 1 && selection.generation.is_none() && selection.at.is_none() {
                return Err(ambiguous(Ambiguity::SetId, &by_id));
            }
        }
        let ordered = newest_first(&by_id, selection)?;
        let named = selection.set_id.is_some() || selection.generation.is_some();
        if !named && !selection.latest_complete {
            self.all_identified()?;
        }
        let mut skipped = Vec::new();
        for entry in ordered {
            if !selection.latest_complete || self.state(entry) == SetState::Complete {
                check_content(entry, selection)?;
                return Ok(Selected { entry, skipped });
            }
            skipped.push(entry);
        }
        // None is complete: the newest says why.
        match skipped.first() {
            Some(newest) => {
                Err(self.open_set(newest).err().unwrap_or(CatalogError::NotFound { any: true }))
            }
            None => Err(CatalogError::NotFound { any: !self.sets().is_empty() }),
        }
    }

    /// Whether a set can be used, seen from what opening its files tells.
    pub fn state(&self, entry: &SetEntry) -> SetState {
        match self.open_set(entry) {
            Ok(_) => SetState::Complete,
            Err(CatalogError::Incomplete { .. }) => SetState::Incomplete,
            Err(_) => SetState::Damaged,
        }
    }

    fn matching(&self, selection: &Selection) -> Result<Vec<&SetEntry>, CatalogError> {
        let fits = |s: &&SetEntry| selection.fits(&s.manifest);
        let mut found: Vec<&SetEntry> = self.sets().iter().filter(fits).collect();
        // An id that is named in full is meant, even if it begins others.
        if let Some(id) = &selection.set_id
            && found.iter().any(|s| s.manifest.id.as_str() == id)
        {
            found.retain(|s| s.manifest.id.as_str() == id);
        }
        if found.is_empty() {
            self.all_identified()?;
            return Err(CatalogError::NotFound { any: !self.sets().is_empty() });
        }
        Ok(found)
    }

    /// A file that could be of any set could be of the newest one.
    fn all_identified(&self) -> Result<(), CatalogError> {
        match self.bad().iter().find(|b| b.manifest.is_none()) {
            Some(bad) => Err(CatalogError::Unidentified { file: bad.error.clone() }),
            None => Ok(()),
        }
    }

    /// Two captures under one set id are told apart by content id or not at all.
    fn not_mixed(&self, sets: &[&SetEntry], selection: &Selection) -> Result<(), CatalogError> {
        for (n, a) in sets.iter().enumerate() {
            let rival = sets.iter().skip(n + 1).find(|b| a.manifest.id == b.manifest.id);
            let pinned = |s: &SetEntry| {
                selection.content_id.is_some() && check_content(s, selection).is_ok()
            };
            if let Some(b) = rival
                && !pinned(a)
                && !pinned(b)
            {
                let path = |s: &SetEntry| s.first_path(self.files(), self.bad()).to_owned();
                let set_id = a.manifest.id.clone();
                return Err(CatalogError::Mixed { set_id, first: path(a), second: path(b) });
            }
        }
        Ok(())
    }
}

fn one_volume(sets: &[&SetEntry]) -> Result<(), CatalogError> {
    let volume = |s: &SetEntry| s.manifest.source_volume_id.clone();
    match sets.first() {
        Some(first) if sets.iter().any(|s| volume(s) != volume(first)) => {
            Err(ambiguous(Ambiguity::SourceVolumes, sets))
        }
        _ => Ok(()),
    }
}

/// The sets of one volume, newest first; refused where that is not one clear line.
fn newest_first<'s>(
    sets: &[&'s SetEntry],
    selection: &Selection,
) -> Result<Vec<&'s SetEntry>, CatalogError> {
    let mut line: Vec<&SetEntry> = sets.to_vec();
    if let Some(pinned) = pinned(sets, selection) {
        line.retain(|s| s.manifest.id != pinned.manifest.id || std::ptr::eq(*s, pinned));
    }
    line.sort_by_key(|s| std::cmp::Reverse((s.manifest.generation, s.manifest.time)));
    let same_generation = |p: &&[&SetEntry]| match p {
        [a, b] => a.manifest.generation == b.manifest.generation,
        _ => false,
    };
    let forks: Vec<&SetEntry> = line
        .windows(2)
        .find(same_generation)
        .map(<[_]>::to_vec)
        .or_else(|| one_parent(&line))
        .unwrap_or_default();
    if !forks.is_empty() {
        return Err(ambiguous(Ambiguity::Fork, &forks));
    }
    if !line.is_sorted_by_key(|s| std::cmp::Reverse(s.manifest.time)) {
        return Err(ambiguous(Ambiguity::Order, &line));
    }
    Ok(line)
}

/// The first set whose content id the selection names.
fn pinned<'s>(sets: &[&'s SetEntry], selection: &Selection) -> Option<&'s SetEntry> {
    selection.content_id.as_ref()?;
    sets.iter().find(|s| check_content(s, selection).is_ok()).copied()
}

/// Two sets that build on the same one.
fn one_parent<'s>(line: &[&'s SetEntry]) -> Option<Vec<&'s SetEntry>> {
    line.iter().enumerate().find_map(|(n, a)| {
        let twin = line
            .iter()
            .skip(n + 1)
            .find(|b| a.parent_sets().any(|p| b.parent_sets().any(|q| p == q)))?;
        Some(vec![*a, *twin])
    })
}

fn check_content(entry: &SetEntry, selection: &Selection) -> Result<(), CatalogError> {
    match (&selection.content_id, entry.content) {
        (Some(expected), Some(found))
            if !found.to_string().starts_with(&expected.to_lowercase()) =>
        {
            let (set_id, expected) = (entry.manifest.id.clone(), expected.clone());
            Err(CatalogError::ContentId { set_id, expected, found })
        }
        _ => Ok(()),
    }
}

fn ambiguous(why: Ambiguity, sets: &[&SetEntry]) -> CatalogError {
    CatalogError::Ambiguous { why, candidates: sets.iter().map(|s| s.candidate()).collect() }
}
