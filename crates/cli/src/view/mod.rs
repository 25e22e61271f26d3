//! Sets as they are printed, in JSON and in text.

pub(crate) mod inside;
pub(crate) mod rows;
pub(crate) mod segment;
pub(crate) mod set_name;
pub(crate) mod stack;

use std::collections::BTreeMap;

use foreign::backup::{BackupMember, BackupSet};
use repository::AnySet;
use repository::catalog::{Catalog, FileSet, MemberFile, SetEntry, SetState, state_of};
use restore::snapfmt::{Consistency, MemberNo, SetContentId, SetId, VolumeId};
use serde::Serialize;

use crate::output::{PathView, line, name, size};
use stack::ContentsView;

/// One set.
#[derive(Serialize)]
pub(crate) struct SetView {
    pub set_id: SetId,
    pub source_volume_id: VolumeId,
    pub generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation_id: Option<String>,
    pub time: Option<jiff::Timestamp>,
    pub consistency: Consistency,
    pub logical_size: Option<u64>,
    pub chunk_size: Option<u32>,
    pub state: &'static str,
    pub content_id: Option<SetContentId>,
    pub tool: String,
    pub tags: BTreeMap<String, String>,
    pub members: Vec<MemberView>,
    pub problems: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// One member of a set.
#[derive(Serialize)]
pub(crate) struct MemberView {
    pub index: MemberNo,
    pub volume_id: VolumeId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
    pub size: Option<u64>,
    pub logical_sector: Option<u32>,
    pub physical_sector: Option<u32>,
    pub kind: &'static str,
    pub state: &'static str,
    pub path: Option<PathView>,
    /// What lies on it, where that was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contents: Option<ContentsView>,
}

impl SetView {
    /// A set of any format.
    pub(crate) fn new(set: &AnySet<'_>) -> Self {
        match set {
            AnySet::Files(set) => Self::of_files(*set),
            AnySet::Backup(set) => Self::of_backup(set),
        }
    }

    /// A set of snapshot files.
    pub(crate) fn of_files(FileSet { catalog, entry }: FileSet<'_>) -> Self {
        let set = &entry.manifest;
        let opened = catalog.open_set(entry);
        let state = state_of(&opened);
        let replaced = opened.as_ref().map(|open| open.replaced.as_slice()).unwrap_or_default();
        let warnings = replaced.iter().map(ToString::to_string).collect();
        let mut problems: Vec<String> = opened.err().map(|e| e.to_string()).into_iter().collect();
        if catalog.is_captured_twice(&set.id) {
            problems.push("another capture was made under the same set id".into());
        }
        Self {
            set_id: set.id.clone(),
            source_volume_id: set.source_volume_id.clone(),
            generation: set.generation,
            generation_id: None,
            time: Some(set.time),
            consistency: set.consistency,
            logical_size: Some(set.logical_size),
            chunk_size: Some(set.chunk_size.bytes()),
            state: word(state),
            content_id: entry.content,
            tool: entry.tool.clone(),
            tags: set.tags.clone(),
            members: members(catalog, entry),
            problems,
            warnings,
        }
    }

    /// Another system's backup.
    pub(crate) fn of_backup(set: &BackupSet) -> Self {
        let only = match set.members.as_slice() {
            [only] => only.size,
            _ => None,
        };
        Self {
            set_id: set.id.clone(),
            source_volume_id: set.source_volume_id.clone(),
            generation: set.generation,
            generation_id: set.generation_id.clone(),
            time: set.time,
            consistency: Consistency::Unknown,
            logical_size: only,
            chunk_size: None,
            state: word(set.state()),
            content_id: None,
            tool: set.format.to_string(),
            tags: set.tags.clone(),
            members: (0..).map(MemberNo).zip(&set.members).map(MemberView::of_backup).collect(),
            problems: set.all_problems().map(ToString::to_string).collect(),
            warnings: set.warnings.iter().map(ToString::to_string).collect(),
        }
    }

    /// Whether something of it is damaged, or contradicts itself.
    pub(crate) fn is_damaged(&self) -> bool {
        self.state == word(SetState::Damaged)
    }

    /// In one line, problems below.
    pub(crate) fn text(&self) -> String {
        let present = self.members.iter().filter(|m| m.state == "present").count();
        let full = self.members.iter().all(|m| m.kind == "full");
        let mut out = format!(
            "{}  volume {}  generation {}  {}  {}  {} of {} members  {}  {}\n",
            name(self.set_id.as_str()),
            name(self.source_volume_id.as_str()),
            self.generation,
            self.time.map_or_else(|| "-".into(), |time| time.to_string()),
            self.logical_size.map_or_else(|| "-".into(), size),
            present,
            self.members.len(),
            if full { "full" } else { "incremental" },
            self.state,
        );
        for problem in self.problems.iter().chain(&self.warnings) {
            out.push_str("    ");
            out.push_str(&line(problem));
            out.push('\n');
        }
        out
    }
}

const fn word(state: SetState) -> &'static str {
    match state {
        SetState::Complete => "complete",
        SetState::Incomplete => "incomplete",
        SetState::Damaged => "damaged",
    }
}

impl MemberView {
    fn of_backup((index, member): (MemberNo, &BackupMember)) -> Self {
        let state = match (&member.path, &member.stored) {
            (None, _) => "missing",
            (Some(_), Some(_)) if member.problems.is_empty() => "present",
            (Some(_), _) => "damaged",
        };
        Self {
            index,
            volume_id: member.volume_id.clone(),
            snapshot_id: Some(member.snapshot.as_str().to_owned()),
            size: member.size,
            logical_sector: None,
            physical_sector: None,
            kind: if member.parent.is_some() { "incremental" } else { "full" },
            state,
            path: member.path.as_ref().map(Into::into),
            contents: None,
        }
    }
}

fn members(catalog: &Catalog, entry: &SetEntry) -> Vec<MemberView> {
    let roster = (0..).zip(&entry.manifest.members).zip(&entry.members);
    roster
        .map(|((index, member), file)| {
            let (state, path) = match file {
                MemberFile::Present(n) => ("present", catalog.files().get(*n).map(|f| &f.path)),
                MemberFile::Damaged(n) => ("damaged", catalog.bad().get(*n).map(|b| &b.error.path)),
                MemberFile::Missing => ("missing", None),
            };
            MemberView {
                index: MemberNo(index),
                volume_id: member.volume_id.clone(),
                snapshot_id: None,
                size: Some(member.size),
                logical_sector: Some(member.logical_sector),
                physical_sector: Some(member.physical_sector),
                kind: if member.parent.is_some() { "incremental" } else { "full" },
                state,
                path: path.map(Into::into),
                contents: None,
            }
        })
        .collect()
}
