//! `restore --members DIR`: each underlying volume as a raw image of its own, with the layout.

use std::io;
use std::path::Path;
use std::time::Instant;

use host::entry::PARTIAL;
use host::entry::{Directory, Entry, NotOwn};
use host::room::{self, check_room};
use restore::engine::RunError;
use restore::job::{JobError, Restore, Target, Unfinished};
use restore::journal::JOURNAL;
use restore::sink::ImageSink;
use restore::snapfmt::{MemberNo, VolumeId};
use restore::{Counts, Progress, Report, Throttle, Volume};
use serde::Serialize;

use super::files::{entry, write_map, write_private, write_report};
use super::names::{check, check_usage, map_beside, targets};
use super::place::{counted, counted_apart, journal_in};
use super::report::Restored;
use super::{on_damage, or_check};
use crate::args::{Common, RestoreArgs};
use crate::exit::{Exit, Failure, Refusal};
use crate::given::Given;
use crate::output::{Output, PathView, note};
use crate::subject::{Subject, layout_text};
use crate::view::set_name::SetName;
use crate::watch::Watch;

const LAYOUT: &str = "layout.toml";

#[derive(Serialize)]
struct Outcome {
    directory: PathView,
    layout: Option<PathView>,
    members: Vec<Restored>,
    seconds: f64,
}

/// Restores every member the set has.
pub(super) fn run(
    args: &RestoreArgs,
    directory: &Path,
    common: &Common,
    output: Output,
) -> Result<Exit, Failure> {
    let start = Instant::now();
    check_usage(args)?;
    let given = Given::look(&args.set, common)?;
    let sources = given.sources(&targets(args));
    let names = || {
        check_new_directory(directory)?;
        check(args, &sources)
    };
    let subject = or_check(given.members(), names)?;
    names()?;
    let subject = if args.salvage.salvage { subject } else { subject.undamaged()? };
    let word = subject.word()?;
    let unnamed = Work::begin(args, directory, &subject)?;
    let times = if args.proof.verify_target { 2 } else { 1 };
    let counts = counted_apart(&subject.volume)?;
    // One for all members: a signal that comes between two of them is heard.
    let mut watch = Watch::of_runs(common, "restoring", &counts, times);
    let restored = unnamed.restore(args, common, &subject, &word, watch.progress());
    let terminated = watch.finish();
    let members = restored.map_err(|stopped| {
        // Goes only if there is nothing in it to go on with.
        let _ = unnamed.entry.remove_directory();
        match stopped {
            Stopped::Unfinished(unfinished) => Failure::unfinished(unfinished, terminated),
            Stopped::Other(failure) => *failure,
        }
    })?;
    unnamed.finish(&subject)?;
    let lost = members.iter().any(|m| m.map.is_some());
    let members = Outcome {
        directory: directory.into(),
        layout: subject.is_volume().then(|| directory.join(LAYOUT).into()),
        members: members.into_iter().map(|m| within(m, directory)).collect(),
        seconds: start.elapsed().as_secs_f64(),
    };
    write_report(args, &members)?;
    output.result(&members, |m| m.members.iter().map(Restored::text).collect())?;
    if lost {
        note("done with damage: the maps beside the images say where");
        return Ok(Exit::DoneWithDamage);
    }
    Ok(Exit::Done)
}

/// There is nothing under the name, or what a run was about to tidy up that was killed.
fn check_new_directory(path: &Path) -> Result<(), Failure> {
    let target = entry(path)?;
    match target.look() {
        Ok(None) => Ok(()),
        Err(error) => Err(Failure::Target { path: path.to_owned(), error }),
        Ok(Some(_)) => match target.open_own_directory() {
            Ok(Some(directory)) if has_journals(&directory) => Ok(()),
            _ => Err(Failure::Refused { path: path.to_owned(), why: Refusal::DirectoryExists }),
        },
    }
}

fn has_journals(directory: &Directory) -> bool {
    let is_journal = |name: &std::ffi::OsString| name.to_string_lossy().ends_with(JOURNAL);
    directory.names().is_ok_and(|names| names.iter().any(is_journal))
}

/// Why a member was not restored.
enum Stopped {
    Unfinished(Unfinished),
    Other(Box<Failure>),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Other(Box::new(failure))
    }
}

/// The directory while it is filled.
struct Work {
    directory: Directory,
    /// Its name so far.
    entry: Entry,
    target: Entry,
}

impl Work {
    /// Makes the directory, or goes on with what an earlier run has left of it: under the name it gets in the
    /// end, that is journals which are not needed any more.
    fn begin(args: &RestoreArgs, path: &Path, subject: &Subject) -> Result<Self, Failure> {
        let failed = |error| Failure::Target { path: path.to_owned(), error };
        let target = entry(path)?;
        if target.exists() {
            if args.resume.restart {
                let path = path.to_owned();
                return Err(Failure::Refused { path, why: Refusal::DirectoryExists });
            }
            let directory = own_directory(&target)?.ok_or_else(|| failed(gone()))?;
            return Self { directory, entry: target.clone(), target }.locked();
        }
        room(args, &target, subject)?;
        let partial = target.beside(PARTIAL);
        if let Some(directory) = own_directory(&partial)? {
            let work = Self { directory, entry: partial, target }.locked()?;
            if args.resume.restart {
                work.directory.clear().map_err(failed)?;
            }
            return Ok(work);
        }
        // It gets the name of an unfinished one as it will get its own: what the filesystem cannot do shows
        // before the work, not after it.
        let prefix = target.beside(".").name().to_owned();
        let (new, directory) = target.directory().new_directory(&prefix).map_err(failed)?;
        if let Err(error) = new.publish_directory(&directory, &partial) {
            let _ = new.remove_directory();
            return Err(match error.kind() {
                io::ErrorKind::AlreadyExists => busy(path),
                _ => failed(error),
            });
        }
        Self { directory, entry: partial, target }.locked()
    }

    /// Keeps others away who restore to the same directory.
    fn locked(self) -> Result<Self, Failure> {
        let path = self.target.path();
        let is_locked = self.directory.lock().and_then(|locked| {
            // Who had the lock may have finished it meanwhile.
            Ok(locked && self.entry.is(&self.directory)?)
        });
        match is_locked {
            Ok(true) => Ok(self),
            Ok(false) => Err(busy(&path)),
            Err(error) => Err(Failure::Target { path, error }),
        }
    }

    fn is_published(&self) -> bool {
        self.entry.name() == self.target.name()
    }

    /// Where a member's image is: its number first, for an id may be any text.
    fn image(&self, no: u32, volume_id: &VolumeId) -> Entry {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
        let id: String = volume_id.as_str().chars().map(plain).take(128).collect();
        self.directory.entry(format!("{no}-{id}.raw"))
    }

    fn images(&self, subject: &Subject) -> Vec<Entry> {
        let members = (0..).zip(subject.volume.members());
        members.map(|(no, member)| self.image(no, &member.volume_id)).collect()
    }

    /// Restores all members, one after the other.
    fn restore(
        &self,
        args: &RestoreArgs,
        common: &Common,
        subject: &Subject,
        word: &str,
        progress: &Progress,
    ) -> Result<Vec<Restored>, Stopped> {
        let mut done = Vec::new();
        let mut bytes = 0_u64;
        for (no, image) in (0..).zip(self.images(subject)) {
            if progress.is_cancelled() {
                let error = JobError::Run(RunError::Interrupted);
                return Err(Stopped::Unfinished(Unfinished { error, proven: bytes }));
            }
            let alone = subject.volume.alone(MemberNo(no));
            let alone = alone.map_err(|e| Failure::Layout(e.into()))?;
            let member = Member { args, common, subject, volume: &alone, image };
            done.push(if self.is_published() && !member.has_journal() {
                member.finished()
            } else {
                member.restore(format!("{word}-{no}"), progress)?
            });
            bytes = bytes.saturating_add(alone.size());
        }
        Ok(done)
    }

    /// Writes the layout, gives the directory its name, and only then removes the journals: until then a run
    /// that is killed goes on, and after it there is nothing left to do but this.
    fn finish(self, subject: &Subject) -> Result<(), Failure> {
        let path = self.target.path();
        let failed = |error| Failure::Target { path: path.clone(), error };
        if !self.is_published() {
            if subject.is_volume() {
                let text = layout_text(&subject.volume);
                write_private(&self.directory.entry(LAYOUT), &text, true)?;
            }
            self.directory.sync().map_err(failed)?;
            let published = self.entry.publish_directory(&self.directory, &self.target);
            published.map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => {
                    Failure::Refused { path: path.clone(), why: Refusal::DirectoryExists }
                }
                _ => failed(error),
            })?;
        }
        let journals = self.images(subject).into_iter().map(|image| image.beside(JOURNAL));
        journals.into_iter().try_for_each(|journal| journal.remove()).map_err(failed)?;
        self.directory.sync().map_err(failed)
    }
}

fn gone() -> io::Error {
    io::ErrorKind::NotFound.into()
}

fn busy(path: &Path) -> Failure {
    Failure::unfinished(JobError::Busy { path: path.to_owned() }, false)
}

/// A directory that a run of the caller has left.
fn own_directory(entry: &Entry) -> Result<Option<Directory>, Failure> {
    entry.open_own_directory().map_err(|error| match error {
        NotOwn::Foreign(why) => {
            Failure::unfinished(JobError::Foreign { path: entry.path(), why }, false)
        }
        NotOwn::System(error) => Failure::Target { path: entry.path(), error },
    })
}

/// One member and its image.
struct Member<'m> {
    args: &'m RestoreArgs,
    common: &'m Common,
    subject: &'m Subject,
    volume: &'m Volume,
    image: Entry,
}

impl Member<'_> {
    fn has_journal(&self) -> bool {
        self.image.beside(JOURNAL).exists()
    }

    /// What the report says of an image whose journal is removed already: all of it was done before.
    fn finished(&self) -> Restored {
        let size = self.volume.size();
        let counts = Counts { resumed: size, ..Counts::default() };
        let report = Report { counts, ..Report::default() };
        let set = SetName::of(self.subject);
        let mut view = Restored::new(set, (&self.image.path()).into(), size, &report);
        let map = map_beside(&self.image.path());
        view.map = map.exists().then(|| PathView::from(map));
        view
    }

    /// Restores it, or goes on with it.
    fn restore(&self, word: String, progress: &Progress) -> Result<Restored, Stopped> {
        let (start, args) = (Instant::now(), self.args);
        let path = self.image.path();
        let failed = |error| Failure::Target { path: path.clone(), error };
        let throttle = args.target.limit_rate.map(Throttle::new);
        let journal = journal_in(args, self.image.beside(JOURNAL), word);
        let journal = (!args.resume.no_journal)
            .then_some(restore::job::JournalAt { restart: false, ..journal });
        let request = Restore {
            journal,
            io: args.target.io.into(),
            on_damage: on_damage(args),
            throttle: throttle.as_ref(),
            local: None,
            foreground: None,
            verify_target: args.proof.verify_target,
            ..Restore::whole(self.volume, self.target()?, self.common.jobs())
        };
        let restored = request.run(progress).map_err(Stopped::Unfinished)?;
        let set = SetName::of(self.subject);
        let size = self.volume.size();
        let mut view = Restored::new(set, (&path).into(), size, &restored.report);
        view.method = restored.method.to_string();
        view.target_verified = args.proof.verify_target;
        if args.salvage.salvage {
            let map = self.image.followed_by(".map");
            let written = write_map(&map, &path, size, &(0..size), &restored.report, true)?;
            view.map = written.then(|| PathView::from(map.path()));
        }
        restored.publish_and_keep_journal().map_err(failed)?;
        Ok(Restored { seconds: start.elapsed().as_secs_f64(), ..view })
    }

    /// The journal of a finished image stays until all are: it says that this one is done. An image without one
    /// is made anew.
    fn target(&self) -> Result<Target, Failure> {
        let preallocate = self.args.target.preallocate;
        let path = self.image.path();
        let failed = |error| Failure::Target { path: path.clone(), error };
        // What is left of giving it its name, where that takes two steps.
        let temporary = ImageSink::temporary(&self.image);
        temporary.remove_if_named(&self.image).map_err(failed)?;
        let is_done = self.image.exists() && self.has_journal();
        if !is_done {
            return Ok(Target::Image { entry: self.image.clone(), replace: true, preallocate });
        }
        match self.image.open_own() {
            Ok(Some(file)) => Ok(Target::InPlace { file, path, delta: false, preallocate }),
            Ok(None) => Err(failed(gone())),
            Err(NotOwn::System(error)) => Err(failed(error)),
            Err(NotOwn::Foreign(why)) => {
                Err(Failure::unfinished(JobError::Foreign { path, why }, false))
            }
        }
    }
}

/// Whether all images fit together.
fn room(args: &RestoreArgs, target: &Entry, subject: &Subject) -> Result<(), Failure> {
    let (mut all, mut largest) = (0_u64, 0);
    for no in (0..).zip(subject.volume.members()).map(|(no, _)| MemberNo(no)) {
        let alone = subject.volume.alone(no).map_err(|e| Failure::Layout(e.into()))?;
        largest = largest.max(alone.size());
        let counts = counted(&alone, 0..alone.size(), on_damage(args))?;
        all = all.saturating_add(if args.target.preallocate { alone.size() } else { counts.data });
    }
    let needs = room::Needs { file_size: largest, data_bytes: all, preallocate: false };
    match check_room(target, None, needs) {
        Err(room::NoRoom::Space { .. }) if target.beside(PARTIAL).exists() => {
            // Some of it is there already; what is not shows when it is written.
            note(&format!("{} may be too small for all members", target.path().display()));
            Ok(())
        }
        checked => checked.map(drop).map_err(Failure::Room),
    }
}

/// With the name that the directory has by now.
fn within(member: Restored, directory: &Path) -> Restored {
    let moved = |path: &PathView| path.moved_to(directory);
    let target = moved(&member.target);
    Restored { map: member.map.as_ref().map(moved), target, ..member }
}
