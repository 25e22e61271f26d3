//! The common scene of a test: a small volume, a captured set of it, and an empty directory for targets.

use std::path::{Path, PathBuf};

use super::Outcome;
use super::failure::Refusal;
use super::hash::{Census, same_sha256};
use super::layout::Layout;
use super::run::Call;
use super::sample::{Captured, Sample, pair_gap_and_tail, restore};
use super::scratch::{Scratch, write};

pub(crate) struct Stage {
    pub(crate) sample: Sample,
    pub(crate) set: Captured,
    /// Where sets are; `set` is in a directory of its own in it.
    pub(crate) sets: PathBuf,
    /// Where targets go.
    pub(crate) out: PathBuf,
    pub(crate) scratch: Scratch,
}

impl Stage {
    /// A striped pair with a gap and a tail, in chunks of 64 KiB.
    pub(crate) fn new() -> Outcome<Self> {
        Self::with_layout(pair_gap_and_tail())
    }

    pub(crate) fn with_layout(layout: Layout) -> Outcome<Self> {
        let scratch = Scratch::new()?;
        let sample = Sample::make(&scratch.path("members"), layout, 42)?;
        let sets = scratch.dir("sets")?;
        let set = sample.captured(&sets, "dsnap-0a")?;
        let out = scratch.dir("out")?;
        // Something that a failed run must leave alone.
        write(&out.join("bystander"), b"here before")?;
        Ok(Self { sample, set, sets, out, scratch })
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.out.join("volume.img")
    }

    /// A restore of everything in `sets` to the target.
    pub(crate) fn restore(&self) -> Call {
        restore(&[&self.sets], &self.target())
    }

    /// The file of a member in the set.
    pub(crate) fn file(&self, volume_id: &str) -> Outcome<PathBuf> {
        Ok(self.set.file(volume_id)?.path.clone())
    }

    /// The next generation: some pages of one member changed, captured against what is in `sets`.
    pub(crate) fn next_generation(&self, set_id: &str, seed: u64) -> Outcome<(Sample, Captured)> {
        let mut image = super::scratch::read(&self.sample.logical)?;
        let at = usize::try_from(seed % 8)? * (100 << 10) + 5000;
        let change = super::noise::noise(seed, 9000);
        image[at..at + change.len()].copy_from_slice(&change);
        let dir = self.scratch.path(&format!("members-{set_id}"));
        let sample = Sample::with_image(&dir, self.sample.layout.clone(), &image)?;
        let call = sample
            .capture(&self.sets, set_id)
            .option("--source-volume", super::sample::SOURCE)
            .option("--parent", &self.sets);
        let set = Captured::of(&call)?;
        Ok((sample, set))
    }

    /// The call fails with this code and these words, and leaves sets and targets as they are.
    pub(crate) fn refuses(&self, call: Call, code: i32, mentions: &[&str]) -> Outcome {
        let untouched: [&Path; 2] = [&self.sets, &self.out];
        Refusal { call, code, mentions, untouched: &untouched }.check()
    }

    /// The call succeeds, the target is the sample's volume, and no source was touched. The target is removed.
    pub(crate) fn restores(&self, call: &Call, truth: &Sample) -> Outcome {
        let before = Census::take(&[&self.sets])?;
        let ran = call.succeeds()?;
        before.unchanged(&ran.describe())?;
        same_sha256(&call.line(), &self.target(), &truth.logical)?;
        std::fs::remove_file(self.target())?;
        Ok(())
    }
}
