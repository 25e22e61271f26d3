//! Choosing one set: what was asked for, or the newest, never a guess.

use super::selection::{fitting, newest_first, one_id, one_volume};
use super::set::{SetEntry, SetState};
use super::{Catalog, CatalogError, Selection};

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
        one_id(&by_id, selection)?;
        let ordered = newest_first(without_rivals(&by_id, selection))?;
        if !selection.is_named() && !selection.latest_complete {
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
        let found = fitting(self.sets(), selection);
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

/// The sets but for those that share the id of the one whose content id is named.
fn without_rivals<'s>(sets: &[&'s SetEntry], selection: &Selection) -> Vec<&'s SetEntry> {
    let mut line = sets.to_vec();
    if let Some(pinned) = pinned(sets, selection) {
        line.retain(|s| s.manifest.id != pinned.manifest.id || std::ptr::eq(*s, pinned));
    }
    line
}

/// The first set whose content id the selection names.
fn pinned<'s>(sets: &[&'s SetEntry], selection: &Selection) -> Option<&'s SetEntry> {
    selection.content_id.as_ref()?;
    sets.iter().find(|s| check_content(s, selection).is_ok()).copied()
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
