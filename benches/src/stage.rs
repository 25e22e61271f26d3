//! Raw members and snapshot sets in a temporary directory.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use repository::capture::{CaptureRequest, Captured, Form, ParentSet, capture};
use repository::catalog::{Catalog, Lookup, OpenSet, Selection};
use restore::source::RawSource;
use restore::{Layout, Progress, Volume, VolumeMember, layout_file};
use snapfmt::{ChunkSize, Consistency, Limits, SetId, VolumeId};
use tempfile::TempDir;

use crate::{STRIPE, jobs};

/// A directory for one benchmark's files, removed with them at the end.
#[derive(Debug)]
pub struct Stage {
    directory: TempDir,
}

/// The raw images of a volume's members.
#[derive(Clone, Debug)]
pub struct Raw {
    paths: Vec<PathBuf>,
}

/// Snapshot sets on disk, the newest of which is meant, and the directories of its ancestors.
#[derive(Clone, Debug)]
pub struct Sets {
    paths: Vec<PathBuf>,
    /// Bytes of the logical volume.
    pub logical: u64,
    /// Bytes of the newest set's own files.
    pub stored: u64,
    /// Chunks that the newest set's own files store.
    pub chunks: u64,
}

impl Stage {
    /// A new directory in `parent`, which should be on a real disk.
    pub fn new(parent: &Path) -> Self {
        fs::create_dir_all(parent).expect("a directory for the benchmark's files");
        let directory = TempDir::with_prefix_in("snaprestore-bench-", parent);
        Self { directory: directory.expect("a directory for the benchmark's files") }
    }

    /// A path in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Spreads `image` over `width` members, in stripes when there are several.
    pub fn spread(&self, name: &str, image: &[u8], width: usize) -> Raw {
        let stripe = if width > 1 { STRIPE as usize } else { image.len() };
        assert_eq!(image.len() % (stripe * width), 0, "whole rows of stripes");
        let mut members = vec![Vec::with_capacity(image.len() / width); width];
        for (place, piece) in (0..width).cycle().zip(image.chunks(stripe)) {
            members[place].extend_from_slice(piece);
        }
        let paths: Vec<_> =
            (0..width).map(|place| self.path(&format!("{name}-{place}.raw"))).collect();
        for (path, content) in paths.iter().zip(&members) {
            fs::write(path, content).expect("room for the raw members");
        }
        Raw { paths }
    }

    /// Captures a set under `name`, on top of `parent` if there is one.
    pub fn capture(
        &self,
        name: &str,
        raw: &Raw,
        chunk_size: ChunkSize,
        parent: Option<&Sets>,
    ) -> Sets {
        let volume = raw.volume(chunk_size);
        let captured = self.capture_volume(name, &volume, chunk_size, parent, 2);
        let mut paths = parent.map_or_else(Vec::new, |p| p.paths.clone());
        paths.push(captured.directory);
        Sets {
            paths,
            logical: volume.size(),
            stored: captured.files.iter().map(|f| f.stored_bytes).sum(),
            chunks: captured.files.iter().map(|f| f.chunks.data).sum(),
        }
    }

    /// Captures a volume that is open already.
    pub fn capture_volume(
        &self,
        name: &str,
        volume: &Volume,
        chunk_size: ChunkSize,
        parent: Option<&Sets>,
        workers: usize,
    ) -> Captured {
        let catalog = parent.map(|p| Catalog::open(&p.paths, &Lookup::default()));
        let newest = catalog.as_ref().map(|catalog| {
            let entry = catalog.select(&Selection::default()).expect("a parent set").entry;
            (entry, catalog.open_set(entry).expect("a whole parent set"))
        });
        let request = CaptureRequest {
            directory: self.directory.path().to_owned(),
            set_id: SetId::try_from(format!("dsnap-{name}")).expect("an id"),
            source_volume_id: id("vol-bench"),
            generation: parent.map_or(0, |p| p.paths.len() as u64),
            time: Timestamp::UNIX_EPOCH,
            consistency: Consistency::Unknown,
            tags: BTreeMap::new(),
            chunk_size,
            level: snapfmt::Encoder::DEFAULT_LEVEL,
            form: Form::default(),
            sectors: vec![(512, 4096); volume.members().len()],
            parent: newest.as_ref().map(|(e, open)| ParentSet { manifest: &e.manifest, open }),
            tool: "snaprestore benches".to_owned(),
            jobs: jobs(workers),
        };
        capture(volume, &request, &Progress::default()).expect("room for the set")
    }

    /// Captures a volume and removes the set again.
    pub fn capture_and_forget(
        &self,
        volume: &Volume,
        chunk_size: ChunkSize,
        parent: Option<&Sets>,
        workers: usize,
    ) {
        let captured = self.capture_volume("forgotten", volume, chunk_size, parent, workers);
        fs::remove_dir_all(captured.directory).expect("the set just written");
    }
}

impl Raw {
    /// Where the members are.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// The volume these members make, read in pieces of `unit`.
    pub fn volume(&self, unit: ChunkSize) -> Volume {
        let open = |(place, path): (usize, &PathBuf)| VolumeMember {
            volume_id: id(&format!("vol-{place}")),
            source: Arc::new(RawSource::open(path, unit.bytes()).expect("the raw member")),
        };
        let members: Vec<_> = self.paths.iter().enumerate().map(open).collect();
        let sizes: Vec<_> =
            members.iter().map(|m| (m.volume_id.clone(), m.source.size())).collect();
        let map = match sizes.len() {
            1 => layout_file::linear(&sizes, &Limits::DEFAULT),
            _ => layout_file::striped(STRIPE, &sizes, &Limits::DEFAULT),
        };
        Volume::new(Layout::new(map.expect("a layout")), members).expect("members that fit")
    }
}

impl Sets {
    /// Finds and opens the newest set, through memory maps or by `pread(2)`.
    pub fn open(&self, map: bool) -> OpenSet {
        let catalog = Catalog::open(&self.paths, &Lookup { map, ..Lookup::default() });
        let chosen = catalog.select(&Selection::default()).expect("the newest set");
        catalog.open_set(chosen.entry).expect("a whole set")
    }

    /// The volume of the newest set.
    pub fn volume(&self, map: bool) -> Volume {
        self.open(map).volume().expect("a volume")
    }

    /// Bytes of all files that the newest set needs.
    pub fn all_stored(&self) -> u64 {
        let mut files: Vec<_> = self
            .open(false)
            .all_files()
            .map(|f| (f.path.clone(), f.snapshot.file().len()))
            .collect();
        files.sort();
        files.dedup();
        files.iter().map(|(_, len)| len).sum()
    }
}

fn id(text: &str) -> VolumeId {
    text.parse().expect("an id")
}
