//! Snapshot sets written record by record: what a capture would never choose, or never write.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use snapfmt::{
    CheckedManifest, ChunkNo, Consistency, Digest, Encoder, ExtentMap, Format, Limits, Manifest,
    Member, MemberNo, Parent, SetManifest, SnapshotId, SnapshotWriter, StateId, Unsealed,
    describe_map,
};

use super::chunk_size;

/// What is stored for one chunk.
#[derive(Clone, Debug)]
pub enum Chunk {
    Data(Vec<u8>),
    /// The data chunk before it once more, by reference.
    Again,
    Zero,
    Hole,
    /// The parent's, with these bytes (or bytes that someone claims).
    Inherit(Vec<u8>),
    /// The parent's zeros.
    InheritZeros,
}

/// One member's file.
#[derive(Clone, Debug)]
pub struct HandMember {
    pub volume: String,
    pub size: u64,
    /// Set id and state id.
    pub parent: Option<(String, StateId)>,
    pub chunks: Vec<Chunk>,
    pub stream: bool,
    /// What only this file's manifest says of the set.
    pub own_tag: Option<String>,
}

/// A set.
#[derive(Clone, Debug)]
pub struct HandSet {
    pub id: String,
    pub generation: u64,
    pub chunk: usize,
    pub map: ExtentMap,
    pub members: Vec<HandMember>,
}

/// A file written.
#[derive(Clone, Debug)]
pub struct HandFile {
    pub path: PathBuf,
    pub state: StateId,
}

impl HandMember {
    /// A full snapshot of `bytes`, all data.
    pub fn full(volume: &str, bytes: &[u8], chunk: usize) -> Self {
        Self {
            volume: volume.into(),
            size: bytes.len() as u64,
            parent: None,
            chunks: bytes.chunks(chunk).map(|c| Chunk::Data(c.to_vec())).collect(),
            stream: false,
            own_tag: None,
        }
    }

    /// An incremental snapshot that inherits all of `bytes`.
    pub fn inheriting(volume: &str, bytes: &[u8], chunk: usize, parent: Named<'_>) -> Self {
        Self {
            parent: Some((parent.0.into(), parent.1)),
            chunks: bytes.chunks(chunk).map(|c| Chunk::Inherit(c.to_vec())).collect(),
            ..Self::full(volume, bytes, chunk)
        }
    }
}

/// A parent: set id and state id.
pub type Named<'a> = (&'a str, StateId);

impl HandSet {
    /// One member that is the volume.
    pub fn single(id: &str, chunk: usize, member: HandMember) -> Self {
        let model =
            super::model::MemberModel::of(&member.volume, vec![0; super::index(member.size)]);
        let layout = vec![super::model::Part::Linear(member.size, (0, 0))];
        let map = super::model::VolumeModel { members: vec![model], layout }.extent_map();
        Self { id: id.into(), generation: 0, chunk, map, members: vec![member] }
    }

    /// Writes all members into a directory of the set's name below `directory`.
    pub fn write(&self, directory: &Path) -> Vec<HandFile> {
        let directory = directory.join(&self.id);
        std::fs::create_dir_all(&directory).unwrap();
        let count = u32::try_from(self.members.len()).unwrap();
        let unsealed: Vec<_> = (0..count).map(|no| self.member(no)).collect();
        let ids: Vec<SnapshotId> = unsealed.iter().map(Unsealed::snapshot_id).collect();
        let seal = |(no, file): (usize, Unsealed<Vec<u8>>)| {
            let path = directory.join(format!("{no}.snap"));
            let (bytes, footer) = file.seal(&ids).unwrap();
            std::fs::write(&path, bytes).unwrap();
            HandFile { path, state: footer.state }
        };
        unsealed.into_iter().enumerate().map(seal).collect()
    }

    fn manifest(&self, no: u32) -> Manifest {
        let own = &self.members[no as usize];
        let members = self.members.iter().map(|m| Member {
            volume_id: m.volume.parse().unwrap(),
            size: m.size,
            logical_sector: 512,
            physical_sector: 4096,
            parent: m.parent.as_ref().map(|(set, state)| Parent {
                set_id: set.parse().unwrap(),
                volume_id: m.volume.parse().unwrap(),
                state_id: *state,
            }),
        });
        let tags = own.own_tag.iter().map(|tag| ("only".to_owned(), tag.clone()));
        Manifest {
            about: Vec::new(),
            format: Format::default(),
            tool: "tests".into(),
            member: MemberNo(no),
            stream: own.stream,
            dedup: own.chunks.iter().any(|chunk| matches!(chunk, Chunk::Again)),
            set: SetManifest {
                id: self.id.parse().unwrap(),
                source_volume_id: "vol-logical".parse().unwrap(),
                generation: self.generation,
                time: time_of(self.generation),
                consistency: Consistency::Crash,
                logical_size: self.map.size(),
                chunk_size: chunk_size(self.chunk),
                tags: tags.collect::<BTreeMap<_, _>>(),
                members: members.collect(),
                extent_map: describe_map(&self.map).unwrap(),
            },
        }
    }

    fn member(&self, no: u32) -> Unsealed<Vec<u8>> {
        let manifest = CheckedManifest::check(self.manifest(no), &Limits::DEFAULT).unwrap();
        let spill = Cursor::new(Vec::new());
        let mut writer = SnapshotWriter::create(Vec::new(), spill, manifest, &self.map).unwrap();
        let mut encoder = Encoder::new(3, chunk_size(self.chunk)).unwrap();
        let (mut frame, mut before) = (Vec::new(), None);
        for (no, chunk) in (0..).map(ChunkNo).zip(&self.members[no as usize].chunks) {
            match chunk {
                Chunk::Data(bytes) => {
                    encoder.encode(bytes, &mut frame).unwrap();
                    let digest = Digest::of(bytes);
                    writer.data(no, digest, &frame).map(|stored| before = Some((digest, stored)))
                }
                Chunk::Again => {
                    let (digest, stored) = before.unwrap();
                    writer.reference(no, digest, stored)
                }
                Chunk::Zero => writer.zeros(no, 1),
                Chunk::Hole => writer.hole(no, 1),
                Chunk::Inherit(bytes) => writer.inherit(no, Digest::of(bytes)),
                Chunk::InheritZeros => writer.inherit_zeros(no, 1),
            }
            .unwrap();
        }
        writer.finish().unwrap()
    }
}

pub fn time_of(generation: u64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_700_000_000 + 60 * i64::try_from(generation).unwrap()).unwrap()
}
