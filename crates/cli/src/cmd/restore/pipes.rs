//! Restoring a set whose files come through pipes: `restore - -o out.img`.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Instant;

use host::room;
use repository::catalog::CatalogError;
use repository::stream::{StreamError, StreamInput, StreamSet, Streamed};
use restore::Progress;
use restore::job::JobError;
use restore::sink::{ImageOptions, ImageSink, Sink};
use restore::snapfmt::{Limits, SetManifest};

use super::files::{entry, unfinished};
use super::names::{check, check_usage, is_pipe, output as target_of};
use super::report::Restored;
use super::tell;
use crate::args::{Common, RestoreArgs};
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::view::set_name::SetName;
use crate::watch::Watch;

/// Whether any of the paths is a pipe: then all of them are read like one.
pub(crate) fn are_given(args: &RestoreArgs) -> bool {
    let is_fifo = |path: &Path| std::fs::metadata(path).is_ok_and(|m| m.file_type().is_fifo());
    args.set.paths.iter().any(|path| path == Path::new("-") || is_fifo(path))
}

/// Restores to a new image, which gets its name when every file has been proved by its end.
pub(super) fn run(args: &RestoreArgs, common: &Common, output: Output) -> Result<Exit, Failure> {
    let start = Instant::now();
    check_usage(args)?;
    refuse_what_needs_seeking(args)?;
    check(args, &args.set.paths)?;
    let mut watch = Watch::of_stream(common, "restoring");
    let result = restore(args, watch.progress());
    let terminated = watch.finish();
    let (sink, manifest, streamed) = result.map_err(|stopped| match stopped {
        Stopped::Stream(error) => Failure::Stream { error, terminated },
        Stopped::Other(failure) => *failure,
    })?;
    let content_id = streamed.content;
    if let Some(expected) = &args.set.selection.expect_content_id
        && !content_id.to_string().starts_with(expected.as_str())
    {
        let (set_id, expected) = (manifest.id, expected.clone());
        let holder = None;
        let error = CatalogError::ContentId { set_id, expected, found: content_id, holder };
        return Err(Failure::Catalog(error));
    }
    let method = sink.method().to_string();
    let target = target_of(args);
    Box::new(sink).finish().map_err(|error| unfinished(target, error))?;
    let (set_id, content_id) = (Some(manifest.id), Some(content_id));
    let set = SetName { set_id, content_id, warnings: Vec::new(), overlay: None };
    let view = Restored::new(set, target.into(), manifest.logical_size, &streamed.report);
    let view = Restored { method, seconds: start.elapsed().as_secs_f64(), ..view };
    tell(args, output, &view)?;
    Ok(Exit::Done)
}

enum Stopped {
    Stream(StreamError),
    Other(Box<Failure>),
}

impl From<StreamError> for Stopped {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

fn restore(
    args: &RestoreArgs,
    progress: &Progress,
) -> Result<(ImageSink, SetManifest, Streamed), Stopped> {
    let inputs = args.set.paths.iter().map(|path| {
        if path == Path::new("-") {
            let opener = Box::new(|| Ok(Box::new(io::stdin()) as Box<dyn io::Read + Send>));
            StreamInput::new("standard input", opener)
        } else {
            StreamInput::file(path)
        }
    });
    let set = StreamSet::open(inputs.collect(), &Limits::DEFAULT, progress)?;
    let manifest = set.manifest().clone();
    let other = |failure| Stopped::Other(Box::new(failure));
    // The set that comes must be the one that is meant.
    if !args.set.selection.resolve().fits(&(&manifest).into()) {
        return Err(other(Failure::Catalog(CatalogError::NoneFits { there: Vec::new() })));
    }
    let target = target_of(args);
    let size = manifest.logical_size;
    // How much of it is data is known when it has come.
    let preallocate = args.target.preallocate;
    let needs = room::Needs { file_size: size, data_bytes: 0, preallocate };
    let entry = self::entry(target).map_err(other)?;
    room::check_room(&entry, None, needs).map_err(|e| other(Failure::Room(e)))?;
    let options = ImageOptions {
        replace: args.target.force,
        preallocate,
        origin: 0,
        io: args.target.io.into(),
    };
    let created = ImageSink::create(&entry, size, options);
    let sink = created.map_err(|error| other(not_made(target, error)))?;
    let streamed = set.restore(&sink)?;
    Ok((sink, manifest, streamed))
}

/// No temporary file could be made.
fn not_made(target: &Path, error: io::Error) -> Failure {
    let path = target.to_owned();
    match error.kind() {
        io::ErrorKind::WouldBlock => Failure::unfinished(JobError::Busy { path }, false),
        io::ErrorKind::AlreadyExists => Failure::unfinished(JobError::Exists { path }, false),
        _ => Failure::Target { path, error },
    }
}

/// A pipe can be read once, from its start to its end.
fn refuse_what_needs_seeking(args: &RestoreArgs) -> Result<(), Failure> {
    let asked = [
        (is_pipe(args), "-o -"),
        (args.target.in_place, "--in-place"),
        (args.members.is_some(), "--members"),
        (args.overlay.is_some(), "--overlay"),
        (args.salvage.salvage, "--salvage"),
        (args.extent.offset.0 != 0 || args.extent.length.is_some(), "a range"),
        (args.extent.size.is_some(), "--size"),
        (!args.proof.hash.is_empty(), "--hash"),
        (args.proof.verify_target, "--verify-target"),
        (args.target.limit_rate.is_some(), "--limit-rate"),
        (args.resume.is_given(), "a journal"),
    ];
    match asked.iter().find(|(asked, _)| *asked) {
        None => Ok(()),
        Some((_, what)) => Err(Failure::Usage {
            message: format!("{what} is not possible when snapshots are read from pipes"),
            hint: "what comes through a pipe is restored once, whole, to a new image; keep it as a file for more",
        }),
    }
}
