//! Targets: what there is of them, what an earlier run has left, and how they are opened.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::identity::identity;
use super::left::{exists, is_of, refuse_leftover};
use super::{JobError, JournalAt, Restore, Unfinished};
use crate::engine::Options;
use crate::hydrate::LocalCopy;
use crate::journal::{Binding, Journal, SyncPoints};
use crate::lock::lock;
use crate::ranges::RangeSet;
use crate::sink::{ImageOptions, ImageSink, InPlaceSink, Io, Method, PipeSink, ReadBack, Sink};

/// Where a volume is restored to.
pub enum Target {
    /// A raw image that gets its name when it is whole.
    Image {
        /// Its name.
        path: PathBuf,
        /// Whether an existing file is replaced.
        replace: bool,
        /// Whether it is allocated as a whole, without holes.
        preallocate: bool,
    },
    /// An existing file or device, overwritten itself.
    InPlace {
        /// It.
        path: PathBuf,
        /// Whether what it holds already is read first, and left where it is right.
        delta: bool,
        /// Whether zeros leave the space allocated.
        preallocate: bool,
    },
    /// Bytes in order.
    Pipe {
        /// Takes them.
        out: Box<dyn Write + Send>,
        /// What messages call it.
        name: PathBuf,
    },
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, path) = match self {
            Self::Image { path, .. } => ("Image", path),
            Self::InPlace { path, .. } => ("InPlace", path),
            Self::Pipe { name, .. } => ("Pipe", name),
        };
        f.debug_tuple(kind).field(path).finish()
    }
}

/// A target that is open, and its journal.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) sink: OpenSink,
    pub(super) journal: Option<Journal>,
    pub(super) points: SyncPoints,
    /// Where what the target holds already is read from, if that is to be kept.
    pub(super) readback: Option<ReadBack>,
}

/// An open target, by kind.
#[derive(Debug)]
pub(super) enum OpenSink {
    Image { sink: ImageSink, temporary: PathBuf, origin: u64 },
    InPlace(InPlaceSink),
    Pipe(PipeSink),
}

impl OpenSink {
    pub(super) fn as_sink(&self) -> &dyn Sink {
        match self {
            Self::Image { sink, .. } => sink,
            Self::InPlace(sink) => sink,
            Self::Pipe(sink) => sink,
        }
    }

    pub(super) fn into_boxed(self) -> Box<dyn Sink> {
        match self {
            Self::Image { sink, .. } => Box::new(sink),
            Self::InPlace(sink) => Box::new(sink),
            Self::Pipe(sink) => Box::new(sink),
        }
    }

    pub(super) fn method(&self) -> Method {
        match self {
            Self::Image { sink, .. } => sink.method(),
            Self::InPlace(sink) => sink.method(),
            Self::Pipe(_) => Method::Stream,
        }
    }
}

impl Opened {
    /// What is on the medium.
    pub(super) fn read_back(&self) -> Result<ReadBack, JobError> {
        let held = match &self.sink {
            OpenSink::Image { temporary, origin, .. } => ReadBack::open(temporary, *origin),
            OpenSink::InPlace(sink) => ReadBack::open(sink.path(), 0),
            OpenSink::Pipe(_) => Err(io::ErrorKind::NotSeekable.into()),
        };
        held.map_err(|e| JobError::target(self.sink.as_sink(), e))
    }

    /// Lets others read what is durable.
    fn show(&self, local: &LocalCopy) -> Result<(), JobError> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let (path, origin) = match &self.sink {
            OpenSink::Image { temporary, origin, .. } => (temporary.as_path(), *origin),
            OpenSink::InPlace(sink) => (sink.path(), 0),
            OpenSink::Pipe(_) => return Ok(()),
        };
        let shown = local.open(path, origin, journal.share());
        shown.map_err(|e| JobError::target(self.sink.as_sink(), e))
    }

    /// Leaves what is proved to a later run; without anything proved, leaves nothing.
    pub(super) fn leave(mut self, error: JobError) -> Unfinished {
        let proven = self.journal.as_ref().map_or(0, |journal| journal.proven().bytes());
        if proven > 0 {
            if let OpenSink::Image { sink, .. } = &mut self.sink {
                sink.keep(true);
            }
        } else {
            self.forget();
        }
        Unfinished { error, proven }
    }

    /// The medium is wrong: what was proved is so no more.
    pub(super) fn void(self, wrong: RangeSet) -> Unfinished {
        let path = self.sink.as_sink().path().to_owned();
        self.forget();
        JobError::Mismatch { path, wrong }.into()
    }

    /// Removes the temporary file and the journal.
    fn forget(mut self) {
        if let OpenSink::Image { sink, .. } = &mut self.sink {
            sink.keep(false);
        }
        // Whatever stopped the restore is told already; a journal that stays says nothing is done.
        let _ = self.journal.take().map(Journal::remove);
    }
}

/// Opens the target and its journal.
pub(super) fn open(restore: Restore<'_>) -> Result<(Options<'_>, Opened), Unfinished> {
    let options = Options {
        on_damage: restore.on_damage,
        digests: restore.digests,
        throttle: restore.throttle,
        foreground: restore.foreground,
        ..Options::new(restore.jobs)
    };
    let range = restore.range.start..restore.end;
    let journal = restore.journal;
    let points = journal.as_ref().map(|at| at.points).unwrap_or_default();
    let binding = |at: &JournalAt| Binding { volume: at.volume.clone(), range: range.clone() };
    let local = restore.local;
    let (sink, journal, readback) = match restore.target {
        Target::Image { path, replace, preallocate } => {
            let image = ImageOptions { replace, preallocate, origin: range.start, io: restore.io };
            let size = range.end - range.start;
            let (sink, journal) = open_image(&path, size, image, journal.as_ref(), binding)?;
            (sink, journal, None)
        }
        Target::InPlace { path, delta, preallocate } => {
            let journal = journal.as_ref();
            let (sink, journal) = open_in_place(&path, preallocate, restore.io, journal, binding)?;
            let grown = sink.grow(range.end);
            let readback = grown.and_then(|()| delta.then(|| ReadBack::open(&path, 0)).transpose());
            let sink = OpenSink::InPlace(sink);
            match readback {
                Ok(readback) => (sink, journal, readback),
                Err(source) => {
                    let opened = Opened { sink, journal, points, readback: None };
                    return Err(opened.leave(JobError::Target { path, source }));
                }
            }
        }
        Target::Pipe { out, name } => (OpenSink::Pipe(PipeSink::new(out, name)), None, None),
    };
    let opened = Opened { sink, journal, points, readback };
    if let Some(local) = local
        && let Err(error) = opened.show(local)
    {
        return Err(opened.leave(error));
    }
    Ok((options, opened))
}

fn open_in_place(
    path: &Path,
    keep_space: bool,
    io: Io,
    journal: Option<&JournalAt>,
    binding: impl Fn(&JournalAt) -> Binding,
) -> Result<(InPlaceSink, Option<Journal>), JobError> {
    let target = |source| JobError::Target { path: path.to_owned(), source };
    let sink = InPlaceSink::open(path, keep_space, io).map_err(target)?;
    let Some(at) = journal else { return Ok((sink, None)) };
    let journal = if at.restart {
        Journal::anew(&at.path, &binding(at))?
    } else {
        Journal::open(&at.path, &binding(at))?
    };
    match journal.target() {
        None => journal.bind(&identity(path).map_err(target)?)?,
        Some(found) => is_of(path, found, &at.path)?,
    }
    Ok((sink, Some(journal)))
}

fn open_image(
    path: &Path,
    size: u64,
    options: ImageOptions,
    journal: Option<&JournalAt>,
    binding: impl Fn(&JournalAt) -> Binding,
) -> Result<(OpenSink, Option<Journal>), JobError> {
    let target = |source: io::Error| match source.kind() {
        io::ErrorKind::WouldBlock => JobError::Busy { path: path.to_owned() },
        _ => JobError::Target { path: path.to_owned(), source },
    };
    let temporary = ImageSink::temporary_path(path).map_err(target)?;
    let origin = options.origin;
    let opened = |sink| OpenSink::Image { sink, temporary: temporary.clone(), origin };
    refuse_leftover(&temporary, journal)?;
    let is_left = exists(&temporary);
    if is_left && is_locked(&temporary).map_err(target)? {
        return Err(JobError::Busy { path: path.to_owned() });
    }
    let Some(at) = journal else {
        let sink = ImageSink::create(path, size, options).map_err(target)?;
        return Ok((opened(sink), None));
    };
    let binding = binding(at);
    let mut journal = if at.restart {
        Journal::anew(&at.path, &binding)?
    } else {
        Journal::open(&at.path, &binding)?
    };
    if let (Some(found), true) = (journal.target(), is_left) {
        is_of(&temporary, found, &at.path)?;
        let sink = ImageSink::resume(path, size, options).map_err(target)?;
        return Ok((opened(sink), Some(journal)));
    }
    if is_left {
        fs::remove_file(&temporary).map_err(target)?;
    }
    if journal.target().is_some() {
        // Of a file that is gone.
        drop(journal);
        journal = Journal::anew(&at.path, &binding)?;
    }
    let begun = ImageSink::create(path, size, options).map_err(target).and_then(|sink| {
        journal.bind(&identity(&temporary).map_err(target)?)?;
        Ok(sink)
    });
    match begun {
        Ok(mut sink) => {
            // From here on the journal says whose it is, and a run that is killed leaves both.
            sink.keep(true);
            Ok((opened(sink), Some(journal)))
        }
        Err(error) => {
            // A journal of nothing; what stopped the restore is what is told.
            let _ = journal.remove();
            Err(error)
        }
    }
}

/// Whether another restore has the temporary file.
fn is_locked(temporary: &Path) -> io::Result<bool> {
    Ok(!lock(&fs::File::open(temporary)?)?)
}
