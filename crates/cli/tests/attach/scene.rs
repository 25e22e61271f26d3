//! Sets of real filesystems.

use std::path::{Path, PathBuf};

use crate::support::Outcome;
use crate::support::image::Filesystem;
use crate::support::layout::Layout;
use crate::support::sample::Sample;
use crate::support::scratch::{self, Scratch};
use crate::support::tree;

/// XFS has 300 MiB at least.
const SIZE: u64 = 320 << 20;

/// A captured set of a filesystem on two striped members.
pub(crate) struct Scene {
    /// The files that are on it.
    pub(crate) tree: PathBuf,
    pub(crate) sets: PathBuf,
    pub(crate) sample: Sample,
    /// An empty directory to mount at.
    pub(crate) at: PathBuf,
    pub(crate) scratch: Scratch,
}

impl Scene {
    pub(crate) fn of(filesystem: Filesystem) -> Outcome<Self> {
        let scratch = Scratch::new()?;
        let tree = scratch.dir("tree")?;
        tree::gather(&tree, 40 << 20)?;
        let image = scratch.path("image");
        filesystem.make(&image, SIZE, &tree, &scratch.path("being-made"))?;
        Self::with_image(scratch, tree, image, SIZE)
    }

    /// One of an image that is there already.
    pub(crate) fn with_image(
        scratch: Scratch,
        tree: PathBuf,
        image: PathBuf,
        size: u64,
    ) -> Outcome<Self> {
        let layout = Layout::new().striped(size, 1 << 20, &[("vol-a", 0), ("vol-b", 0)]);
        let sample = Sample::with_file(&scratch.path("members"), layout, image)?;
        let sets = scratch.dir("sets")?;
        sample.captured(&sets, "dsnap-0a")?;
        let at = scratch.dir("at")?;
        Ok(Self { tree, sets, sample, at, scratch })
    }
}

/// The line of the mount table for what is mounted at a directory.
pub(crate) fn mount_line(at: &Path) -> Outcome<Option<String>> {
    let table = std::fs::read_to_string("/proc/self/mountinfo")?;
    let at = format!(" {} ", at.display());
    Ok(table.lines().find(|line| line.contains(&at)).map(str::to_owned))
}

/// Whether nothing is there any more, neither mounted nor as a file.
pub(crate) fn is_empty(at: &Path) -> Outcome<bool> {
    Ok(mount_line(at)?.is_none() && scratch::files_below(at)?.is_empty())
}
