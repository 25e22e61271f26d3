//! Arguments → the set that is meant, with a word on those that were passed over for it.

use std::fmt::Display;
use std::path::PathBuf;

use foreign::Limits;
use foreign::backup::{BackupSet, Backups};
use restore::catalog::{Catalog, CatalogError, Lookup, Selectable, Selection, SetEntry};
use restore::snapfmt::Fault;
use restore::source::{NotRaw, RawSource};

use crate::args::SelectionArgs;
use crate::exit::Failure;
use crate::members;
use crate::output::note;

/// Opens the snapshot files under `paths`.
pub(crate) fn catalog(paths: &[PathBuf]) -> Catalog {
    Catalog::open(paths, &Lookup::default())
}

/// The one set of snapshot files that is meant.
pub(crate) fn set<'c>(
    catalog: &'c Catalog,
    selection: &Selection,
) -> Result<&'c SetEntry, Failure> {
    let selected = catalog.select(selection).map_err(no_snapshot)?;
    for entry in &selected.skipped {
        passed_over(*entry, catalog.open_set(entry).err());
    }
    if selection.latest_complete {
        for bad in catalog.bad().iter().filter(|b| b.manifest.is_none()) {
            note(&format!("passed over {}", bad.error));
        }
    }
    Ok(selected.entry)
}

/// Why there is no set: what has the name of a snapshot may be a container of another format.
fn no_snapshot(error: CatalogError) -> Failure {
    if let CatalogError::Unidentified { file } | CatalogError::Damaged { file, .. } = &error
        && let Fault::NotASnapshot { .. } = file.cause.fault
        && let Err(why @ NotRaw::Container(container)) = RawSource::open(&file.path, members::UNIT)
        && !container.is_snapshot()
    {
        return Failure::NotRaw { path: file.path.clone(), why };
    }
    error.into()
}

/// The one set of backups that is meant; says what should be known of it, too.
pub(crate) fn backup(backups: &Backups, selection: &Selection) -> Result<BackupSet, Failure> {
    let selected = backups.select(selection)?;
    for set in &selected.skipped {
        passed_over(*set, set.open(&Limits::DEFAULT).err());
    }
    for warning in &selected.set.warnings {
        note(&warning.to_string());
    }
    Ok(selected.set)
}

fn passed_over(set: &impl Selectable, why: Option<impl Display>) {
    let why = why.map(|error| error.to_string()).unwrap_or_default();
    note(&format!("passed over {}: {why}", set.key().candidate()));
}

impl SelectionArgs {
    /// As the library takes it.
    pub(crate) fn resolve(&self) -> Selection {
        Selection {
            set_id: self.set_id.clone(),
            source_volume: self.source_volume.clone(),
            generation: self.generation.clone(),
            at: self.at.map(|instant| instant.0),
            content_id: self.expect_content_id.clone(),
            latest_complete: self.latest_complete,
        }
    }

    /// Whether nothing was asked for.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { set_id, source_volume, generation, at, expect_content_id, latest_complete } =
            self;
        set_id.is_none()
            && source_volume.is_none()
            && generation.is_none()
            && at.is_none()
            && expect_content_id.is_none()
            && !latest_complete
    }
}
