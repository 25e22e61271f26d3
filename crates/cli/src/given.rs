//! What the arguments name, and which volume of it is meant.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use foreign::Limits;
use repository::catalog::{CatalogError, FileSet, Lookup};
use repository::{AnySet, Repository};
use restore::snapfmt::VolumeId;
use restore::source::NotRaw;
use restore::{Volume, VolumeMember};

use crate::args::{Common, SetArgs, StackArgs};
use crate::backup::Backup;
use crate::exit::Failure;
use crate::members;
use crate::select;
use crate::stack::{self, Joined};
use crate::subject::{Origin, Subject};

/// What the arguments name, before anything of it is chosen.
pub(crate) struct Given<'a> {
    args: &'a SetArgs,
    common: &'a Common,
    /// What was found there.
    pub found: Found,
}

/// What is found under some paths.
pub(crate) enum Found {
    /// Files and directories with sets, whatever stored them.
    Sets(Box<Repository>),
    /// Raw members: their ids and paths.
    Raw(Vec<(VolumeId, PathBuf)>),
}

impl Found {
    fn look(args: &SetArgs) -> Result<Self, Failure> {
        if !args.raw.members.is_empty() {
            return Ok(Self::Raw(args.raw.members.clone()));
        }
        if let Some(members) = members::raw(&args.paths, args.raw.bytes)? {
            return Ok(Self::Raw(members));
        }
        let repository = Repository::open(&args.paths, &Lookup::default(), &Limits::DEFAULT);
        Ok(Self::Sets(Box::new(repository)))
    }
}

impl<'a> Given<'a> {
    /// Looks at what the arguments name.
    pub(crate) fn look(args: &'a SetArgs, common: &'a Common) -> Result<Self, Failure> {
        let found = Found::look(args)?;
        if let Found::Sets(repository) = &found
            && repository.has_only_snapshots()
        {
            members::refuse_layout(&args.raw.layout)?;
        }
        Ok(Self { args, common, found })
    }

    /// Whether they say anything of the set that is meant.
    pub(crate) fn says_which(&self) -> bool {
        !self.args.selection.is_empty()
    }

    /// Whether they say how members make a volume, or which volume on them is meant.
    pub(crate) fn says_how(&self) -> bool {
        !self.args.raw.layout.is_empty() || !self.args.stack.is_empty()
    }

    /// The one set that is meant.
    pub(crate) fn set<'r>(&self, repository: &'r Repository) -> Result<AnySet<'r>, Failure> {
        let set = select::set(repository, &self.args.selection.resolve(), self.common);
        set.map_err(|failure| match failure {
            Failure::Catalog(CatalogError::NotFound) => match self.container() {
                Some((path, why)) => Failure::OnlyContainer { path, why },
                None => CatalogError::NotFound.into(),
            },
            other => other,
        })
    }

    /// An image of another format that lies where no set is.
    pub(crate) fn container(&self) -> Option<(PathBuf, NotRaw)> {
        members::container_in(&self.args.paths)
    }

    /// The volume that is meant, all there is to be known of it before anything is read.
    pub(crate) fn subject(&self) -> Result<Subject, Failure> {
        self.in_doubt()?.proved()
    }

    /// The same, but of a disk with partitions all of it.
    pub(crate) fn whole_disk(&self) -> Result<Subject, Failure> {
        self.volume(&self.args.stack.whole_disk())?.proved()
    }

    /// The volume that is meant; what can be salvaged is left to the caller to refuse.
    pub(crate) fn in_doubt(&self) -> Result<Subject, Failure> {
        self.volume(&self.args.stack)
    }

    /// The members of the volume that is meant; how they make one need not be known.
    pub(crate) fn members(&self) -> Result<Subject, Failure> {
        if self.says_how() { self.subject() } else { self.all_members() }
    }

    /// All members of the set that is meant. If one volume on them is meant, it must be there.
    pub(crate) fn all_members(&self) -> Result<Subject, Failure> {
        let Found::Sets(repository) = &self.found else { return self.subject() };
        let set = match self.set(repository)? {
            AnySet::Backup(set) => set.into_owned(),
            set @ AnySet::Files(_) => return self.of_set(set, &self.args.stack)?.proved(),
        };
        if self.says_how() {
            let (_, members) = Backup::open(set.clone())?;
            self.on(members)?.proved()?;
        }
        Subject::of_members(set)
    }

    /// What is meant of the volume of a set.
    pub(crate) fn inside(&self, volume: Volume) -> Result<Joined, Failure> {
        stack::inside(volume, &self.args.stack)
    }

    /// The volume that is meant of the members of a backup.
    pub(crate) fn on(&self, members: Vec<VolumeMember>) -> Result<Joined, Failure> {
        self.join(members, true, &self.args.stack)
    }

    fn volume(&self, meant: &StackArgs) -> Result<Subject, Failure> {
        match &self.found {
            Found::Sets(repository) => self.of_set(self.set(repository)?, meant),
            Found::Raw(given) => {
                let opened = members::open(given, members::UNIT, self.args.raw.bytes)?;
                // What was given as a member is one; a path may as well be that of a disk.
                let joined = self.join(opened, self.args.paths.is_empty(), meant)?;
                Ok(Subject::new(Origin::Raw(given.clone()), joined))
            }
        }
    }

    fn of_set(&self, set: AnySet<'_>, meant: &StackArgs) -> Result<Subject, Failure> {
        match set {
            AnySet::Files(FileSet { catalog, entry }) => {
                members::refuse_layout(&self.args.raw.layout)?;
                let open = catalog.open_set(entry)?;
                let mut joined = stack::inside(open.volume()?, meant)?;
                joined.warn(open.replaced.iter().map(ToString::to_string));
                let manifest = Box::new(entry.manifest.clone());
                Ok(Subject::new(Origin::Set { manifest, open }, joined))
            }
            AnySet::Backup(set) => {
                let (backup, members) = Backup::open(set.into_owned())?;
                Ok(Subject::new(Origin::Backup(backup), self.join(members, true, meant)?))
            }
        }
    }

    fn join(
        &self,
        members: Vec<VolumeMember>,
        as_it_is: bool,
        meant: &StackArgs,
    ) -> Result<Joined, Failure> {
        stack::join(members, &self.args.raw.layout, meant, as_it_is)
    }

    /// Everything that was given is evidence, whether it is needed or not; of backups, which may be very
    /// many files, the directories and those of the `targets` that lie in them.
    pub(crate) fn sources(&self, targets: &[PathBuf]) -> Vec<PathBuf> {
        let mut all: Vec<PathBuf> = match &self.found {
            Found::Sets(repository) => {
                let Repository { snapshots, backups } = &**repository;
                let sound = snapshots.files().iter().map(|f| f.path.clone());
                let bad = snapshots.bad().iter().map(|b| b.error.path.clone());
                let files: Vec<_> = sound.chain(bad).collect();
                let texts = files.iter().flat_map(|file| texts_beside(file));
                let texts: BTreeSet<_> = texts.filter(|path| path.exists()).collect();
                files.into_iter().chain(texts).chain(backups.sources(targets)).collect()
            }
            Found::Raw(members) => members.iter().map(|(_, path)| path.clone()).collect(),
        };
        all.extend(self.args.raw.layout.layout.clone());
        all
    }
}

/// What `capture` writes beside the files of a set: with them, the volume comes back without this program.
fn texts_beside(file: &Path) -> [PathBuf; 2] {
    ["layout.toml", "README.txt"].map(|name| file.with_file_name(name))
}
