//! Where a volume goes: the target as the engine takes it, whether it may be written, whether it
//! fits, and where its journal is.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use restore::interlock::{self, Held};
use restore::job::{JobError, JournalAt, Target, identity};
use restore::journal::{JournalError, SyncPoints};
use restore::room::{self, check_room};
use restore::sink::{ImageSink, beside};
use restore::snapfmt::Digest;
use restore::{Counts, Part};

use super::extent::Extent;
use super::names::{is_pipe, output};
use crate::args::{RestoreArgs, SyncEvery};
use crate::exit::Failure;
use crate::output::note;

/// A target that may be written to.
pub(crate) struct Place {
    /// As the engine takes it.
    pub target: Target,
    /// Where its journal goes, unless there is none.
    pub journal: Option<PathBuf>,
    /// The claim on what is overwritten in place.
    pub held: Option<Held>,
    /// What there is for what it needs, where that is known.
    pub room: Option<room::Room>,
}

impl Place {
    /// The target that the arguments name, which is claimed if it is overwritten in place.
    pub(crate) fn new(
        args: &RestoreArgs,
        extent: &Extent,
        counts: &Counts,
        held: Option<Held>,
    ) -> Result<Self, Failure> {
        if is_pipe(args) {
            return Self::pipe();
        }
        let path = output(args).to_owned();
        if let Some(held) = held {
            return Self::in_place(args, path, extent, counts, held);
        }
        let needs = room::Needs {
            file_size: extent.len(),
            data_bytes: counts.data,
            preallocate: args.target.preallocate,
        };
        let room = Some(image_room(&path, needs)?);
        let journal = journal(args, &path, None)?;
        let (replace, preallocate) = (args.target.force, args.target.preallocate);
        let target = Target::Image { path, replace, preallocate };
        Ok(Self { target, journal, held: None, room })
    }

    fn pipe() -> Result<Self, Failure> {
        let failed = |error| Failure::Target { path: PathBuf::from("standard output"), error };
        // The descriptor itself: what the standard library offers looks for line ends.
        let stdout = io::stdout().as_fd().try_clone_to_owned().map_err(failed)?;
        let out = Box::new(fs::File::from(stdout));
        let target = Target::Pipe { out, name: PathBuf::from("standard output") };
        Ok(Self { target, journal: None, held: None, room: None })
    }

    fn in_place(
        args: &RestoreArgs,
        path: PathBuf,
        extent: &Extent,
        counts: &Counts,
        held: Held,
    ) -> Result<Self, Failure> {
        let room = if held.is_device() {
            None
        } else {
            let needs = room::Needs {
                file_size: extent.end.max(held.size()),
                data_bytes: counts.data,
                preallocate: args.target.preallocate,
            };
            Some(check_room(&path, needs).map_err(Failure::Room)?)
        };
        let device = held.is_device().then_some(path.as_path());
        let journal = journal(args, &path, device)?;
        let (delta, preallocate) = (args.target.delta, args.target.preallocate);
        let target = Target::InPlace { path, delta, preallocate };
        Ok(Self { target, journal, held: Some(held), room })
    }

    /// Makes the directory for the journals of devices, if one goes there.
    pub(crate) fn make_state_directory(&self) -> Result<(), Failure> {
        let state = state_directory();
        match self.journal.as_deref().and_then(Path::parent) {
            Some(directory) if directory == state => {
                let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
                made.map_err(|source| Failure::Unfinished {
                    unfinished: JobError::from(JournalError::Io { path: state, source }).into(),
                    in_place: true,
                    terminated: false,
                })
            }
            _ => Ok(()),
        }
    }

    /// Says what is going to be lost.
    pub(crate) fn announce(&self, extent: &Extent, verbose: bool) {
        let Some(held) = &self.held else { return };
        note(&format!("overwriting {}; it holds {}", held.identity(), held.contents()));
        if held.size() > extent.end && verbose {
            let end = extent.end;
            note(&format!("what it has behind byte {end} stays; --size says otherwise"));
        }
    }
}

/// Claims what is to be overwritten in place, or says why it must not be; where the volume could not
/// be opened, without asking whether it fits.
pub(crate) fn claim(
    args: &RestoreArgs,
    extent: Option<&Extent>,
    sources: &[PathBuf],
) -> Result<Option<Held>, Failure> {
    if !args.target.in_place {
        return Ok(None);
    }
    let shared = args.extent.shard.is_some();
    let needs = interlock::Needs {
        range: extent.map_or(0..0, |extent| extent.range.start..extent.end),
        expect_serial: args.target.expect_serial.clone(),
        expect_size: args.target.expect_size.map(|size| size.0),
        // What is not there is said by whoever wants to read it.
        sources: sources.iter().filter(|path| path.exists()).cloned().collect(),
        shared,
        // One of several processes cannot know whether another is still to come.
        may_grow: !shared,
    };
    interlock::check(output(args), &needs).map(Some).map_err(Failure::Interlock)
}

/// Room for a new image; what an unfinished run has left of it is not needed again.
fn image_room(path: &Path, needs: room::Needs) -> Result<room::Room, Failure> {
    let temporary = ImageSink::temporary_path(path).ok().filter(|path| path.is_file());
    check_room(temporary.as_deref().unwrap_or(path), needs).map_err(Failure::Room)
}

/// Where the journal goes.
fn journal(
    args: &RestoreArgs,
    target: &Path,
    device: Option<&Path>,
) -> Result<Option<PathBuf>, Failure> {
    if args.resume.no_journal {
        return Ok(None);
    }
    if let Some(path) = &args.resume.journal {
        return Ok(Some(path.clone()));
    }
    let failed = |error| Failure::Target { path: target.to_owned(), error };
    let part = args.extent.shard.map(part_suffix).unwrap_or_default();
    let suffix = format!(".journal{part}");
    let Some(device) = device else { return beside(target, &suffix).map(Some).map_err(failed) };
    let name = Digest::of(identity(device).map_err(failed)?.as_bytes()).to_string();
    let short = name.get(..16).unwrap_or(&name);
    Ok(Some(state_directory().join(format!("{short}{suffix}"))))
}

/// `-2-of-5`.
fn part_suffix(part: Part) -> String {
    format!("-{}", part.to_string().replace('/', "-of-"))
}

/// Where what must outlive a restart is kept: `/var/lib` for root (Filesystem Hierarchy Standard 3.0,
/// 5.8), `$XDG_STATE_HOME` for others (XDG Base Directory Specification 0.8).
fn state_directory() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/snaprestore");
    }
    let own = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    let home = || std::env::home_dir().unwrap_or_default().join(".local/state");
    own.unwrap_or_else(home).join("snaprestore")
}

/// The journal as the engine takes it.
pub(crate) fn journal_at(args: &RestoreArgs, path: PathBuf, volume: String) -> JournalAt {
    JournalAt {
        path,
        volume,
        points: points(&args.resume.sync_every),
        restart: args.resume.restart,
    }
}

/// What is not given does not bring a sync point about, unless nothing is.
fn points(given: &[SyncEvery]) -> SyncPoints {
    if given.is_empty() {
        return SyncPoints::default();
    }
    let mut points = SyncPoints { bytes: u64::MAX, time: Duration::from_secs(3600) };
    for every in given {
        match *every {
            SyncEvery::Bytes(bytes) => points.bytes = bytes,
            SyncEvery::Time(time) => points.time = time,
        }
    }
    points
}
