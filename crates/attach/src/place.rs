//! Where an attached volume is: a directory of its own, held by the one process that may change it.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::error::AttachError;
use crate::name::Name;
use crate::trust::{self, NotUsed};
use host::entry::parent_directory;
use host::lock;

/// What the FUSE mount of a raw file says it is mounted from.
pub(crate) const FUSE_SOURCE: &str = "snaprestore";

/// The directory that has the places of all volumes a user has attached.
#[derive(Clone, Debug)]
pub struct Home(PathBuf);

impl Home {
    /// This directory, which need not be there yet.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The place of one volume, attached or not.
    pub fn place(&self, name: Name) -> Place {
        Place { directory: self.0.join(name.as_str()), home: self.clone(), name }
    }

    /// Whether it is there, and the caller's alone: then it stays so, for no other user can take it away.
    pub(super) fn is_there(&self) -> Result<bool, NotUsed> {
        match trust::check_base(parent_directory(&self.0)).and_then(|()| trust::open_own(&self.0)) {
            Err(NotUsed::System(e)) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            opened => opened.map(|_| true),
        }
    }

    /// Makes it, unless it is there.
    fn make(&self) -> Result<bool, NotUsed> {
        if self.is_there()? {
            return Ok(true);
        }
        DirBuilder::new().recursive(true).mode(0o700).create(parent_directory(&self.0))?;
        make_private(&self.0)?;
        // Another process may have been faster.
        self.is_there()
    }

    /// The places there are, by name.
    pub(super) fn places(&self) -> Result<Vec<Place>, NotUsed> {
        if !self.is_there()? {
            return Ok(Vec::new());
        }
        let entries = match fs::read_dir(&self.0) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let names = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
        let mut names: Vec<Name> = names.collect();
        names.sort();
        Ok(names.into_iter().map(|name| self.place(name)).collect())
    }
}

/// The place of one volume.
#[derive(Clone, Debug)]
pub struct Place {
    name: Name,
    directory: PathBuf,
    home: Home,
}

impl Place {
    /// What the volume is called.
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// The directory of all that is kept for it while it is attached.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the file system with the one file is mounted.
    pub fn disk(&self) -> PathBuf {
        self.directory.join("disk")
    }

    /// The volume as a raw file.
    pub fn raw(&self) -> PathBuf {
        self.disk().join(self.raw_name())
    }

    pub(super) fn raw_name(&self) -> String {
        format!("{}.raw", self.name)
    }

    /// What the server says of itself.
    pub(super) fn state(&self) -> PathBuf {
        self.directory.join("state.json")
    }

    /// Where that is written before it gets its name.
    pub(super) fn next_state(&self) -> PathBuf {
        self.directory.join("state.next")
    }

    /// Where the server listens.
    pub(super) fn socket(&self) -> PathBuf {
        self.directory.join("socket")
    }

    /// Where the program that runs the server in the background may keep its messages.
    pub fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// Whether there is anything.
    pub fn exists(&self) -> bool {
        self.directory.symlink_metadata().is_ok()
    }

    /// Makes this place one's own, new or with what a dead server left in it.
    ///
    /// # Errors
    ///
    /// Another process has it, and keeps it: it serves, or attaches or detaches.
    pub(super) fn claim(&self) -> Result<Claim, AttachError> {
        self.claim_by(true)
    }

    /// The same, without waiting for the other process.
    pub(super) fn claim_now(&self) -> Result<Claim, AttachError> {
        self.claim_by(false)
    }

    fn claim_by(&self, wait: bool) -> Result<Claim, AttachError> {
        let failed = |source| AttachError::Place { path: self.directory.clone(), source };
        loop {
            // The last one to leave a home removes that, too.
            let directory = match self.make() {
                Err(NotUsed::System(e)) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(NotUsed::System(e)) => return Err(failed(e)),
                Err(NotUsed::Untrusted(why)) => return Err(why.into()),
                Ok(made) => made,
            };
            let locked = if wait { lock::lock(&directory) } else { lock::lock_now(&directory) };
            if !locked.map_err(failed)? {
                return Err(AttachError::InUse { name: self.name.clone() });
            }
            // The process that held the lock until now may have removed the directory.
            if self.is(&directory).map_err(failed)? {
                return Ok(Claim { place: self.clone(), _lock: directory });
            }
        }
    }

    fn make(&self) -> Result<File, NotUsed> {
        if !self.home.make()? {
            return Err(io::Error::from(io::ErrorKind::NotFound).into());
        }
        make_private(&self.directory)?;
        trust::open_own(&self.directory)
    }

    fn is(&self, directory: &File) -> io::Result<bool> {
        let own = directory.metadata()?;
        match fs::symlink_metadata(&self.directory) {
            Ok(named) => Ok((named.dev(), named.ino()) == (own.dev(), own.ino())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }
}

/// A place that this process alone may change: its directory is locked (`flock(2)`) while this lives, and
/// by the kernel no longer.
#[derive(Debug)]
pub(super) struct Claim {
    place: Place,
    _lock: File,
}

impl Claim {
    pub(super) const fn place(&self) -> &Place {
        &self.place
    }

    /// Removes the place. Its mount must be gone.
    pub(super) fn remove(self) -> io::Result<()> {
        let place = &self.place;
        for file in [place.socket(), place.next_state(), place.state(), place.log()] {
            absent(fs::remove_file(file))?;
        }
        absent(fs::remove_dir(self.place.disk()))?;
        absent(fs::remove_dir(&self.place.directory))?;
        // The home, unless there are others.
        let _ = self.place.directory.parent().map(fs::remove_dir);
        Ok(())
    }
}

/// Makes a directory for its owner alone. What is there already is not touched, wherever it may lead.
fn make_private(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn absent(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::{Home, NotUsed};
    use crate::AttachError;
    use crate::name::Name;

    #[test]
    fn names_stay_in_their_directory() {
        for good in ["a", "dsnap-0a", "A_1.b", &"x".repeat(64)] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", ".a", "-a", "a/b", "a b", "ä", "a\n", &"x".repeat(65)] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
        for (id, name) in [("vol:1/2", "vol-1-2"), ("../x", "x"), ("", "volume"), ("…", "volume")]
        {
            assert_eq!(Name::of_id(id).as_str(), name);
            assert!(name.parse::<Name>().is_ok());
        }
    }

    #[test]
    fn what_others_can_change_is_not_used() {
        let base = tempfile::tempdir().unwrap();
        let set_mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let home = Home::new(base.path().join("home"));
        let place = home.place("one".parse().unwrap());
        let refused = || {
            assert!(matches!(place.claim(), Err(AttachError::Untrusted(_))));
            assert!(matches!(home.places(), Err(NotUsed::Untrusted(_))));
        };
        std::os::unix::fs::symlink("elsewhere", home.path()).unwrap();
        refused();
        std::fs::remove_file(home.path()).unwrap();
        std::fs::create_dir(home.path()).unwrap();
        set_mode(home.path(), 0o720);
        refused();
        set_mode(home.path(), 0o755);
        set_mode(base.path(), 0o777);
        refused();
        assert!(!place.exists());
        // What is one's own stays so in a directory with the sticky bit.
        set_mode(base.path(), 0o1777);
        place.claim().unwrap().remove().unwrap();
    }

    #[test]
    fn a_place_has_one_owner() {
        let base = tempfile::tempdir().unwrap();
        let home = Home::new(base.path().join("home"));
        let place = home.place("one".parse().unwrap());
        assert!(home.places().unwrap().is_empty());
        let claim = place.claim().unwrap();
        assert_eq!(home.places().unwrap().len(), 1);
        assert!(matches!(place.claim(), Err(AttachError::InUse { .. })));
        claim.remove().unwrap();
        assert!(!place.exists());
        drop(place.claim().unwrap());
        // What is left of one that died, wherever it was, can be had by the next.
        for left in [place.socket(), place.next_state(), place.state(), place.log()] {
            std::fs::write(left, "").unwrap();
        }
        std::fs::create_dir(place.disk()).unwrap();
        place.claim().unwrap().remove().unwrap();
        assert!(!home.path().exists());
    }
}
