//! The manifest: what a file is, which set it belongs to and who else does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Fault, Result, Structure};
use crate::geometry::{ChunkSize, Geometry, MemberNo};
use crate::ids::{Digest, StateId};
use crate::json::UniqueKeys;
use crate::limits::Limits;

/// The format version this crate reads and writes.
pub const VERSION: u32 = 1;

/// A name a file gives: 1 to 255 bytes without control characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id has 1 to 255 bytes and no control characters")]
pub struct BadId;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> std::result::Result<Self, BadId> {
                let good = (1..=255).contains(&text.len()) && !text.chars().any(char::is_control);
                if good { Ok(Self(text)) } else { Err(BadId) }
            }
        }

        impl std::str::FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> std::result::Result<Self, BadId> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

text_id! {
    /// A snapshot set's id, `dsnap-…`.
    SetId
}
text_id! {
    /// A volume's id: of a member or of the logical (source) volume.
    VolumeId
}

/// How the members of a set relate in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consistency {
    /// The writers were stopped: the filesystem is clean.
    Quiesced,
    /// One instant, as a power cut would leave it.
    Crash,
    /// Nothing is known.
    #[default]
    Unknown,
}

impl fmt::Display for Consistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Quiesced => "quiesced",
            Self::Crash => "crash",
            Self::Unknown => "unknown",
        })
    }
}

/// The snapshot that an incremental one builds on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Parent {
    /// The set it belongs to.
    pub set_id: SetId,
    /// Its member volume: the child's own.
    pub volume_id: VolumeId,
    /// What it contains.
    pub state_id: StateId,
}

/// One entry of the roster.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Member {
    /// The underlying volume's id.
    pub volume_id: VolumeId,
    /// Its size in bytes.
    pub size: u64,
    /// Its logical sector size in bytes.
    pub logical_sector: u32,
    /// Its physical sector size in bytes.
    pub physical_sector: u32,
    /// What its snapshot is incremental to; `None` for a full one. A member that does not say is not
    /// taken for full.
    #[serde(deserialize_with = "Option::deserialize")]
    pub parent: Option<Parent>,
}

/// What the manifest says of the extent map.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ExtentMapDigest {
    /// BLAKE3 of the root's payload.
    pub digest: Digest,
    /// Length of the root's payload in bytes.
    pub root_bytes: u32,
}

/// What all files of a set say alike.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SetManifest {
    /// The set's id.
    pub id: SetId,
    /// The logical volume's id.
    pub source_volume_id: VolumeId,
    /// Its place in the lineage.
    pub generation: u64,
    /// When it was taken, UTC.
    pub time: Timestamp,
    /// How its members relate in time.
    pub consistency: Consistency,
    /// Size of the logical volume in bytes.
    pub logical_size: u64,
    /// Chunk size of all members.
    pub chunk_size: ChunkSize,
    /// Tags, verbatim.
    pub tags: BTreeMap<String, String>,
    /// The members, by number.
    pub members: Vec<Member>,
    /// The layout of the logical volume over them.
    pub extent_map: ExtentMapDigest,
}

impl SetManifest {
    /// The geometry of member `no`.
    pub fn geometry(&self, no: MemberNo, limits: &Limits) -> Option<Geometry> {
        Geometry::new(self.members.get(no.index())?.size, self.chunk_size, limits.chunks)
    }
}

/// Version and features.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Format {
    /// Format version.
    pub version: u32,
    /// Features a reader must know to read the file at all.
    pub required: Vec<String>,
    /// Features a reader may ignore.
    pub optional: Vec<String>,
}

impl Default for Format {
    fn default() -> Self {
        Self { version: VERSION, required: Vec::new(), optional: Vec::new() }
    }
}

/// The manifest of one snapshot file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// Plain text for a reader who finds the file without this tool.
    pub about: Vec<String>,
    /// Version and features.
    pub format: Format,
    /// The program and version that wrote the file.
    pub tool: String,
    /// Which member of the set the file holds.
    pub member: MemberNo,
    /// Whether stock zstd writes the member's raw image from this file alone.
    pub stream: bool,
    /// Whether equal chunks may be stored once.
    pub dedup: bool,
    /// What all files of the set say alike.
    pub set: SetManifest,
}

/// A manifest that was parsed and holds together.
#[derive(Clone, Debug)]
pub struct CheckedManifest {
    manifest: Manifest,
    own: Member,
    geometry: Geometry,
    /// The bytes it was parsed from. The tag and the snapshot id are made of them, so a program that writes
    /// the file anew must write these, with fields of later versions and all.
    json: Option<Vec<u8>>,
}

impl PartialEq for CheckedManifest {
    fn eq(&self, other: &Self) -> bool {
        self.manifest == other.manifest
    }
}

impl Eq for CheckedManifest {}

impl std::ops::Deref for CheckedManifest {
    type Target = Manifest;

    fn deref(&self) -> &Manifest {
        &self.manifest
    }
}

impl CheckedManifest {
    /// Parses the manifest whose JSON stands at file offset `at`.
    pub fn parse(json: &[u8], at: u64, limits: &Limits) -> Result<Self> {
        #[derive(Deserialize)]
        struct Probe {
            format: Format,
        }
        let json_fault = |e| Structure::Manifest.fault(at, Fault::Json(e));
        serde_json::from_slice::<UniqueKeys>(json).map_err(json_fault)?;
        let Probe { format } = serde_json::from_slice(json).map_err(json_fault)?;
        if format.version != VERSION {
            let fault = Fault::Version { found: format.version, known: VERSION };
            return Err(Structure::Manifest.fault(at, fault));
        }
        if let Some(name) = format.required.into_iter().next() {
            return Err(Structure::Manifest.fault(at, Fault::Feature { name }));
        }
        let checked = Self::check(serde_json::from_slice(json).map_err(json_fault)?, limits)
            .map_err(|fault| Structure::Manifest.fault(at, fault))?;
        Ok(Self { json: Some(json.to_vec()), ..checked })
    }

    /// Checks that a manifest holds together.
    pub fn check(manifest: Manifest, limits: &Limits) -> std::result::Result<Self, Fault> {
        let set = &manifest.set;
        let members = set.members.len() as u64;
        if members == 0 || members > u64::from(limits.members) {
            let max = limits.members.into();
            return Err(Fault::Limit { field: "number of members", value: members, max });
        }
        if u64::from(set.chunk_size.bytes()) > u64::from(limits.chunk_size) {
            let (value, max) = (set.chunk_size.bytes().into(), limits.chunk_size.into());
            return Err(Fault::Limit { field: "chunk size", value, max });
        }
        if set.logical_size == 0 {
            return Err(Fault::Rule { field: "logical size", value: 0, rule: "must not be zero" });
        }
        if set.logical_size > limits.logical_size {
            let (value, max) = (set.logical_size, limits.logical_size);
            return Err(Fault::Limit { field: "logical size", value, max });
        }
        let mut volumes = BTreeSet::new();
        for (no, member) in set.members.iter().enumerate() {
            if !volumes.insert(&member.volume_id) {
                let rule = "a volume id stands once in the roster";
                return Err(Fault::Rule { field: "member", value: no as u64, rule });
            }
            check_member(member, no as u64, set, limits)?;
        }
        let own = set.members.get(manifest.member.index()).cloned();
        let Some((own, geometry)) = own.zip(set.geometry(manifest.member, limits)) else {
            let (value, max) = (manifest.member.0.into(), members.saturating_sub(1));
            return Err(Fault::Limit { field: "member", value, max });
        };
        if manifest.stream && (own.parent.is_some() || manifest.dedup) {
            let rule = "stream form excludes incremental and deduplicated snapshots";
            return Err(Fault::Rule { field: "stream", value: 1, rule });
        }
        Ok(Self { manifest, own, geometry, json: None })
    }

    /// The JSON that is stored: the text for people first; of a parsed manifest the very bytes.
    pub fn to_json(&self) -> io::Result<Vec<u8>> {
        if let Some(json) = &self.json {
            return Ok(json.clone());
        }
        let mut json = serde_json::to_vec_pretty(&self.manifest)?;
        json.push(b'\n');
        Ok(json)
    }

    /// This file's own entry of the roster.
    pub const fn own(&self) -> &Member {
        &self.own
    }

    /// Size and chunk size of this file's member.
    pub const fn geometry(&self) -> Geometry {
        self.geometry
    }
}

fn check_member(
    member: &Member,
    no: u64,
    set: &SetManifest,
    limits: &Limits,
) -> std::result::Result<(), Fault> {
    if Geometry::new(member.size, set.chunk_size, limits.chunks).is_none() {
        let max = u64::from(limits.chunks) * u64::from(set.chunk_size.bytes());
        return Err(Fault::Limit { field: "member size", value: member.size, max });
    }
    for sector in [member.logical_sector, member.physical_sector] {
        if !sector.is_power_of_two() || !(512..=1 << 20).contains(&sector) {
            let rule = "must be a power of two from 512 to 1048576";
            return Err(Fault::Rule { field: "sector size", value: sector.into(), rule });
        }
    }
    match &member.parent {
        Some(parent) if parent.volume_id != member.volume_id || parent.set_id == set.id => {
            let rule = "a parent is another set's snapshot of the same volume";
            Err(Fault::Rule { field: "parent of member", value: no, rule })
        }
        _ => Ok(()),
    }
}
