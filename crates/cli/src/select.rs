//! Arguments → catalog and the set that is meant.

use std::path::PathBuf;

use restore::catalog::{Catalog, Lookup, Selection, SetEntry};

use crate::args::{SelectionArgs, SetArgs};
use crate::exit::Failure;
use crate::output::note;

/// Opens the snapshot files under `paths`.
pub(crate) fn catalog(paths: &[PathBuf]) -> Catalog {
    Catalog::open(paths, &Lookup::default())
}

/// The one set that is meant; says which newer ones were passed over.
pub(crate) fn set<'c>(catalog: &'c Catalog, args: &SetArgs) -> Result<&'c SetEntry, Failure> {
    let selected = catalog.select(&args.selection.resolve())?;
    for entry in &selected.skipped {
        let why = catalog.open_set(entry).err().map(|e| e.to_string()).unwrap_or_default();
        note(&format!("passed over {}: {why}", entry.candidate()));
    }
    if args.selection.latest_complete {
        for bad in catalog.bad().iter().filter(|b| b.manifest.is_none()) {
            note(&format!("passed over {}", bad.error));
        }
    }
    Ok(selected.entry)
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
