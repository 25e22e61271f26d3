//! Other systems' backups as sets of members, whatever their format: found, chosen, opened.
//!
//! A format finds its files while [`crate::find`] walks a tree, and makes [`BackupSet`]s of them; each member
//! then is a [`Stored`], which is opened only when its set is the one that is meant.

mod error;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use restore::VolumeMember;
use restore::set::{SetKey, SetState};
use restore::snapfmt::{SetId, VolumeId};
use restore::source::{ReadError, Source};

pub use error::{BackupError, Fault, FileFault, Missing, Problem, Warning};

use crate::limits::Limits;

/// A name that a backup gives to something, shown with control characters escaped.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// As it is.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_debug())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What wrote a backup.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// The EBS direct APIs, or flexible-snapshot-proxy on top of them.
    Ebs,
}

impl Format {
    /// What its backups are called.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Ebs => "EBS snapshots",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.noun())
    }
}

/// A member's content as its format stores it: found, and not yet opened.
pub trait Stored: Send + Sync {
    /// Reads whatever index it has; looks at none of the files with data, which may be very many.
    fn open(&self, limits: &Limits) -> Result<Arc<dyn Source>, Problem>;

    /// Looks whether its files are there and as long as they must be, and gives the first of those that are
    /// not; reads no data.
    fn damage(&self) -> Vec<ReadError>;
}

/// One member of a set.
#[derive(Clone)]
pub struct BackupMember {
    /// The underlying volume's id.
    pub volume_id: VolumeId,
    /// What the format calls the snapshot.
    pub snapshot: Name,
    /// Size in bytes, where that is known.
    pub size: Option<u64>,
    /// The snapshot that it builds on.
    pub parent: Option<Name>,
    /// Where it is; `None` where it is missing.
    pub path: Option<PathBuf>,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
    /// Its content; `None` where it cannot be opened.
    pub stored: Option<Arc<dyn Stored>>,
}

/// Snapshots of all volumes below one logical volume, or of one volume.
#[derive(Clone)]
pub struct BackupSet {
    /// What wrote it.
    pub format: Format,
    /// Its id.
    pub id: SetId,
    /// The logical volume.
    pub source_volume_id: VolumeId,
    /// Its place in the lineage.
    pub generation: u64,
    /// The id of its generation, where it has one.
    pub generation_id: Option<String>,
    /// The sets that it builds on, whether they are there or not.
    pub parents: Box<[SetId]>,
    /// When it was taken, where that is known.
    pub time: Option<Timestamp>,
    /// The tags that all members share.
    pub tags: BTreeMap<String, String>,
    /// Its members.
    pub members: Vec<BackupMember>,
    /// What is wrong with it as a whole.
    pub problems: Vec<Problem>,
    /// What should be known of it.
    pub warnings: Vec<Warning>,
}

impl BackupSet {
    /// What it is told from others by.
    pub fn key(&self) -> SetKey<'_> {
        SetKey {
            id: &self.id,
            source_volume_id: &self.source_volume_id,
            generation: self.generation,
            generation_id: self.generation_id.as_deref(),
            time: self.time,
        }
    }
}

impl BackupSet {
    /// All that is wrong with the set and its members.
    pub fn all_problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().chain(self.members.iter().flat_map(|m| &m.problems))
    }

    /// Whether it can be used, by all that is known without opening it.
    pub fn state(&self) -> SetState {
        let is_missing = |p: &Problem| matches!(p, Problem::Missing(_));
        if self.all_problems().any(is_missing) {
            SetState::Incomplete
        } else if self.all_problems().next().is_some() {
            SetState::Damaged
        } else {
            SetState::Complete
        }
    }

    /// The snapshot of one member as a set of its own.
    pub fn alone(&self, member: &BackupMember) -> Option<Self> {
        Some(Self {
            id: member.snapshot.as_str().parse().ok()?,
            source_volume_id: member.volume_id.clone(),
            members: vec![member.clone()],
            problems: Vec::new(),
            ..self.clone()
        })
    }

    /// Opens all members. Where blocks are lost the rest can still be read. How the members make the
    /// logical volume is not known here.
    ///
    /// # Errors
    ///
    /// Everything that is missing, in one error; otherwise the first thing that is wrong.
    pub fn open(&self, limits: &Limits) -> Result<Vec<VolumeMember>, BackupError> {
        let missing: Vec<Missing> = self
            .all_problems()
            .filter_map(|p| match p {
                Problem::Missing(missing) => Some(missing.clone()),
                _ => None,
            })
            .collect();
        if !missing.is_empty() {
            return Err(BackupError::Incomplete { set_id: self.id.clone(), missing });
        }
        let unusable = |problem| match problem {
            Problem::Missing(missing) => {
                BackupError::Incomplete { set_id: self.id.clone(), missing: vec![missing] }
            }
            problem => BackupError::Unusable { set_id: self.id.clone(), problem },
        };
        let is_loss = |p: &&Problem| matches!(p, Problem::Blocks { .. });
        if let Some(problem) = self.all_problems().find(|p| !is_loss(p)) {
            return Err(unusable(problem.clone()));
        }
        let mut members = Vec::new();
        for member in &self.members {
            let Some(stored) = &member.stored else { continue };
            let source = stored.open(limits).map_err(unusable)?;
            members.push(VolumeMember { volume_id: member.volume_id.clone(), source });
        }
        Ok(members)
    }

    /// Looks at the files of all members, and gives the first of those that are not as they must be.
    pub fn damage(&self) -> Vec<ReadError> {
        self.members.iter().filter_map(|m| m.stored.as_ref()).flat_map(|s| s.damage()).collect()
    }

    /// The error that damage is where nothing may be lost.
    pub fn damaged(&self) -> Option<BackupError> {
        let damage = self.damage();
        let count = damage.len();
        let first = Arc::new(damage.into_iter().next()?);
        Some(BackupError::Damaged { set_id: self.id.clone(), count, first })
    }
}

/// The backups found under some paths.
#[derive(Default)]
pub struct Backups {
    /// The sets: by source volume, generation and time.
    pub sets: Vec<BackupSet>,
    /// Files that could not be read.
    pub unreadable: Vec<FileFault>,
    /// What else should be known.
    pub warnings: Vec<Warning>,
    /// Every directory that files were found in, and every document: what must not be overwritten.
    pub evidence: Vec<PathBuf>,
}

impl Backups {
    /// Whether nothing was found at all: no set, and nothing that could have been of one.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty() && self.unreadable.is_empty() && self.warnings.is_empty()
    }

    /// Every file that is damaged, whether it is known which set it is of or not.
    pub fn damaged_files(&self) -> impl Iterator<Item = &FileFault> {
        let of_sets = self.sets.iter().flat_map(BackupSet::all_problems);
        let files = of_sets.filter_map(|problem| match problem {
            Problem::File(file) => Some(file),
            _ => None,
        });
        self.unreadable.iter().chain(files)
    }
}
