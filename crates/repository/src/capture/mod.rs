//! A volume → a snapshot set: one file a member, sealed together, under its name only when whole.

mod member;
mod parent;
mod set_files;

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use jiff::Timestamp;
use snapfmt::{
    CheckedManifest, ChunkSize, Consistency, ExtentMap, ExtentMapDigest, Fault, Format, Limits,
    Manifest, Member, MemberNo, Parent, SetContentId, SetId, SetManifest, SnapshotId, StateId,
    VolumeId, WriteError, describe_map,
};

use crate::catalog::OpenSet;
use restore::Progress;
use restore::Volume;
use restore::source::{PageCache, ReadError};

/// How the chunks of full snapshots are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Form {
    /// No zero frames: for huge sparse volumes. Gives up stock zstd.
    pub compact_zeros: bool,
    /// Equal chunks once, as far as memory allows. Gives up stock zstd.
    pub dedup: bool,
}

/// The set that a capture builds on.
#[derive(Debug)]
pub struct ParentSet<'p> {
    /// What its files say of it.
    pub manifest: &'p SetManifest,
    /// Its files and their ancestors.
    pub open: &'p OpenSet,
}

/// What to write, apart from the volume itself.
#[derive(Debug)]
pub struct CaptureRequest<'p> {
    /// The directory that the set's own directory is made in.
    pub directory: PathBuf,
    /// The set's id.
    pub set_id: SetId,
    /// The logical volume's id.
    pub source_volume_id: VolumeId,
    /// The set's generation.
    pub generation: u64,
    /// When the members were at this state.
    pub time: Timestamp,
    /// How they relate in time.
    pub consistency: Consistency,
    /// Tags, verbatim.
    pub tags: BTreeMap<String, String>,
    /// Chunk size.
    pub chunk_size: ChunkSize,
    /// zstd level.
    pub level: i32,
    /// How full snapshots are stored.
    pub form: Form,
    /// Logical and physical sector size of each member, in bytes.
    pub sectors: Vec<(u32, u32)>,
    /// What to be incremental to.
    pub parent: Option<ParentSet<'p>>,
    /// The program and version, for the manifest.
    pub tool: String,
    /// How many workers.
    pub jobs: NonZeroUsize,
}

/// One file written.
#[derive(Clone, Debug)]
pub struct CapturedFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its member volume.
    pub volume_id: VolumeId,
    /// Whether it builds on a parent.
    pub incremental: bool,
    /// Whether stock zstd writes the member's raw image from it.
    pub stream: bool,
    /// Its snapshot id.
    pub snapshot_id: SnapshotId,
    /// What the member contains.
    pub state_id: StateId,
    /// What became of the chunks.
    pub chunks: ChunkCounts,
    /// Plain bytes of the member.
    pub plain_bytes: u64,
    /// Bytes of the file.
    pub stored_bytes: u64,
}

/// What became of a member's chunks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ChunkCounts {
    /// Stored.
    pub data: u64,
    /// Zeros or holes.
    pub zero: u64,
    /// As in the parent.
    pub inherited: u64,
    /// Equal to one stored before, and only named.
    pub reused: u64,
}

/// A set written.
#[derive(Clone, Debug)]
pub struct Captured {
    /// Its directory.
    pub directory: PathBuf,
    /// Its content id.
    pub content: SetContentId,
    /// Its files, by member.
    pub files: Vec<CapturedFile>,
}

/// Why a capture failed. Nothing is left under the set's name.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// A member could not be read.
    #[error("{0}")]
    Source(#[source] ReadError),
    /// The parent's index could not be read.
    #[error("the parent cannot be followed: {0}")]
    Parent(#[source] ReadError),
    /// A file could not be written.
    #[error("{}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: WriteError,
    },
    /// A file or directory could not be made, synced or renamed.
    #[error("{}: {source}", path.display())]
    Target {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// There is something under the set's name.
    #[error("{} exists already", path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// What was asked for cannot be written down in a manifest.
    #[error("cannot be captured like this: {0}")]
    Manifest(#[source] Fault),
    /// No member holds any of the volume: there would be a set without files.
    #[error(
        "no member holds any of the volume's {size} bytes, and so there is nothing to be captured"
    )]
    NoMembers {
        /// The volume's size in bytes.
        size: u64,
    },
    /// The parent has another chunk size.
    #[error("the parent's chunk size is {parent}, not {asked}; all snapshots of a chain share one")]
    ChunkSize {
        /// The parent's, in bytes.
        parent: u32,
        /// The one asked for, in bytes.
        asked: u32,
    },
    /// The caller cancelled it.
    #[error("interrupted")]
    Interrupted,
    /// Threads or encoders could not be made.
    #[error("cannot start: {0}")]
    Start(#[source] io::Error),
}

/// Captures a volume as a snapshot set.
pub fn capture(
    volume: &Volume,
    request: &CaptureRequest<'_>,
    progress: &Progress,
) -> Result<Captured, CaptureError> {
    if volume.members().is_empty() {
        return Err(CaptureError::NoMembers { size: volume.size() });
    }
    if let Some(parent) = &request.parent {
        check_parent(parent, volume, request)?;
    }
    let map = describe_map(volume.layout().map()).map_err(CaptureError::Start)?;
    let set = set_manifest(volume, request, map);
    progress.expect(set.members.iter().map(|m| m.size).sum());
    let files = set_files::SetDirectory::create(&request.directory, &set)?;
    let pages = std::sync::Arc::new(PageCache::default());
    let mut written = Vec::new();
    for no in (0..).take(volume.members().len()).map(MemberNo) {
        let manifest = file_manifest(&set, volume.layout().map(), no, request)?;
        let parent = match manifest.own().parent {
            Some(_) => parent::ParentState::open(request.parent.as_ref(), &manifest, &pages),
            None => None,
        };
        written.push(member::write(volume, no, manifest, parent, &files, request, progress)?);
    }
    files.finish(written, volume.layout().map(), &set)
}

/// Refuses a parent on which no child could stand that readers accept.
fn check_parent(
    parent: &ParentSet<'_>,
    volume: &Volume,
    request: &CaptureRequest<'_>,
) -> Result<(), CaptureError> {
    if parent.manifest.chunk_size != request.chunk_size {
        let (parent, asked) = (parent.manifest.chunk_size.bytes(), request.chunk_size.bytes());
        return Err(CaptureError::ChunkSize { parent, asked });
    }
    let stays = |id: &VolumeId| volume.members().iter().any(|m| m.volume_id == *id);
    let chains = parent.open.chains.iter().filter(|chain| {
        chain.first().is_some_and(|link| stays(&link.snapshot.manifest().own().volume_id))
    });
    let value = chains.map(|chain| chain.len() as u64 + 1).max().unwrap_or(0);
    let max = u64::from(Limits::DEFAULT.chain);
    if value > max {
        let fault = Fault::Limit { field: "length of the chain", value, max };
        return Err(CaptureError::Manifest(fault));
    }
    Ok(())
}

fn set_manifest(
    volume: &Volume,
    request: &CaptureRequest<'_>,
    map: ExtentMapDigest,
) -> SetManifest {
    let members = volume.members().iter().zip(&request.sectors).map(|(member, sectors)| Member {
        volume_id: member.volume_id.clone(),
        size: member.source.size(),
        logical_sector: sectors.0,
        physical_sector: sectors.1,
        parent: request.parent.as_ref().and_then(|p| parent_of(p, &member.volume_id)),
    });
    SetManifest {
        id: request.set_id.clone(),
        source_volume_id: request.source_volume_id.clone(),
        generation: request.generation,
        time: request.time,
        consistency: request.consistency,
        logical_size: volume.size(),
        chunk_size: request.chunk_size,
        tags: request.tags.clone(),
        members: members.collect(),
        extent_map: map,
    }
}

/// How a new snapshot of `volume_id` names its parent; `None` for a volume the parent set lacks.
fn parent_of(parent: &ParentSet<'_>, volume_id: &VolumeId) -> Option<Parent> {
    let link =
        parent.open.own_files().find(|l| l.snapshot.manifest().own().volume_id == *volume_id)?;
    Some(Parent {
        set_id: parent.manifest.id.clone(),
        volume_id: volume_id.clone(),
        state_id: link.snapshot.footer().state,
    })
}

fn file_manifest(
    set: &SetManifest,
    map: &ExtentMap,
    member: MemberNo,
    request: &CaptureRequest<'_>,
) -> Result<CheckedManifest, CaptureError> {
    let incremental = set.members.get(member.index()).is_some_and(|m| m.parent.is_some());
    let Form { compact_zeros, dedup } = request.form;
    let stream = !incremental && !compact_zeros && !dedup;
    let manifest = Manifest {
        about: set_files::about(set, map, member, stream),
        format: Format::default(),
        tool: request.tool.clone(),
        member,
        stream,
        dedup: dedup || incremental,
        set: set.clone(),
    };
    CheckedManifest::check(manifest, &Limits::DEFAULT).map_err(CaptureError::Manifest)
}
