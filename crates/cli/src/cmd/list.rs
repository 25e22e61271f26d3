//! `list`: the sets there are.

use std::fmt::Write;

use restore::catalog::Catalog;
use serde::Serialize;

use crate::args::SetArgs;
use crate::exit::{Exit, Failure};
use crate::output::{Output, PathView, line};
use crate::raw;
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
pub(crate) fn run(args: &SetArgs, output: Output) -> Result<Exit, Failure> {
    if !args.raw.members.is_empty() {
        return raw::show(args, output);
    }
    let catalog = select::catalog(&args.paths);
    let sets = if args.selection.is_empty() {
        catalog.sets().iter().map(|entry| SetView::new(&catalog, entry)).collect()
    } else {
        vec![SetView::new(&catalog, select::set(&catalog, args)?)]
    };
    let listing = Listing { sets, unreadable: unreadable(&catalog) };
    output.result(&listing, text)?;
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
