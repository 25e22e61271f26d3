//! The small files that a restore writes beside the image: the map of what was lost, the report.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::Path;

use host::entry::Entry;
use restore::Report;
use restore::mapfile::Map;
use serde::Serialize;

use crate::args::RestoreArgs;
use crate::exit::{Failure, Refusal};
use crate::output::render;

/// Writes the ddrescue map of what was lost in `image`, if anything was; says whether it was.
pub(crate) fn write_map(
    map: &Entry,
    image: &Path,
    volume_size: u64,
    tried: &Range<u64>,
    report: &Report,
    force: bool,
) -> Result<bool, Failure> {
    let bad = report.damaged_ranges();
    if bad.is_empty() {
        return Ok(false);
    }
    let image = image.display().to_string();
    let comment = format!("Damaged ranges left out of {}", image.escape_debug());
    write_private(map, &Map::new(volume_size, tried, bad, &comment), force)?;
    Ok(true)
}

/// Writes a new text file that is durable and readable by the user alone.
pub(crate) fn write_private(entry: &Entry, text: &dyn Display, force: bool) -> Result<(), Failure> {
    let failed = |error| unfinished(&entry.path(), error);
    if force {
        // Replaced rather than overwritten: it may be a link, or open to others.
        entry.remove().map_err(failed)?;
    }
    let mut file = BufWriter::new(entry.create().map_err(failed)?);
    let written = write!(file, "{text}").and_then(|()| file.flush());
    let written = written.and_then(|()| file.get_ref().sync_all());
    written.and_then(|()| entry.directory().sync()).map_err(|error| {
        // Half of it is worse than nothing.
        let _ = entry.remove();
        failed(error)
    })
}

/// Writes the report of what has been done.
pub(crate) fn write_report<T: Serialize>(args: &RestoreArgs, report: &T) -> Result<(), Failure> {
    let Some(path) = &args.report else { return Ok(()) };
    let written = self::entry(path)
        .and_then(|entry| write_private(&entry, &render(report), args.target.force));
    written.map_err(|failure| match failure {
        Failure::Target { path, error } => Failure::Report { path, error },
        other => other,
    })
}

/// Where a file is to be.
pub(crate) fn entry(path: &Path) -> Result<Entry, Failure> {
    Entry::at(path).map_err(|error| unfinished(path, error))
}

/// Makes a file that only its owner may read, where there is none.
pub(crate) fn new_file(path: &Path) -> Result<(Entry, File), Failure> {
    let entry = entry(path)?;
    match entry.create() {
        Ok(file) => Ok((entry, file)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(Failure::Refused { path: path.to_owned(), why: Refusal::Taken })
        }
        Err(error) => Err(Failure::Target { path: path.to_owned(), error }),
    }
}

/// A file could not be given its name.
pub(crate) fn unfinished(path: &Path, error: io::Error) -> Failure {
    let path = path.to_owned();
    match error.kind() {
        // Another process made it while the restore ran.
        io::ErrorKind::AlreadyExists => Failure::Refused { path, why: Refusal::Exists },
        _ => Failure::Target { path, error },
    }
}
