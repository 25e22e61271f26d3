//! `restore`: a set to a raw image, a device, a pipe or its members.

mod extent;
mod files;
mod journals;
mod members;
mod names;
mod overlaid;
mod pipes;
mod place;
pub(crate) mod plan;
mod report;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use disk::signature::Contents;
use host::device;
use host::entry::parent_directory;
use restore::engine::OnDamage;
use restore::job::{Restore, Target};
use restore::snapfmt::PreadFile;
use restore::{Counts, Digests, Throttle};

use crate::args::{Common, RestoreArgs};
use crate::exit::{Exit, Failure};
use crate::given::Given;
use crate::output::{Output, PathView, note, size};
use crate::subject::Subject;
use crate::view::set_name::SetName;
use crate::watch::Watch;

pub(crate) use extent::{Extent, range_of};
pub(crate) use files::new_file;
use files::{unfinished, write_map, write_report};
use names::{check, check_stdout, is_pipe, map_path, targets};
pub(crate) use names::{check_new, check_usage, output as output_path, same_place};
pub(crate) use pipes::are_given as are_pipes;
pub(crate) use place::{Place, counted, counted_apart, image_room};
use place::{claim, journal_at};
pub(crate) use report::ProofView;
use report::Restored;

/// Everything that is known before anything is written.
pub(crate) struct Ready {
    /// The volume.
    pub subject: Subject,
    /// Its content, in a word.
    pub word: String,
    /// Which bytes of it.
    pub extent: Extent,
    /// What they are.
    pub counts: Counts,
    /// Where they go.
    pub place: Place,
}

impl Ready {
    /// Opens the set and claims the target, or says why that cannot be.
    pub(crate) fn new(args: &RestoreArgs, common: &Common) -> Result<Self, Failure> {
        let given = Given::look(&args.set, common)?;
        let sources = given.sources(&targets(args));
        let sources: Vec<_> = sources.into_iter().chain(args.overlay.clone()).collect();
        let target = |extent: Option<&Extent>| {
            check(args, &sources)?;
            claim(args, extent, &sources)
        };
        let subject = or_check(given.in_doubt(), || target(None).map(drop))?;
        let extent = Extent::new(&args.extent, &subject.volume)?;
        let held = target(Some(&extent))?;
        let word = subject.word()?;
        let (subject, word) = match &args.overlay {
            Some(path) => overlaid::overlaid(path, subject, &word)?,
            None => (subject, word),
        };
        let counts = counted(&subject.volume, extent.range.clone(), on_damage(args))?;
        let place = Place::new(args, &extent, &counts, held)?;
        let subject = if args.salvage.salvage {
            subject.tell_doubt();
            subject
        } else {
            subject.undamaged()?
        };
        Ok(Self { subject, word, extent, counts, place })
    }

    /// How many bytes need not be done again, or why what earlier runs have left is in the way.
    pub(crate) fn look_at_what_is_left(&self, args: &RestoreArgs) -> Result<u64, Failure> {
        // Where the directory of the journals is still to be made, there is none.
        let is_there = |path: &&PathBuf| parent_directory(path).is_dir();
        let path = self.place.journal.as_ref().filter(is_there);
        let journal = path.map(|path| journal_at(args, path, self.word.clone())).transpose()?;
        let range = self.extent.range.start..self.extent.end;
        restore::job::look(&self.place.target, journal.as_ref(), &range)
            .map_err(|error| Failure::unfinished(error, false))
    }
}

/// A volume that can be opened, or why not; but what `check` finds wrong with the target goes before
/// damage. The target of a volume that can be opened is left to the caller.
fn or_check(
    subject: Result<Subject, Failure>,
    check: impl FnOnce() -> Result<(), Failure>,
) -> Result<Subject, Failure> {
    subject.or_else(|failure| {
        if failure.exit() == Exit::SourceDamaged {
            check()?;
        }
        Err(failure)
    })
}

/// Restores the set selected.
pub(crate) fn run(args: &RestoreArgs, common: &Common, output: Output) -> Result<Exit, Failure> {
    if args.dry_run {
        return plan::run(args, common, output);
    }
    if pipes::are_given(args) {
        return pipes::run(args, common, output);
    }
    if let Some(directory) = &args.members {
        return members::run(args, directory, common, output);
    }
    let start = Instant::now();
    check_usage(args)?;
    check_stdout(args, output)?;
    let ready = Ready::new(args, common)?;
    ready.place.announce(&ready.extent, common.verbose);
    let is_doubtful = ready.subject.is_doubtful();
    let (restored, lost) = match to_target(args, common, ready) {
        Err(failure) if is_pipe(args) && failure.has_lost_its_reader() => {
            return Ok(Exit::ReaderGone);
        }
        done => done?,
    };
    let restored = Restored { seconds: start.elapsed().as_secs_f64(), ..restored };
    tell(args, output, &restored)?;
    Ok(verdict(&restored, lost, is_doubtful))
}

/// Restores one volume to one target, under its name in the end. Gives the report and how many bytes
/// were lost.
fn to_target(
    args: &RestoreArgs,
    common: &Common,
    ready: Ready,
) -> Result<(Restored, u64), Failure> {
    let Ready { subject, word, extent, counts, place } = ready;
    place.prepare(args)?;
    let Place { target, journal, held, room: _ } = place;
    let in_place = held.is_some();
    let hashes = &args.proof.hash;
    let digests = (!hashes.is_empty()).then(|| Digests::new(hashes.iter().copied()));
    let throttle = args.target.limit_rate.map(Throttle::new);
    let path = (!matches!(target, Target::Pipe { .. })).then(|| names::output(args).to_owned());
    let request = Restore {
        volume: &subject.volume,
        range: extent.range.clone(),
        end: extent.end,
        target,
        journal: journal.map(|path| journal_at(args, &path, word)).transpose()?,
        io: args.target.io.into(),
        jobs: common.jobs(),
        on_damage: on_damage(args),
        digests: digests.as_ref(),
        throttle: throttle.as_ref(),
        local: None,
        foreground: None,
        verify_target: args.proof.verify_target,
    };
    // From here on a signal is heard.
    let mut watch = Watch::of_sparse(common, "restoring", &counts);
    let result = request.run(watch.progress());
    let terminated = watch.finish();
    let restored =
        result.map_err(|unfinished| Failure::Unfinished { unfinished, in_place, terminated })?;
    let (size, report) = (subject.volume.size(), &restored.report);
    let named = path.unwrap_or_else(|| PathBuf::from("-"));
    let set = SetName::of(&subject).under(args.overlay.as_deref());
    let mut view = Restored::new(set, (&named).into(), size, report);
    view.range = [extent.range.start, extent.range.end];
    view.target_size = extent.len();
    view.method = restored.method.to_string();
    view.target_verified = args.proof.verify_target;
    if args.salvage.salvage {
        let map = map_path(args);
        let entry = files::entry(&map)?;
        let written = write_map(&entry, &named, size, &extent.range, report, args.target.force)?;
        view.map = written.then(|| PathView::from(map));
    }
    let lost = report.damaged_ranges().bytes();
    if common.verbose {
        note(&format!("{named}: written by {} I/O", view.method, named = named.display()));
    }
    let written = restored.file().and_then(|file| file.try_clone().ok());
    restored.publish().map_err(|error| unfinished(&named, error))?;
    drop(held);
    if let Some(file) = written
        && extent.range.start == 0
    {
        hint_growth(file, &named, subject.volume.size());
    }
    Ok((view.with_hashes(digests.map(Digests::finish).unwrap_or_default()), lost))
}

pub(crate) fn on_damage(args: &RestoreArgs) -> OnDamage {
    let fill = args.salvage.fill;
    if args.salvage.salvage { OnDamage::Salvage { fill } } else { OnDamage::Stop }
}

/// A target larger than the volume has a filesystem that does not know of it.
fn hint_growth(file: File, path: &Path, volume_size: u64) {
    let contents = || -> io::Result<Contents> {
        let larger = device::size(&file)? > volume_size;
        // What is found is of the volume alone.
        Ok(if larger { Contents::of(&PreadFile::new(file, volume_size)) } else { Contents::Blank })
    };
    let Ok(contents) = contents() else { return };
    for found in contents.signatures() {
        if let Some(hint) = found.kind.grow_hint() {
            let target = path.display();
            let (noun, hint) = (found.kind.noun(), hint.replace("TARGET", &target.to_string()));
            note(&format!("{target} is larger than the {noun}; to use all of it: {hint}"));
        }
    }
}

/// Prints the report, and writes it where that was asked for.
fn tell(args: &RestoreArgs, output: Output, restored: &Restored) -> Result<(), Failure> {
    write_report(args, restored)?;
    if is_pipe(args) {
        // Standard output has the volume.
        restored.text().lines().for_each(note);
        Ok(())
    } else {
        output.result(restored, Restored::text)
    }
}

fn verdict(restored: &Restored, lost: u64, is_doubtful: bool) -> Exit {
    match &restored.map {
        None if is_doubtful => {
            note("done, nothing was lost; that it is put together as it was is in doubt");
            Exit::DoneWithDamage
        }
        None => Exit::Done,
        Some(map) => {
            let lost = size(lost);
            note(&format!("done with damage: {lost} could not be read, {map} says where"));
            Exit::DoneWithDamage
        }
    }
}
