//! 3: done with damage, and a map that says exactly where.

use std::ops::Range;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use crate::support::frames::{Anatomy, middle};
use crate::support::hash::Census;
use crate::support::mapfile;
use crate::support::needs::trial;
use crate::support::run::Call;
use crate::support::sample::{Captured, Sample, pair_gap_and_tail, restore};
use crate::support::scratch::{Scratch, flip_bit, make_dir, read};
use crate::support::{Outcome, ensure};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("code_3_one_flipped_bit", &[], one_flipped_bit),
        trial("code_3_two_members_and_a_fill", &[], two_members_and_a_fill),
        trial("code_3_damage_in_an_ancestor", &[], damage_in_an_ancestor),
        trial("code_3_what_is_outside_of_the_range_was_not_tried", &[], outside_of_the_range),
        trial("code_0_salvage_of_a_whole_set", &[], nothing_to_salvage),
    ]
}

/// A set in chunks of two stripe units, so that one bad chunk is two logical ranges.
struct Damaged {
    sample: Sample,
    set: Captured,
    sets: PathBuf,
    out: PathBuf,
    bad: Vec<Range<u64>>,
    scratch: Scratch,
}

impl Damaged {
    fn new() -> Outcome<Self> {
        let scratch = Scratch::new()?;
        let sample = Sample::make(&scratch.path("members"), pair_gap_and_tail(), 5)?;
        let sets = scratch.dir("sets")?;
        let call = sample.capture(&sets, "dsnap-0a").option("--source-volume", "dvol-sample");
        let set = Captured::of(&call.option("--chunk-size", "128K"))?;
        let out = scratch.dir("out")?;
        Ok(Self { sample, set, sets, out, bad: Vec::new(), scratch })
    }

    /// Turns a bit round in the nth stored chunk of a member, and notes which logical ranges that is.
    fn damage(&mut self, volume_id: &str, nth: usize) -> Outcome {
        let file = self.set.file(volume_id)?.path.clone();
        let anatomy = Anatomy::of(&file)?;
        let frame = anatomy.data().nth(nth).ok_or("not so many data frames")?;
        flip_bit(&file, middle(frame))?;
        self.bad.extend(self.sample.layout.logical_ranges(volume_id, &frame.plain));
        self.bad.sort_by_key(|range| range.start);
        Ok(())
    }

    fn target(&self) -> PathBuf {
        self.out.join("volume.img")
    }

    fn salvage(&self) -> Call {
        restore(&[&self.sets], &self.target()).arg("--salvage")
    }

    /// The image is the truth but for the bad ranges, and the map says so.
    fn check(&self, truth: &Path, map: &Path, fill: u8) -> Outcome {
        let mut expected = read(truth)?;
        for range in &self.bad {
            let (start, end) = (usize::try_from(range.start)?, usize::try_from(range.end)?);
            expected[start..end].fill(fill);
        }
        let found = read(&self.target())?;
        ensure!(found.len() == expected.len(), "{} bytes, not {}", found.len(), expected.len());
        let differs = found.iter().zip(&expected).position(|(a, b)| a != b);
        ensure!(differs.is_none(), "differs at {differs:?}; bad are {:?}", self.bad);
        let mapped = mapfile::bad_ranges(map, self.sample.layout.logical_size())?;
        ensure!(mapped == self.bad, "the map says {mapped:?}, bad are {:?}", self.bad);
        Ok(())
    }
}

fn one_flipped_bit() -> Outcome {
    let mut scene = Damaged::new()?;
    scene.damage("vol-a", 1)?;
    ensure!(scene.bad == [256 << 10..320 << 10, 384 << 10..448 << 10], "{:?}", scene.bad);
    let before = Census::take(&[&scene.sets])?;
    let map = scene.scratch.path("given.map");
    let report = scene.salvage().option("--map", &map).json_exits(3)?;
    scene.check(&scene.sample.logical, &map, 0)?;
    ensure!(report["damage"].as_array().is_some_and(|d| d.len() == 1), "{report}");
    before.unchanged("restore --salvage")?;
    ensure!(std::fs::read_dir(&scene.out)?.count() == 1, "something beside the target");

    // Without a name the map is written where it can be found, and said to be.
    std::fs::remove_file(scene.target())?;
    let ran = scene.salvage().exits(3)?;
    let beside: Vec<PathBuf> = std::fs::read_dir(&scene.out)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| *path != scene.target())
        .collect();
    let [map] = &beside[..] else {
        return Err(format!("no map, or more: {beside:?}\n{}", ran.describe()).into());
    };
    scene.check(&scene.sample.logical, map, 0)?;
    let name = map.file_name().unwrap_or_default().to_string_lossy();
    ensure!(ran.stderr.contains(&*name), "{name} is not named\n{}", ran.describe());
    let text = String::from_utf8_lossy(&ran.stdout);
    ensure!(text.contains("0-vol-a.snap"), "the file is not named\n{}", ran.describe());
    Ok(())
}

fn two_members_and_a_fill() -> Outcome {
    let mut scene = Damaged::new()?;
    scene.damage("vol-b", 3)?;
    // The last chunk of an odd tail is a short one.
    scene.damage("vol-c", 2)?;
    let map = scene.scratch.path("given.map");
    scene.salvage().option("--map", &map).option("--fill", "170").exits(3)?;
    scene.check(&scene.sample.logical, &map, 170)?;
    scene.salvage().arg("--force").option("--map", &map).exits(3)?;
    scene.check(&scene.sample.logical, &map, 0)
}

/// A child inherits the bad chunk, and has its own version of another bad chunk, which is then no matter.
fn damage_in_an_ancestor() -> Outcome {
    let mut scene = Damaged::new()?;
    let dir = scene.scratch.path("members-1");
    make_dir(&dir)?;
    let mut image = read(&scene.sample.logical)?;
    image[1000..3000].fill(9);
    let child = Sample::with_image(&dir, scene.sample.layout.clone(), &image)?;
    let call = child.capture(&scene.sets, "dsnap-1a").option("--parent", &scene.sets);
    Captured::of(&call.option("--source-volume", "dvol-sample"))?;
    scene.damage("vol-a", 0)?;
    scene.bad.clear();
    scene.damage("vol-a", 2)?;
    let map = scene.scratch.path("given.map");
    scene.salvage().option("--map", &map).exits(3)?;
    scene.check(&child.logical, &map, 0)
}

fn outside_of_the_range() -> Outcome {
    let mut scene = Damaged::new()?;
    scene.damage("vol-a", 1)?;
    let map = scene.scratch.path("given.map");
    let size = scene.sample.layout.logical_size();
    let bad = 256_u64 << 10..320 << 10;
    let offset = ["--offset", "245760", "--length", "131072"];
    let report = scene.salvage().option("--map", &map).args(offset).json_exits(3)?;
    let found = mapfile::bad_ranges_in(&map, size, &(245_760..376_832))?;
    ensure!(found == [bad], "{found:?} {report}");
    // The content id is that of the whole, and the hash that of the part.
    let call = scene.salvage().arg("--force").option("--map", &map).args(offset);
    let text = String::from_utf8(call.option("--hash", "sha256").exits(3)?.stdout)?;
    ensure!(text.contains("of bytes 245760 to 376832"), "{text}");
    ensure!(text.contains("the whole set has content id"), "{text}");
    for shard in ["1/3", "2/3", "3/3"] {
        let (map, target) = (scene.out.join(format!("{}.map", &shard[..1])), &shard[..1]);
        let target = scene.out.join(target);
        std::fs::File::create(&target)?.set_len(size)?;
        let call = restore(&[&scene.sets], &target).args(["--salvage", "--in-place"]);
        let call = call.option("--map", &map).option("--shard", shard);
        let ran = call.arg("--json").run()?;
        let report = ran.document()?;
        let range = |n: usize| report["range"][n].as_u64().ok_or("a range");
        let tried = range(0)?..range(1)?;
        if ran.status.code() == Some(3) {
            mapfile::bad_ranges_in(&map, size, &tried)?;
        }
    }
    Ok(())
}

fn nothing_to_salvage() -> Outcome {
    let scene = Damaged::new()?;
    let map = scene.scratch.path("given.map");
    scene.salvage().option("--map", &map).exits(0)?;
    if map.exists() {
        return scene.check(&scene.sample.logical, &map, 0);
    }
    ensure!(read(&scene.target())? == read(&scene.sample.logical)?, "not the volume");
    Ok(())
}
