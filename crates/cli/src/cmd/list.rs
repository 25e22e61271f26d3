//! `list`: the sets there are.

use std::fmt::Write;

use foreign::backup::Backups;
use restore::catalog::Catalog;
use serde::Serialize;

use crate::args::SetArgs;
use crate::backup;
use crate::exit::{Exit, Failure};
use crate::members;
use crate::output::{Output, PathView, line, note};
use crate::raw;
use crate::select;
use crate::subject::Given;
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
    let catalog = match Given::look(args) {
        Given::Files(catalog) => catalog,
        Given::Backups(backups) => return backups_found(&backups, args, output),
        Given::Raw(raw) => return raw::show(&raw, output),
    };
    members::refuse_layout(&args.raw.layout)?;
    let sets = if args.selection.is_empty() {
        catalog.sets().iter().map(|entry| SetView::new(&catalog, entry)).collect()
    } else {
        vec![SetView::new(&catalog, select::set(&catalog, args)?)]
    };
    tell(&Listing { sets, unreadable: unreadable(&catalog) }, output)
}

/// Lists all sets of another system's backups, or the one selected.
fn backups_found(backups: &Backups, args: &SetArgs, output: Output) -> Result<Exit, Failure> {
    let sets = if args.selection.is_empty() {
        backups.warnings.iter().for_each(|warning| note(&warning.to_string()));
        backups.sets.iter().map(SetView::of_backup).collect()
    } else {
        vec![SetView::of_backup(&backup::set(backups, &args.selection.resolve())?)]
    };
    let unreadable = backups
        .unreadable
        .iter()
        .map(|file| Unreadable { path: (&file.path).into(), error: file.fault.to_string() });
    tell(&Listing { sets, unreadable: unreadable.collect() }, output)
}

fn tell(listing: &Listing, output: Output) -> Result<Exit, Failure> {
    output.result(listing, text)?;
    Ok(if listing.unreadable.is_empty() { Exit::Done } else { Exit::SourceDamaged })
}

fn unreadable(catalog: &Catalog) -> Vec<Unreadable> {
    let view = |bad: &restore::catalog::BadFile| Unreadable {
        path: (&bad.error.path).into(),
        error: bad.error.cause.to_string(),
    };
    catalog.bad().iter().map(view).collect()
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
