//! `inspect`: all that a set's files say.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use restore::catalog::{Catalog, MemberFile, SetEntry};
use restore::snapfmt::{Parent, SetContentId, Snapshot, SnapshotId, StateId, VolumeId};
use serde::Serialize;

use crate::args::SetArgs;
use crate::backup;
use crate::exit::{Exit, Failure};
use crate::members;
use crate::output::{Output, PathView, line, name, note, size};
use crate::raw;
use crate::select;
use crate::subject::Given;
use crate::view::SetView;
use crate::view::segment::{SegmentView, segments};

#[derive(Serialize)]
struct Inspection {
    set: SetDetail,
    files: Vec<FileView>,
}

#[derive(Serialize)]
struct SetDetail {
    #[serde(flatten)]
    view: SetView,
    layout: Vec<SegmentView>,
    #[serde(skip)]
    layout_text: Vec<String>,
}

#[derive(Serialize)]
struct FileView {
    path: PathView,
    volume_id: VolumeId,
    stream: bool,
    dedup: bool,
    snapshot_id: SnapshotId,
    state_id: StateId,
    set_content_id: SetContentId,
    parent: Option<Parent>,
    stored_bytes: u64,
    records: Records,
}

/// Chunks by what their records say; the rest of an incremental snapshot is inherited.
#[derive(Serialize)]
struct Records {
    data: u64,
    zero: u64,
    hole: u64,
    inherited: u64,
}

/// Shows the set, also when it is not complete; the exit code then says so.
pub(crate) fn run(args: &SetArgs, output: Output) -> Result<Exit, Failure> {
    let catalog = match Given::look(args) {
        Given::Files(catalog) => catalog,
        Given::Backups(backups) => {
            return super::backup::inspect(
                &backup::set(&backups, &args.selection.resolve())?,
                output,
            );
        }
        Given::Raw(raw) => return raw::show(&raw, output),
    };
    members::refuse_layout(&args.raw.layout)?;
    let entry = select::set(&catalog, args)?;
    let snapshots: Vec<(&PathBuf, &Snapshot)> = present(&catalog, entry).collect();
    let map = match snapshots.first() {
        Some((path, first)) => Some(first.extent_map().map_err(|source| {
            restore::catalog::CatalogError::Read { path: (*path).clone(), source }
        })?),
        None => None,
    };
    let ids: Vec<VolumeId> = entry.manifest.members.iter().map(|m| m.volume_id.clone()).collect();
    let inspection = Inspection {
        set: SetDetail {
            view: SetView::new(&catalog, entry),
            layout: map.iter().flat_map(|m| segments(m, &ids)).collect(),
            layout_text: map
                .iter()
                .flat_map(restore::snapfmt::ExtentMap::segments)
                .map(|s| restore::describe(&s, &ids))
                .collect(),
        },
        files: snapshots.into_iter().map(|(path, s)| FileView::new(path, s)).collect(),
    };
    output.result(&inspection, text)?;
    match catalog.open_set(entry) {
        Ok(_) => Ok(Exit::Done),
        Err(error) => {
            let failure = Failure::from(error);
            note(&failure.message());
            Ok(failure.exit())
        }
    }
}

fn present<'c>(
    catalog: &'c Catalog,
    entry: &'c SetEntry,
) -> impl Iterator<Item = (&'c PathBuf, &'c Snapshot)> {
    entry.members.iter().filter_map(|member| match member {
        MemberFile::Present(n) => catalog.files().get(*n).map(|f| (&f.path, &*f.snapshot)),
        MemberFile::Damaged(_) | MemberFile::Missing => None,
    })
}

impl FileView {
    fn new(path: &Path, snapshot: &Snapshot) -> Self {
        let (manifest, footer) = (snapshot.manifest(), snapshot.footer());
        let totals = snapshot.index().totals;
        Self {
            path: path.into(),
            volume_id: manifest.own().volume_id.clone(),
            stream: manifest.stream,
            dedup: manifest.dedup,
            snapshot_id: footer.snapshot,
            state_id: footer.state,
            set_content_id: footer.set_content,
            parent: manifest.own().parent.clone(),
            stored_bytes: snapshot.file().len(),
            records: Records {
                data: totals.data,
                zero: totals.zero,
                hole: totals.hole,
                inherited: u64::from(snapshot.geometry().chunks()) - totals.chunks(),
            },
        }
    }
}

fn text(inspection: &Inspection) -> String {
    let view = &inspection.set.view;
    let mut out = String::new();
    // Writing to a string cannot fail.
    let mut row = |key: &str, value: String| {
        let _ = writeln!(out, "{key:<15} {value}");
    };
    row("set", name(view.set_id.as_str()));
    row("source volume", name(view.source_volume_id.as_str()));
    row("generation", view.generation.to_string());
    row("time", view.time.map(|time| time.to_string()).unwrap_or_default());
    row("consistency", view.consistency.to_string());
    let logical_size = view.logical_size.unwrap_or_default();
    row("logical size", format!("{logical_size} ({})", size(logical_size)));
    row("chunk size", size(view.chunk_size.unwrap_or_default().into()));
    row("content id", view.content_id.map_or_else(|| "not known".into(), |id| id.to_string()));
    row("written by", name(&view.tool));
    row("state", view.state.to_owned());
    for problem in &view.problems {
        row("problem", line(problem));
    }
    for (key, value) in &view.tags {
        row("tag", format!("{}={}", name(key), name(value)));
    }
    row("layout", format!("{} segments", inspection.set.layout_text.len()));
    for segment in &inspection.set.layout_text {
        row("", segment.clone());
    }
    for member in &view.members {
        let id = name(member.volume_id.as_str());
        let (logical, physical) = (member.logical_sector, member.physical_sector);
        let sector = Option::unwrap_or_default;
        let sectors = format!("sectors {}/{}", sector(logical), sector(physical));
        let (size, kind, state) = (size(member.size.unwrap_or(0)), member.kind, member.state);
        let what = format!("{id}  {size}  {sectors}  {kind}  {state}");
        row(&format!("member {}", member.index), what);
    }
    for file in &inspection.files {
        file_text(&mut out, file);
    }
    out
}

fn file_text(out: &mut String, file: &FileView) {
    let Records { data, zero, hole, inherited } = file.records;
    let form = match (file.stream, &file.parent) {
        (true, _) => "stream: zstd -d gives the member's raw image",
        (false, Some(_)) => "incremental",
        (false, None) => "not in stream form: stock zstd does not give the raw image",
    };
    let _ = writeln!(out, "file            {}", file.path);
    let _ = writeln!(out, "  form          {form}");
    let _ = writeln!(out, "  stored        {} ({})", file.stored_bytes, size(file.stored_bytes));
    let _ = writeln!(
        out,
        "  chunks        {data} data, {zero} zero, {hole} hole, {inherited} inherited"
    );
    if let Some(parent) = &file.parent {
        let set = name(parent.set_id.as_str());
        let _ = writeln!(out, "  parent        set {set}, state {}", parent.state_id);
    }
    let _ = writeln!(out, "  snapshot id   {}", file.snapshot_id);
    let _ = writeln!(out, "  state id      {}", file.state_id);
}
