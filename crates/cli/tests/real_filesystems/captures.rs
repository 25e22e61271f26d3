//! The captured sets of a filesystem's history, and what must be true of them.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::history::{Generation, History};
use crate::support::image::Filesystem;
use crate::support::layout::Layout;
use crate::support::loopmount::LoopMount;
use crate::support::run::Call;
use crate::support::sample::{Captured, SOURCE, Sample, restore};
use crate::support::{Outcome, ensure, hash, scratch, split, tool};

/// One captured generation and the member images it was captured of.
struct Capture {
    sample: Sample,
    set: Captured,
}

pub(crate) struct Captures {
    out: PathBuf,
    sets: Vec<Capture>,
}

impl Captures {
    /// Captures all generations, and then the last one again, unchanged.
    pub(crate) fn take(history: &History) -> Outcome<Self> {
        let out = history.scratch.dir("sets")?;
        let mut sets: Vec<Capture> = Vec::new();
        for (number, generation) in history.generations.iter().enumerate() {
            let dir = history.scratch.dir(&format!("members-{number}"))?;
            let Generation { image, layout, .. } = generation;
            let sample = Sample::with_file(&dir, layout.clone(), image.clone())?;
            let set = take_one(&sample, &out, number, history.filesystem)?;
            sets.push(Capture { sample, set });
        }
        let sample = sets[sets.len() - 1].sample.clone();
        let set = take_one(&sample, &out, sets.len(), history.filesystem)?;
        sets.push(Capture { sample, set });
        let captures = Self { out, sets };
        captures.kinds_are_right()?;
        Ok(captures)
    }

    /// A member is full in the generation it first appears in, incremental afterwards; full ones are
    /// streams of stock zstd.
    fn kinds_are_right(&self) -> Outcome {
        for (number, capture) in self.sets.iter().enumerate() {
            let ids = capture.sample.members.len();
            ensure!(capture.set.files.len() == ids, "generation {number}: {:?}", capture.set.files);
            for file in &capture.set.files {
                let late = ["vol-c", "vol-d"].contains(&file.volume_id.as_str());
                let first = usize::from(late);
                let kind = if number == first { "full" } else { "incremental" };
                ensure!(file.kind == kind, "generation {number}: expected {kind}: {file:?}");
                ensure!(file.stream == (kind == "full"), "generation {number}: stream: {file:?}");
                let data = file.chunks["data"].as_u64().unwrap_or(u64::MAX);
                ensure!(number < 3 || data == 0, "nothing changed, yet data was stored: {file:?}");
            }
        }
        Ok(())
    }

    pub(crate) fn every_generation_comes_back(&self, history: &History) -> Outcome {
        for number in 0..self.sets.len() {
            // The last set is the last generation once more.
            let truth = &history.generations[number.min(history.generations.len() - 1)];
            let target = history.scratch.path(&format!("restored-{number}.img"));
            let call = restore(&[&self.out], &target).option("--generation", number.to_string());
            let report = call.json()?;
            let what = format!("{} generation {number}", history.filesystem.name());
            hash::is_sha256_of(&what, &target, &truth.image, &truth.sha256)?;
            adds_up(&report, &what, scratch::len(&truth.image)?)?;
            is_sparse(&target, &truth.image)?;
            history.filesystem.check(&target)?;
            let mount = LoopMount::read_only(&target, &history.scratch.path("looked-at"))?;
            tool::same_tree(mount.dir(), &truth.tree)?;
            mount.unmount()?;
            std::fs::remove_file(&target)?;
        }
        Ok(())
    }

    /// Stock zstd takes every file, makes the member images of full ones, and a person with the
    /// layout that lies beside them makes the volume.
    pub(crate) fn stock_zstd_is_enough(&self, history: &History) -> Outcome {
        for file in self.sets.iter().flat_map(|capture| &capture.set.files) {
            tool::run("zstd", [Path::new("-tq"), &file.path])?;
        }
        for (number, capture) in self.sets.iter().enumerate() {
            let by_hand = history.scratch.dir(&format!("by-hand-{number}"))?;
            let mut members = BTreeMap::new();
            for file in capture.set.files.iter().filter(|f| f.kind == "full") {
                let raw = by_hand.join(format!("{}.raw", file.volume_id));
                tool::run("zstd", [Path::new("-dq"), &file.path, Path::new("-o"), &raw])?;
                tool::same_bytes(&raw, &capture.sample.members[&file.volume_id])?;
                members.insert(file.volume_id.clone(), raw);
            }
            if number == 0 {
                let readme = scratch::read(&capture.set.directory.join("README.txt"))?;
                let readme = String::from_utf8(readme)?;
                ensure!(readme.contains("zstd -d"), "README.txt does not say how:\n{readme}");
                let layout = Layout::read(&capture.set.directory.join("layout.toml"))?;
                let joined = by_hand.join("logical.img");
                split::join(&members, &layout, &joined)?;
                let truth = &history.generations[0];
                hash::is_sha256_of("restored by hand", &joined, &truth.image, &truth.sha256)?;
            }
            std::fs::remove_dir_all(&by_hand)?;
        }
        Ok(())
    }

    pub(crate) fn list_and_verify_agree(&self) -> Outcome {
        let list = Call::new("list").arg(&self.out).json()?;
        let states: Vec<&str> = list["sets"]
            .as_array()
            .map(|sets| sets.iter().filter_map(|s| s["state"].as_str()).collect())
            .unwrap_or_default();
        ensure!(states == ["complete"; 4], "list says {list}");
        for mode in ["full", "quick"] {
            let call = Call::new("verify").arg(&self.out);
            let call = if mode == "quick" { call.arg("--quick") } else { call };
            let report = call.json()?;
            ensure!(report["mode"] == mode, "verify says {report}");
            ensure!(report["damage"] == serde_json::json!([]), "verify says {report}");
            let newest = &self.sets[self.sets.len() - 1].set;
            ensure!(report["content_id"] == newest.content_id.as_str(), "verify says {report}");
        }
        Ok(())
    }
}

fn take_one(
    sample: &Sample,
    out: &Path,
    number: usize,
    filesystem: Filesystem,
) -> Outcome<Captured> {
    let set_id = format!("dsnap-{}-{number}", filesystem.name());
    let mut call = sample
        .capture(out, &set_id)
        .option("--source-volume", SOURCE)
        .option("--time", format!("2024-05-0{}T03:00:00Z", number + 1))
        .option("--consistency", "quiesced");
    if number > 0 {
        call = call.option("--parent", out);
    }
    let chunk_size = match filesystem {
        // The default: what most people will have.
        Filesystem::Ext4 => None,
        // Several chunks in a stripe unit, and several stripe units in a chunk.
        Filesystem::Xfs => Some("16K"),
        Filesystem::Btrfs => Some("1M"),
    };
    // One chunk size within a chain: the children take the parent's.
    if let Some(size) = chunk_size.filter(|_| number == 0) {
        call = call.option("--chunk-size", size);
    }
    Captured::of(&call)
}

/// The report's bytes are all of the volume, and all of them proven by digest.
fn adds_up(report: &serde_json::Value, what: &str, size: u64) -> Outcome {
    let sum = |counts: &serde_json::Value| -> u64 {
        counts.as_object().map_or(0, |m| m.values().filter_map(serde_json::Value::as_u64).sum())
    };
    ensure!(report["logical_size"] == size, "{what}: not {size} bytes: {report}");
    ensure!(sum(&report["bytes"]) == size, "{what}: bytes do not add up to {size}: {report}");
    ensure!(report["proof"]["none"] == 0, "{what}: something is unproven: {report}");
    ensure!(report["damage"] == serde_json::json!([]), "{what}: damage: {report}");
    Ok(())
}

/// Zeros were not written out: the image takes about the room its truth does.
fn is_sparse(image: &Path, truth: &Path) -> Outcome {
    let stored = |path: &Path| std::fs::metadata(path).map(|m| m.blocks() * 512);
    let (found, expected) = (stored(image)?, stored(truth)?);
    let most = expected + expected / 2 + (16 << 20);
    ensure!(found <= most, "{} takes {found} bytes, its truth {expected}", image.display());
    Ok(())
}
