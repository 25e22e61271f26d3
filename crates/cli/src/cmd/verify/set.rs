//! `verify` of a set of snapshot files.

use std::fmt::Write;
use std::time::Instant;

use restore::catalog::OpenSet;
use restore::snapfmt::{SetContentId, SetId, VolumeId};
use restore::verify::{Depth, FileReport, verify};
use serde::Serialize;

use super::DamageView;
use crate::args::Common;
use crate::exit::Failure;
use crate::output::{PathView, line, name, size};
use crate::watch::Watch;

/// What was found.
#[derive(Serialize)]
pub(super) struct Verification {
    set_id: SetId,
    content_id: SetContentId,
    mode: &'static str,
    files: Vec<FileView>,
    pub damage: Vec<DamageView>,
    seconds: f64,
}

#[derive(Serialize)]
struct FileView {
    path: PathView,
    set_id: SetId,
    volume_id: VolumeId,
    stored_bytes: u64,
    chunks: u64,
}

/// Checks every byte of the set's files and of those it needs, or with `is_quick` only what is stored.
pub(super) fn run(
    set_id: &SetId,
    set: &OpenSet,
    is_quick: bool,
    start: Instant,
    common: &Common,
) -> Result<Verification, Failure> {
    let (depth, mode) = if is_quick { (Depth::Quick, "quick") } else { (Depth::Full, "full") };
    let watch = Watch::start(common, "verifying");
    let result = verify(set, depth, common.jobs(), watch.progress());
    let terminated = watch.finish();
    let reports = result.map_err(|error| Failure::Run { error, terminated })?;
    Ok(Verification {
        set_id: set_id.clone(),
        content_id: set.content,
        mode,
        damage: reports.iter().flat_map(damage).collect(),
        files: reports.into_iter().map(FileView::from).collect(),
        seconds: start.elapsed().as_secs_f64(),
    })
}

impl From<FileReport> for FileView {
    fn from(report: FileReport) -> Self {
        let FileReport { path, set_id, volume_id, stored_bytes, chunks, findings: _ } = report;
        Self { path: path.into(), set_id, volume_id, stored_bytes, chunks }
    }
}

fn damage(report: &FileReport) -> impl Iterator<Item = DamageView> {
    report.findings.iter().map(|found| DamageView::new(&report.path, found))
}

impl Verification {
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        for file in &self.files {
            let bad = self.damage.iter().filter(|d| d.path == file.path).count();
            let verdict = if bad == 0 { "sound" } else { "DAMAGED" };
            let (path, bytes, chunks) = (&file.path, size(file.stored_bytes), file.chunks);
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{verdict}  {path}  {bytes}  {chunks} chunks");
        }
        for damage in &self.damage {
            let _ = writeln!(out, "damage: {}: {}", damage.path, line(&damage.message));
        }
        let verdict = match (self.damage.is_empty(), self.mode) {
            (true, "quick") => {
                "all stored bytes and structures are sound (chunks not decompressed)"
            }
            (true, _) => "every byte is sound",
            (false, _) => "there is damage",
        };
        let (set, content) = (name(self.set_id.as_str()), self.content_id);
        let _ = writeln!(out, "set {set}: {verdict}\ncontent id {content}");
        out
    }
}
