//! Targets: what there is of them, what an earlier run has left, and how they are opened.

use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use super::identity::TargetId;
use super::left::{check_own, is_of, left};
use super::local::LocalCopy;
use super::{JobError, JournalAt, Restore, Unfinished, recheck};
use crate::engine::Options;
use crate::journal::{Binding, Journal, SyncPoints};
use crate::progress::Progress;
use crate::ranges::RangeSet;
use crate::sink::{ImageOptions, ImageSink, InPlaceSink, Io, Method, PipeSink, ReadBack, Sink};
use crate::volume::Volume;
use host::entry::Entry;
use host::interlock::TargetClaim;

/// Where a volume is restored to.
pub enum Target {
    /// A raw image that gets its name when it is whole.
    Image {
        /// Its name.
        entry: Entry,
        /// Whether an existing file is replaced.
        replace: bool,
        /// Whether it is allocated as a whole, without holes.
        preallocate: bool,
    },
    /// An existing file or device, overwritten itself.
    InPlace {
        /// It, open for reading and writing: nothing is opened by name again.
        file: File,
        /// What messages call it.
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
            Self::Image { entry, .. } => ("Image", entry.path()),
            Self::InPlace { path, .. } => ("InPlace", path.clone()),
            Self::Pipe { name, .. } => ("Pipe", name.clone()),
        };
        f.debug_tuple(kind).field(&path).finish()
    }
}

impl Target {
    /// A new image, which replaces nothing.
    pub fn image(path: &Path) -> io::Result<Self> {
        Ok(Self::Image { entry: Entry::at(path)?, replace: false, preallocate: false })
    }

    /// What was checked and is kept from others, overwritten unseen.
    pub fn in_place(held: &TargetClaim) -> io::Result<Self> {
        let (file, path) = (held.file().try_clone()?, held.identity().path.clone());
        Ok(Self::InPlace { file, path, delta: false, preallocate: false })
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
    Image { sink: ImageSink, origin: u64 },
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

    /// What is written, and which byte of the volume its first one is.
    pub(super) fn file(&self) -> Option<(&File, u64)> {
        match self {
            Self::Image { sink, origin } => Some((sink.file(), *origin)),
            Self::InPlace(sink) => Some((sink.file(), 0)),
            Self::Pipe(_) => None,
        }
    }

    fn read_back(&self) -> io::Result<ReadBack> {
        let (file, origin) = self.file().ok_or(io::ErrorKind::NotSeekable)?;
        ReadBack::of(file.try_clone()?, self.as_sink().path(), origin)
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
        self.sink.read_back().map_err(|e| JobError::target(self.sink.as_sink(), e))
    }

    /// Refuses to go on with a target that does not hold what the journal says. Nothing is changed.
    fn recheck(
        &self,
        volume: &Volume,
        all: Option<NonZeroUsize>,
        progress: &Progress,
    ) -> Result<(), Unfinished> {
        let proven = self.journal.as_ref().map(Journal::proven).unwrap_or_default();
        if proven.is_empty() {
            return Ok(());
        }
        let wrong = self
            .read_back()
            .and_then(|held| recheck::wrong(&held, volume, &proven, all, progress))
            .and_then(|wrong| {
                let path = self.sink.as_sink().path().to_owned();
                if wrong.is_empty() { Ok(()) } else { Err(JobError::Changed { path, wrong }) }
            });
        wrong.map_err(|error| Unfinished { error, proven: proven.bytes() })
    }

    /// Gets ready what is needed before the first byte is written.
    fn prepare(
        &mut self,
        end: u64,
        delta: bool,
        local: Option<&LocalCopy>,
    ) -> Result<(), JobError> {
        if let OpenSink::InPlace(sink) = &self.sink {
            sink.grow(end).map_err(|e| JobError::target(sink, e))?;
        }
        if delta {
            self.readback = Some(self.read_back()?);
        }
        local.map_or(Ok(()), |local| self.show(local))
    }

    /// Lets others read what is durable.
    fn show(&self, local: &LocalCopy) -> Result<(), JobError> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let Some((file, origin)) = self.sink.file() else { return Ok(()) };
        let shown = local.open(file, self.sink.as_sink().path(), origin, journal.share());
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
pub(super) fn open<'r>(
    restore: Restore<'r>,
    progress: &Progress,
) -> Result<(Options<'r>, Opened), Unfinished> {
    let options = Options {
        on_damage: restore.on_damage,
        digests: restore.digests,
        throttle: restore.throttle,
        foreground: restore.foreground,
        ..Options::new(restore.jobs)
    };
    let range = restore.range.start..restore.end;
    let points = restore.journal.as_ref().map(|at| at.points).unwrap_or_default();
    let journal = restore.journal.map(|at| {
        let binding = Binding { volume: at.volume.clone(), range: range.clone() };
        (at, binding)
    });
    let delta = matches!(restore.target, Target::InPlace { delta: true, .. });
    let begun = match restore.target {
        Target::Image { entry, replace, preallocate } => {
            let image = ImageOptions { replace, preallocate, origin: range.start, io: restore.io };
            let size = range.end - range.start;
            open_image(&entry, size, image, journal)?
        }
        Target::InPlace { file, path, preallocate, .. } => {
            open_in_place(file, &path, preallocate, restore.io, journal)?
        }
        Target::Pipe { out, name } => Begun::new(OpenSink::Pipe(PipeSink::new(out, name)), None),
    };
    let Begun { sink, journal, resumed } = begun;
    let mut opened = Opened { sink, journal, points, readback: None };
    if let Some(is_unique) = resumed {
        let all = (!is_unique).then_some(restore.jobs);
        opened.recheck(restore.volume, all, progress)?;
    }
    match opened.prepare(range.end, delta, restore.local) {
        Ok(()) => Ok((options, opened)),
        Err(error) => Err(opened.leave(error)),
    }
}

/// A target and its journal.
struct Begun {
    sink: OpenSink,
    journal: Option<Journal>,
    /// Whether an earlier run has written to it, and nothing else can look the same.
    resumed: Option<bool>,
}

impl Begun {
    const fn new(sink: OpenSink, journal: Option<Journal>) -> Self {
        Self { sink, journal, resumed: None }
    }
}

type Bound = (JournalAt, Binding);

fn journal_of((at, binding): &Bound) -> Result<Journal, JobError> {
    let journal = if at.restart {
        Journal::anew(&at.entry, binding)
    } else {
        Journal::open(&at.entry, binding)
    };
    Ok(journal?)
}

fn open_in_place(
    file: File,
    path: &Path,
    keep_space: bool,
    io: Io,
    journal: Option<Bound>,
) -> Result<Begun, JobError> {
    let target = |source| JobError::at(path, source);
    let sink = InPlaceSink::new(file, path, keep_space, io).map_err(target)?;
    let Some(bound) = journal else { return Ok(Begun::new(OpenSink::InPlace(sink), None)) };
    let journal = journal_of(&bound)?;
    let resumed = match journal.target() {
        None => {
            journal.bind(&TargetId::of(path, sink.file()).map_err(target)?.text)?;
            None
        }
        Some(found) => Some(is_of(path, sink.file(), &found, journal.path())?),
    };
    Ok(Begun { sink: OpenSink::InPlace(sink), journal: Some(journal), resumed })
}

fn open_image(
    entry: &Entry,
    size: u64,
    options: ImageOptions,
    journal: Option<Bound>,
) -> Result<Begun, JobError> {
    let path = entry.path();
    let target = |source: io::Error| match source.kind() {
        // Another restore has made the temporary file since it was looked for, or is done by now.
        io::ErrorKind::WouldBlock => JobError::Busy { path: path.clone() },
        io::ErrorKind::AlreadyExists => JobError::Exists { path: path.clone() },
        _ => JobError::at(&path, source),
    };
    let temporary = ImageSink::temporary(entry);
    let origin = options.origin;
    let opened = |sink| OpenSink::Image { sink, origin };
    temporary.remove_if_named(entry).map_err(target)?;
    let left = left(&temporary, entry, journal.as_ref().map(|(at, _)| at))?;
    let Some(bound) = journal else {
        let sink = ImageSink::create(entry, size, options).map_err(target)?;
        return Ok(Begun::new(opened(sink), None));
    };
    let mut journal = journal_of(&bound)?;
    if let (Some(found), Some(file)) = (journal.target(), &left) {
        check_own(&temporary.path(), file)?;
        let is_unique = is_of(&temporary.path(), file, &found, journal.path())?;
        let file = file.try_clone().map_err(target)?;
        let sink = ImageSink::resume(entry, file, size, options).map_err(target)?;
        return Ok(Begun { sink: opened(sink), journal: Some(journal), resumed: Some(is_unique) });
    }
    if left.is_some() {
        temporary.remove().map_err(target)?;
    }
    if journal.target().is_some() {
        // Of a file that is gone.
        drop(journal);
        journal = Journal::anew(&bound.0.entry, &bound.1)?;
    }
    let begun = ImageSink::create(entry, size, options).map_err(target).and_then(|sink| {
        let id = TargetId::of(&temporary.path(), sink.file()).map_err(target)?;
        journal.bind(&id.text)?;
        Ok(sink)
    });
    match begun {
        Ok(mut sink) => {
            // From here on the journal says whose it is, and a run that is killed leaves both.
            sink.keep(true);
            Ok(Begun::new(opened(sink), Some(journal)))
        }
        Err(error) => {
            // A journal of nothing; what stopped the restore is what is told.
            let _ = journal.remove();
            Err(error)
        }
    }
}
