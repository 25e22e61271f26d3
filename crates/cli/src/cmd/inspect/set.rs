//! `inspect` of a set of snapshot files.

use std::path::{Path, PathBuf};

use repository::catalog::{Catalog, CatalogError, FileSet, MemberFile, SetEntry};
use restore::snapfmt::{Parent, SetContentId, Snapshot, SnapshotId, StateId, VolumeId};
use serde::Serialize;

use super::verdict;
use crate::exit::{Exit, Failure};
use crate::given::Given;
use crate::output::{Output, PathView, name, size};
use crate::view::SetView;
use crate::view::inside::InsideView;
use crate::view::rows::Rows;
use crate::view::segment::LayoutView;

#[derive(Serialize)]
struct Inspection {
    set: SetDetail,
    files: Vec<FileView>,
    #[serde(flatten)]
    inside: InsideView,
}

#[derive(Serialize)]
struct SetDetail {
    #[serde(flatten)]
    view: SetView,
    #[serde(flatten)]
    layout: LayoutView,
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

/// Shows the set and what lies in its volume.
pub(super) fn show(given: &Given<'_>, set: FileSet<'_>, output: Output) -> Result<Exit, Failure> {
    let FileSet { catalog, entry } = set;
    let snapshots: Vec<(&PathBuf, &Snapshot)> = present(catalog, entry).collect();
    let layout = match snapshots.first() {
        Some((path, first)) => layout(path, first)?,
        None => LayoutView::default(),
    };
    let volume = catalog.open_set(entry).and_then(|open| open.volume());
    let inside = match &volume {
        Ok(volume) => InsideView::new(volume).map_err(Failure::System)?,
        Err(error) => InsideView::unknown(error.to_string()),
    };
    let inspection = Inspection {
        set: SetDetail { view: SetView::of_files(set), layout },
        files: snapshots.into_iter().map(|(path, s)| FileView::new(path, s)).collect(),
        inside,
    };
    output.result(&inspection, Inspection::text)?;
    let meant = volume.map_err(Failure::from).and_then(|volume| given.inside(volume)?.proved());
    Ok(meant.map_or_else(|failure| verdict(&failure), |_| Exit::Done))
}

fn layout(path: &Path, snapshot: &Snapshot) -> Result<LayoutView, Failure> {
    let read = |source| CatalogError::Read { path: path.to_owned(), source };
    let map = snapshot.extent_map().map_err(read)?;
    let members = &snapshot.manifest().set.members;
    let ids: Vec<VolumeId> = members.iter().map(|m| m.volume_id.clone()).collect();
    Ok(LayoutView::new(&map, &ids))
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

impl Inspection {
    fn text(&self) -> String {
        let SetDetail { view, layout } = &self.set;
        let mut rows = Rows::of(view);
        rows.add("consistency", view.consistency);
        let logical_size = view.logical_size.unwrap_or_default();
        rows.add("logical size", format!("{logical_size} ({})", size(logical_size)));
        rows.add("chunk size", size(view.chunk_size.unwrap_or_default().into()));
        let content = view.content_id.map_or_else(|| "not known".into(), |id| id.to_string());
        rows.add("content id", content);
        rows.add("written by", name(&view.tool));
        rows.add_state(view);
        rows.add("layout", format!("{} segments", layout.text.len()));
        for segment in &layout.text {
            rows.add("", segment);
        }
        for member in &view.members {
            let id = name(member.volume_id.as_str());
            let (logical, physical) = (member.logical_sector, member.physical_sector);
            let sector = Option::unwrap_or_default;
            let sectors = format!("sectors {}/{}", sector(logical), sector(physical));
            let (size, kind, state) = (size(member.size.unwrap_or(0)), member.kind, member.state);
            let what = format!("{id}  {size}  {sectors}  {kind}  {state}");
            rows.add(&format!("member {}", member.index), what);
        }
        for file in &self.files {
            rows.add("file", &file.path);
            rows.add_lines(file.lines());
        }
        rows.add_lines(self.inside.lines());
        rows.into_text()
    }
}

impl FileView {
    fn lines(&self) -> Vec<String> {
        let Records { data, zero, hole, inherited } = self.records;
        let form = match (self.stream, &self.parent) {
            (true, _) => "stream: zstd -d gives the member's raw image",
            (false, Some(_)) => "incremental",
            (false, None) => "not in stream form: stock zstd does not give the raw image",
        };
        let mut lines = vec![
            format!("  form          {form}"),
            format!("  stored        {} ({})", self.stored_bytes, size(self.stored_bytes)),
            format!("  chunks        {data} data, {zero} zero, {hole} hole, {inherited} inherited"),
        ];
        lines.extend(self.parent.as_ref().map(|parent| {
            let set = name(parent.set_id.as_str());
            format!("  parent        set {set}, state {}", parent.state_id)
        }));
        lines.push(format!("  snapshot id   {}", self.snapshot_id));
        lines.push(format!("  state id      {}", self.state_id));
        lines
    }
}
