//! Raw members and what says how they lie together → a volume.

use std::fs::File;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use restore::layout_file::{self, LayoutFileError};
use restore::snapfmt::{ChunkSize, ExtentMap, Limits, PROJECT_MAGIC, VolumeId};
use restore::source::{NotRaw, RawSource};
use restore::{Layout, Volume, VolumeMember};

use crate::args::{BytesArgs, LayoutArgs};
use crate::exit::Failure;

/// In what chunks members are read where nothing says more.
pub(crate) const UNIT: u32 = ChunkSize::DEFAULT.bytes();

/// How many files of a directory without a set are looked into.
const MOST_LOOKED_INTO: usize = 64;

/// Raw members: their ids and paths.
pub(crate) type Members = Vec<(VolumeId, PathBuf)>;

/// Opens members read-only; data is read in chunks of `unit` bytes.
pub(crate) fn open(
    members: &[(VolumeId, PathBuf)],
    unit: u32,
    bytes: BytesArgs,
) -> Result<Vec<VolumeMember>, Failure> {
    refuse_twice(members)?;
    let mut opened = Vec::new();
    for (volume_id, path) in members {
        let source = if bytes.raw {
            RawSource::open_as_it_is(path, unit).map_err(NotRaw::Io)
        } else {
            RawSource::open(path, unit)
        };
        let source = source.map_err(|why| Failure::NotRaw { path: path.clone(), why })?;
        opened.push(VolumeMember { volume_id: volume_id.clone(), source: Arc::new(source) });
    }
    Ok(opened)
}

/// Paths of raw copies, each with its name as its volume id. `None` if they are directories, snapshot
/// files or nothing that can be read, which is to be found out elsewhere.
pub(crate) fn raw(paths: &[PathBuf], bytes: BytesArgs) -> Result<Option<Members>, Failure> {
    let kinds: Vec<Kind> = paths.iter().map(|path| Kind::of(path, bytes)).collect();
    let first = |kind: Kind| kinds.iter().zip(paths).find(|(k, _)| **k == kind).map(|(_, p)| p);
    let is_all = |wanted: &[Kind]| kinds.iter().all(|kind| wanted.contains(kind));
    if paths.is_empty() {
        return Ok(None);
    }
    if is_all(&[Kind::Raw]) {
        return Ok(named(paths));
    }
    match (first(Kind::Raw), first(Kind::Empty), first(Kind::Snapshot)) {
        (_, Some(path), None) if is_all(&[Kind::Raw, Kind::Empty]) => {
            Err(Failure::NotRaw { path: path.clone(), why: NotRaw::Empty })
        }
        (Some(raw), _, Some(snapshot)) if is_all(&[Kind::Raw, Kind::Empty, Kind::Snapshot]) => {
            let (raw, snapshot) = (raw.display(), snapshot.display());
            Err(Failure::Usage {
                message: format!("{raw} is a raw member, {snapshot} a snapshot file"),
                hint: "give the snapshot files of a set, or the raw copies of all members",
            })
        }
        _ => Ok(None),
    }
}

/// What a file is that holds a disk in a form of its own, if it is no snapshot.
pub(crate) fn container(path: &Path) -> Option<NotRaw> {
    match RawSource::open(path, UNIT) {
        Err(NotRaw::Container(container)) if !container.is_snapshot() => {
            Some(NotRaw::Container(container))
        }
        _ => None,
    }
}

/// The first container in directories where no set is.
pub(crate) fn container_in(paths: &[PathBuf]) -> Option<(PathBuf, NotRaw)> {
    let directories = paths.iter().filter_map(|path| std::fs::read_dir(path).ok());
    let mut files: Vec<PathBuf> = directories
        .flat_map(|entries| entries.flatten().take(MOST_LOOKED_INTO))
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .map(|entry| entry.path())
        .collect();
    files.sort_unstable();
    files.into_iter().find_map(|path| container(&path).map(|why| (path, why)))
}

/// Paths with their names as ids; the whole path where two have one name.
fn named(paths: &[PathBuf]) -> Option<Members> {
    let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let names: Vec<Option<String>> = paths.iter().map(name).collect();
    let id = |(n, path): (usize, &PathBuf)| {
        let own = names.get(n)?;
        let is_twice = names.iter().filter(|name| *name == own).count() > 1;
        let id = if is_twice { path.to_string_lossy().into_owned() } else { own.clone()? };
        Some((id.parse().ok()?, path.clone()))
    };
    paths.iter().enumerate().map(id).collect()
}

/// What a path leads to, as far as its name and first bytes tell.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A file or device whose bytes are to be read as they are.
    Raw,
    /// A file without a byte.
    Empty,
    /// A file that is a snapshot, by its name or by its bytes.
    Snapshot,
    /// Anything else, or nothing.
    Other,
}

impl Kind {
    fn of(path: &Path, bytes: BytesArgs) -> Self {
        let Ok(meta) = std::fs::metadata(path) else { return Self::Other };
        if !(meta.is_file() || meta.file_type().is_block_device()) {
            return Self::Other;
        }
        let mut head = [0; 64];
        let read = File::open(path).and_then(|file| file.read_at(&mut head, 0));
        let is_ours = head.windows(8).any(|bytes| bytes == PROJECT_MAGIC)
            || path.extension().is_some_and(|extension| extension == "snap");
        match read {
            Err(_) => Self::Other,
            Ok(_) if bytes.raw => Self::Raw,
            Ok(_) if is_ours => Self::Snapshot,
            Ok(0) => Self::Empty,
            Ok(_) => Self::Raw,
        }
    }
}

/// Joins members as the arguments say.
pub(crate) fn join(members: Vec<VolumeMember>, layout: &LayoutArgs) -> Result<Volume, Failure> {
    let map = extent_map(layout, &sizes(&members))?;
    volume(map, members)
}

/// Members that are looked at one by one, in any order that holds all of them.
pub(crate) fn apart(members: Vec<VolumeMember>) -> Result<Volume, Failure> {
    let map = layout_file::linear(&sizes(&members), &Limits::DEFAULT).map_err(Failure::Layout)?;
    volume(map, members)
}

/// Who they are, and how large.
pub(crate) fn sizes(members: &[VolumeMember]) -> Vec<(VolumeId, u64)> {
    members.iter().map(|m| (m.volume_id.clone(), m.source.size())).collect()
}

fn volume(map: ExtentMap, members: Vec<VolumeMember>) -> Result<Volume, Failure> {
    let mismatch = |e| Failure::Catalog(repository::catalog::CatalogError::Layout(e));
    Volume::new(Layout::new(map), members).map_err(mismatch)
}

/// Snapshot files say themselves how their members make a volume.
pub(crate) fn refuse_layout(args: &LayoutArgs) -> Result<(), Failure> {
    if args.is_empty() {
        return Ok(());
    }
    Err(Failure::Usage {
        message: "snapshot files say themselves how their members lie together".into(),
        hint: "--layout, --stripe and --linear are for raw members and other systems' backups",
    })
}

/// One volume, or one device, cannot be two members.
fn refuse_twice(members: &[(VolumeId, PathBuf)]) -> Result<(), Failure> {
    let place = |path: &Path| {
        let meta = std::fs::metadata(path).ok()?;
        let device = meta.file_type().is_block_device();
        Some(if device { (0, meta.rdev()) } else { (meta.dev(), meta.ino()) })
    };
    for (n, (id, path)) in members.iter().enumerate() {
        let own = place(path);
        let one = |(a, b): &&(VolumeId, PathBuf)| a == id || (own.is_some() && place(b) == own);
        if let Some((_, other)) = members.iter().take(n).find(one) {
            let (path, other) = (path.display(), other.display());
            let message = format!("{other} and {path} are given as two members, but are one");
            return Err(Failure::Usage { message, hint: "each member is one volume, given once" });
        }
    }
    Ok(())
}

fn extent_map(args: &LayoutArgs, sizes: &[(VolumeId, u64)]) -> Result<ExtentMap, Failure> {
    let limits = Limits::DEFAULT;
    let named = |e: LayoutFileError, path: &Path| match e {
        // What is wrong with the segments does not say whose they are.
        LayoutFileError::Layout(e) => Failure::Usage {
            message: format!("{}: {e}", path.display()),
            hint: "docs/FORMAT.md describes layout.toml",
        },
        other => Failure::Layout(other),
    };
    if let Some(path) = &args.layout {
        return layout_file::read(path, sizes, &limits).map_err(|e| named(e, path));
    }
    if let Some(stripe) = args.stripe {
        let bytes = u32::try_from(stripe.0)
            .ok()
            .filter(|s| *s >= limits.shortest_stripe && sizes.len() > 1);
        return match bytes {
            Some(bytes) => layout_file::striped(bytes, sizes, &limits).map_err(Failure::Layout),
            None => Err(Failure::Usage {
                message:
                    "a stripe has from 512 bytes to less than 4 GiB, and goes over two or more members"
                        .into(),
                hint: "for example --stripe 64K",
            }),
        };
    }
    if sizes.len() > 1 && !args.linear {
        return Err(Failure::Usage {
            message: format!("{} members, and nothing says how they make one volume", sizes.len()),
            hint: "give --layout FILE.toml, --stripe SIZE or --linear",
        });
    }
    layout_file::linear(sizes, &limits).map_err(Failure::Layout)
}

pub(crate) fn failure(path: &Path, error: std::io::Error) -> Failure {
    Failure::Member { path: path.to_owned(), error }
}
