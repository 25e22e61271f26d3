//! `verify` of a set of snapshot files.

use std::fmt::{Display, Write};
use std::path::Path;

use repository::catalog::OpenSet;
use repository::verify::{Depth, FileReport, verify_and_tell};
use restore::snapfmt::{SetContentId, SetId, VolumeId};
use serde::Serialize;

use super::{DamageView, How};
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
    more_damage: Vec<MoreView>,
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

/// Checks every byte of the set's files and of those it needs.
pub(super) fn run(
    set_id: &SetId,
    set: &OpenSet,
    how: &How<'_>,
    common: &Common,
) -> Result<Verification, Failure> {
    let How { is_quick, start, lines } = *how;
    let (depth, mode) = if is_quick { (Depth::Quick, "quick") } else { (Depth::Full, "full") };
    let mut watch = Watch::start(common, "verifying");
    let told = |path: &Path, what: &dyn Display| {
        if let Some(lines) = lines {
            lines.add(path, what);
        }
    };
    let result = verify_and_tell(set, depth, common.jobs(), watch.progress(), &told);
    let terminated = watch.finish();
    let reports = result.map_err(|error| Failure::Run { error, terminated })?;
    Ok(Verification {
        set_id: set_id.clone(),
        content_id: set.content,
        mode,
        damage: reports.iter().flat_map(damage).collect(),
        more_damage: reports.iter().flat_map(more).collect(),
        files: reports.into_iter().map(FileView::from).collect(),
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// Bytes of a file with more damage in them.
#[derive(Serialize)]
struct MoreView {
    path: PathView,
    file_range: [u64; 2],
    count: u64,
}

fn more(report: &FileReport) -> impl Iterator<Item = MoreView> {
    report.more.ranges().into_iter().map(|(range, count)| MoreView {
        path: report.path.as_path().into(),
        file_range: [range.start, range.end],
        count,
    })
}

impl From<FileReport> for FileView {
    fn from(report: FileReport) -> Self {
        let FileReport { path, set_id, volume_id, stored_bytes, chunks, .. } = report;
        Self { path: path.into(), set_id, volume_id, stored_bytes, chunks }
    }
}

fn damage(report: &FileReport) -> impl Iterator<Item = DamageView> {
    report.findings.iter().map(|found| DamageView::new(&report.path, found))
}

impl Verification {
    /// How many places with damage are not among those listed.
    pub(super) fn more(&self) -> u64 {
        self.more_damage.iter().map(|more| more.count).sum()
    }

    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        for file in &self.files {
            let bad = self.damage.iter().filter(|d| d.path == file.path).count();
            let verdict = match (bad, self.mode) {
                (0, "quick") => "stored as written",
                (0, _) => "sound",
                _ => "DAMAGED",
            };
            let (path, bytes, chunks) = (&file.path, size(file.stored_bytes), file.chunks);
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{verdict}  {path}  {bytes}  {chunks} chunks");
        }
        for damage in &self.damage {
            let _ = writeln!(out, "damage: {}: {}", damage.path, line(&damage.message));
        }
        for more in &self.more_damage {
            let MoreView { path, file_range: [start, end], count } = more;
            let _ = writeln!(out, "damage: {path}: {count} more places, in bytes {start} to {end}");
        }
        let verdict = match (self.damage.is_empty(), self.mode) {
            (true, "quick") => {
                "all bytes are stored as they were written (by CRC-32; chunks not decompressed)"
            }
            (true, _) => "every byte is sound",
            (false, _) => "there is damage",
        };
        let (set, content) = (name(self.set_id.as_str()), self.content_id);
        let _ = writeln!(out, "set {set}: {verdict}\ncontent id {content}");
        out
    }
}
