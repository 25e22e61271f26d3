//! The names of everything that a restore writes, refused before anything is read.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use host::entry::Entry;
use host::entry::{PARTIAL, parent_directory};
use restore::journal::JOURNAL;
use rustix::fs::FileType;

use super::files::entry;
use super::journals;
use crate::args::RestoreArgs;
use crate::exit::{Failure, Refusal};
use crate::output::Output;

const PIPE_HINT: &str =
    "restore -o - writes the volume to a pipe; --report FILE and --map FILE take the rest";

/// Whether the volume goes to standard output.
pub(crate) fn is_pipe(args: &RestoreArgs) -> bool {
    args.output.as_deref() == Some(Path::new("-"))
}

/// Where the image goes; the directory, with `--members`.
pub(crate) fn output(args: &RestoreArgs) -> &Path {
    args.output.as_deref().or(args.members.as_deref()).unwrap_or(Path::new("-"))
}

fn usage(message: &str, hint: &'static str) -> Result<(), Failure> {
    Err(Failure::Usage { message: message.to_owned(), hint })
}

/// Whether standard output can take what the arguments ask for: the volume, or the report.
pub(crate) fn check_stdout(args: &RestoreArgs, output: Output) -> Result<(), Failure> {
    if !is_pipe(args) {
        return Ok(());
    }
    // With --report the report goes elsewhere.
    let output = if args.report.is_some() { Output::new(false) } else { output };
    output.refuses_bytes().map_or(Ok(()), |message| usage(message, PIPE_HINT))
}

/// What cannot be meant together.
pub(crate) fn check_usage(args: &RestoreArgs) -> Result<(), Failure> {
    if args.members.is_some() && args.target.force {
        return usage(
            "--members makes a new directory and replaces none",
            "choose a directory that does not exist yet",
        );
    }
    if args.members.is_some() && args.salvage.salvage && args.salvage.map.is_some() {
        return usage(
            "with --members each image has a map of its own",
            "leave --map out; maps are beside the images",
        );
    }
    if args.target.in_place && args.target.force && !args.salvage.salvage && args.report.is_none() {
        return usage(
            "--force replaces a map or report where --in-place is given, and none is to be written",
            "nothing overrides the checks of a target that is overwritten in place",
        );
    }
    if args.output.as_ref().is_some_and(|path| path.as_os_str().as_bytes().ends_with(b"/")) {
        return usage("-o names a directory", "give the image a name; --members makes a directory");
    }
    if !is_pipe(args) {
        // /dev is no place for what must be there tomorrow.
        let device = fs::metadata(output(args)).is_ok_and(|m| m.file_type().is_block_device());
        if device && args.salvage.salvage && args.salvage.map.is_none() {
            return usage("--salvage onto a device needs --map FILE", "name a file that is kept");
        }
        return Ok(());
    }
    if args.target.in_place || args.proof.verify_target || args.target.preallocate {
        return usage(
            "standard output cannot be overwritten in place, allocated or read back",
            "restore to a file or device for that",
        );
    }
    if args.resume.is_given() {
        return usage("a pipe cannot be resumed", "restore to a file or device for that");
    }
    if args.salvage.salvage && args.salvage.map.is_none() {
        usage("--salvage to standard output needs --map FILE", PIPE_HINT)
    } else {
        Ok(())
    }
}

/// Every file that is written, the image first.
pub(super) fn targets(args: &RestoreArgs) -> Vec<PathBuf> {
    let image = (!is_pipe(args)).then(|| output(args).to_owned());
    let map = (args.salvage.salvage && args.members.is_none()).then(|| map_path(args));
    image.into_iter().chain(map).chain(args.report.clone()).collect()
}

/// What a restore keeps until the image is whole: the temporary file beside it, and the journal.
fn kept_for_resuming(args: &RestoreArgs) -> Vec<PathBuf> {
    let image = (!is_pipe(args)).then(|| Entry::at(output(args)).ok()).flatten();
    let beside = |end| image.as_ref().map(|image| image.beside(end).path());
    let journal = args.resume.journal.clone().or_else(|| beside(JOURNAL));
    beside(PARTIAL).into_iter().chain(journal).collect()
}

/// Refuses to write over whatever is not an old file that may be replaced, or over what was just
/// written.
pub(crate) fn check(args: &RestoreArgs, sources: &[PathBuf]) -> Result<(), Failure> {
    let targets = targets(args);
    let all: Vec<PathBuf> = targets.iter().cloned().chain(kept_for_resuming(args)).collect();
    for (n, path) in all.iter().enumerate() {
        if all.iter().take(n).any(|other| same_place(other, path)) {
            let message = format!("{}: is to be two files at once", path.display());
            let hint = "give the image, --map, --report and --journal a name each; .NAME.partial and .NAME.journal are the image's own";
            return Err(Failure::Usage { message, hint });
        }
    }
    if let Some(journal) = &args.resume.journal {
        Entry::at(journal).map_err(|e| journals::unusable(journal.clone(), e))?;
        // What it says of other files it says itself; but an empty one would be begun.
        if is_source(journal, sources) {
            return Err(Failure::Refused { path: journal.clone(), why: Refusal::IsSource });
        }
    }
    // What is overwritten in place has the interlock, and a directory its own check.
    let own = usize::from(args.target.in_place || args.members.is_some());
    targets.iter().skip(own).try_for_each(|path| check_new(path, args.target.force, sources))
}

pub(crate) fn check_new(path: &Path, force: bool, sources: &[PathBuf]) -> Result<(), Failure> {
    let refuse = |why| Err(Failure::Refused { path: path.to_owned(), why });
    let failed = |error| Failure::Target { path: path.to_owned(), error };
    let entry = entry(path)?;
    let Some(target) = entry.look().map_err(failed)? else { return Ok(()) };
    let kind = FileType::from_raw_mode(target.st_mode);
    if kind == FileType::Symlink {
        // It is neither followed nor replaced: one or the other would be what was not meant.
        let device = fs::metadata(path).is_ok_and(|meta| meta.file_type().is_block_device());
        let to = entry.link().ok().flatten().unwrap_or_default();
        return refuse(if device {
            Refusal::NotAFile("a block device")
        } else {
            Refusal::Link(to)
        });
    }
    if kind != FileType::RegularFile {
        return refuse(Refusal::NotAFile(called(kind)));
    }
    if is_source(path, sources) {
        return refuse(Refusal::IsSource);
    }
    if force { Ok(()) } else { refuse(Refusal::Exists) }
}

/// Whether a file is one of the sources, whatever it is called.
fn is_source(path: &Path, sources: &[PathBuf]) -> bool {
    let Ok(target) = fs::metadata(path) else { return false };
    let same = |m: fs::Metadata| (m.dev(), m.ino()) == (target.dev(), target.ino());
    sources.iter().any(|source| fs::metadata(source).is_ok_and(same))
}

const fn called(kind: FileType) -> &'static str {
    match kind {
        FileType::Directory => "a directory",
        FileType::BlockDevice => "a block device",
        FileType::CharacterDevice => "a character device",
        FileType::Fifo => "a pipe",
        _ => "a socket",
    }
}

/// Whether two paths, which need not exist, name one directory entry.
pub(crate) fn same_place(a: &Path, b: &Path) -> bool {
    let real = |path| fs::canonicalize(parent_directory(path)).ok();
    a.file_name() == b.file_name() && real(a).is_some_and(|d| Some(d) == real(b))
}

/// Where the map goes.
pub(crate) fn map_path(args: &RestoreArgs) -> PathBuf {
    args.salvage.map.clone().unwrap_or_else(|| map_beside(output(args)))
}

/// The name of an image's map.
pub(crate) fn map_beside(image: &Path) -> PathBuf {
    let mut name = image.to_owned().into_os_string();
    name.push(".map");
    PathBuf::from(name)
}
