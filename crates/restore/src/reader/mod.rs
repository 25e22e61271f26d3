//! A volume read on demand: any bytes at any time, by any number of threads, all of them checked.
//!
//! A read goes through the layout to the members and asks there for no more than it needs: damage
//! fails the reads that touch it, and no others. Whole chunks are decoded, once however many ask for
//! them together, and kept in a cache that is bounded in bytes. Where reads are in sequence, a
//! few threads decode what comes next.

mod ahead;
mod cache;
mod core;
mod damage;
mod fair_semaphore;
mod streams;
mod tally;

use std::io;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::thread;

use crate::image::{Image, ImageError, Run};
use crate::report::Damage;
use crate::threads;
use crate::volume::Volume;
use ahead::Ahead;
use core::Core;
use host::memory;

pub use tally::Counts;

/// How a volume is read on demand.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Most bytes of decoded chunks to keep, but one chunk at least. Chunks that are being decoded come on top of that, one
    /// for each thread.
    pub cache: u64,
    /// How many threads read ahead, and how many chunks are decoded at a time.
    pub threads: NonZeroUsize,
}

impl Options {
    /// Cached bytes when nothing else is asked for, where there is little memory and where there is much.
    const CACHE: RangeInclusive<u64> = 64 << 20..=1 << 30;
    /// The part of the memory that is taken between them.
    const PART: u64 = 16;
}

impl Default for Options {
    /// A sixteenth of the memory, 64 MiB at least and 1 GiB at most, and a thread for each core.
    fn default() -> Self {
        let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let cache = (memory::total() / Self::PART).clamp(*Self::CACHE.start(), *Self::CACHE.end());
        Self { cache, threads }
    }
}

/// A volume as an image that is read on demand. Dropping it ends its threads.
pub struct Reader {
    core: Arc<Core>,
    ahead: Ahead,
}

impl Reader {
    /// Takes a volume.
    ///
    /// # Errors
    ///
    /// When the system has no more threads.
    pub fn new(volume: Arc<Volume>, options: &Options) -> io::Result<Self> {
        let options = &Options { threads: options.threads.min(threads::most()), ..*options };
        let core = Arc::new(Core::new(volume, options));
        let ahead = Ahead::new(&core, options);
        Ok(Self { core, ahead })
    }

    /// The volume that is read.
    pub fn volume(&self) -> &Arc<Volume> {
        self.core.volume()
    }

    /// What was done so far.
    pub fn counts(&self) -> Counts {
        self.core.counts()
    }

    /// The damage that reads have come upon, each place once, in the order in which it was found; the
    /// first few hundred of them.
    pub fn damage(&self) -> Vec<Damage> {
        self.core.damage()
    }
}

impl Image for Reader {
    fn size(&self) -> u64 {
        self.core.volume().size()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), ImageError> {
        let end = ImageError::check_range(offset, out.len() as u64, self.size())?;
        let in_sequence = self.ahead.note(&self.core, &(offset..end));
        self.core.read(offset, out, in_sequence)
    }

    fn run_at(&self, offset: u64) -> Result<Run, ImageError> {
        ImageError::check_range(offset, 1, self.size())?;
        self.core.run_at(offset)
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("counts", &self.counts()).finish_non_exhaustive()
    }
}
