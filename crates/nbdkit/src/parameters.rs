//! `key=value` on the command line of nbdkit → the set that is meant.

use std::path::PathBuf;
use std::sync::Arc;

use restore::catalog::{Catalog, Instant, Lookup, Selection};
use restore::reader::Options;
use restore::{ByteSize, Volume};

/// What `nbdkit --help` says of them.
pub(crate) const HELP: &str = "\
path=PATH               (required) A snapshot file, or a directory to search; may be repeated.
set-id=ID               The set whose id begins like this.
source-volume=ID        Sets of this logical volume.
generation=N            The set of this generation.
at=TIME                 The newest set not after this time (RFC 3339, or a date).
expect-content-id=HEX   Refuse any set whose content id does not begin like this.
latest-complete=BOOL    Take an older set when the newest is incomplete or damaged.
cache=SIZE              Bytes of checked chunks kept in memory [default: a sixteenth of it all,
                        64M to 1G].";

/// What was given.
#[derive(Debug, Default)]
pub(crate) struct Parameters {
    paths: Vec<PathBuf>,
    selection: Selection,
    cache: Option<u64>,
}

impl Parameters {
    /// Takes one of them in.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let wrong = |e: &dyn std::fmt::Display| format!("{key}={value}: {e}");
        let selection = &mut self.selection;
        match key {
            // nbdkit leaves the directory it was started in.
            "path" => self.paths.push(std::path::absolute(value).map_err(|e| wrong(&e))?),
            "set-id" => selection.set_id = Some(value.to_owned()),
            "source-volume" => {
                selection.source_volume = Some(value.parse().map_err(|e| wrong(&e))?);
            }
            "generation" => selection.generation = Some(value.parse().map_err(|e| wrong(&e))?),
            "at" => {
                let instant: Instant = value.parse().map_err(|e| wrong(&e))?;
                selection.at = Some(instant.0);
            }
            "expect-content-id" => selection.content_id = Some(value.to_lowercase()),
            "latest-complete" => {
                selection.latest_complete = nbdkit::parse_bool(value).map_err(|e| wrong(&e))?;
            }
            "cache" => {
                let size: ByteSize = value.parse().map_err(|e| wrong(&e))?;
                self.cache = Some(size.0);
            }
            _ => return Err(format!("{key} is not a parameter of this plugin")),
        }
        Ok(())
    }

    /// Whether there is enough to go by.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.paths.is_empty() { Err("path=PATH is missing".into()) } else { Ok(()) }
    }

    /// Opens the set that is meant, whole or not at all.
    pub(crate) fn open(&self) -> Result<Arc<Volume>, String> {
        let catalog = Catalog::open(&self.paths, &Lookup::default());
        let selected = catalog.select(&self.selection).map_err(|e| e.to_string())?;
        let set = catalog.open_set(selected.entry).map_err(|e| e.to_string())?;
        Ok(Arc::new(set.volume().map_err(|e| e.to_string())?))
    }

    /// How it is read.
    pub(crate) fn options(&self) -> Options {
        let default = Options::default();
        Options { cache: self.cache.unwrap_or(default.cache), ..default }
    }
}
