//! The small files that a restore writes beside the image: the map of what was lost, the report.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use restore::{Report, mapfile};
use serde::Serialize;

use crate::args::RestoreArgs;
use crate::exit::{Failure, Refusal};
use crate::output::render;

/// Writes the ddrescue map of what was lost in `image`, if anything was; says whether it was.
pub(crate) fn write_map(
    path: &Path,
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
    write_private(path, &mapfile::render(volume_size, tried, &bad, &comment), force)?;
    Ok(true)
}

/// Writes a new text file that is durable and readable by the user alone.
pub(crate) fn write_private(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    if force {
        // Replaced rather than overwritten: it may be a link, or open to others.
        match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(unfinished(path, e)),
            _ => {}
        }
    }
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.map_err(|error| unfinished(path, error))?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|error| {
        // Half of it is worse than nothing.
        let _ = fs::remove_file(path);
        unfinished(path, error)
    })
}

/// Writes the report of what has been done.
pub(crate) fn write_report<T: Serialize>(args: &RestoreArgs, report: &T) -> Result<(), Failure> {
    let Some(path) = &args.report else { return Ok(()) };
    write_private(path, &render(report), args.target.force).map_err(|failure| match failure {
        Failure::Target { path, error } => Failure::Report { path, error },
        other => other,
    })
}

/// A file could not be given its name.
pub(crate) fn unfinished(path: &Path, error: io::Error) -> Failure {
    let path = path.to_owned();
    match error.kind() {
        // Someone else made it while the restore ran.
        io::ErrorKind::AlreadyExists => Failure::Refused { path, why: Refusal::Exists },
        _ => Failure::Target { path, error },
    }
}
