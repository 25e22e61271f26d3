//! `key=value` on the command line of nbdkit → the set that is meant.

use std::error::Error;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use foreign::Limits;
use foreign::backup::BackupSet;
use host::ByteSize;
use repository::catalog::{FileSet, Instant, Latest, Lookup, Selection};
use repository::disagreement;
use repository::stack::{Choice, LvName, Of, Stack, Unassembled};
use repository::{AnySet, Proving, Repository};
use restore::reader::Options;
use restore::{Progress, Volume};

/// What `nbdkit --help` says of them.
pub(crate) const HELP: &str = "\
path=PATH               (required) A snapshot file, or a directory to search for snapshots or
                        other systems' backups; may be repeated.
set-id=ID               The set whose id begins like this.
source-volume=ID        Sets of this logical volume.
generation=N            The set of this generation.
at=TIME                 The newest set not after this time (RFC 3339, or a date).
expect-content-id=HEX   Refuse any set whose content id does not begin like this.
latest-complete=BOOL    Take an older set when the newest is incomplete or damaged.
latest-sound=BOOL       Take the newest set that verifies; all bytes of each newer one are read.
lv=VG/LV                This logical volume on the members of the set.
md=UUID                 This software RAID on them.
partition=N             This partition of it.
cache=SIZE              Bytes of checked chunks kept in memory [default: a sixteenth of it all,
                        64M to 1G].";

/// What was given.
#[derive(Debug, Default)]
pub(crate) struct Parameters {
    paths: Vec<PathBuf>,
    selection: Selection,
    choice: Choice,
    cache: Option<u64>,
}

impl Parameters {
    /// Takes one of them in.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let wrong = |e: &dyn std::fmt::Display| format!("{key}={value}: {e}");
        let selection = &mut self.selection;
        match key {
            // nbdkit leaves the directory it was started in.
            "path" => self.paths.push(std::path::absolute(value).map_err(|e| wrong(&e))?),
            "set-id" => selection.set_id = Some(value.to_owned()),
            "source-volume" => {
                selection.source_volume = Some(value.parse().map_err(|e| wrong(&e))?);
            }
            "generation" => selection.generation = Some(value.parse().map_err(|e| wrong(&e))?),
            "at" => {
                let instant: Instant = value.parse().map_err(|e| wrong(&e))?;
                selection.at = Some(instant.0);
            }
            "expect-content-id" => {
                let digits = value.chars().all(|c| c.is_ascii_hexdigit());
                if !digits || !(16..=64).contains(&value.len()) {
                    return Err(wrong(&"16 to 64 hexadecimal digits are expected"));
                }
                selection.content_id = Some(value.to_lowercase());
            }
            "latest-complete" => {
                self.set_latest(Latest::Complete, value).map_err(|e| wrong(&e))?;
            }
            "latest-sound" => {
                self.set_latest(Latest::Sound, value).map_err(|e| wrong(&e))?;
            }
            "lv" | "md" if self.choice.of != Of::Only => {
                return Err(wrong(&"another volume is named already"));
            }
            "lv" => {
                let lv: LvName = value.parse().map_err(|e| wrong(&e))?;
                self.choice.of = lv.into();
            }
            "md" => self.choice.of = Of::Array(value.to_owned()),
            "partition" => self.choice.partition = Some(value.parse().map_err(|e| wrong(&e))?),
            "cache" => {
                let size: ByteSize = value.parse().map_err(|e| wrong(&e))?;
                self.cache = Some(size.0);
            }
            _ => return Err(format!("{key} is not a parameter of this plugin")),
        }
        Ok(())
    }

    fn set_latest(&mut self, latest: Latest, value: &str) -> Result<(), String> {
        if nbdkit::parse_bool(value).map_err(|e| e.to_string())? {
            self.selection.latest = latest;
        }
        Ok(())
    }

    /// Whether there is enough to go by.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.paths.is_empty() { Err("path=PATH is missing".into()) } else { Ok(()) }
    }

    /// Opens the volume that is meant, whole or not at all.
    pub(crate) fn open(&self) -> Result<Arc<Volume>, Box<dyn Error>> {
        let volume = self.meant()?;
        if let Some(found) = disagreement(&volume) {
            say(&format!("warning: {found}"));
        }
        Ok(Arc::new(volume))
    }

    fn meant(&self) -> Result<Volume, Box<dyn Error>> {
        let repository = Repository::open(&self.paths, &Lookup::default(), &Limits::DEFAULT);
        let progress = Progress::default();
        let jobs = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let selected =
            repository.select(&self.selection, &Proving { jobs, progress: &progress })?;
        for (set, why) in &selected.passed_over {
            say(&format!("passed over {set}: {why}"));
        }
        for gap in &selected.gaps {
            say(&format!("passed over {gap}: none of its files is there"));
        }
        let FileSet { catalog, entry } = match selected.set {
            AnySet::Files(set) => set,
            AnySet::Backup(set) => return self.of_backup(&set),
        };
        let volume = catalog.open_set(entry)?.volume()?;
        if self.choice == Choice::default() {
            return Ok(volume);
        }
        Ok(self.on(&Stack::chosen_on(&volume, &self.choice)?)?)
    }

    /// What is written on several members says how they make the volume.
    fn of_backup(&self, set: &BackupSet) -> Result<Volume, Box<dyn Error>> {
        let members = set.open(&Limits::DEFAULT)?;
        match members.as_slice() {
            [one] if self.choice == Choice::default() => Ok(Volume::of_one(one.clone())?),
            _ => Ok(self.on(&Stack::of_members(members)?)?),
        }
    }

    /// The volume that is meant. What is to be said of it is said on standard error, as nbdkit's own
    /// messages are.
    fn on(&self, stack: &Stack) -> Result<Volume, Unassembled> {
        let volume = stack.volume(&self.choice, false)?;
        for remark in stack.remarks(stack.choose(&self.choice)?) {
            say(&format!("warning: {remark}"));
        }
        Ok(volume)
    }

    /// How it is read.
    pub(crate) fn options(&self) -> Options {
        let default = Options::default();
        Options { cache: self.cache.unwrap_or(default.cache), ..default }
    }
}

/// The user who starts nbdkit sees it; what nbdkit calls a debug message is seen with -v only.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "nbdkit: snaprestore: {text}");
}
