//! Sets as they are printed, in JSON and in text.

pub(crate) mod segment;

use std::collections::BTreeMap;

use restore::catalog::{Catalog, MemberFile, SetEntry, SetState};
use restore::snapfmt::{Consistency, MemberNo, SetContentId, SetId, VolumeId};
use serde::Serialize;

use crate::output::{PathView, line, name, size};

/// One set.
#[derive(Debug, Serialize)]
pub(crate) struct SetView {
    pub set_id: SetId,
    pub source_volume_id: VolumeId,
    pub generation: u64,
    pub time: jiff::Timestamp,
    pub consistency: Consistency,
    pub logical_size: u64,
    pub chunk_size: u32,
    pub state: &'static str,
    pub content_id: Option<SetContentId>,
    pub tool: String,
    pub tags: BTreeMap<String, String>,
    pub members: Vec<MemberView>,
    pub problems: Vec<String>,
}

/// One member of a set.
#[derive(Debug, Serialize)]
pub(crate) struct MemberView {
    pub index: MemberNo,
    pub volume_id: VolumeId,
    pub size: u64,
    pub logical_sector: u32,
    pub physical_sector: u32,
    pub kind: &'static str,
    pub state: &'static str,
    pub path: Option<PathView>,
}

impl SetView {
    /// The set `entry` of `catalog`.
    pub(crate) fn new(catalog: &Catalog, entry: &SetEntry) -> Self {
        let set = &entry.manifest;
        let state = match catalog.state(entry) {
            SetState::Complete => "complete",
            SetState::Incomplete => "incomplete",
            SetState::Damaged => "damaged",
        };
        let rival =
            |other: &&SetEntry| other.manifest.id == set.id && other.content != entry.content;
        let mut problems: Vec<String> =
            catalog.open_set(entry).err().map(|e| e.to_string()).into_iter().collect();
        if catalog.sets().iter().any(|other| rival(&other)) {
            problems.push("another capture was made under the same set id".into());
        }
        Self {
            set_id: set.id.clone(),
            source_volume_id: set.source_volume_id.clone(),
            generation: set.generation,
            time: set.time,
            consistency: set.consistency,
            logical_size: set.logical_size,
            chunk_size: set.chunk_size.bytes(),
            state,
            content_id: entry.content,
            tool: entry.tool.clone(),
            tags: set.tags.clone(),
            members: members(catalog, entry),
            problems,
        }
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
            self.time,
            size(self.logical_size),
            present,
            self.members.len(),
            if full { "full" } else { "incremental" },
            self.state,
        );
        for problem in &self.problems {
            out.push_str("    ");
            out.push_str(&line(problem));
            out.push('\n');
        }
        out
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
                size: member.size,
                logical_sector: member.logical_sector,
                physical_sector: member.physical_sector,
                kind: if member.parent.is_some() { "incremental" } else { "full" },
                state,
                path: path.map(Into::into),
            }
        })
        .collect()
}
