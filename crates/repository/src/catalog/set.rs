//! Files grouped to sets.

use std::collections::BTreeMap;
use std::path::Path;

use snapfmt::{Manifest, MemberNo, SetContentId, SetId, SetManifest};

use super::files::BadFile;
use super::{Candidate, Missing};
use restore::set::SetKey;
use restore::source::SnapshotFile;

/// What the files have of one member of a set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemberFile {
    /// This one of the catalog's files.
    Present(usize),
    /// This one of its bad files says it is the member.
    Damaged(usize),
    /// None.
    Missing,
}

/// One snapshot set, as far as the files have it.
#[derive(Clone, Debug)]
pub struct SetEntry {
    /// What all its files say alike.
    pub manifest: SetManifest,
    /// The program that wrote it.
    pub tool: String,
    /// Its content id; `None` when no intact file says it.
    pub content: Option<SetContentId>,
    /// Its members, by number.
    pub members: Vec<MemberFile>,
    /// A file that says something else of the set than the first one does.
    pub contradiction: Option<usize>,
}

impl SetEntry {
    fn new(manifest: &Manifest, content: Option<SetContentId>) -> Self {
        Self {
            manifest: manifest.set.clone(),
            tool: manifest.tool.clone(),
            content,
            members: vec![MemberFile::Missing; manifest.set.members.len()],
            contradiction: None,
        }
    }

    /// The set as one of several to choose from.
    pub fn candidate(&self) -> Candidate {
        SetKey::from(&self.manifest).candidate()
    }

    /// The first file of the set.
    pub(super) fn first_path<'f>(&self, files: &'f [SnapshotFile], bad: &'f [BadFile]) -> &'f Path {
        let path = |member: &MemberFile| match member {
            MemberFile::Present(n) => files.get(*n).map(|f| f.path.as_path()),
            MemberFile::Damaged(n) => bad.get(*n).map(|b| b.error.path.as_path()),
            MemberFile::Missing => None,
        };
        self.members.iter().find_map(path).unwrap_or_else(|| Path::new(""))
    }

    /// The members that no file has.
    pub(super) fn missing(&self) -> Vec<Missing> {
        let roster = (0..).zip(&self.manifest.members).zip(&self.members);
        roster
            .filter(|(_, file)| **file == MemberFile::Missing)
            .map(|((index, member), _)| Missing::Member {
                index,
                volume_id: member.volume_id.clone(),
                set_id: self.manifest.id.clone(),
            })
            .collect()
    }

    /// The sets that the members' parents belong to.
    pub(super) fn parent_sets(&self) -> impl Iterator<Item = &SetId> {
        self.manifest.members.iter().filter_map(|m| Some(&m.parent.as_ref()?.set_id))
    }

    fn place(&mut self, member: MemberNo, file: MemberFile) {
        if let Some(slot) = self.members.get_mut(member.index())
            && *slot == MemberFile::Missing
        {
            *slot = file;
        }
    }
}

/// Groups files by set id and content id; damaged files join the set whose manifest they share.
pub(super) fn group(files: &[SnapshotFile], bad: &[BadFile]) -> Vec<SetEntry> {
    let mut sets: BTreeMap<(SetId, SetContentId), SetEntry> = BTreeMap::new();
    for (number, file) in files.iter().enumerate() {
        let manifest = file.snapshot.manifest();
        let content = file.snapshot.footer().set_content;
        let entry = sets
            .entry((manifest.set.id.clone(), content))
            .or_insert_with(|| SetEntry::new(manifest, Some(content)));
        if entry.manifest != manifest.set {
            entry.contradiction.get_or_insert(number);
        }
        // Whatever it says of the set, the member it holds is not missing.
        entry.place(manifest.member, MemberFile::Present(number));
    }
    let mut sets: Vec<SetEntry> = sets.into_values().collect();
    for (number, file) in bad.iter().enumerate() {
        let Some(manifest) = &file.manifest else { continue };
        let known = sets.iter().position(|s| s.manifest == manifest.set);
        let at = known.unwrap_or_else(|| {
            sets.push(SetEntry::new(manifest, None));
            sets.len() - 1
        });
        if let Some(entry) = sets.get_mut(at) {
            entry.place(manifest.member, MemberFile::Damaged(number));
        }
    }
    sets.sort_by(|a, b| {
        let key = |s: &SetEntry| (s.manifest.generation, s.manifest.time);
        let volume = a.manifest.source_volume_id.cmp(&b.manifest.source_volume_id);
        volume.then(key(a).cmp(&key(b))).then_with(|| a.manifest.id.cmp(&b.manifest.id))
    });
    sets
}
