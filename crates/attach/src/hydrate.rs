//! Attach now, restore behind: a volume is read on demand while it is restored into a raw image in
//! the background, and what is durable there is read from there.
//!
//! The reads of those who wait go first. The restore is one like any other, with a journal: ended at
//! any time, the next one goes on where it was.

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use host::entry::Entry;
use restore::engine::OnDamage;
use restore::image::{Image, ImageError, Run};
use restore::job::{JobError, JournalAt, LocalCopy, Restore, Target};
use restore::sink::Io;
use restore::{Damage, Foreground, Progress, Volume};

/// An image that is read from its local copy where there is one already.
pub struct Hydrated {
    image: Arc<dyn Image>,
    shared: Arc<Shared>,
}

/// What the image and the restore behind it share.
#[derive(Debug, Default)]
struct Shared {
    local: LocalCopy,
    foreground: Foreground,
    progress: Progress,
    end: Mutex<Option<End>>,
}

/// Where the image goes and how.
#[derive(Clone, Debug)]
pub struct Request {
    /// The raw image to make.
    pub target: Entry,
    /// Where to take note of what is durable, and to find what an earlier run has.
    pub journal: JournalAt,
    /// How to write.
    pub io: Io,
    /// How many workers decode at a time.
    pub jobs: NonZeroUsize,
}

/// How a restore in the background ended.
#[derive(Debug)]
pub enum End {
    /// The raw image is whole, durable, and has its name.
    Whole,
    /// All but these ranges is durable; the image does not have its name, and a later run tries
    /// again.
    Damaged(Vec<Damage>),
    /// It was stopped; a later run goes on.
    Stopped,
    /// It could not go on.
    Failed(JobError),
    /// It ended by a fault of the program; what is proved stays so.
    Panicked,
}

/// A restore in the background. Dropped, it is stopped.
#[derive(Debug)]
pub struct Background {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Begins to restore `volume` in the background; `image` is the same volume, read on demand. `told`
/// hears how it ended.
pub fn start(
    volume: Arc<Volume>,
    image: Arc<dyn Image>,
    request: Request,
    told: impl FnOnce(&End) + Send + 'static,
) -> io::Result<(Hydrated, Background)> {
    let shared = Arc::new(Shared::default());
    let behind = Arc::clone(&shared);
    let run = move || {
        // Those who read have the sources, and are told that there is nothing behind them any more.
        let restored = catch_unwind(AssertUnwindSafe(|| behind.restore(&volume, request)));
        let end = restored.unwrap_or(End::Panicked);
        told(&end);
        *behind.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
    };
    let thread = thread::Builder::new().name("hydrate".into()).spawn(run)?;
    let hydrated = Hydrated { image, shared: Arc::clone(&shared) };
    Ok((hydrated, Background { shared, thread: Some(thread) }))
}

impl Shared {
    fn restore(&self, volume: &Volume, request: Request) -> End {
        let target = Target::Image { entry: request.target, replace: false, preallocate: false };
        let restore = Restore {
            journal: Some(request.journal),
            io: request.io,
            // Damage is for those who read there; the rest is wanted all the same.
            on_damage: OnDamage::Salvage { fill: 0 },
            local: Some(&self.local),
            foreground: Some(&self.foreground),
            ..Restore::whole(volume, target, request.jobs)
        };
        let restored = match restore.run(&self.progress) {
            Ok(restored) => restored,
            Err(_) if self.progress.is_cancelled() => return End::Stopped,
            Err(unfinished) => return End::Failed(unfinished.error),
        };
        if !restored.report.damage.is_empty() {
            return End::Damaged(restored.report.damage);
        }
        let path = self.local.path().map(std::path::Path::to_owned).unwrap_or_default();
        match restored.publish() {
            Ok(()) => End::Whole,
            Err(source) => End::Failed(JobError::Target { path, source }),
        }
    }
}

impl Background {
    /// Waits until it has ended by itself.
    pub fn wait(mut self) -> End {
        self.join();
        let end = self.shared.end.lock().unwrap_or_else(PoisonError::into_inner).take();
        end.unwrap_or(End::Stopped)
    }

    /// Stops it, and waits until it has.
    pub fn stop(self) -> End {
        self.shared.progress.cancel();
        self.wait()
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // Only who is told how it ended can have panicked.
            let _ = thread.join();
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.shared.progress.cancel();
        self.join();
    }
}

impl Hydrated {
    /// How many bytes are durable in the local copy, and read from there.
    pub fn local(&self) -> u64 {
        self.shared.local.bytes()
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("the local copy is whole"),
            Self::Damaged(damage) => {
                let places = damage.len();
                write!(f, "the local copy is whole but for damage in {places} places")
            }
            Self::Stopped => f.write_str("the local copy is not finished"),
            Self::Failed(error) => write!(f, "the local copy cannot be finished: {error}"),
            Self::Panicked => f.write_str("the local copy cannot be finished: its thread panicked"),
        }
    }
}

impl Image for Hydrated {
    fn size(&self) -> u64 {
        self.image.size()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), ImageError> {
        let _reading = self.shared.foreground.reads();
        let end = offset.saturating_add(out.len() as u64);
        let (mut at, mut rest) = (offset, out);
        while at < end {
            let (next, is_local) = self.shared.local.run(&(at..end));
            let len = usize::try_from(next - at).unwrap_or(rest.len());
            let (piece, after) = rest.split_at_mut(len);
            // A local disk that fails takes nothing away from what the sources have.
            if !(is_local && self.shared.local.read(at, piece).is_ok()) {
                self.image.read_at(at, piece)?;
            }
            (at, rest) = (next, after);
        }
        Ok(())
    }

    fn run_at(&self, offset: u64) -> Result<Run, ImageError> {
        self.image.run_at(offset)
    }
}
