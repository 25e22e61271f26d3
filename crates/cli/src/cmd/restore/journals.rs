//! Where the journal of a target is, and which others speak of the same target.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use host::entry::{Directory, Entry, NotOwn};
use host::interlock::TargetClaim;
use restore::Part;
use restore::job::{JobError, TargetId};
use restore::journal::{JOURNAL, JournalError};
use restore::snapfmt::Digest;

use crate::args::RestoreArgs;
use crate::exit::Failure;

/// The journal to use: that of the arguments, or the target's own.
pub(super) fn journal(
    args: &RestoreArgs,
    target: &Path,
    held: Option<&TargetClaim>,
) -> Result<Option<PathBuf>, Failure> {
    if args.resume.no_journal {
        return Ok(None);
    }
    if let Some(path) = &args.resume.journal {
        return Ok(Some(path.clone()));
    }
    let mut name = own(target, held)?.into_os_string();
    name.push(args.extent.shard.map(part_suffix).unwrap_or_default());
    Ok(Some(name.into()))
}

/// Other journals of a target that is about to be overwritten: what they say is done will not be so any
/// more. Those of the other parts of the same division are none.
pub(super) fn rivals(
    args: &RestoreArgs,
    target: &Path,
    held: &TargetClaim,
    used: Option<&Path>,
) -> Result<Vec<Entry>, Failure> {
    let own = own(target, Some(held))?;
    let (directory, stem) = (parent(&own), own.file_name().unwrap_or_default());
    let failed = |error| Failure::Target { path: directory.to_owned(), error };
    let opened = match Directory::open(directory) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened.map_err(failed)?,
    };
    let parts = args.extent.shard.map(|part| format!("-of-{}", part.count()));
    let mut found = Vec::new();
    for name in opened.names().map_err(failed)? {
        let Some(suffix) = suffix(&name, stem.as_bytes()) else { continue };
        let fellow = parts.as_ref().is_some_and(|parts| suffix.ends_with(parts.as_str()));
        let entry = opened.entry(name);
        if !fellow && !used.is_some_and(|used| is_same(used, &entry.path())) {
            found.push(entry);
        }
    }
    Ok(found)
}

/// Removes a journal that an earlier run of the caller has left.
pub(super) fn give_up(journal: &Entry) -> Result<(), Failure> {
    let path = journal.path();
    match journal.open_to_give_up() {
        Err(NotOwn::Foreign(why)) => {
            let error = JobError::from(JournalError::Foreign { path, why });
            Err(Failure::unfinished(error, false))
        }
        Err(NotOwn::System(error)) => Err(Failure::Target { path, error }),
        Ok(_) => journal.remove().map_err(|error| Failure::Target { path, error }),
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether two names, however they are written, are of one file.
fn is_same(a: &Path, b: &Path) -> bool {
    a == b || fs::canonicalize(a).is_ok_and(|a| fs::canonicalize(b).is_ok_and(|b| a == b))
}

/// What follows `stem` in the name of a journal: nothing, or which part it is of.
fn suffix(name: &OsStr, stem: &[u8]) -> Option<String> {
    let rest = name.as_bytes().strip_prefix(stem)?;
    let rest = String::from_utf8(rest.to_owned()).ok()?;
    let is_part = rest
        .strip_prefix('-')
        .is_some_and(|part| part.replace("-of-", "/").parse::<Part>().is_ok());
    (rest.is_empty() || is_part).then_some(rest)
}

/// The journal of a target that is restored as a whole: beside a file, for a device where it outlives a
/// restart of the machine.
fn own(target: &Path, held: Option<&TargetClaim>) -> Result<PathBuf, Failure> {
    let failed = |error| Failure::Target { path: target.to_owned(), error };
    let Some(held) = held.filter(|held| held.is_device()) else {
        let mut name = OsString::from(".");
        name.push(target.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?);
        name.push(JOURNAL);
        return Ok(target.with_file_name(name));
    };
    let id = TargetId::of(target, held.file()).map_err(failed)?;
    let name = Digest::of(id.text.as_bytes()).to_string();
    let mut short = OsString::from(name.get(..16).unwrap_or(&name));
    short.push(JOURNAL);
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
