//! `list`: the sets there are.

use std::fmt::Write;

use foreign::backup::{Backups, FileFault};
use restore::catalog::{BadFile, Catalog};
use serde::Serialize;

use super::inspect::show_raw;
use crate::args::SetArgs;
use crate::exit::{Exit, Failure};
use crate::given::{Found, Given};
use crate::output::{Output, PathView, line, note};
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
pub(crate) fn run(args: &SetArgs, output: Output) -> Result<Exit, Failure> {
    let given = Given::look(args)?;
    let listing = match &given.found {
        Found::Sets(catalog) => of_sets(&given, catalog)?,
        Found::Backups(backups) => of_backups(&given, backups)?,
        Found::Raw(members) => return show_raw(&given, members, output),
    };
    output.result(&listing, text)?;
    Ok(if listing.unreadable.is_empty() { Exit::Done } else { Exit::SourceDamaged })
}

fn of_sets(given: &Given<'_>, catalog: &Catalog) -> Result<Listing, Failure> {
    let sets = if given.says_which() {
        vec![SetView::new(catalog, given.set(catalog)?)]
    } else {
        catalog.sets().iter().map(|entry| SetView::new(catalog, entry)).collect()
    };
    let unreadable = |bad: &BadFile| Unreadable {
        path: (&bad.error.path).into(),
        error: bad.error.cause.to_string(),
    };
    Ok(Listing { sets, unreadable: catalog.bad().iter().map(unreadable).collect() })
}

fn of_backups(given: &Given<'_>, backups: &Backups) -> Result<Listing, Failure> {
    let sets = if given.says_which() {
        vec![SetView::of_backup(&given.backup(backups)?)]
    } else {
        backups.warnings.iter().for_each(|warning| note(&warning.to_string()));
        backups.sets.iter().map(SetView::of_backup).collect()
    };
    let unreadable =
        |file: &FileFault| Unreadable { path: (&file.path).into(), error: file.fault.to_string() };
    Ok(Listing { sets, unreadable: backups.damaged_files().map(unreadable).collect() })
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
