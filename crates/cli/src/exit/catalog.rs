//! What can go wrong in finding and opening a set.

use std::borrow::Cow;

use repository::catalog::{Ambiguity, CatalogError};
use restore::snapfmt::Fault;

use super::Exit;

/// What to try where the system failed over a file.
pub(super) const MACHINE: &str =
    "see what the system lacks (ulimit -n, memory, the medium in dmesg), and try again";

/// Its exit code.
pub(super) fn exit(error: &CatalogError) -> Exit {
    match error {
        CatalogError::Ambiguous { .. } | CatalogError::Twice { .. } => Exit::Usage,
        CatalogError::NotFound
        | CatalogError::NoneFits { .. }
        | CatalogError::Gap { .. }
        | CatalogError::Incomplete { .. } => Exit::Incomplete,
        CatalogError::Interrupted => Exit::Interrupted,
        CatalogError::Damaged { .. }
        | CatalogError::Unidentified { .. }
        | CatalogError::Mixed { .. }
        | CatalogError::Contradiction { .. }
        | CatalogError::NoPath { .. }
        | CatalogError::NotOfThisCatalog { .. }
        | CatalogError::Machine { .. }
        | CatalogError::Unsound { .. }
        | CatalogError::ContentId { .. }
        | CatalogError::NoContentId { .. }
        | CatalogError::WrongParent { .. }
        | CatalogError::Unproved { .. }
        | CatalogError::ChunkSize { .. }
        | CatalogError::ChainTooLong { .. }
        | CatalogError::Layout(_)
        | CatalogError::Read { .. } => Exit::SourceDamaged,
    }
}

/// What to try next.
pub(super) fn hint(error: &CatalogError) -> Cow<'static, str> {
    match error {
        CatalogError::ContentId { holder: Some(holder), .. } => {
            let id = holder.set_id.as_str().escape_debug();
            format!("set {id} has that content id: choose it with --set-id {id}").into()
        }
        error => standing(error).into(),
    }
}

fn standing(error: &CatalogError) -> &'static str {
    match error {
        CatalogError::Ambiguous { why: Ambiguity::SourceVolumes, .. } => {
            "choose with --source-volume or --set-id"
        }
        CatalogError::Ambiguous { why: Ambiguity::Time, .. } => {
            "name the set by --set-id or --generation"
        }
        CatalogError::Ambiguous { why: Ambiguity::Fork, .. } => {
            "two sets build on the same one: choose with --set-id"
        }
        CatalogError::Ambiguous { .. } => "choose with --set-id or --generation",
        CatalogError::NotFound => "directories are searched for *.snap; name other files directly",
        CatalogError::NoneFits { .. } => "snaprestore list shows the sets there are",
        CatalogError::Incomplete { .. } => {
            "add the paths of the missing files, or take an older set with --latest-complete"
        }
        CatalogError::Gap { .. } => {
            "add the paths of its files, or name a set by --set-id; --latest-complete steps over it"
        }
        CatalogError::Twice { .. } => {
            "give only the paths of one of them; snapshot files are named by --expect-content-id, too"
        }
        CatalogError::NoPath { .. } => "check the path, or leave it out",
        CatalogError::NotOfThisCatalog { .. } => "open the set of the catalog that listed it",
        CatalogError::Machine { .. } => MACHINE,
        CatalogError::Unsound { .. } => {
            "find another copy; restore --salvage leaves damaged ranges out"
        }
        CatalogError::NoContentId { .. } => "backups of other systems have no content id",
        CatalogError::Unidentified { file } if matches!(file.cause.fault, Fault::Io(_)) => {
            "check the path and its permissions"
        }
        CatalogError::Damaged { .. } | CatalogError::Unidentified { .. } => {
            "find another copy, try snaprestore rebuild, or take an older set with --latest-complete"
        }
        CatalogError::Mixed { .. } => {
            "choose one of them with --expect-content-id, or give only its files"
        }
        CatalogError::Contradiction { .. } => {
            "one of the files was made by something else; give only the right ones"
        }
        CatalogError::ContentId { .. } => "these are not the files that the id was taken from",
        CatalogError::WrongParent { .. } => {
            "give the files of the capture that was really built on"
        }
        CatalogError::Interrupted => "run the command again",
        CatalogError::ChunkSize { .. }
        | CatalogError::ChainTooLong { .. }
        | CatalogError::Layout(_) => "the files break the rules of docs/FORMAT.md",
        CatalogError::Read { .. } | CatalogError::Unproved { .. } => {
            "find another copy, or try snaprestore rebuild"
        }
    }
}
