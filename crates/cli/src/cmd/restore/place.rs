//! Where a volume goes: the target as the engine takes it, whether it may be written, whether it
//! fits.

use std::fs;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use host::entry::Entry;
use host::interlock::{self, TargetClaim};
use host::room::{self, check_room};
use restore::engine::OnDamage;
use restore::job::{JournalAt, Target};
use restore::journal::SyncPoints;
use restore::sink::ImageSink;
use restore::snapfmt::{MemberNo, Offset};
use restore::survey::survey;
use restore::{Counts, Progress, Volume};

use super::extent::Extent;
use super::files::entry;
use super::journals::{give_up, journal, make_state_directory, rivals, unusable};
use super::names::{is_pipe, output};
use crate::args::{RestoreArgs, SyncEvery};
use crate::exit::{Failure, Refusal};
use crate::output::note;

/// A target that may be written to.
pub(crate) struct Place {
    /// As the engine takes it.
    pub target: Target,
    /// Where its journal goes, unless there is none.
    pub journal: Option<PathBuf>,
    /// The claim on what is overwritten in place.
    pub held: Option<TargetClaim>,
    /// What there is for what it needs, where that is known.
    pub room: Option<room::Room>,
}

impl Place {
    /// The target that the arguments name, which is claimed if it is overwritten in place.
    pub(crate) fn new(
        args: &RestoreArgs,
        extent: &Extent,
        counts: &Counts,
        held: Option<TargetClaim>,
    ) -> Result<Self, Failure> {
        if is_pipe(args) {
            return Self::pipe();
        }
        let path = output(args).to_owned();
        if let Some(held) = held {
            return Self::in_place(args, path, extent, counts, held);
        }
        let (replace, preallocate) = (args.target.force, args.target.preallocate);
        let entry = entry(&path)?;
        let room = Some(image_room(&entry, extent.len(), counts, preallocate)?);
        let journal = journal(args, &path, None)?;
        let target = Target::Image { entry, replace, preallocate };
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
        held: TargetClaim,
    ) -> Result<Self, Failure> {
        let room = if held.is_device() {
            None
        } else {
            let needs = room::Needs {
                file_size: extent.end.max(held.size()),
                data_bytes: counts.data,
                preallocate: args.target.preallocate,
            };
            Some(check_room(&entry(&path)?, Some(held.file()), needs).map_err(Failure::Room)?)
        };
        let journal = journal(args, &path, Some(&held))?;
        if !args.resume.restart
            && let Some(rival) = rivals(args, &path, &held, journal.as_deref())?.pop()
        {
            return Err(Failure::Refused { path: rival.path(), why: Refusal::Unfinished });
        }
        let (delta, preallocate) = (args.target.delta, args.target.preallocate);
        // What was claimed is what is written to.
        let file = held.file().try_clone();
        let file = file.map_err(|error| Failure::Target { path: path.clone(), error })?;
        let target = Target::InPlace { file, path, delta, preallocate };
        Ok(Self { target, journal, held: Some(held), room })
    }

    /// Makes the directory for the journals of devices, and throws away what `--restart` gives up.
    pub(crate) fn prepare(&self, args: &RestoreArgs) -> Result<(), Failure> {
        if let Some(path) = &self.journal {
            make_state_directory(path)?;
        }
        let Some(held) = self.held.as_ref().filter(|_| args.resume.restart) else { return Ok(()) };
        let rivals = rivals(args, output(args), held, self.journal.as_deref())?;
        rivals.iter().try_for_each(give_up)
    }

    /// Says what is going to be lost.
    pub(crate) fn announce(&self, extent: &Extent, verbose: bool) {
        let Some(held) = &self.held else { return };
        note(&format!("overwriting {}; it holds {}", held.identity(), held.contents()));
        if held.size() > extent.end && verbose {
            let end = extent.end;
            let end = Offset(end);
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
) -> Result<Option<TargetClaim>, Failure> {
    if !args.target.in_place {
        return Ok(None);
    }
    let shared = args.extent.shard.is_some();
    let needs = interlock::Needs {
        range: extent.map_or(0..0, |extent| extent.range.start..extent.end),
        expect_serial: args.target.expect_serial.clone(),
        expect_size: args.target.expect_size.map(|size| size.0),
        // What is not there is said when it is read.
        sources: sources.iter().filter(|path| path.exists()).cloned().collect(),
        shared,
        // One of several processes cannot know whether another is still to come.
        may_grow: !shared,
    };
    interlock::check(output(args), &needs).map(Some).map_err(Failure::Interlock)
}

/// What the indexes say of a range. Damage in them is for what reads the range to stop at, or to go on.
pub(crate) fn counted(
    volume: &Volume,
    range: Range<u64>,
    on_damage: OnDamage,
) -> Result<Counts, Failure> {
    match (survey(volume, range, &Progress::default()), on_damage) {
        (Ok(counts), _) => Ok(counts),
        (Err(_), OnDamage::Salvage { .. }) => Ok(Counts::default()),
        (Err(error), OnDamage::Stop) => Err(Failure::Survey(error)),
    }
}

/// Counts the bytes of all members, each by itself. Where one cannot be counted there is only less to say
/// of how long it will take.
pub(crate) fn counted_apart(volume: &Volume) -> Result<Counts, Failure> {
    let mut counts = Counts::default();
    for (no, _) in (0..).zip(volume.members()) {
        let alone = volume.alone(MemberNo(no)).map_err(|e| Failure::Layout(e.into()))?;
        counts.add(&counted(&alone, 0..alone.size(), OnDamage::Salvage { fill: 0 })?);
    }
    Ok(counts)
}

/// Room for a new image of so many bytes; what an unfinished run has left of it is not needed again. What it
/// replaces stays until it is whole, and gives it nothing.
pub(crate) fn image_room(
    target: &Entry,
    file_size: u64,
    counts: &Counts,
    preallocate: bool,
) -> Result<room::Room, Failure> {
    let needs = room::Needs { file_size, data_bytes: counts.data, preallocate };
    // Whether it may be taken up is asked later.
    let left = ImageSink::temporary(target).open_to_give_up().ok().flatten();
    check_room(target, left.as_ref(), needs).map_err(Failure::Room)
}

/// The journal as the engine takes it.
pub(crate) fn journal_at(
    args: &RestoreArgs,
    path: &Path,
    volume: String,
) -> Result<JournalAt, Failure> {
    let entry = Entry::at(path).map_err(|error| unusable(path.to_owned(), error))?;
    Ok(journal_in(args, entry, volume))
}

/// The same, where its directory is open.
pub(crate) fn journal_in(args: &RestoreArgs, entry: Entry, volume: String) -> JournalAt {
    let points = points(&args.resume.sync_every);
    JournalAt { entry, volume, points, restart: args.resume.restart }
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
