//! What a command is about: a set found among files, of whatever kind, or raw members.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use foreign::backup::Backups;
use foreign::stack::Unassembled;
use restore::catalog::{Catalog, OpenSet};
use restore::job;
use restore::layout_file;
use restore::snapfmt::{ChunkSize, Digest, SetContentId, SetId, VolumeId};
use restore::{Volume, VolumeMember};

use crate::args::{SetArgs, StackArgs};
use crate::backup::{self, Backup};
use crate::exit::{Exit, Failure};
use crate::members;
use crate::output::note;
use crate::select;
use crate::stack::{self, Joined};

/// What was given, before anything of it is chosen.
pub(crate) enum Given<'a> {
    /// Files and directories with snapshots.
    Files(Box<Catalog>),
    /// Files and directories with another system's backups.
    Backups(Box<Backups>),
    /// Raw members.
    Raw(Raw<'a>),
}

/// Raw members, as they were given.
pub(crate) struct Raw<'a> {
    /// Their ids and paths.
    pub members: Vec<(VolumeId, PathBuf)>,
    /// Whether they were given as members, so that one alone is taken as it is.
    pub as_members: bool,
    /// What else was given.
    pub args: &'a SetArgs,
}

/// A volume that can be read, and what it is.
pub(crate) struct Subject {
    /// Its set; `None` for raw members.
    pub set: Option<SetName>,
    /// The set's files; `None` for whatever is no set of snapshot files.
    pub open: Option<OpenSet>,
    /// The set, where it is another system's backup.
    pub backup: Option<Backup>,
    /// Its bytes.
    pub volume: Volume,
    /// Why only a salvage may go on with it.
    pub doubt: Option<Unassembled>,
}

impl Raw<'_> {
    /// The volume they make, as the arguments or what is written on them say.
    pub(crate) fn join(&self, meant: &StackArgs) -> Result<Joined, Failure> {
        let members = members::open(&self.members, ChunkSize::DEFAULT.bytes())?;
        stack::join(members, &self.args.raw.layout, meant, self.as_members)
    }
}

impl Subject {
    /// Refuses what cannot be proved to be put together as it was.
    pub(crate) fn refuse_doubt(&mut self) -> Result<(), Failure> {
        self.doubt.take().map_or(Ok(()), |doubt| Err(doubt.into()))
    }

    /// Says what a salvage goes on with.
    pub(crate) fn tell_doubt(&self) {
        if let Some(Unassembled::Problems { doubts, .. }) = &self.doubt {
            for doubt in doubts {
                note(&doubt.to_string());
            }
        }
    }

    /// Whether its members are laid together as they should be, and not only in some way.
    pub(crate) fn is_volume(&self) -> bool {
        self.backup.as_ref().is_none_or(|backup| backup.is_volume)
    }
}

/// Which set a volume is of.
#[derive(Clone, Debug)]
pub(crate) struct SetName {
    pub set_id: SetId,
    /// Backups of other systems have none.
    pub content_id: Option<SetContentId>,
}

impl<'a> Given<'a> {
    /// Looks at what the arguments name.
    pub(crate) fn look(args: &'a SetArgs) -> Self {
        if !args.raw.members.is_empty() {
            let members = args.raw.members.clone();
            return Self::Raw(Raw { members, as_members: true, args });
        }
        if let Some(members) = members::raw(&args.paths) {
            return Self::Raw(Raw { members, as_members: false, args });
        }
        let catalog = select::catalog(&args.paths);
        match backup::find(&args.paths, &catalog) {
            Some(backups) => Self::Backups(Box::new(backups)),
            None => Self::Files(Box::new(catalog)),
        }
    }

    /// The volume that is meant, all there is to be known of it before anything is read.
    pub(crate) fn subject(&self, args: &SetArgs) -> Result<Subject, Failure> {
        let mut subject = self.in_doubt(args, &args.stack)?;
        subject.refuse_doubt()?;
        Ok(subject)
    }

    /// The same, but of a disk with partitions all of it.
    pub(crate) fn whole_disk(&self, args: &SetArgs) -> Result<Subject, Failure> {
        let mut subject = self.in_doubt(args, &args.stack.whole_disk())?;
        subject.refuse_doubt()?;
        Ok(subject)
    }

    /// The volume `meant`; what can be salvaged is left to the caller to refuse.
    pub(crate) fn in_doubt(&self, args: &SetArgs, meant: &StackArgs) -> Result<Subject, Failure> {
        let catalog = match self {
            Self::Files(catalog) => catalog,
            Self::Backups(backups) => {
                let set = backup::set(backups, &args.selection.resolve())?;
                return backup::volume(set, &args.raw.layout, meant);
            }
            Self::Raw(raw) => {
                let Joined { volume, doubt } = raw.join(meant)?;
                return Ok(Subject { set: None, open: None, backup: None, volume, doubt });
            }
        };
        members::refuse_layout(&args.raw.layout)?;
        let entry = select::set(catalog, args)?;
        let open = catalog.open_set(entry)?;
        let Joined { volume, doubt } = stack::inside(open.volume()?, meant)?;
        let set = SetName { set_id: entry.manifest.id.clone(), content_id: Some(open.content) };
        Ok(Subject { set: Some(set), open: Some(open), backup: None, volume, doubt })
    }

    /// The members that are meant; how they make a volume need not be known.
    pub(crate) fn members(&self, args: &SetArgs) -> Result<Subject, Failure> {
        match self {
            Self::Backups(backups) => {
                let set = backup::set(backups, &args.selection.resolve())?;
                backup::members(set, &args.raw.layout, &args.stack)
            }
            Self::Files(_) | Self::Raw(_) => self.subject(args),
        }
    }

    /// The same, but what `check` finds wrong with the target goes before damage. The target of a
    /// volume that can be opened is left to the caller.
    pub(crate) fn or_check(
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

    /// The raw members, if that is what was given.
    pub(crate) fn raw(&self) -> &[(VolumeId, PathBuf)] {
        match self {
            Self::Raw(raw) => &raw.members,
            Self::Files(_) | Self::Backups(_) => &[],
        }
    }

    /// Everything that was given is evidence, whether it is needed or not; of backups, which may be very
    /// many files, the directories and those of the `targets` that lie in them.
    pub(crate) fn sources(&self, targets: &[PathBuf]) -> Vec<PathBuf> {
        match self {
            Self::Files(catalog) => {
                let sound = catalog.files().iter().map(|f| f.path.clone());
                sound.chain(catalog.bad().iter().map(|b| b.error.path.clone())).collect()
            }
            Self::Backups(backups) => backup::evidence(backups, targets),
            Self::Raw(raw) => {
                let members = raw.members.iter().map(|(_, path)| path.clone());
                members.chain(raw.args.raw.layout.layout.clone()).collect()
            }
        }
    }

    /// The volume's content in a word, for a journal to be bound to: the set's content id or, of raw
    /// members, a digest of what tells that they are the same and were not written to since.
    pub(crate) fn word(&self, subject: &Subject) -> Result<String, Failure> {
        let mut text = layout_text(&subject.volume);
        if let Some(content) = subject.set.as_ref().and_then(|set| set.content_id) {
            let whole = subject.open.as_ref().map(OpenSet::volume).transpose()?;
            // A volume inside that of the set is of the same files, and has other bytes.
            return Ok(if whole.is_none_or(|whole| layout_text(&whole) == text) {
                content.to_string()
            } else {
                format!("{content}-{}", Digest::of(text.as_bytes()))
            });
        }
        if let Some(backup) = &subject.backup {
            return Ok(backup.word(text));
        }
        for (_, path) in self.raw() {
            text.push_str(&state_of(path).map_err(|e| members::failure(path, e))?);
            text.push('\n');
        }
        Ok(format!("raw-{}", Digest::of(text.as_bytes())))
    }
}

/// How a volume lies on which members.
fn layout_text(volume: &Volume) -> String {
    let size = |m: &VolumeMember| (m.volume_id.clone(), m.source.size());
    let sizes: Vec<_> = volume.members().iter().map(size).collect();
    layout_file::render(volume.layout().map(), &sizes)
}

/// What tells that a file or device is the same and was not written to since.
pub(crate) fn state_of(path: &Path) -> std::io::Result<String> {
    let meta = fs::metadata(path)?;
    let identity = job::identity(path)?;
    Ok(format!("{identity} {} {}.{}", meta.len(), meta.mtime(), meta.mtime_nsec()))
}
