//! `restore`: a set to a raw image.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use restore::catalog::{Catalog, OpenSet, SetEntry};
use restore::engine::{OnDamage, Options, RunError, run as run_engine};
use restore::sink::{ImageOptions, ImageSink, PipeSink, Sink};
use restore::snapfmt::{SetContentId, SetId};
use restore::{Counts, Report, Volume, mapfile};
use serde::Serialize;

use crate::args::{Common, RestoreArgs};
use crate::exit::{Exit, Failure, Refusal};
use crate::output::{Output, PathView, line, name, note, rate, render, size};
use crate::select;
use crate::watch::Watch;

#[derive(Serialize)]
struct Restored {
    set_id: SetId,
    content_id: SetContentId,
    target: PathView,
    logical_size: u64,
    bytes: Bytes,
    stored_bytes: u64,
    proof: Proof,
    damage: Vec<DamageView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    map: Option<PathView>,
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
    let (entry, set, volume) = open(args, output, &catalog)?;
    // From here on a signal is heard: what is unfinished does not stay behind.
    let watch = Watch::start(common, "restoring");
    let sink = create(args, &volume)?;
    let on_damage =
        if args.salvage { OnDamage::Salvage { fill: args.fill } } else { OnDamage::Stop };
    let options = Options { on_damage, ..Options::new(common.jobs()) };
    let result = run_engine(&volume, 0..volume.size(), &*sink, &options, watch.progress());
    let interrupted = watch.progress().is_cancelled();
    let terminated = watch.finish();
    let report = match result {
        Ok(_) if interrupted => Err(RunError::Interrupted),
        other => other,
    }
    .map_err(|error| Failure::Run { error, terminated })?;
    let map = write_map(args, &report, volume.size())?;
    sink.finish().map_err(|error| finish_failure(&args.output, error))?;
    let restored =
        Restored::new(args, entry.manifest.id.clone(), set.content, volume.size(), &report);
    let map = map.map(PathView::from);
    let restored = Restored { map, seconds: start.elapsed().as_secs_f64(), ..restored };
    if let Some(path) = &args.report {
        write_private(args, path, &render(&restored))?;
    }
    if is_pipe(args) {
        // Standard output has the volume.
        text(&restored).lines().for_each(note);
    } else {
        output.result(&restored, text)?;
    }
    match &restored.map {
        None => Ok(Exit::Done),
        Some(map) => {
            let lost: u64 = report.damaged_ranges().bytes();
            let lost = size(lost);
            note(&format!("done with damage: {lost} could not be read, {map} says where"));
            Ok(Exit::DoneWithDamage)
        }
    }
}

fn is_pipe(args: &RestoreArgs) -> bool {
    args.output == Path::new("-")
}

fn create(args: &RestoreArgs, volume: &Volume) -> Result<Box<dyn Sink>, Failure> {
    let target = |error| Failure::Target { path: args.output.clone(), error };
    if !is_pipe(args) {
        let sink = ImageSink::create(
            &args.output,
            volume.size(),
            ImageOptions { replace: args.force, ..ImageOptions::default() },
        )
        .map_err(target)?;
        return Ok(Box::new(sink));
    }
    // The descriptor itself: what the standard library offers looks for line ends.
    let stdout = io::stdout().as_fd().try_clone_to_owned().map_err(target)?;
    Ok(Box::new(PipeSink::new(Box::new(fs::File::from(stdout)), "standard output")))
}

/// What standard output cannot be at the same time as the volume.
fn check_pipe(args: &RestoreArgs, output: Output) -> Result<(), Failure> {
    let message = if io::stdout().is_terminal() {
        "standard output is a terminal"
    } else if output.is_json() && args.report.is_none() {
        "standard output has the volume, and --json asks for the report there"
    } else if args.salvage && args.map.is_none() {
        "--salvage to standard output needs --map FILE"
    } else {
        return Ok(());
    };
    let hint =
        "restore -o - writes the volume to a pipe; --report FILE and --map FILE take the rest";
    Err(Failure::Usage { message: message.into(), hint })
}

/// The set, its files and the volume, all there is to be known of them before anything is written.
fn open<'c>(
    args: &RestoreArgs,
    output: Output,
    catalog: &'c Catalog,
) -> Result<(&'c SetEntry, OpenSet, Volume), Failure> {
    if is_pipe(args) {
        check_pipe(args, output)?;
    }
    let opened = select::set(catalog, &args.set).and_then(|entry| {
        let set = catalog.open_set(entry)?;
        let volume = set.volume()?;
        Ok((entry, set, volume))
    });
    match opened {
        // A refused target goes before damage, and an incomplete set before both.
        Err(failure) if failure.exit() != Exit::SourceDamaged => Err(failure),
        opened => check_targets(args, catalog).and(opened),
    }
}

/// Refuses to write over whatever is not an old file that may be replaced, or over what was just written.
fn check_targets(args: &RestoreArgs, catalog: &Catalog) -> Result<(), Failure> {
    let image = (!is_pipe(args)).then(|| args.output.clone());
    let map = args.salvage.then(|| map_path(args));
    let targets: Vec<PathBuf> = image.into_iter().chain(map).chain(args.report.clone()).collect();
    for (n, path) in targets.iter().enumerate() {
        if targets.iter().take(n).any(|other| same_place(other, path)) {
            let message = format!("{}: is to be two files at once", path.display());
            let hint = "give the image, --map and --report a name each";
            return Err(Failure::Usage { message, hint });
        }
    }
    targets.iter().try_for_each(|path| check_target(path, args.force, catalog))
}

fn check_target(path: &Path, force: bool, catalog: &Catalog) -> Result<(), Failure> {
    let refuse = |why| Err(Failure::Refused { path: path.to_owned(), why });
    let Ok(target) = fs::metadata(path) else {
        return match path.symlink_metadata() {
            // It would be replaced, not followed.
            Ok(_) => refuse(Refusal::NotAFile("a link that leads nowhere")),
            Err(_) => Ok(()),
        };
    };
    if !target.is_file() {
        return refuse(Refusal::NotAFile(kind(target.file_type())));
    }
    // All that was given is evidence, whether this set needs it or not.
    let found = catalog.files().iter().map(|f| &f.path);
    let mut sources = found.chain(catalog.bad().iter().map(|b| &b.error.path));
    let same = |m: fs::Metadata| (m.dev(), m.ino()) == (target.dev(), target.ino());
    if sources.any(|source| fs::metadata(source).is_ok_and(same)) {
        return refuse(Refusal::IsSource);
    }
    if force { Ok(()) } else { refuse(Refusal::Exists) }
}

fn kind(of: fs::FileType) -> &'static str {
    if of.is_dir() {
        "a directory"
    } else if of.is_block_device() {
        "a block device"
    } else if of.is_char_device() {
        "a character device"
    } else if of.is_fifo() {
        "a pipe"
    } else {
        "a socket"
    }
}

/// Whether two paths, which need not exist, name one directory entry.
fn same_place(a: &Path, b: &Path) -> bool {
    let directory = |path: &Path| {
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
        fs::canonicalize(parent.unwrap_or(Path::new("."))).ok()
    };
    a.file_name() == b.file_name() && directory(a).is_some_and(|d| Some(d) == directory(b))
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
    let path = map_path(args);
    let comment =
        format!("Damaged ranges left out of {}", args.output.display().to_string().escape_debug());
    let map = mapfile::render(volume_size, &bad, &comment);
    write_private(args, &path, &map)?;
    Ok(Some(path))
}

/// Writes a new text file that is durable and readable by the user alone.
fn write_private(args: &RestoreArgs, path: &Path, text: &str) -> Result<(), Failure> {
    if args.force {
        // Replaced rather than overwritten: it may be a link, or open to others.
        match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(finish_failure(path, e)),
            _ => {}
        }
    }
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = opened.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| finish_failure(path, error))
}

/// Where the map goes.
fn map_path(args: &RestoreArgs) -> PathBuf {
    let beside = || {
        let mut name = args.output.clone().into_os_string();
        name.push(".map");
        PathBuf::from(name)
    };
    args.map.clone().unwrap_or_else(beside)
}

impl Restored {
    fn new(
        args: &RestoreArgs,
        set_id: SetId,
        content_id: SetContentId,
        logical_size: u64,
        report: &Report,
    ) -> Self {
        let Counts { data, zero, hole, unmapped, stored, by_digest, by_crc, unproved, .. } =
            report.counts;
        Self {
            set_id,
            content_id,
            target: (&args.output).into(),
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
        name(r.set_id.as_str()),
        r.target
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
            name(&d.volume_id),
            d.member_range[0],
            d.member_range[1],
            line(&d.message)
        );
    }
    out
}
