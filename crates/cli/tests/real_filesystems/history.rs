//! The life of one filesystem: three generations of its image and of the tree that must be in it.

use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;

use crate::support::image::Filesystem;
use crate::support::layout::Layout;
use crate::support::loopmount::LoopMount;
use crate::support::needs::long;
use crate::support::scratch::{self, Scratch};
use crate::support::{Outcome, ensure, hash, split, tool, tree};

const MIB: u64 = 1 << 20;
pub(crate) const STRIPE: u64 = 64 << 10;
const ROW: u64 = 2 * STRIPE;

/// What the first pair holds with the gap in it, the fifth member, and the pair that comes in generation 1.
const FIRST_PAIR: u64 = 288 * MIB;
const TAIL: u64 = 41 * MIB + 12 * 1024;
const SECOND_PAIR: u64 = 128 * MIB;
/// Beyond the end of the filesystem, in no member.
const BEYOND: u64 = 5 * MIB + 4096;
/// As large as the gap in the midst of the volume may be.
const LARGEST_GAP: u64 = 16 * MIB;

/// One generation's truth.
pub(crate) struct Generation {
    pub(crate) image: PathBuf,
    pub(crate) sha256: String,
    pub(crate) tree: PathBuf,
    pub(crate) layout: Layout,
}

pub(crate) struct History {
    pub(crate) scratch: Scratch,
    pub(crate) filesystem: Filesystem,
    pub(crate) generations: Vec<Generation>,
}

impl History {
    pub(crate) fn live_through(filesystem: Filesystem) -> Outcome<Self> {
        let scratch = Scratch::new()?;
        let budget = if long() { 160 * MIB } else { 40 * MIB };
        tree::gather(&scratch.path("tree"), budget)?;
        let image = scratch.path("filesystem.img");
        let mount_at = scratch.dir("changed")?;
        filesystem.make(&image, FIRST_PAIR + TAIL, &scratch.path("tree"), &mount_at)?;

        let mut history = Self { scratch, filesystem, generations: Vec::new() };
        history.keep(0, FIRST_PAIR + TAIL)?;
        drop(scratch::set_len(&image, FIRST_PAIR + TAIL + SECOND_PAIR)?);
        filesystem.grow(&image, &mount_at)?;
        for number in 1..3 {
            history.change(number)?;
            history.keep(number, FIRST_PAIR + TAIL + SECOND_PAIR)?;
        }
        let gap = history.gap()?;
        for (number, generation) in history.generations.iter_mut().enumerate() {
            generation.layout = layout(&gap, number > 0);
        }
        Ok(history)
    }

    /// Changes the tree through a mount; the truth gets the same changes.
    fn change(&self, number: u64) -> Outcome {
        let image = self.scratch.path("filesystem.img");
        let mount = LoopMount::read_write(&image, &self.scratch.path("changed"))?;
        tree::change(mount.dir(), number)?;
        if number == 2 && tool::find("fstrim").is_some() {
            // What was deleted becomes holes: data turning into zeros is a change like any other.
            tool::run("fstrim", [mount.dir()])?;
        }
        mount.unmount()?;
        tree::change(&self.scratch.path("tree"), number)
    }

    /// Keeps the image, with room beyond the filesystem, and the tree.
    fn keep(&mut self, number: u64, filesystem_size: u64) -> Outcome {
        let image = self.scratch.path(&format!("logical-{number}.img"));
        let tree = self.scratch.path(&format!("tree-{number}"));
        let live = self.scratch.path("filesystem.img");
        self.filesystem.check(&live)?;
        scratch::copy(&live, &image)?;
        drop(scratch::set_len(&image, filesystem_size + BEYOND)?);
        scratch::copy_tree(&self.scratch.path("tree"), &tree)?;
        let sha256 = hash::sha256(&image)?;
        self.generations.push(Generation { image, sha256, tree, layout: Layout::new() });
        Ok(())
    }

    /// The longest run of rows of the first pair that is zero in all generations, some of it left mapped.
    fn gap(&self) -> Outcome<Range<u64>> {
        let images: Vec<File> =
            self.generations.iter().map(|g| File::open(&g.image)).collect::<Result<_, _>>()?;
        let (mut longest, mut current) = (0..0, 0..0);
        for start in (0..FIRST_PAIR).step_by(usize::try_from(ROW)?) {
            let row = start..start + ROW;
            let mut zero = true;
            for image in &images {
                zero = zero && split::is_zero(image, &row)?;
            }
            current = if zero { current.start..row.end } else { row.end..row.end };
            if current.end - current.start > longest.end - longest.start {
                longest = current.clone();
            }
        }
        let start = longest.start + ROW;
        let end = longest.end.saturating_sub(ROW).min(start + LARGEST_GAP);
        ensure!(start < end, "no range is zero in all generations: {longest:?}");
        Ok(start..end)
    }
}

/// A pair at 64 KiB with a gap in it, a linear tail, perhaps a second pair, and nothing beyond.
fn layout(gap: &Range<u64>, grown: bool) -> Layout {
    let after = gap.start / 2;
    let layout = Layout::new()
        .striped(gap.start, STRIPE, &[("vol-a", 0), ("vol-b", 0)])
        .unmapped(gap.end - gap.start)
        .striped(FIRST_PAIR - gap.end, STRIPE, &[("vol-a", after), ("vol-b", after)])
        .linear(TAIL, ("vol-e", 0));
    let layout = if grown {
        layout.striped(SECOND_PAIR, STRIPE, &[("vol-c", 0), ("vol-d", 0)])
    } else {
        layout
    };
    layout.unmapped(BEYOND)
}
