//! `verify`: every byte of a set and of the ancestors it needs.

use std::fmt::Write;
use std::time::Instant;

use restore::snapfmt::{SetContentId, SetId, VolumeId};
use restore::verify::{Depth, FileReport, verify};
use serde::Serialize;

use crate::args::{Common, VerifyArgs};
use crate::exit::{Exit, Failure};
use crate::output::{Output, PathView, line, name, note, size};
use crate::select;
use crate::watch::Watch;

#[derive(Serialize)]
struct Verification {
    set_id: SetId,
    content_id: SetContentId,
    mode: &'static str,
    files: Vec<FileView>,
    damage: Vec<DamageView>,
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

#[derive(Serialize)]
struct DamageView {
    path: PathView,
    message: String,
}

/// Verifies the set selected.
pub(crate) fn run(args: &VerifyArgs, common: &Common, output: Output) -> Result<Exit, Failure> {
    let start = Instant::now();
    let catalog = select::catalog(&args.set.paths);
    let entry = select::set(&catalog, &args.set)?;
    let set = catalog.open_set(entry)?;
    let (depth, mode) = if args.quick { (Depth::Quick, "quick") } else { (Depth::Full, "full") };
    let watch = Watch::start(common, "verifying");
    let result = verify(&set, depth, common.jobs(), watch.progress());
    let terminated = watch.finish();
    let reports = result.map_err(|error| Failure::Run { error, terminated })?;
    let verification = Verification {
        set_id: entry.manifest.id.clone(),
        content_id: set.content,
        mode,
        damage: reports.iter().flat_map(damage).collect(),
        files: reports.into_iter().map(FileView::from).collect(),
        seconds: start.elapsed().as_secs_f64(),
    };
    output.result(&verification, text)?;
    match verification.damage.first() {
        None => Ok(Exit::Done),
        Some(first) => {
            let others = match verification.damage.len() {
                1 => String::new(),
                found => format!(", the first of {found} places"),
            };
            note(&format!("damage in {}: {}{others}", first.path, first.message));
            Ok(Exit::SourceDamaged)
        }
    }
}

impl From<FileReport> for FileView {
    fn from(report: FileReport) -> Self {
        let FileReport { path, set_id, volume_id, stored_bytes, chunks, findings: _ } = report;
        Self { path: path.into(), set_id, volume_id, stored_bytes, chunks }
    }
}

fn damage(report: &FileReport) -> impl Iterator<Item = DamageView> {
    report
        .findings
        .iter()
        .map(|f| DamageView { path: (&report.path).into(), message: f.to_string() })
}

fn text(v: &Verification) -> String {
    let mut out = String::new();
    for file in &v.files {
        let bad = v.damage.iter().filter(|d| d.path == file.path).count();
        let verdict = if bad == 0 { "sound" } else { "DAMAGED" };
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "{verdict}  {}  {}  {} chunks",
            file.path,
            size(file.stored_bytes),
            file.chunks
        );
    }
    for damage in &v.damage {
        let _ = writeln!(out, "damage: {}: {}", damage.path, line(&damage.message));
    }
    let verdict = match (v.damage.is_empty(), v.mode) {
        (true, "quick") => "all stored bytes and structures are sound (chunks not decompressed)",
        (true, _) => "every byte is sound",
        (false, _) => "there is damage",
    };
    let _ =
        writeln!(out, "set {}: {verdict}\ncontent id {}", name(v.set_id.as_str()), v.content_id);
    out
}
