//! An ext4 that is in use, on an image of which an instant can be taken.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::support::hash::Census;
use crate::support::layout::Layout;
use crate::support::loopmount::LoopMount;
use crate::support::run::Call;
use crate::support::scratch::{self, Scratch};
use crate::support::{Outcome, split, tool};

const STRIPE: u64 = 64 << 10;

/// A mounted ext4 whose image lies on an XFS, where files can share their blocks.
pub(crate) struct Live {
    // Unmounted in this order.
    ext4: LoopMount,
    host: LoopMount,
    scratch: Scratch,
    size: u64,
}

impl Live {
    /// An ext4 of `size` bytes, a multiple of two stripes.
    pub(crate) fn new(size: u64) -> Outcome<Self> {
        let scratch = Scratch::new()?;
        let disk = scratch.path("host.img");
        drop(scratch::new_sparse(&disk, 8 * size)?);
        tool::run("mkfs.xfs", [Path::new("-q"), Path::new("-m"), Path::new("reflink=1"), &disk])?;
        let host = LoopMount::read_write(&disk, &scratch.path("host"))?;
        let image = host.dir().join("image.raw");
        drop(scratch::new_sparse(&image, size)?);
        tool::run("mke2fs", [Path::new("-qF"), Path::new("-t"), Path::new("ext4"), &image])?;
        let ext4 = LoopMount::read_write(&image, &scratch.path("live"))?;
        Ok(Self { ext4, host, scratch, size })
    }

    /// Where it is mounted.
    pub(crate) fn dir(&self) -> &Path {
        self.ext4.dir()
    }

    pub(crate) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Takes the instant: all blocks of the image at once, whoever writes.
    pub(crate) fn instant(&self) -> Outcome<PathBuf> {
        let (image, clone) = (self.host.dir().join("image.raw"), self.host.dir().join("clone.raw"));
        tool::run("cp", [Path::new("--reflink=always"), &image, &clone])?;
        Ok(clone)
    }

    /// Spreads the instant over a striped pair and captures it; the directory of the set.
    pub(crate) fn capture(&self, instant: &Path) -> Outcome<Captured> {
        let layout = Layout::new().striped(self.size, STRIPE, &[("vol-a", 0), ("vol-b", 0)]);
        let dir = self.scratch.dir("members")?;
        let members: BTreeMap<String, PathBuf> = split::split(instant, &layout, &dir)?;
        let sets = self.scratch.dir("sets")?;
        let mut call = Call::new("capture")
            .option("-o", &sets)
            .option("--stripe", "64K")
            .option("--consistency", "crash");
        for (id, path) in &members {
            call = call.member(id, path);
        }
        call.succeeds()?;
        let before = Census::take(&[&dir, &sets])?;
        Ok(Captured { sets, before })
    }
}

/// The set of an instant, and the state of everything it was made of.
pub(crate) struct Captured {
    pub(crate) sets: PathBuf,
    before: Census,
}

impl Captured {
    /// Nobody wrote to a source, whatever was done over it.
    pub(crate) fn is_untouched(&self) -> Outcome {
        self.before.unchanged("the sources")
    }
}
