//! `capture`: devices or raw images to a snapshot set.

mod given;

use std::collections::BTreeMap;
use std::fmt::Write;

use repository::capture::{CaptureRequest, Captured, Form, ParentSet, capture};
use repository::catalog::{Catalog, Generation, OpenSet, Selection, SetEntry};
use restore::snapfmt::{ChunkSize, Digest, SetContentId, SetId, SetManifest, VolumeId};
use serde::Serialize;

use crate::args::{CaptureArgs, Common};
use crate::cmd::restore::counted_apart;
use crate::exit::{Exit, Failure};
use crate::output::{Output, PathView, name, note, size};
use crate::select;
use crate::watch::Watch;
use given::{Given, Ids, Opened};

const TOOL: &str = concat!("snaprestore ", env!("CARGO_PKG_VERSION"));

/// Captures one set.
pub(crate) fn run(args: &CaptureArgs, common: &Common, output: Output) -> Result<Exit, Failure> {
    let given = Given::look(args)?;
    given.check_consistency(args)?;
    let ids = given.ids(args);
    let parents = select::catalog(&args.parent);
    let parent = find_parent(args, &ids, &parents)?;
    let chunk_size = chunk_size(args, parent.as_ref().map(|(entry, _)| *entry))?;
    let time = given.time(args)?;
    let own_id = given.volume_id(args)?;
    let Opened { volume, sectors, warnings } = given.open(args, chunk_size)?;
    let set_id = ids.set_id.clone().map_or_else(random_set_id, Ok)?;
    let source_volume_id = ids
        .source_volume
        .clone()
        .or_else(|| parent.as_ref().map(|(entry, _)| entry.manifest.source_volume_id.clone()))
        .unwrap_or(own_id);
    let after = parent.as_ref().map_or(0, |(entry, _)| entry.manifest.generation.saturating_add(1));
    let generation = ids.generation.unwrap_or(after);
    let request = CaptureRequest {
        directory: args.output.clone(),
        tags: tags(
            args,
            ids.tags,
            [&source_volume_id.to_string(), &set_id.to_string()],
            generation,
        )?,
        set_id,
        source_volume_id,
        generation,
        time,
        consistency: args.consistency.into(),
        chunk_size,
        level: args.level,
        form: Form { compact_zeros: args.compact_zeros, dedup: args.dedup },
        sectors,
        parent: parent.as_ref().map(|(entry, open)| ParentSet { manifest: &entry.manifest, open }),
        tool: TOOL.to_owned(),
        jobs: common.jobs(),
    };
    if let Some((entry, _)) = &parent
        && entry.manifest.time > request.time
    {
        let message =
            format!("the parent set was taken at {}, after this one", entry.manifest.time);
        return Err(Failure::Usage { message, hint: "give the --time the members were really at" });
    }
    let counts = counted_apart(&volume)?;
    let mut watch = Watch::of_sparse(common, "capturing", &counts);
    let result = capture(&volume, &request, watch.progress());
    let terminated = watch.finish();
    let captured = result.map_err(|error| Failure::Capture { error, terminated })?;
    if let Some(parent) = &request.parent {
        tell_full(&captured, parent.manifest);
    }
    output.result(&View::new(&request, captured, warnings), View::text)?;
    Ok(Exit::Done)
}

/// A member that the parent set does not know under its id is stored in full, which may not be what was meant.
fn tell_full(captured: &Captured, parent: &SetManifest) {
    let is_known = |id: &VolumeId| parent.members.iter().any(|member| member.volume_id == *id);
    for file in captured.files.iter().filter(|file| !is_known(&file.volume_id)) {
        let (id, set) = (name(file.volume_id.as_str()), name(parent.id.as_str()));
        note(&format!("the parent set {set} has no member {id}: it was stored in full"));
    }
}

/// The newest complete line of sets among the parent paths.
fn find_parent<'c>(
    args: &CaptureArgs,
    ids: &Ids,
    parents: &'c Catalog,
) -> Result<Option<(&'c SetEntry, OpenSet)>, Failure> {
    if args.parent.is_empty() {
        return Ok(None);
    }
    let generation = match ids.generation {
        Some(generation) => older_generation(ids, parents, generation)?,
        None => None,
    };
    let source_volume = ids.source_volume.clone();
    let generation = generation.map(Generation::Number);
    let selection = Selection { source_volume, generation, ..Selection::default() };
    let entry = parents.select(&selection)?.entry;
    Ok(Some((entry, parents.open_set(entry)?)))
}

/// The newest generation before `generation`; `None` leaves it to the selection to say why there is
/// none, or why it is not clear of which volume.
fn older_generation(ids: &Ids, parents: &Catalog, generation: u64) -> Result<Option<u64>, Failure> {
    let meant = |s: &&SetEntry| {
        ids.source_volume.as_ref().is_none_or(|v| *v == s.manifest.source_volume_id)
    };
    let sets: Vec<_> = parents.sets().iter().filter(meant).map(|s| &s.manifest).collect();
    let Some(first) = sets.first() else { return Ok(None) };
    if sets.iter().any(|s| s.source_volume_id != first.source_volume_id) {
        return Ok(None);
    }
    let older = sets.iter().map(|s| s.generation).filter(|g| *g < generation).max();
    let none = || Failure::Usage {
        message: format!("there is no parent set before generation {generation}"),
        hint: "leave --generation out to take the newest parent's + 1",
    };
    older.ok_or_else(none).map(Some)
}

fn chunk_size(args: &CaptureArgs, parent: Option<&SetEntry>) -> Result<ChunkSize, Failure> {
    match args.chunk_size {
        None => Ok(parent.map_or(ChunkSize::DEFAULT, |entry| entry.manifest.chunk_size)),
        Some(asked) => ChunkSize::try_from(asked.0).map_err(|e| Failure::Usage {
            message: e.to_string(),
            hint: "for example --chunk-size 512K",
        }),
    }
}

/// The tags given, over those of the backup, over what the ids say.
fn tags(
    args: &CaptureArgs,
    of_backup: BTreeMap<String, String>,
    [volume, set]: [&str; 2],
    generation: u64,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut given = BTreeMap::new();
    for (key, value) in args.tags.iter().cloned() {
        if let Some(other) = given.insert(key.clone(), value) {
            let message = format!("the tag {key:?} is given twice, as {other:?} first");
            return Err(Failure::Usage { message, hint: "a tag has one value" });
        }
    }
    let mut tags = BTreeMap::from([
        ("datafy:source-volume:id".to_owned(), volume.to_string()),
        ("datafy:snapshot:id".to_owned(), set.to_string()),
        ("datafy:snapshot:generation-id".to_owned(), generation.to_string()),
        ("Managed-By".to_owned(), "snaprestore".to_owned()),
    ]);
    tags.extend(of_backup);
    tags.append(&mut given);
    Ok(tags)
}

/// `dsnap-` and 17 hex digits, as the ids of cloud resources look.
fn random_set_id() -> Result<SetId, Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|e| Failure::System(std::io::Error::other(e)))?;
    short_id("dsnap", &bytes)
}

/// The first 17 digits, as the ids of cloud resources have them.
fn short_id<T: std::str::FromStr>(prefix: &str, bytes: &[u8; 32]) -> Result<T, Failure> {
    let hex = Digest::from_bytes(*bytes).to_string();
    let short = hex.get(..17).unwrap_or(&hex);
    let bad = || Failure::System(std::io::ErrorKind::InvalidData.into());
    format!("{prefix}-{short}").parse().map_err(|_| bad())
}

/// Now, to the second.
fn now() -> Result<jiff::Timestamp, Failure> {
    jiff::Timestamp::from_second(jiff::Timestamp::now().as_second())
        .map_err(|e| Failure::System(std::io::Error::other(e)))
}

#[derive(Serialize)]
struct View {
    set_id: SetId,
    source_volume_id: VolumeId,
    generation: u64,
    time: jiff::Timestamp,
    content_id: SetContentId,
    directory: PathView,
    files: Vec<FileView>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct FileView {
    path: PathView,
    volume_id: VolumeId,
    kind: &'static str,
    snapshot_id: String,
    state_id: String,
    stream: bool,
    chunks: Chunks,
    plain_bytes: u64,
    stored_bytes: u64,
}

#[derive(Serialize)]
struct Chunks {
    data: u64,
    zero: u64,
    inherited: u64,
    reused: u64,
}

impl View {
    fn new(request: &CaptureRequest<'_>, captured: Captured, warnings: Vec<String>) -> Self {
        let file = |f: repository::capture::CapturedFile| FileView {
            kind: if f.incremental { "incremental" } else { "full" },
            snapshot_id: f.snapshot_id.to_string(),
            state_id: f.state_id.to_string(),
            stream: f.stream,
            chunks: Chunks {
                data: f.chunks.data,
                zero: f.chunks.zero,
                inherited: f.chunks.inherited,
                reused: f.chunks.reused,
            },
            plain_bytes: f.plain_bytes,
            stored_bytes: f.stored_bytes,
            path: f.path.into(),
            volume_id: f.volume_id,
        };
        Self {
            set_id: request.set_id.clone(),
            source_volume_id: request.source_volume_id.clone(),
            generation: request.generation,
            time: request.time,
            content_id: captured.content,
            directory: captured.directory.into(),
            files: captured.files.into_iter().map(file).collect(),
            warnings,
        }
    }

    fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "captured set {} of volume {}, generation {}, in {}",
            name(self.set_id.as_str()),
            name(self.source_volume_id.as_str()),
            self.generation,
            self.directory
        );
        for f in &self.files {
            let Chunks { data, zero, inherited, reused } = f.chunks;
            let _ = writeln!(
                out,
                "  {}  {}  {} of {}; chunks: {data} data, {zero} zero, {inherited} inherited, {reused} reused",
                f.path,
                f.kind,
                size(f.stored_bytes),
                size(f.plain_bytes)
            );
        }
        let _ = writeln!(out, "content id {}", self.content_id);
        out
    }
}
