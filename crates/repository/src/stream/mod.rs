//! Restoring a set whose members come through pipes, in one pass and without seeking.
//!
//! What is read cannot be looked at first: bytes are written before the end of the file proves that
//! they are the snapshot. So a target that this fails for holds some unknown part of the volume, and
//! is to be thrown away; only a new, temporary one may be given.

mod ahead;
mod error;
mod heads;
mod worker;

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use snapfmt::{Mapping, SetContentId, SetManifest};

use heads::Member;
use restore::Layout;
use restore::Progress;
use restore::engine::{RunError, pool};
use restore::on_panic::OnPanic;
use restore::sink::Sink;
use restore::{Counts, Report};
use worker::{Job, Worker};

pub use error::StreamError;

/// Opens an input; it may wait, as a FIFO does for its writer.
pub type Opener = Box<dyn FnOnce() -> io::Result<Box<dyn Read + Send>> + Send>;

/// One member's file as it comes: what messages call it, and how it is opened.
pub struct StreamInput {
    path: PathBuf,
    open: Opener,
}

impl StreamInput {
    /// An input that messages call `path`.
    pub fn new(path: impl Into<PathBuf>, open: Opener) -> Self {
        Self { path: path.into(), open }
    }

    /// A FIFO, or a file that is read like one.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let name = path.clone();
        Self::new(name, Box::new(move || Ok(Box::new(File::open(path)?))))
    }
}

impl std::fmt::Debug for StreamInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamInput").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A complete set of which the heads have been read: every member of the roster is there, once.
#[derive(Debug)]
pub struct StreamSet<'p> {
    set: SetManifest,
    layout: Layout,
    /// By member number.
    members: Vec<Member<'p>>,
    stop: Arc<Stop<'p>>,
}

/// A volume that was restored, every byte of its members' files having been proved.
#[derive(Debug)]
pub struct Streamed {
    /// Bytes by kind; without damage.
    pub report: Report,
    /// The set's content id, on which the seals of all members agree.
    pub content: SetContentId,
}

impl StreamSet<'_> {
    /// What all members say of the set.
    pub const fn manifest(&self) -> &SetManifest {
        &self.set
    }

    /// The layout of the logical volume.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Brings the whole volume to `sink`, by position and in no order, with a thread for each member.
    /// The sink is not finished here.
    ///
    /// # Errors
    ///
    /// The first thing that stopped it. The members' files are proved only by their ends, so until
    /// this has succeeded what the sink holds is nothing that may be used.
    pub fn restore(self, sink: &dyn Sink) -> Result<Streamed, StreamError> {
        if sink.is_ordered() {
            return Err(StreamError::Ordered { path: sink.path().to_owned() });
        }
        let Self { set, layout, members, stop } = self;
        stop.progress.expect(layout.size());
        let job = Job { layout: &layout, sink, stop: &stop };
        let mut counts = unmapped(&job)?;
        let done = Mutex::new(Vec::with_capacity(members.len()));
        pool(members.len()).map_err(RunError::Start)?.scope(|scope| {
            for member in members {
                scope.spawn(|_| {
                    let _guard = OnPanic(|| job.stop.abandon());
                    match Worker::new(&job, &member).and_then(|w| w.run(member)) {
                        Ok(end) => done.lock().unwrap_or_else(PoisonError::into_inner).push(end),
                        Err(error) => job.stop.fail(error),
                    }
                });
            }
        });
        stop.check()?;
        let ends = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Some(first) = ends.first() else { return Err(StreamError::NoInput) };
        for end in &ends {
            if end.content != first.content {
                let (first, second) = (first.path.clone(), end.path.clone());
                return Err(StreamError::Mixed { set_id: set.id, first, second });
            }
            counts.add(&end.counts);
        }
        let report = Report { counts, ..Report::default() };
        Ok(Streamed { report, content: first.content })
    }
}

/// Gives the zeros of the segments that no member holds.
fn unmapped(job: &Job<'_>) -> Result<Counts, StreamError> {
    let mut counts = Counts::default();
    for segment in job.layout.map().segments() {
        if segment.mapping == Mapping::Unmapped {
            job.zeros(segment.start..segment.end())?;
            counts.unmapped += segment.length;
        }
    }
    Ok(counts)
}

/// What tells the threads of a job to stop: that the caller cancelled it or that one of them failed.
#[derive(Debug)]
struct Stop<'p> {
    progress: &'p Progress,
    failed: AtomicBool,
    error: Mutex<Option<StreamError>>,
}

impl<'p> Stop<'p> {
    fn new(progress: &'p Progress) -> Self {
        Self { progress, failed: AtomicBool::new(false), error: Mutex::new(None) }
    }

    fn is_set(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || self.progress.is_cancelled()
    }

    /// Keeps the first error: those after it may come of having been stopped.
    fn fail(&self, error: StreamError) {
        let mut first = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        if first.is_none() {
            let cancelled = self.progress.is_cancelled();
            *first = Some(if cancelled { RunError::Interrupted.into() } else { error });
        }
        self.abandon();
    }

    /// No thread needs to go on, or to wait for its input.
    fn abandon(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// The first error, if there was one.
    fn check(&self) -> Result<(), StreamError> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}
