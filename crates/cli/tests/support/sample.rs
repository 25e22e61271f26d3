//! Small volumes with known content, and sets captured of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::layout::Layout;
use super::noise::noise;
use super::run::Call;
use super::{Outcome, scratch, split};

/// A logical image and its members.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) logical: PathBuf,
    pub(crate) layout: Layout,
    pub(crate) layout_file: PathBuf,
    pub(crate) members: BTreeMap<String, PathBuf>,
}

/// The source volume id every sample has unless a test says otherwise.
pub(crate) const SOURCE: &str = "dvol-sample";

/// A striped pair, a gap, and a tail of odd length on a third member.
pub(crate) fn pair_gap_and_tail() -> Layout {
    Layout::new()
        .striped(1 << 20, 64 << 10, &[("vol-a", 0), ("vol-b", 0)])
        .unmapped(256 << 10)
        .linear((300 << 10) + 512, ("vol-c", 0))
}

impl Sample {
    /// A volume of noise; unmapped ranges and some pages here and there are zeros.
    pub(crate) fn make(dir: &Path, layout: Layout, seed: u64) -> Outcome<Self> {
        let mut image = noise(seed, usize::try_from(layout.logical_size())?);
        for (nth, page) in image.chunks_mut(4096).enumerate() {
            if nth % 11 == 5 {
                page.fill(0);
            }
        }
        for piece in layout.pieces().iter().filter(|p| p.place.is_none()) {
            let start = usize::try_from(piece.logical.start)?;
            let end = usize::try_from(piece.logical.end)?;
            image[start..end].fill(0);
        }
        Self::with_image(dir, layout, &image)
    }

    /// A volume of these bytes.
    pub(crate) fn with_image(dir: &Path, layout: Layout, image: &[u8]) -> Outcome<Self> {
        scratch::make_dir(dir)?;
        let logical = dir.join("logical.img");
        scratch::write(&logical, image)?;
        Self::with_file(dir, layout, logical)
    }

    /// A volume of a file that is already there.
    pub(crate) fn with_file(dir: &Path, layout: Layout, logical: PathBuf) -> Outcome<Self> {
        scratch::make_dir(dir)?;
        let members = split::split(&logical, &layout, dir)?;
        let layout_file = dir.join("given-layout.toml");
        layout.write(&layout_file)?;
        Ok(Self { logical, layout, layout_file, members })
    }

    /// A capture of it under a set id, to be refined and run.
    pub(crate) fn capture(&self, out: &Path, set_id: &str) -> Call {
        let mut call = Call::new("capture")
            .option("-o", out)
            .option("--layout", &self.layout_file)
            .option("--set-id", set_id);
        for (id, path) in &self.members {
            call = call.member(id, path);
        }
        call
    }

    /// A full capture in small chunks, done.
    pub(crate) fn captured(&self, out: &Path, set_id: &str) -> Outcome<Captured> {
        scratch::make_dir(out)?;
        let call = self.capture(out, set_id).option("--source-volume", SOURCE);
        Captured::of(&call.option("--chunk-size", "64K"))
    }
}

/// A set that was captured, by what `capture --json` said.
#[derive(Clone, Debug)]
pub(crate) struct Captured {
    pub(crate) directory: PathBuf,
    pub(crate) content_id: String,
    pub(crate) files: Vec<CapturedFile>,
}

#[derive(Clone, Debug)]
pub(crate) struct CapturedFile {
    pub(crate) path: PathBuf,
    pub(crate) volume_id: String,
    pub(crate) kind: String,
    pub(crate) stream: bool,
    pub(crate) chunks: Value,
}

impl Captured {
    /// Makes the call, which must succeed, and reads its report.
    pub(crate) fn of(call: &Call) -> Outcome<Self> {
        let report = call.json()?;
        let broken =
            |what: &str| format!("capture's JSON has no {what}: {report}\n{}", call.line());
        let text = |value: &Value, key: &str| -> Outcome<String> {
            Ok(value[key].as_str().ok_or_else(|| broken(key))?.to_owned())
        };
        let mut files = Vec::new();
        for file in report["files"].as_array().ok_or_else(|| broken("files"))? {
            files.push(CapturedFile {
                path: text(file, "path")?.into(),
                volume_id: text(file, "volume_id")?,
                kind: text(file, "kind")?,
                stream: file["stream"].as_bool().ok_or_else(|| broken("stream"))?,
                chunks: file["chunks"].clone(),
            });
        }
        Ok(Self {
            directory: text(&report, "directory")?.into(),
            content_id: text(&report, "content_id")?,
            files,
        })
    }

    /// The file of a member.
    pub(crate) fn file(&self, volume_id: &str) -> Outcome<&CapturedFile> {
        self.files
            .iter()
            .find(|f| f.volume_id == volume_id)
            .ok_or_else(|| format!("no file of {volume_id}: {:?}", self.files).into())
    }
}

/// A restore of what is found at some paths, to be refined and run.
pub(crate) fn restore<P: AsRef<Path>>(paths: &[P], target: &Path) -> Call {
    Call::new("restore").args(paths.iter().map(AsRef::as_ref)).option("-o", target)
}
