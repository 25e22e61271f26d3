//! `verify`: every byte of a set and of the ancestors it needs.

use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

use restore::engine::{self, Options};
use restore::job::compare;
use restore::sink::{NullSink, ReadBack};
use restore::snapfmt::{SetContentId, SetId, VolumeId};
use restore::verify::{Depth, FileReport, verify};
use serde::Serialize;

use crate::args::{Common, VerifyArgs};
use crate::exit::{Exit, Failure};
use crate::output::{Output, PathView, line, name, note, size};
use crate::subject::{Given, Subject};
use crate::watch::Watch;

/// How many of the ranges that differ are shown to people.
const SHOWN: usize = 20;

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

/// Verifies the set selected, or a target against it.
pub(crate) fn run(args: &VerifyArgs, common: &Common, output: Output) -> Result<Exit, Failure> {
    let start = Instant::now();
    let given = Given::look(&args.set);
    let subject = match &args.target {
        Some(_) => given.subject(&args.set)?,
        None => given.members(&args.set)?,
    };
    if let Some(target) = &args.target {
        return against(target, &subject, common, output);
    }
    if let Some(backup) = &subject.backup {
        return super::backup::verify(backup, &subject.volume, args.quick, common, output);
    }
    let (Some(name), Some(set)) = (&subject.set, &subject.open) else {
        return read_all(&subject, common, output);
    };
    let (depth, mode) = if args.quick { (Depth::Quick, "quick") } else { (Depth::Full, "full") };
    let watch = Watch::start(common, "verifying");
    let result = verify(set, depth, common.jobs(), watch.progress());
    let terminated = watch.finish();
    let reports = result.map_err(|error| Failure::Run { error, terminated })?;
    let verification = Verification {
        set_id: name.set_id.clone(),
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

/// A whole volume that was read, or compared.
#[derive(Serialize)]
struct Reading {
    set_id: Option<SetId>,
    content_id: Option<SetContentId>,
    target: Option<PathView>,
    logical_size: u64,
    differs: Vec<[u64; 2]>,
    seconds: f64,
}

impl Reading {
    fn new(subject: &Subject, target: Option<&Path>, start: Instant) -> Self {
        Self {
            set_id: subject.set.as_ref().map(|set| set.set_id.clone()),
            content_id: subject.set.as_ref().and_then(|set| set.content_id),
            target: target.map(PathView::from),
            logical_size: subject.volume.size(),
            differs: Vec::new(),
            seconds: start.elapsed().as_secs_f64(),
        }
    }

    /// For people.
    fn text(&self) -> String {
        let Some(target) = &self.target else {
            return "every byte can be read; raw members have no checksums".to_owned();
        };
        if self.differs.is_empty() {
            return format!("{target} holds the volume");
        }
        let mut out = String::new();
        for [start, end] in self.differs.iter().take(SHOWN) {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "differs: bytes {start} to {end}");
        }
        let more = self.differs.len().saturating_sub(SHOWN);
        if more > 0 {
            let _ = writeln!(out, "and {more} more ranges; --json lists them all");
        }
        out
    }
}

/// Compares a target with the volume: its first bytes, up to the volume's size.
fn against(
    target: &Path,
    subject: &Subject,
    common: &Common,
    output: Output,
) -> Result<Exit, Failure> {
    let start = Instant::now();
    let held = ReadBack::open(target, 0)
        .map_err(|error| Failure::Compare { path: target.to_owned(), error })?;
    let size = subject.volume.size();
    let there = size.min(held.size());
    let watch = Watch::start(common, "comparing");
    let options = Options::new(common.jobs());
    let compared = compare(&held, &subject.volume, &(0..there), there, &options, watch.progress());
    let terminated = watch.finish();
    let mut wrong = compared.map_err(|error| Failure::Unfinished {
        unfinished: error.into(),
        in_place: false,
        terminated,
    })?;
    // What is not there differs.
    wrong.insert(there..size);
    let differs = wrong.iter().map(|range| [range.start, range.end]).collect();
    let reading = Reading { differs, ..Reading::new(subject, Some(target), start) };
    output.result(&reading, Reading::text)?;
    if reading.differs.is_empty() {
        return Ok(Exit::Done);
    }
    let bytes = wrong.bytes();
    note(&format!(
        "{} differs from the volume in {bytes} bytes; restore --in-place --delta writes only those",
        target.display()
    ));
    Ok(Exit::SourceDamaged)
}

/// Raw members have nothing to be checked by: all that can be said is that they can be read.
fn read_all(subject: &Subject, common: &Common, output: Output) -> Result<Exit, Failure> {
    let start = Instant::now();
    let watch = Watch::start(common, "reading");
    let options = Options::new(common.jobs());
    let size = subject.volume.size();
    let result = engine::run(&subject.volume, 0..size, &NullSink, &options, watch.progress());
    let terminated = watch.finish();
    result.map_err(|error| Failure::Run { error, terminated })?;
    output.result(&Reading::new(subject, None, start), Reading::text)?;
    Ok(Exit::Done)
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
