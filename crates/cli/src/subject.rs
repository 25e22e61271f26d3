//! What a command is about: a set found among files, or raw members.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use restore::Volume;
use restore::catalog::{Catalog, OpenSet};
use restore::job;
use restore::layout_file;
use restore::snapfmt::{ChunkSize, Digest, SetContentId, SetId};

use crate::args::SetArgs;
use crate::exit::{Exit, Failure};
use crate::members;
use crate::select;

/// What was given, before anything of it is chosen.
pub(crate) enum Given<'a> {
    /// Files and directories with snapshots.
    Files(Box<Catalog>),
    /// Raw members.
    Raw(&'a SetArgs),
}

/// A volume that can be read, and what it is.
pub(crate) struct Subject {
    /// Its set; `None` for raw members.
    pub set: Option<SetName>,
    /// The set's files; `None` for raw members.
    pub open: Option<OpenSet>,
    /// Its bytes.
    pub volume: Volume,
}

/// Which set a volume is of.
#[derive(Clone, Debug)]
pub(crate) struct SetName {
    pub set_id: SetId,
    pub content_id: SetContentId,
}

impl<'a> Given<'a> {
    /// Looks at what the arguments name.
    pub(crate) fn look(args: &'a SetArgs) -> Self {
        if args.raw.members.is_empty() {
            Self::Files(Box::new(select::catalog(&args.paths)))
        } else {
            Self::Raw(args)
        }
    }

    /// The volume that is meant, all there is to be known of it before anything is read.
    pub(crate) fn subject(&self, args: &SetArgs) -> Result<Subject, Failure> {
        let catalog = match self {
            Self::Files(catalog) => catalog,
            Self::Raw(args) => {
                let unit = ChunkSize::DEFAULT.bytes();
                let volume = members::open(&args.raw.members, &args.raw.layout, unit)?;
                return Ok(Subject { set: None, open: None, volume });
            }
        };
        let entry = select::set(catalog, args)?;
        let open = catalog.open_set(entry)?;
        let volume = open.volume()?;
        let set = SetName { set_id: entry.manifest.id.clone(), content_id: open.content };
        Ok(Subject { set: Some(set), open: Some(open), volume })
    }

    /// The same, but what `check` finds wrong with the target goes before damage. The target of a
    /// volume that can be opened is left to the caller.
    pub(crate) fn subject_or(
        &self,
        args: &SetArgs,
        check: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<Subject, Failure> {
        self.subject(args).or_else(|failure| {
            if failure.exit() == Exit::SourceDamaged {
                check()?;
            }
            Err(failure)
        })
    }

    /// Everything that was given is evidence, whether it is needed or not.
    pub(crate) fn sources(&self) -> Vec<PathBuf> {
        match self {
            Self::Files(catalog) => {
                let sound = catalog.files().iter().map(|f| f.path.clone());
                sound.chain(catalog.bad().iter().map(|b| b.error.path.clone())).collect()
            }
            Self::Raw(args) => {
                let members = args.raw.members.iter().map(|(_, path)| path.clone());
                members.chain(args.raw.layout.layout.clone()).collect()
            }
        }
    }

    /// The volume's content in a word, for a journal to be bound to: the set's content id or, of raw
    /// members, a digest of what tells that they are the same and were not written to since.
    pub(crate) fn word(&self, subject: &Subject) -> Result<String, Failure> {
        let args = match (self, &subject.set) {
            (_, Some(set)) => return Ok(set.content_id.to_string()),
            (Self::Raw(args), None) => args,
            (Self::Files(_), None) => return Ok(String::new()),
        };
        let sizes: Vec<_> = subject
            .volume
            .members()
            .iter()
            .map(|m| (m.volume_id.clone(), m.source.size()))
            .collect();
        let mut text = layout_file::render(subject.volume.layout().map(), &sizes);
        for (_, path) in &args.raw.members {
            text.push_str(&state_of(path).map_err(|e| members::failure(path, e))?);
            text.push('\n');
        }
        Ok(format!("raw-{}", Digest::of(text.as_bytes())))
    }
}

fn state_of(path: &Path) -> std::io::Result<String> {
    let meta = fs::metadata(path)?;
    let identity = job::identity(path)?;
    Ok(format!("{identity} {} {}.{}", meta.len(), meta.mtime(), meta.mtime_nsec()))
}
