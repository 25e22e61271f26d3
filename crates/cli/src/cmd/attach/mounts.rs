//! `--mount`: which filesystems, where, and what is to be said of them.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use attach::{
    Access, Attached, Device, Disk, DuplicateUuid, Found, Plan, Recipe, State, find, find_all,
    sector_size_for,
};
use disk::filesystem::State as Left;
use disk::signature::Kind;
use host::entry::{Directory, LinkOfAnother};

use super::home;
use crate::args::AttachArgs;
use crate::exit::{AttachFailure, Failure, Refusal};
use crate::output::note;

/// The filesystems of a volume.
pub(super) struct Filesystems {
    found: Vec<(Found, Option<DuplicateUuid>)>,
    /// Where they are to be mounted, if they are.
    at: Option<PathBuf>,
    access: Access,
}

impl Filesystems {
    /// Looks for what is to be mounted or else, to warn of it, for what could be.
    pub(super) fn look(args: &AttachArgs, disk: &Disk, sector_size: u32) -> Result<Self, Failure> {
        let at = args.mount.as_deref().map(directory).transpose()?;
        let image = disk.image();
        let found = match &args.mount {
            Some(_) => find(image, sector_size, &args.set.stack.partitions)?,
            None => find_all(image, sector_size),
        };
        let access = Access { writable: disk.writable().is_some(), exec: args.mount_exec };
        let with_twin = |found: Found| {
            let twin = DuplicateUuid::of(&found.filesystem, args.mount.is_some());
            (found, twin)
        };
        let found: Vec<_> = found.into_iter().map(with_twin).collect();
        if at.is_some() {
            found.iter().try_for_each(|(found, twin)| refuse(found, twin.as_ref(), access))?;
        }
        Ok(Self { found, at, access })
    }

    /// The devices wanted for partitions that are to be mounted.
    ///
    /// Each is a loop device over the bytes of the partition. The kernel's own partition devices would all
    /// be there, not only those asked for, and by its reading of a table that may be damaged or hostile.
    pub(super) fn devices(&self, sector_size: u32) -> impl Iterator<Item = Device> {
        let found = self.found.iter().filter(|_| self.at.is_some());
        let partitions = found.filter(|(found, _)| found.partition.is_some());
        partitions.map(move |(found, _)| Device {
            partition: found.partition,
            start: found.range.start,
            length: found.range.end - found.range.start,
            sector_size: sector_size_for(&found.range, sector_size),
            scan_partitions: false,
        })
    }

    /// How they are mounted: one at the directory, several in directories of it.
    pub(super) fn plans(&self, state: &State) -> Vec<Plan> {
        let Some(directory) = &self.at else { return Vec::new() };
        let plan = |(found, _): &(Found, Option<DuplicateUuid>)| {
            let at = match found.partition {
                Some(number) if self.found.len() > 1 => directory.join(format!("p{number}")),
                _ => directory.clone(),
            };
            let device = device_of(found, state)?;
            let recipe = Recipe::of(&found.filesystem, self.access).ok()?;
            Some(Plan { partition: found.partition, device: device.to_owned(), at, recipe })
        };
        self.found.iter().filter_map(plan).collect()
    }

    /// Says what should be known before they are mounted, now or later by hand.
    pub(super) fn warn(&self, state: &State) {
        for (found, twin) in &self.found {
            if self.at.is_some() {
                self.say_how_it_was_left(found);
            }
            if let Some(twin) = twin {
                self.say_there_is_another(found, twin, state);
            }
        }
    }

    fn say_how_it_was_left(&self, found: &Found) {
        let what = &found.filesystem.signature;
        match (found.filesystem.facts.state, self.access.writable) {
            (Left::NeedsReplay, false) => note(&format!(
                "{what} was not unmounted: its journal holds changes that are not in place yet. It is \
                 mounted without them, and files changed last may be old, missing or torn. With \
                 --overlay tmp they are put in place as after a crash, and the sources stay as they are"
            )),
            (Left::NeedsReplay, true) => note(&format!(
                "{what} was not unmounted: its journal is put in place, in the overlay"
            )),
            (Left::NotUnmounted, _) => note(&format!(
                "{what} was not unmounted, and has no journal: files changed last may be torn"
            )),
            (Left::HasErrors, _) => {
                note(&format!("{what} has noted errors itself: what is read may be wrong"));
            }
            (Left::Clean | Left::Unknown, _) => {}
        }
    }

    fn say_there_is_another(&self, found: &Found, twin: &DuplicateUuid, state: &State) {
        let what = &found.filesystem.signature;
        let other = twin.device.as_ref().map(|path| format!(" on {}", path.display()));
        let other = other.unwrap_or_default();
        if twin.is_confused {
            return note(&format!(
                "{what} has the id of one that is in use{other}: do not mount this one, the kernel \
                 would mix the two"
            ));
        }
        let advice = match (&self.at, Recipe::of(&found.filesystem, self.access)) {
            (None, Ok(recipe)) => {
                let device = device_of(found, state).unwrap_or_else(|| Path::new("DEVICE"));
                format!(": mount it with mount {recipe} {} DIR", device.display())
            }
            _ => String::new(),
        };
        note(&format!(
            "{what} has the id of the one{other}; whatever goes by ids may take one for the other{advice}"
        ));
    }
}

/// The device that shows a filesystem's bytes.
fn device_of<'s>(found: &Found, state: &'s State) -> Option<&'s Path> {
    let device = state.devices.iter().find(|device| device.partition == found.partition);
    device.map(|device| device.path.as_path())
}

/// Where to mount, by the name that the mount table will have for it.
fn directory(path: &Path) -> Result<PathBuf, Failure> {
    let refused = |what: &str| Failure::Usage {
        message: format!("{}: {what}", path.display()),
        hint: "--mount names a directory that is there",
    };
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::Usage {
            message: "--mount takes root: only root may mount".into(),
            hint: "run this as root, or without --mount: the volume is a file then",
        });
    }
    let opened = Directory::open(path).and_then(|directory| directory.real_path());
    let directory = opened.map_err(|error| match error {
        link if LinkOfAnother::is_why(&link) => {
            Failure::Target { path: path.to_owned(), error: link }
        }
        other => refused(&other.to_string()),
    })?;
    // What is attached is noted as text.
    if directory.to_str().is_none() {
        return Err(refused("its name is no UTF-8 text"));
    }
    // What is mounted there could never be unmounted.
    if directory.file_name().is_none() {
        return Err(refused("is the root of all directories"));
    }
    refuse_mounted(&directory)?;
    Ok(directory)
}

/// Refuses to mount over what is attached: detaching either would take down the other's mount.
fn refuse_mounted(directory: &Path) -> Result<(), Failure> {
    let device = |path: &Path| path.metadata().ok().map(|meta| meta.dev());
    let is_mount_point = directory.parent().is_some_and(|above| device(above) != device(directory));
    let all = if is_mount_point { Attached::all(&home()?)? } else { Vec::new() };
    let is_there = |attached: &&Attached| {
        attached.state().is_some_and(|state| state.mounts.iter().any(|m| m.plan.at == directory))
    };
    match all.iter().find(is_there) {
        Some(attached) => {
            let (path, name) = (directory.to_owned(), attached.place().name().to_string());
            Err(Failure::Refused { path, why: Refusal::Mounted(name) })
        }
        None => Ok(()),
    }
}

fn refuse(found: &Found, twin: Option<&DuplicateUuid>, access: Access) -> Result<(), Failure> {
    let signature = &found.filesystem.signature;
    match twin {
        Some(twin) if twin.is_confused && signature.kind == Kind::Btrfs => {
            let uuid = signature.uuid.clone().unwrap_or_default();
            Err(Failure::Attach(AttachFailure::DuplicateUuid { uuid, device: twin.device.clone() }))
        }
        _ => match Recipe::of(&found.filesystem, access) {
            Ok(_) => Ok(()),
            Err(why) => {
                let what = signature.to_string();
                Err(Failure::Attach(AttachFailure::Unmountable { what, why }))
            }
        },
    }
}
