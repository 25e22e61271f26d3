//! `--hydrate`: a raw image is made behind what is attached.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use attach::hydrate::{self, Background, End, Hydrated, Request};
use host::entry::Entry;
use restore::Volume;
use restore::engine::OnDamage;
use restore::image::Image;
use restore::job::{JournalAt, Target, look};
use restore::journal::{JOURNAL, SyncPoints};
use restore::sink::Io;

use crate::args::Common;
use crate::cmd::restore::{check_new, counted, image_room};
use crate::exit::{Failure, Refusal};

/// A raw image that may be made.
pub(super) struct LocalCopy {
    target: Entry,
    journal: JournalAt,
}

impl LocalCopy {
    /// Checks that it may be made, as a restore would, and that what an earlier run has left of it is
    /// of the same volume. Nothing is written yet.
    pub(super) fn check(
        target: &Path,
        volume: &Volume,
        word: String,
        sources: &[PathBuf],
    ) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::Target { path: target.to_owned(), error };
        // The server leaves the directory it was started in.
        let target = std::path::absolute(target).map_err(failed)?;
        check_new(&target, false, sources).map_err(never_replaced)?;
        let size = volume.size();
        // Damage does not keep the rest from being read.
        let counts = counted(volume, 0..size, OnDamage::Salvage { fill: 0 })?;
        let target = Entry::at(&target).map_err(failed)?;
        image_room(&target, size, &counts, false)?;
        let (entry, points) = (target.beside(JOURNAL), SyncPoints::default());
        let journal = JournalAt { entry, volume: word, points, restart: false };
        let image = Target::Image { entry: target.clone(), replace: false, preallocate: false };
        look(&image, Some(&journal), &(0..size)).map_err(|e| Failure::unfinished(e, false))?;
        Ok(Self { target, journal })
    }

    /// Begins to make it.
    pub(super) fn begin(
        self,
        volume: &Arc<Volume>,
        image: Arc<dyn Image>,
        common: &Common,
        told: impl FnOnce(&End) + Send + 'static,
    ) -> Result<(Arc<Hydrated>, Background), Failure> {
        let Self { target, journal } = self;
        let request = Request { target, journal, io: Io::Auto, jobs: common.jobs() };
        let begun = hydrate::start(Arc::clone(volume), image, request, told);
        let (hydrated, background) = begun.map_err(Failure::System)?;
        Ok((Arc::new(hydrated), background))
    }
}

/// A local copy takes no other file's place, whatever is asked.
fn never_replaced(failure: Failure) -> Failure {
    match failure {
        Failure::Refused { path, why: Refusal::Exists } => {
            Failure::Refused { path, why: Refusal::Taken }
        }
        other => other,
    }
}
