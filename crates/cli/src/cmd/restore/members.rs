//! `restore --members DIR`: each underlying volume as a raw image of its own, with the layout.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use restore::job::{JournalAt, Restore, Target};
use restore::room::{self, check_room};
use restore::sink::{beside, parent_directory};
use restore::snapfmt::{MemberNo, VolumeId};
use restore::{Throttle, Volume};
use serde::Serialize;

use super::files::{unfinished, write_map, write_private, write_report};
use super::names::{check, check_usage, map_beside, targets};
use super::place::{counted, journal_at};
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
    let unnamed = Work::prepare(args, directory, &subject)?;
    let mut members = Vec::new();
    for (no, member) in (0..).zip(subject.volume.members()) {
        let alone = subject.volume.alone(MemberNo(no)).map_err(|e| Failure::Layout(e.into()))?;
        let image = unnamed.image(no, &member.volume_id);
        let word = format!("{word}-{no}");
        let restored = restore_member(args, common, &subject, &alone, &image, word);
        if restored.is_err() {
            // Goes only if there is nothing in it to go on with.
            let _ = fs::remove_dir(&unnamed.directory);
        }
        members.push(restored?);
    }
    unnamed.finish(&subject, directory)?;
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

fn check_new_directory(path: &Path) -> Result<(), Failure> {
    match fs::symlink_metadata(path) {
        Ok(_) => Err(Failure::Refused { path: path.to_owned(), why: Refusal::DirectoryExists }),
        Err(_) => Ok(()),
    }
}

/// The directory until it has its name.
struct Work {
    directory: PathBuf,
}

impl Work {
    /// Makes the directory, or goes on with what an earlier run has left of it.
    fn prepare(args: &RestoreArgs, target: &Path, subject: &Subject) -> Result<Self, Failure> {
        let failed = |error| Failure::Target { path: target.to_owned(), error };
        let directory = beside(target, ".partial").map_err(failed)?;
        room(args, target, subject)?;
        if args.resume.restart && directory.exists() {
            fs::remove_dir_all(&directory).map_err(failed)?;
        }
        match DirBuilder::new().mode(0o700).create(&directory) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(failed(e)),
            Err(_) if !directory.is_dir() => {
                Err(Failure::Refused { path: directory, why: Refusal::DirectoryExists })
            }
            _ => Ok(Self { directory }),
        }
    }

    /// Where a member's image is: its number first, for an id may be any text.
    fn image(&self, no: u32, volume_id: &VolumeId) -> PathBuf {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
        let id: String = volume_id.as_str().chars().map(plain).take(128).collect();
        self.directory.join(format!("{no}-{id}.raw"))
    }

    /// Writes the layout, removes the journals and gives the directory its name.
    fn finish(self, subject: &Subject, target: &Path) -> Result<(), Failure> {
        let failed = |error| Failure::Target { path: target.to_owned(), error };
        if subject.is_volume() {
            let text = layout_text(&subject.volume);
            write_private(&self.directory.join(LAYOUT), &text, true)?;
        }
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|e| e == "journal") {
                fs::remove_file(path).map_err(failed)?;
            }
        }
        let sync = |path: &Path| File::open(path)?.sync_all();
        sync(&self.directory).map_err(failed)?;
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        rustix::fs::renameat_with(rustix::fs::CWD, &self.directory, rustix::fs::CWD, target, flags)
            .map_err(|e| unfinished(target, e.into()))?;
        sync(parent_directory(target)).map_err(failed)
    }
}

/// Restores one member, or goes on with it.
fn restore_member(
    args: &RestoreArgs,
    common: &Common,
    subject: &Subject,
    volume: &Volume,
    image: &Path,
    word: String,
) -> Result<Restored, Failure> {
    let start = Instant::now();
    let failed = |error| Failure::Target { path: image.to_owned(), error };
    let journal = beside(image, ".journal").map_err(failed)?;
    // The journal of a finished image stays until all are: it says that this one is done.
    let is_done = image.exists() && journal.exists();
    let throttle = args.target.limit_rate.map(Throttle::new);
    let preallocate = args.target.preallocate;
    let target = if is_done {
        Target::InPlace { path: image.to_owned(), delta: false, preallocate }
    } else {
        Target::Image { path: image.to_owned(), replace: false, preallocate }
    };
    let journal = (!args.resume.no_journal)
        .then(|| JournalAt { restart: false, ..journal_at(args, journal, word) });
    let request = Restore {
        journal,
        io: args.target.io.into(),
        on_damage: on_damage(args),
        throttle: throttle.as_ref(),
        local: None,
        foreground: None,
        verify_target: args.proof.verify_target,
        ..Restore::whole(volume, target, common.jobs())
    };
    let watch = Watch::start(common, "restoring");
    let result = request.run(watch.progress());
    let terminated = watch.finish();
    let restored = result.map_err(|unfinished| Failure::unfinished(unfinished, terminated))?;
    let set = SetName::of(subject);
    let mut view = Restored::new(set, image.into(), volume.size(), &restored.report);
    view.method = restored.method.to_string();
    view.target_verified = args.proof.verify_target;
    if args.salvage.salvage {
        let map = map_beside(image);
        let written =
            write_map(&map, image, volume.size(), &(0..volume.size()), &restored.report, true)?;
        view.map = written.then(|| PathView::from(map));
    }
    restored.publish_and_keep_journal().map_err(|error| unfinished(image, error))?;
    Ok(Restored { seconds: start.elapsed().as_secs_f64(), ..view })
}

/// Whether all images fit together.
fn room(args: &RestoreArgs, target: &Path, subject: &Subject) -> Result<(), Failure> {
    let (mut all, mut largest) = (0_u64, 0);
    for no in (0..).zip(subject.volume.members()).map(|(no, _)| MemberNo(no)) {
        let alone = subject.volume.alone(no).map_err(|e| Failure::Layout(e.into()))?;
        largest = largest.max(alone.size());
        let counts = counted(&alone, 0..alone.size(), on_damage(args))?;
        all = all.saturating_add(if args.target.preallocate { alone.size() } else { counts.data });
    }
    let needs = room::Needs { file_size: largest, data_bytes: all, preallocate: false };
    match check_room(target, needs) {
        Err(room::NoRoom::Space { .. }) if beside(target, ".partial").is_ok_and(|p| p.exists()) => {
            // Some of it is there already; what is not shows when it is written.
            note(&format!("{} may be too small for all members", target.display()));
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
