//! `list`: the sets there are.

use std::fmt::Write;

use foreign::backup::FileFault;
use repository::Repository;
use repository::catalog::BadFile;
use serde::Serialize;

use super::inspect::show_raw;
use crate::args::{Common, SetArgs};
use crate::exit::{Exit, Failure};
use crate::given::{Found, Given};
use crate::output::{Output, PathView, line, note};
use crate::select;
use crate::view::SetView;

#[derive(Serialize)]
struct Listing {
    sets: Vec<SetView>,
    unreadable: Vec<Unreadable>,
}

#[derive(Serialize)]
struct Unreadable {
    path: PathView,
    error: String,
}

/// Lists all sets, or the one selected.
pub(crate) fn run(args: &SetArgs, common: &Common, output: Output) -> Result<Exit, Failure> {
    let given = Given::look(args, common)?;
    let listing = match &given.found {
        Found::Sets(repository) => Listing::new(&given, repository)?,
        Found::Raw(members) => return show_raw(&given, members, output),
    };
    output.result(&listing, text)?;
    let is_damaged = listing.sets.iter().any(SetView::is_damaged);
    let is_whole = listing.unreadable.is_empty() && !is_damaged;
    Ok(if is_whole { Exit::Done } else { Exit::SourceDamaged })
}

impl Listing {
    fn new(given: &Given<'_>, repository: &Repository) -> Result<Self, Failure> {
        let Repository { snapshots, backups } = repository;
        let sets = if given.says_which() {
            vec![given.set(repository)?]
        } else {
            backups.warnings.iter().for_each(|warning| note(&warning.to_string()));
            repository.sets()
        };
        if sets.is_empty()
            && let Some((path, why)) = given.container()
        {
            note(&format!("{} {why}", path.display()));
        }
        let bad = snapshots.bad().iter().map(Unreadable::snapshot);
        Ok(Self {
            sets: sets.iter().map(SetView::new).collect(),
            unreadable: bad.chain(backups.damaged_files().map(Unreadable::document)).collect(),
        })
    }
}

impl Unreadable {
    fn snapshot(bad: &BadFile) -> Self {
        let container = select::container(&bad.error).map(|why| why.to_string());
        let error = container.unwrap_or_else(|| bad.error.cause.to_string());
        Self { path: (&bad.error.path).into(), error }
    }

    fn document(file: &FileFault) -> Self {
        Self { path: (&file.path).into(), error: file.fault.to_string() }
    }
}

fn text(listing: &Listing) -> String {
    let mut out: String = listing.sets.iter().map(SetView::text).collect();
    if listing.sets.is_empty() {
        out.push_str("no snapshot set was found\n");
    }
    for bad in &listing.unreadable {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "unreadable: {}: {}", bad.path, line(&bad.error));
    }
    out
}
