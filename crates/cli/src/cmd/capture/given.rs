//! What is captured: members as they are, or another system's backup of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;

use foreign::backup::BackupSet;
use host::{device, in_use};
use jiff::Timestamp;
use repository::catalog::{Generation, Selection};
use restore::Volume;
use restore::snapfmt::{ChunkSize, Consistency, Digest, ExtentMap, Limits, SetId, VolumeId};

use super::{now, short_id};
use crate::args::CaptureArgs;
use crate::backup::Backup;
use crate::exit::Failure;
use crate::members;
use crate::select;
use crate::stack::{self, Joined};

/// What was given.
pub(super) enum Given {
    /// Raw images and devices.
    Members(Vec<(VolumeId, PathBuf)>),
    /// A set of backups, opened.
    Backup { set: Box<BackupSet>, joined: Box<Joined> },
}

/// What is captured, opened.
pub(super) struct Opened {
    pub(super) volume: Volume,
    /// The sector sizes of each of its members.
    pub(super) sectors: Vec<(u32, u32)>,
    /// What there is to be said of its content.
    pub(super) warnings: Vec<String>,
}

/// What the set that is written is called.
pub(super) struct Ids {
    pub(super) set_id: Option<SetId>,
    pub(super) source_volume: Option<VolumeId>,
    pub(super) generation: Option<u64>,
    pub(super) tags: BTreeMap<String, String>,
}

impl Given {
    /// Looks at what the arguments name.
    pub(super) fn look(args: &CaptureArgs) -> Result<Self, Failure> {
        if args.paths.is_empty() {
            return Ok(Self::Members(args.members.clone()));
        }
        if let Some(members) = members::raw(&args.paths, args.bytes)? {
            return Ok(Self::Members(members));
        }
        let backups = foreign::find(&args.paths, &foreign::Limits::DEFAULT).backups;
        if backups.is_empty() {
            return Err(nothing(&args.paths));
        }
        let selection = Selection {
            set_id: args.set_id.as_ref().map(ToString::to_string),
            source_volume: args.source_volume.clone(),
            generation: args.generation.map(Generation::Number),
            ..Selection::default()
        };
        let (backup, members) = Backup::open(select::backup(&backups, &selection)?)?;
        let joined = stack::join(members, &args.layout, &args.stack, true)?.proved()?;
        let set = backup.undamaged()?.set;
        Ok(Self::Backup { set: Box::new(set), joined: Box::new(joined) })
    }

    /// The ids of the backup, or what the arguments say.
    pub(super) fn ids(&self, args: &CaptureArgs) -> Ids {
        match self {
            Self::Backup { set, .. } => Ids {
                set_id: Some(set.id.clone()),
                source_volume: Some(set.source_volume_id.clone()),
                generation: Some(set.generation),
                tags: set.tags.clone(),
            },
            Self::Members(_) => Ids {
                set_id: args.set_id.clone(),
                source_volume: args.source_volume.clone(),
                generation: args.generation,
                tags: BTreeMap::new(),
            },
        }
    }

    /// When the members were at their state.
    pub(super) fn time(&self, args: &CaptureArgs) -> Result<Timestamp, Failure> {
        match (args.time, self) {
            (Some(time), _) => Ok(time),
            (None, Self::Members(_)) => now(),
            (None, Self::Backup { set, .. }) => set.time.ok_or_else(|| Failure::Usage {
                message: "nothing says when the backup was taken".into(),
                hint: "give its --time",
            }),
        }
    }

    /// A claim about the members' state must be possible: no process may be writing to them.
    pub(super) fn check_consistency(&self, args: &CaptureArgs) -> Result<(), Failure> {
        let Self::Members(members) = self else { return Ok(()) };
        if Consistency::from(args.consistency) == Consistency::Unknown || args.source_is_snapshot {
            return Ok(());
        }
        for (_, path) in members {
            let uses = in_use::writers(path).map_err(|e| members::failure(path, e))?;
            if let Some(used) = uses.first() {
                let message = format!("{} is {used}: its state cannot be claimed", path.display());
                let hint = "stop the writer, capture a snapshot of it (--source-is-snapshot), or claim nothing";
                return Err(Failure::Usage { message, hint });
            }
        }
        Ok(())
    }

    /// The volume, and what is known of it.
    pub(super) fn open(self, args: &CaptureArgs, chunk_size: ChunkSize) -> Result<Opened, Failure> {
        let opened = match self {
            Self::Backup { joined, .. } => {
                let sector = args.sector_size.unwrap_or(512);
                let sectors = vec![(sector, sector); joined.volume.members().len()];
                Opened { volume: joined.volume, sectors, warnings: joined.warnings }
            }
            Self::Members(members) => open_members(args, &members, chunk_size)?,
        };
        check_limits(&opened.volume)?;
        Ok(opened)
    }

    /// The same members always make the same volume.
    pub(super) fn volume_id(&self, args: &CaptureArgs) -> Result<VolumeId, Failure> {
        let members = match self {
            Self::Backup { set, .. } => return Ok(set.source_volume_id.clone()),
            Self::Members(members) => members,
        };
        if let [(only, _)] = members.as_slice()
            && args.stack.is_empty()
        {
            return Ok(only.clone());
        }
        let mut ids: Vec<String> = members.iter().map(|(id, _)| id.to_string()).collect();
        ids.extend(args.stack.lv.iter().map(ToString::to_string));
        ids.extend(args.stack.md.clone());
        ids.extend(args.stack.partitions.iter().map(ToString::to_string));
        short_id("vol", Digest::of(ids.join("\n").as_bytes()).as_bytes())
    }
}

/// Why there is nothing to be captured.
fn nothing(paths: &[PathBuf]) -> Failure {
    for path in paths {
        if let Err(error) = File::open(path) {
            return Failure::Member { path: path.clone(), error };
        }
    }
    Failure::Usage {
        message: "no device, raw image or other system's backup is there to be captured".into(),
        hint: "what is in a snapshot set already is captured once it is restored",
    }
}

fn open_members(
    args: &CaptureArgs,
    given: &[(VolumeId, PathBuf)],
    chunk_size: ChunkSize,
) -> Result<Opened, Failure> {
    let opened = members::open(given, chunk_size.bytes(), args.bytes)?;
    let joined = stack::join(opened, &args.layout, &args.stack, args.paths.is_empty())?;
    let Joined { volume, warnings, .. } = joined.proved()?;
    let mut sectors = Vec::new();
    for member in volume.members() {
        let Some((_, path)) = given.iter().find(|(id, _)| *id == member.volume_id) else {
            // A volume below this one that was not taken apart.
            let sector = args.sector_size.unwrap_or(512);
            sectors.push((sector, sector));
            continue;
        };
        let own = File::open(path).and_then(|file| device::sectors(&file));
        let own = own.map_err(|e| members::failure(path, e))?;
        let given = args.sector_size.filter(|_| path.is_file());
        sectors.push(given.map_or(own, |given| (given, given)));
    }
    Ok(Opened { volume, sectors, warnings })
}

/// A volume may lie in more pieces than a snapshot file can say.
fn check_limits(volume: &Volume) -> Result<(), Failure> {
    let map = volume.layout().map();
    let sizes: Vec<u64> = volume.members().iter().map(|m| m.source.size()).collect();
    let checked = ExtentMap::new(map.size(), &sizes, map.segments(), &Limits::DEFAULT);
    checked.map(drop).map_err(|error| Failure::Usage {
        message: error.to_string(),
        hint: "restore the volume to an image, and capture that",
    })
}
