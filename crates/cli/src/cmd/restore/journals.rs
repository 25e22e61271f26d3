//! Where the journal of a target is, and which others speak of the same target.

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use restore::Part;
use restore::job::{JobError, identity};
use restore::journal::JournalError;
use restore::sink::beside;
use restore::snapfmt::Digest;

use crate::args::RestoreArgs;
use crate::exit::Failure;

/// The journal to use: that of the arguments, or the target's own.
pub(super) fn journal(
    args: &RestoreArgs,
    target: &Path,
    is_device: bool,
) -> Result<Option<PathBuf>, Failure> {
    if args.resume.no_journal {
        return Ok(None);
    }
    if let Some(path) = &args.resume.journal {
        return Ok(Some(path.clone()));
    }
    let mut name = own(target, is_device)?.into_os_string();
    name.push(args.extent.shard.map(part_suffix).unwrap_or_default());
    Ok(Some(name.into()))
}

/// Other journals of a target that is about to be overwritten: what they say is done will not be so any
/// more. Those of the other parts of the same division are none.
pub(super) fn rivals(
    args: &RestoreArgs,
    target: &Path,
    is_device: bool,
    used: Option<&Path>,
) -> Result<Vec<PathBuf>, Failure> {
    let own = own(target, is_device)?;
    let (directory, stem) = (own.parent().unwrap_or(Path::new(".")), own.file_name());
    let failed = |error| Failure::Target { path: directory.to_owned(), error };
    let entries = match fs::read_dir(directory) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let parts = args.extent.shard.map(|part| format!("-of-{}", part.count()));
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let Some(suffix) = suffix(&path, stem.unwrap_or_default().as_bytes()) else { continue };
        let fellow = parts.as_ref().is_some_and(|parts| suffix.ends_with(parts.as_str()));
        if !fellow && !used.is_some_and(|used| is_same(used, &path)) {
            found.push(path);
        }
    }
    Ok(found)
}

/// Whether two names, however they are written, are of one file.
fn is_same(a: &Path, b: &Path) -> bool {
    a == b || fs::canonicalize(a).is_ok_and(|a| fs::canonicalize(b).is_ok_and(|b| a == b))
}

/// What follows `stem` in the name of a journal: nothing, or which part it is of.
fn suffix(path: &Path, stem: &[u8]) -> Option<String> {
    let rest = path.file_name()?.as_bytes().strip_prefix(stem)?;
    let rest = String::from_utf8(rest.to_owned()).ok()?;
    let is_part = rest
        .strip_prefix('-')
        .is_some_and(|part| part.replace("-of-", "/").parse::<Part>().is_ok());
    (rest.is_empty() || is_part).then_some(rest)
}

/// The journal of a target that is restored as a whole: beside a file, for a device where it outlives a
/// restart of the machine.
fn own(target: &Path, is_device: bool) -> Result<PathBuf, Failure> {
    let failed = |error| Failure::Target { path: target.to_owned(), error };
    if !is_device {
        return beside(target, ".journal").map_err(failed);
    }
    let name = Digest::of(identity(target).map_err(failed)?.as_bytes()).to_string();
    let mut short = OsString::from(name.get(..16).unwrap_or(&name));
    short.push(".journal");
    Ok(state_directory().join(short))
}

/// `-2-of-5`.
fn part_suffix(part: Part) -> String {
    format!("-{}-of-{}", part.number(), part.count())
}

/// Makes the state directory if a journal goes there.
pub(super) fn make_state_directory(journal: &Path) -> Result<(), Failure> {
    let state = state_directory();
    if journal.parent() != Some(state.as_path()) {
        return Ok(());
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&state);
    made.map_err(|source| unusable(state, source))
}

/// A journal cannot be kept at `path`.
pub(super) fn unusable(path: PathBuf, source: io::Error) -> Failure {
    let unfinished = JobError::from(JournalError::Io { path, source }).into();
    Failure::Unfinished { unfinished, in_place: true, terminated: false }
}

/// Where what must outlive a restart is kept: `/var/lib` for root (Filesystem Hierarchy Standard 3.0,
/// 5.8), `$XDG_STATE_HOME` for others (XDG Base Directory Specification 0.8).
fn state_directory() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/snaprestore");
    }
    let own = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    let home = || std::env::home_dir().unwrap_or_default().join(".local/state");
    own.unwrap_or_else(home).join("snaprestore")
}
