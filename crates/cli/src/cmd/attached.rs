//! `attached`: what this user has attached, and how its servers do.

use std::fmt::Write;

use attach::{Attached, Life, Status};
use serde::Serialize;

use super::attach::{AttachedView, home};
use crate::exit::{Exit, Failure};
use crate::output::{Output, name, size};

#[derive(Serialize)]
struct Listing {
    attached: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    name: String,
    /// `serving`, `silent` or `dead`.
    server: &'static str,
    volume: Option<AttachedView>,
    status: Option<Status>,
}

/// Lists all.
pub(crate) fn run(output: Output) -> Result<Exit, Failure> {
    let all = Attached::all(&home()?)?;
    let listing = Listing { attached: all.iter().map(Entry::new).collect() };
    output.result(&listing, text)?;
    Ok(Exit::Done)
}

impl Entry {
    fn new(attached: &Attached) -> Self {
        let (server, status) = match attached.life() {
            Life::Serving(status) => ("serving", Some(status)),
            Life::Silent(_) => ("silent", None),
            Life::Dead => ("dead", None),
        };
        Self {
            name: attached.place().name().to_string(),
            server,
            volume: attached.state().map(AttachedView::new),
            status,
        }
    }

    fn text(&self) -> String {
        let mut out = name(&self.name);
        // Writing to a string cannot fail.
        if let Some(volume) = &self.volume {
            let _ = write!(out, "\t{}", volume.line());
            for at in volume.mounted_at() {
                let _ = write!(out, "\tmounted at {at}");
            }
        }
        let _ = match &self.status {
            Some(status) => write!(out, "\t{}", figures(status)),
            None if self.server == "dead" => {
                write!(out, "\tits server is dead: snaprestore detach {}", self.name)
            }
            None => write!(out, "\tits server does not answer"),
        };
        out.push('\n');
        out
    }
}

fn figures(status: &Status) -> String {
    let figures = &status.figures;
    let mut out = format!("{} reads, {}", figures.reads, size(figures.bytes_read));
    if let Some(cache) = &status.behind.cache {
        let _ = write!(out, ", {} chunks loaded, {} at hand", cache.loads, cache.hits);
    }
    if let Some(local) = status.behind.local {
        let _ = write!(out, ", {} in the local copy", size(local));
    }
    if figures.bytes_written > 0 {
        let _ = write!(out, ", {} written", size(figures.bytes_written));
    }
    if figures.failed_reads > 0 {
        let (reads, places) = (figures.failed_reads, figures.damaged);
        let _ = write!(out, ", {reads} reads failed for damage in {places} places");
    }
    out
}

fn text(listing: &Listing) -> String {
    if listing.attached.is_empty() {
        return "nothing is attached\n".to_owned();
    }
    listing.attached.iter().map(Entry::text).collect()
}
