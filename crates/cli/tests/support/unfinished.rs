//! What a restore that did not reach its end may leave: the image under another name and the journal, both
//! or neither, and nothing under the target's own name.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use super::hash::same_sha256;
use super::run::Call;
use super::scratch::mode;
use super::{Outcome, ensure};

/// The names in a directory.
fn names(dir: &Path) -> Outcome<BTreeSet<OsString>> {
    std::fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name())).collect()
}

/// Whether anything was left of `volume.img` in a directory that had these names `before`; readable by the
/// user alone, if so.
pub(crate) fn is_left(dir: &Path, before: &BTreeSet<OsString>) -> Outcome<bool> {
    let left: BTreeSet<OsString> = &names(dir)? - before;
    let pair = [".volume.img.journal", ".volume.img.partial"].map(OsString::from).into();
    ensure!(left.is_empty() || left == pair, "{left:?} was left");
    for name in &left {
        let mode = mode(&dir.join(name))?;
        ensure!(mode == 0o600, "{name:?} has mode {mode:o}");
    }
    Ok(!left.is_empty())
}

/// The same command goes on, the target is what it should be, and nothing else is left.
pub(crate) fn goes_on(call: &Call, target: &Path, truth: &Path, was_left: bool) -> Outcome {
    let dir = target.parent().ok_or("a target is in a directory")?;
    let document = call.json()?;
    let resumed = document["bytes"]["resumed"].as_u64().unwrap_or_default();
    ensure!((resumed > 0) == was_left, "{resumed} bytes were not done again: {document}");
    same_sha256("gone on with", target, truth)?;
    let names = names(dir)?;
    let hidden = names.iter().find(|name| name.to_string_lossy().starts_with('.'));
    ensure!(hidden.is_none(), "{hidden:?} is left");
    Ok(())
}
