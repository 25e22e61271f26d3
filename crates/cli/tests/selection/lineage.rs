//! A volume with several generations, each captured against the one before.

use std::path::{Path, PathBuf};

use crate::support::failure::Refusal;
use crate::support::hash::same_sha256;
use crate::support::noise::noise;
use crate::support::run::Call;
use crate::support::sample::{Captured, SOURCE, Sample, pair_gap_and_tail, restore};
use crate::support::scratch::{Scratch, read};
use crate::support::{Outcome, ensure};

pub(crate) struct Lineage {
    pub(crate) sets: PathBuf,
    pub(crate) out: PathBuf,
    pub(crate) generations: Vec<(Sample, Captured)>,
    pub(crate) scratch: Scratch,
}

impl Lineage {
    /// Generations a day apart, the first on the first of January 2024.
    pub(crate) fn of(count: usize) -> Outcome<Self> {
        let times: Vec<String> =
            (1..=count).map(|day| format!("2024-01-0{day}T00:00:00Z")).collect();
        let times: Vec<&str> = times.iter().map(String::as_str).collect();
        Self::with_times(&times)
    }

    pub(crate) fn with_times(times: &[&str]) -> Outcome<Self> {
        let scratch = Scratch::new()?;
        let sets = scratch.dir("sets")?;
        let out = scratch.dir("out")?;
        let mut lineage = Self { sets, out, generations: Vec::new(), scratch };
        for (number, time) in times.iter().enumerate() {
            lineage.extend(number, time)?;
        }
        Ok(lineage)
    }

    fn extend(&mut self, number: usize, time: &str) -> Outcome {
        let dir = self.scratch.path(&format!("members-{number}"));
        let sample = match self.generations.last() {
            None => Sample::make(&dir, pair_gap_and_tail(), 21)?,
            Some((before, _)) => {
                let mut image = read(&before.logical)?;
                let at = 200_000 * number;
                image[at..at + 6000].copy_from_slice(&noise(number as u64, 6000));
                Sample::with_image(&dir, before.layout.clone(), &image)?
            }
        };
        let mut call = sample.capture(&self.sets, &self.id(number));
        call = call.option("--source-volume", SOURCE).option("--time", time);
        call = if number == 0 {
            call.option("--chunk-size", "64K")
        } else {
            call.option("--parent", &self.sets)
        };
        let set = Captured::of(&call)?;
        self.generations.push((sample, set));
        Ok(())
    }

    /// `dsnap-00a0`, `dsnap-01a0`, …
    #[expect(clippy::unused_self, reason = "reads better at the call: the id in this lineage")]
    pub(crate) fn id(&self, number: usize) -> String {
        format!("dsnap-0{number}a0")
    }

    pub(crate) fn file(&self, number: usize, volume_id: &str) -> Outcome<PathBuf> {
        let (_, set) = self.generations.get(number).ok_or("no such generation")?;
        Ok(set.file(volume_id)?.path.clone())
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.out.join("volume.img")
    }

    pub(crate) fn restore(&self) -> Call {
        restore(&[&self.sets], &self.target())
    }

    /// The call succeeds with this generation's volume as the target, which is removed then.
    pub(crate) fn gives(&self, call: &Call, number: usize) -> Outcome {
        let report = call.clone().json()?;
        let expected = self.id(number);
        ensure!(
            report["set_id"] == expected.as_str(),
            "expected {expected}: {report}\n{}",
            call.line()
        );
        same_sha256(&call.line(), &self.target(), &self.generations[number].0.logical)?;
        std::fs::remove_file(self.target())?;
        Ok(())
    }

    pub(crate) fn refuses(&self, call: Call, code: i32, mentions: &[&str]) -> Outcome {
        let untouched: [&Path; 2] = [&self.sets, &self.out];
        Refusal { call, code, mentions, untouched: &untouched }.check()
    }
}
