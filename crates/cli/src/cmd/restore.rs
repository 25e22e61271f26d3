//! `restore`: a set to a raw image.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use restore::catalog::OpenSet;
use restore::engine::{OnDamage, Options, RunError, run as run_engine};
use restore::sink::{ImageSink, Sink};
use restore::snapfmt::{SetContentId, SetId};
use restore::{Counts, Report, mapfile};
use serde::Serialize;

use crate::args::{Common, RestoreArgs};
use crate::exit::{Exit, Failure, Refusal};
use crate::output::{Output, note, rate, size};
use crate::select;
use crate::watch::Watch;

#[derive(Serialize)]
struct Restored {
    set_id: SetId,
    content_id: SetContentId,
    target: PathBuf,
    logical_size: u64,
    bytes: Bytes,
    stored_bytes: u64,
    proof: Proof,
    damage: Vec<DamageView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    map: Option<PathBuf>,
    seconds: f64,
}

#[derive(Serialize)]
struct Bytes {
    data: u64,
    zero: u64,
    hole: u64,
    unmapped: u64,
}

#[derive(Serialize)]
struct Proof {
    digest: u64,
    crc: u64,
    none: u64,
}

#[derive(Serialize)]
struct DamageView {
    member: u32,
    volume_id: String,
    member_range: [u64; 2],
    logical_ranges: Vec<[u64; 2]>,
    message: String,
}

/// Restores the set selected.
pub(crate) fn run(args: &RestoreArgs, common: &Common, output: Output) -> Result<Exit, Failure> {
    let start = Instant::now();
    let catalog = select::catalog(&args.set.paths);
    let entry = select::set(&catalog, &args.set)?;
    let set = catalog.open_set(entry)?;
    let volume = set.volume()?;
    check_target(args, &set)?;
    let target = |error| Failure::Target { path: args.output.clone(), error };
    let sink = ImageSink::create(&args.output, volume.size(), args.force).map_err(target)?;
    let on_damage =
        if args.salvage { OnDamage::Salvage { fill: args.fill } } else { OnDamage::Stop };
    let watch = Watch::start(common, "restoring");
    let options = Options { jobs: common.jobs(), on_damage };
    let result = run_engine(&volume, 0..volume.size(), &sink, &options, watch.progress());
    let interrupted = watch.progress().is_cancelled();
    let terminated = watch.finish();
    let report = match result {
        Ok(_) if interrupted => Err(RunError::Interrupted),
        other => other,
    }
    .map_err(|error| Failure::Run { error, terminated })?;
    let map = write_map(args, &report, volume.size())?;
    Box::new(sink).finish().map_err(|error| finish_failure(&args.output, error))?;
    let restored =
        Restored::new(args, entry.manifest.id.clone(), set.content, volume.size(), &report);
    let restored = Restored { map, seconds: start.elapsed().as_secs_f64(), ..restored };
    output.result(&restored, text)?;
    match &restored.map {
        None => Ok(Exit::Done),
        Some(map) => {
            let lost: u64 = report.damaged_ranges().iter().map(|r| r.end - r.start).sum();
            let (lost, map) = (size(lost), map.display());
            note(&format!("done with damage: {lost} could not be read, {map} says where"));
            Ok(Exit::DoneWithDamage)
        }
    }
}

/// Refuses whatever is not a new image, or an old one that may be replaced.
fn check_target(args: &RestoreArgs, set: &OpenSet) -> Result<(), Failure> {
    let refuse = |why| Err(Failure::Refused { path: args.output.clone(), why });
    let Ok(target) = fs::metadata(&args.output) else {
        return match args.output.symlink_metadata() {
            // A link that leads nowhere would be replaced, not followed.
            Ok(_) => refuse(Refusal::NotAFile),
            Err(_) => Ok(()),
        };
    };
    if !target.is_file() {
        return refuse(Refusal::NotAFile);
    }
    let same = |path: &Path| {
        fs::metadata(path).is_ok_and(|m| (m.dev(), m.ino()) == (target.dev(), target.ino()))
    };
    if set.all_files().any(|file| same(&file.path)) {
        return refuse(Refusal::IsSource);
    }
    if args.force { Ok(()) } else { refuse(Refusal::Exists) }
}

fn finish_failure(path: &Path, error: io::Error) -> Failure {
    let path = path.to_owned();
    match error.kind() {
        // Someone else made it while the restore ran.
        io::ErrorKind::AlreadyExists => Failure::Refused { path, why: Refusal::Exists },
        _ => Failure::Target { path, error },
    }
}

/// Writes the ddrescue map of what was lost, if anything was.
fn write_map(
    args: &RestoreArgs,
    report: &Report,
    volume_size: u64,
) -> Result<Option<PathBuf>, Failure> {
    let bad = report.damaged_ranges();
    if bad.is_empty() {
        return Ok(None);
    }
    let beside = || {
        let mut name = args.output.clone().into_os_string();
        name.push(".map");
        PathBuf::from(name)
    };
    let path = args.map.clone().unwrap_or_else(beside);
    let comment =
        format!("Damaged ranges left out of {}", args.output.display().to_string().escape_debug());
    let map = mapfile::render(volume_size, &bad, &comment);
    let written =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
    let written = written.and_then(|mut file| {
        file.write_all(map.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| Failure::Target { path: path.clone(), error })?;
    Ok(Some(path))
}

impl Restored {
    fn new(
        args: &RestoreArgs,
        set_id: SetId,
        content_id: SetContentId,
        logical_size: u64,
        report: &Report,
    ) -> Self {
        let Counts { data, zero, hole, unmapped, stored, by_digest, by_crc, unproved } =
            report.counts;
        Self {
            set_id,
            content_id,
            target: args.output.clone(),
            logical_size,
            bytes: Bytes { data, zero, hole, unmapped },
            stored_bytes: stored,
            proof: Proof { digest: by_digest, crc: by_crc, none: unproved },
            damage: report.damage.iter().map(DamageView::new).collect(),
            map: None,
            seconds: 0.0,
        }
    }
}

impl DamageView {
    fn new(damage: &restore::Damage) -> Self {
        Self {
            member: damage.member.0,
            volume_id: damage.volume_id.to_string(),
            member_range: [damage.range.start, damage.range.end],
            logical_ranges: damage.logical.iter().map(|r| [r.start, r.end]).collect(),
            message: damage.cause.to_string(),
        }
    }
}

fn text(r: &Restored) -> String {
    let rate = rate(r.bytes.data, Duration::from_secs_f64(r.seconds));
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "restored {} of set {} to {}",
        size(r.logical_size),
        r.set_id.as_str().escape_debug(),
        r.target.display()
    );
    let _ = writeln!(
        out,
        "  {} data ({} proved by digest), {} zero, {} hole, {} unmapped",
        size(r.bytes.data),
        size(r.proof.digest),
        size(r.bytes.zero),
        size(r.bytes.hole),
        size(r.bytes.unmapped)
    );
    let _ = writeln!(
        out,
        "  {:.1} s, {}/s of data; content id {}",
        r.seconds,
        size(rate),
        r.content_id
    );
    for d in &r.damage {
        let _ = writeln!(
            out,
            "  lost: member {} ({}) bytes {} to {}: {}",
            d.member,
            d.volume_id.escape_debug(),
            d.member_range[0],
            d.member_range[1],
            d.message
        );
    }
    out
}
