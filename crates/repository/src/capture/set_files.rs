//! The directory of a set: made under a temporary name, renamed when everything in it is durable.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use snapfmt::{ExtentMap, MemberNo, SetContentId, SetManifest, SnapshotId, Unsealed};

use super::{CaptureError, Captured, CapturedFile};
use host::entry::parent_directory;
use host::entry::{Directory, Entry};
use restore::layout_file;

const BUFFER: usize = 1 << 20;
/// Segments spelled out at the head of each file, and in the text beside the set.
const ABOUT_SEGMENTS: usize = 8;
const README_SEGMENTS: usize = 64;

/// A member written but for its seal.
pub(super) struct WrittenMember {
    pub(super) path: PathBuf,
    pub(super) unsealed: Unsealed<BufWriter<File>>,
    pub(super) file: CapturedFile,
}

/// The directory while it is being filled. Dropped unfinished, it is removed.
pub(super) struct SetDirectory {
    /// Its temporary name.
    work: Entry,
    directory: Directory,
    target: Entry,
    is_named: bool,
}

impl SetDirectory {
    pub(super) fn create(parent: &Path, set: &SetManifest) -> Result<Self, CaptureError> {
        let name = file_name(set.id.as_str());
        let failed = |path: &Path, source| CaptureError::Target { path: path.to_owned(), source };
        let parent = directory(parent).map_err(|e| failed(parent, e))?;
        let target = parent.entry(&name);
        if target.exists() {
            return Err(CaptureError::Exists { path: target.path() });
        }
        let made = parent.new_directory(OsStr::new(&format!(".{name}.")));
        let (work, directory) = made.map_err(|e| failed(parent.path(), e))?;
        Ok(Self { work, directory, target, is_named: false })
    }

    /// A new file for a member, readable by the user alone.
    pub(super) fn member_file(
        &self,
        set: &SetManifest,
        no: MemberNo,
    ) -> Result<(PathBuf, BufWriter<File>), CaptureError> {
        let entry = self.directory.entry(member_file_name(set, no));
        let path = entry.path();
        let file =
            entry.create().map_err(|source| CaptureError::Target { path: path.clone(), source })?;
        Ok((path, BufWriter::with_capacity(BUFFER, file)))
    }

    /// A file for what a member's writer does not keep in memory. It has no name, and is gone in the end.
    pub(super) fn spill(&self) -> Result<File, CaptureError> {
        self.directory.nameless_file().map_err(|source| {
            let path = self.directory.path().to_owned();
            CaptureError::Target { path, source }
        })
    }

    /// Seals all members together, makes everything durable and gives the set its name.
    pub(super) fn finish(
        mut self,
        members: Vec<WrittenMember>,
        map: &ExtentMap,
        set: &SetManifest,
    ) -> Result<Captured, CaptureError> {
        let ids: Vec<SnapshotId> = members.iter().map(|m| m.unsealed.snapshot_id()).collect();
        let mut files = Vec::new();
        for member in members {
            files.push(seal(member, &ids)?);
        }
        let sizes: Vec<_> = set.members.iter().map(|m| (m.volume_id.clone(), m.size)).collect();
        self.text("layout.toml", &layout_file::render(map, &sizes))?;
        self.text("README.txt", &readme(set, map))?;
        self.publish()?;
        let directory = self.target.path();
        for file in &mut files {
            if let Some(name) = file.path.file_name() {
                file.path = directory.join(name);
            }
        }
        Ok(Captured { directory, content: SetContentId::of(&ids), files })
    }

    fn text(&self, name: &str, text: &str) -> Result<(), CaptureError> {
        let entry = self.directory.entry(name);
        let written = entry.create().and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        written.map_err(|source| CaptureError::Target { path: entry.path(), source })
    }

    fn publish(&mut self) -> Result<(), CaptureError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AlreadyExists => CaptureError::Exists { path: self.target.path() },
            _ => CaptureError::Target { path: self.target.path(), source },
        };
        self.directory.sync().map_err(failed)?;
        self.work.publish_directory(&self.directory, &self.target).map_err(failed)?;
        self.is_named = true;
        Ok(())
    }
}

impl Drop for SetDirectory {
    fn drop(&mut self) {
        // What got the temporary name meanwhile is not removed; nor what a sync that failed has named already.
        if !self.is_named && self.work.is(&self.directory).unwrap_or(false) {
            // A name that stays says that it is a part only.
            let _ = self.directory.clear().and_then(|()| self.work.remove_directory());
        }
    }
}

/// Opens a directory, and makes it and what is missing above it, each durable in the one that holds it.
fn directory(path: &Path) -> io::Result<Directory> {
    match Directory::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        opened => return opened,
    }
    let name = path.file_name().ok_or(io::ErrorKind::NotFound)?;
    let above = directory(parent_directory(path))?;
    // Another process may have been faster.
    above.entry(name).make_directory()?;
    above.sync()?;
    Directory::open(path)
}

fn seal(member: WrittenMember, ids: &[SnapshotId]) -> Result<CapturedFile, CaptureError> {
    let WrittenMember { path, unsealed, mut file } = member;
    let failed = |source| CaptureError::Write { path: path.clone(), source };
    let (out, _) = unsealed.seal(ids).map_err(failed)?;
    let out = out.into_inner().map_err(|e| failed(e.into_error().into()))?;
    out.sync_all().map_err(|e| failed(e.into()))?;
    file.stored_bytes = out.metadata().map_err(|e| failed(e.into()))?.len();
    file.path = path;
    Ok(file)
}

/// A member's file name: its number, then its volume id as far as a file name can hold it.
fn member_file_name(set: &SetManifest, no: MemberNo) -> String {
    let id = set.members.get(no.index()).map_or("", |m| m.volume_id.as_str());
    format!("{no}-{}.snap", file_name(id))
}

/// An id as a file name: what could lead elsewhere or be hard to type becomes `_`.
fn file_name(id: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name: String = id.chars().map(safe).take(200).collect();
    if name.starts_with('.') { format!("_{name}") } else { name }
}

/// The plain text at the head of every file, for a reader who finds it without this tool.
pub(super) fn about(set: &SetManifest, map: &ExtentMap, no: MemberNo, stream: bool) -> Vec<String> {
    let own = set.members.get(no.index());
    let id = own.map_or_else(String::new, |m| text(m.volume_id.as_str()));
    let members = set.members.len();
    let mut lines = vec![
        "This is a snapshot of a block volume, written by snaprestore.".to_owned(),
        format!(
            "It holds member {} of {members} (volume {id}) of volume {}, set {}, generation {}.",
            no.0 + 1,
            text(set.source_volume_id.as_str()),
            text(set.id.as_str()),
            set.generation
        ),
    ];
    if stream {
        lines.push("By hand: zstd -d FILE -o member.raw gives this member's raw image.".to_owned());
    } else if own.is_some_and(|m| m.parent.is_some()) {
        lines.push(
            "It holds only what changed since its parent: snaprestore is needed to read it."
                .to_owned(),
        );
    } else {
        lines.push(
            "Zeros or repeated chunks are left out: snaprestore is needed to read it.".to_owned(),
        );
    }
    lines.push(
        "The logical volume, in bytes (all of it in the extent map and in layout.toml):".to_owned(),
    );
    lines.extend(segments(map, set, ABOUT_SEGMENTS));
    lines
}

/// The first segments of the layout, a line each.
fn segments<'m>(
    map: &'m ExtentMap,
    set: &'m SetManifest,
    most: usize,
) -> impl Iterator<Item = String> + 'm {
    let more = map.len().saturating_sub(most);
    let rest = (more > 0).then(|| format!("... {more} more"));
    let ids: Vec<_> = set.members.iter().map(|m| m.volume_id.clone()).collect();
    map.segments().take(most).map(move |s| restore::describe(&s, &ids)).chain(rest)
}

/// An id as text that cannot change how the text around it looks.
fn text(id: &str) -> String {
    id.escape_debug().to_string()
}

/// The text beside the set: how to bring the volume back, with the tool and without.
fn readme(set: &SetManifest, map: &ExtentMap) -> String {
    let mut out = format!(
        "Snapshot set {} of volume {}, generation {}, taken {}.\n\n\
         With snaprestore:\n\n    snaprestore verify .\n    snaprestore restore . -o volume.raw\n",
        text(set.id.as_str()),
        text(set.source_volume_id.as_str()),
        set.generation,
        set.time
    );
    let incremental: Vec<_> = set.members.iter().filter(|m| m.parent.is_some()).collect();
    if !incremental.is_empty() {
        out.push_str("\nThe members below build on earlier sets; give their directories too:\n\n");
        for member in incremental {
            if let Some(parent) = &member.parent {
                let (id, set) = (text(member.volume_id.as_str()), text(parent.set_id.as_str()));
                let _ = writeln!(out, "    {id} builds on set {set}");
            }
        }
    }
    out.push_str(
        "\nWithout snaprestore, for files whose head says so (head -c 2000 FILE):\n\n\
         \x20   zstd -d FILE.snap -o member.raw\n\n\
         gives the raw image of one member. layout.toml says how the logical volume is made of them.\n\
         A linear segment is `length` bytes of one member from `offset` on. In a striped segment with\n\
         n columns and stripe size s, byte x of the segment (counted from its start) is in column\n\
         (x / s) % n, at the column's offset + (x / s / n) * s + x % s. An unmapped segment is zeros.\n\n",
    );
    let _ = writeln!(out, "The segments, {} bytes in all:\n", map.size());
    for line in segments(map, set, README_SEGMENTS) {
        let _ = writeln!(out, "    {line}");
    }
    out
}
