//! What a server says of itself, in a file that outlives it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::mount::Plan;
use crate::name::Name;
use crate::place::Place;

/// An attached volume, as its server found and made it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct State {
    /// What it is called.
    pub name: Name,
    /// The server's process id. Whether that process lives is asked of its socket, since ids are given
    /// again.
    pub pid: u32,
    /// The set it is of; `None` for raw members.
    pub set_id: Option<String>,
    /// That set's content id; `None` where it can be written over.
    pub content_id: Option<String>,
    /// What there is to be said of its content.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The raw file.
    pub file: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Whether it can be written to.
    pub writable: bool,
    /// The loop devices over it, that of the whole volume first; none for a user without root.
    pub devices: Vec<LoopState>,
    /// The filesystems on those devices that are, or are about to be, mounted on this program's account.
    pub mounts: Vec<MountPoint>,
}

/// A place where a filesystem of an attached volume is mounted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MountPoint {
    /// Which filesystem, where and how.
    pub plan: Plan,
    /// Whether the directory was made for it, and goes with it.
    pub made: bool,
}

/// A loop device over an attached volume.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LoopState {
    /// Its device node.
    pub path: PathBuf,
    /// Which of all disks there ever were it is (`/sys/block/loopN/diskseq`, Linux 5.15): another one of the
    /// same name has another number.
    pub diskseq: Option<u64>,
    /// Which partition it is over; `None` for the whole volume.
    pub partition: Option<u32>,
    /// Its first byte in the volume.
    pub start: u64,
    /// How many bytes it has.
    pub length: u64,
    /// Its logical sector size in bytes.
    pub sector_size: u32,
}

impl State {
    /// What the place says; `None` where nothing was written yet.
    pub(super) fn read(place: &Place) -> io::Result<Option<Self>> {
        let text = match fs::read(place.state()) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        serde_json::from_slice(&text).map(Some).map_err(io::Error::from)
    }

    /// Puts this in the place, all of it or nothing.
    pub(super) fn write(&self, place: &Place) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::from)?;
        let next = place.next_state();
        let mut file = File::options();
        let file = file.write(true).create(true).truncate(true).mode(0o600).open(&next);
        file?.write_all(&text)?;
        fs::rename(next, place.state())
    }
}
