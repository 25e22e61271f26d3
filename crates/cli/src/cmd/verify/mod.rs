//! `verify`: every byte of a set and of the ancestors it needs.

mod backup;
mod lines;
mod set;

use std::collections::HashSet;
use std::fmt::{Display, Write};
use std::path::Path;
use std::time::Instant;

use repository::catalog::OpenSet;
use restore::engine::{self, OnDamage, Options};
use restore::job::compare;
use restore::sink::{NullSink, ReadBack};
use restore::snapfmt::Offset;
use serde::Serialize;

use crate::args::{Common, VerifyArgs};
use crate::cmd::restore::counted;
use crate::exit::{Exit, Failure, copy_hint};
use crate::given::Given;
use crate::output::{Output, PathView, note};
use crate::subject::{Origin, Subject};
use crate::view::set_name::SetName;
use crate::watch::Watch;
use lines::Lines;

/// How many of the ranges that differ are shown to people.
const SHOWN: usize = 20;

/// How a set is checked.
struct How<'h> {
    /// Only what is stored.
    is_quick: bool,
    start: Instant,
    /// What takes all that is found.
    lines: Option<&'h Lines>,
}

/// A place where there is damage.
#[derive(Serialize)]
struct DamageView {
    path: PathView,
    message: String,
}

impl DamageView {
    fn new(path: &Path, what: &impl Display) -> Self {
        Self { path: path.into(), message: what.to_string() }
    }
}

/// Verifies the set selected, or a target against it.
pub(crate) fn run(args: &VerifyArgs, common: &Common, output: Output) -> Result<Exit, Failure> {
    let start = Instant::now();
    let given = Given::look(&args.set, common)?;
    if let Some(target) = &args.target {
        return against(target, &given.subject()?, start, common, output);
    }
    let subject = given.all_members()?;
    let lines = args.report.as_deref().map(Lines::create).transpose()?;
    let lines = lines.as_ref();
    let how = How { is_quick: args.quick, start, lines };
    let exit = match &subject.origin {
        Origin::Set { manifest, open } => {
            let verification = set::run(&manifest.id, open, &how, common)?;
            output.result(&verification, set::Verification::text)?;
            let exit = verdict(&verification.damage, verification.more(), output);
            name_copies(open, &verification.damage);
            exit
        }
        Origin::Backup(backup) => {
            let verification = backup::run(backup, &subject.volume, &how, common)?;
            output.result(&verification, backup::Verification::text)?;
            verdict(&verification.damage, verification.more, output)
        }
        Origin::Raw(_) => read_all(&subject, start, common, output)?,
    };
    lines.map_or(Ok(()), Lines::finish)?;
    Ok(exit)
}

/// Names the first place where there is damage, where the text does not show it on the same terminal.
fn verdict(damage: &[DamageView], more: u64, output: Output) -> Exit {
    let Some(first) = damage.first() else { return Exit::Done };
    if output.is_on_terminal() {
        return Exit::SourceDamaged;
    }
    let others = match damage.len() as u64 + more {
        1 => String::new(),
        found => format!(", the first of {found} places"),
    };
    note(&format!("damage in {}: {}{others}", first.path, first.message));
    Exit::SourceDamaged
}

/// Names the other copy of each damaged file, where one was given.
fn name_copies(set: &OpenSet, damage: &[DamageView]) {
    let mut named = HashSet::new();
    for file in set.all_files() {
        let Some(copy) = &file.copy else { continue };
        let path = PathView::from(&file.path);
        if damage.iter().any(|damage| damage.path == path) && named.insert(&file.path) {
            note(&format!("{path}: {}", copy_hint(copy)));
        }
    }
}

/// A whole volume that was read, or compared.
#[derive(Serialize)]
struct Reading {
    #[serde(flatten)]
    set: SetName,
    target: Option<PathView>,
    logical_size: u64,
    differs: Vec<[u64; 2]>,
    seconds: f64,
}

impl Reading {
    fn new(subject: &Subject, target: Option<&Path>, start: Instant) -> Self {
        Self {
            set: SetName::of(subject),
            target: target.map(PathView::from),
            logical_size: subject.volume.size(),
            differs: Vec::new(),
            seconds: start.elapsed().as_secs_f64(),
        }
    }

    /// For people.
    fn text(&self) -> String {
        let Some(target) = &self.target else {
            return "every byte can be read; raw members have no checksums".to_owned();
        };
        if self.differs.is_empty() {
            // Where the target has the bytes of a digest, the chunk with that digest is not read.
            let proved = match self.set.content_id {
                Some(_) => ", by the set's digests; verify without --target proves the set itself",
                None => "",
            };
            return format!("{target} holds the volume{proved}");
        }
        let mut out = String::new();
        for [start, end] in self.differs.iter().take(SHOWN) {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "differs: bytes {} to {}", Offset(*start), Offset(*end));
        }
        let more = self.differs.len().saturating_sub(SHOWN);
        if more > 0 {
            let _ = writeln!(out, "and {more} more ranges; --json lists them all");
        }
        out
    }
}

/// Compares a target with the volume: its first bytes, up to the volume's size.
fn against(
    target: &Path,
    subject: &Subject,
    start: Instant,
    common: &Common,
    output: Output,
) -> Result<Exit, Failure> {
    let held = ReadBack::open(target, 0)
        .map_err(|error| Failure::Compare { path: target.to_owned(), error })?;
    let size = subject.volume.size();
    let there = size.min(held.size());
    let mut watch = Watch::start(common, "comparing");
    let options = Options::new(common.jobs());
    let compared = compare(&held, &subject.volume, &(0..there), there, &options, watch.progress());
    let terminated = watch.finish();
    let mut wrong = compared.map_err(|error| Failure::unfinished(error, terminated))?;
    // What is not there differs.
    wrong.insert(there..size);
    let differs = wrong.iter().map(|range| [range.start, range.end]).collect();
    let reading = Reading { differs, ..Reading::new(subject, Some(target), start) };
    output.result(&reading, Reading::text)?;
    if reading.differs.is_empty() {
        return Ok(Exit::Done);
    }
    let bytes = wrong.bytes();
    note(&format!(
        "{} differs from the volume in {bytes} bytes; restore --in-place --delta writes only those",
        target.display()
    ));
    Ok(Exit::SourceDamaged)
}

/// Raw members have nothing to be checked by: all that can be said is that they can be read.
fn read_all(
    subject: &Subject,
    start: Instant,
    common: &Common,
    output: Output,
) -> Result<Exit, Failure> {
    let size = subject.volume.size();
    let counts = counted(&subject.volume, 0..size, OnDamage::Salvage { fill: 0 })?;
    let mut watch = Watch::of_sparse(common, "reading", &counts);
    let options = Options::new(common.jobs());
    let result = engine::run(&subject.volume, 0..size, &NullSink, &options, watch.progress());
    let terminated = watch.finish();
    result.map_err(|error| Failure::Run { error, terminated })?;
    output.result(&Reading::new(subject, None, start), Reading::text)?;
    Ok(Exit::Done)
}
