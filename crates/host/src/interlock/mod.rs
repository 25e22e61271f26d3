//! Whether an existing file or device may be overwritten, and the claim on it while that is done.
//!
//! Everything written to a target in place is lost there, so [`check`] refuses whatever is in use,
//! holds what is being restored, or is not the target that was meant. What it cannot see: processes
//! of other users, unless it runs as root, and what other machines do with a shared disk.

mod claim;
mod found;
mod refused;
mod relation;

use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use snapfmt::PreadFile;

use crate::device::{self, Id, Identity};
use crate::in_use;
use claim::{Claim, NotClaimed};
use disk::signature::Contents;
use found::Found;
pub use refused::{FileKind, Refused, Why};
pub use relation::Relation;
use relation::Stack;

/// What a restore is going to do to a target, and what the user has said of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Needs {
    /// The bytes that will be written.
    pub range: Range<u64>,
    /// The serial number that the target, or the disk it is a partition of, must have.
    pub expect_serial: Option<String>,
    /// The size in bytes that the target must have.
    pub expect_size: Option<u64>,
    /// Everything that is read: snapshot files, raw members, layout files.
    pub sources: Vec<PathBuf>,
    /// Whether other processes restore to the same target at the same time, and say so too.
    pub shared: bool,
    /// Whether a regular file may be made longer.
    pub may_grow: bool,
}

/// What there is at a path: who it is, and what is lost when it is overwritten.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// Who it is.
    pub identity: Identity,
    /// What it holds.
    pub contents: Contents,
}

impl Target {
    fn of(path: &Path, file: &File) -> std::io::Result<Self> {
        let identity = Identity::of(path, file)?;
        let contents = Contents::of(&PreadFile::new(file.try_clone()?, identity.size));
        Ok(Self { identity, contents })
    }
}

/// A target that may be overwritten, kept from others for as long as this lives: by `flock(2)`,
/// exclusive or shared, and a device that is not shared also by the kernel's own claim (`O_EXCL`),
/// without which it cannot be mounted.
#[derive(Debug)]
pub struct TargetClaim {
    target: Target,
    sector_size: u32,
    claim: Claim,
}

impl TargetClaim {
    /// Who it is.
    pub const fn identity(&self) -> &Identity {
        &self.target.identity
    }

    /// What it holds until it is overwritten.
    pub const fn contents(&self) -> &Contents {
        &self.target.contents
    }

    /// Its size in bytes when it was checked.
    pub const fn size(&self) -> u64 {
        self.target.identity.size
    }

    /// Its logical sector size in bytes; 512 for a file.
    pub const fn sector_size(&self) -> u32 {
        self.sector_size
    }

    /// Whether it is a block device.
    pub const fn is_device(&self) -> bool {
        self.target.identity.number.is_some()
    }

    /// The target, open for reading and writing.
    pub const fn file(&self) -> &File {
        self.claim.file()
    }
}

/// Checks and claims `path`. What a user must know first comes first: who uses it, whether it holds
/// the sources, whether it is the right one, and then whether it fits.
///
/// A lock, a claim or a writer is given a second to pass before it is a reason to refuse: udev, for
/// one, locks and reads each device that a process has written to.
pub fn check(path: &Path, needs: &Needs) -> Result<TargetClaim, Refused> {
    let system = |source| Refused::System { path: path.to_owned(), source };
    let found = Found::at(path)?;
    let file = found.open(OFlags::RDONLY).map_err(system)?;
    let target = Target::of(path, &file).map_err(system)?;
    let (sector_size, _) = device::sectors(&file).map_err(system)?;
    let refuse = |why| Refused::Unsafe { target: Box::new(target.clone()), why };
    let id = Id::of(found.meta());
    let uses = in_use::by_kernel(id);
    if !uses.is_empty() {
        return Err(refuse(Why::InUse(uses)));
    }
    let stack = Stack::under(&found.name(), found.meta());
    for source in &needs.sources {
        check_source(source, &stack)?.map_or(Ok(()), |why| Err(refuse(why)))?;
    }
    if target.identity.read_only {
        return Err(refuse(Why::ReadOnly));
    }
    let claim = claim::take(&found, id, needs.shared).map_err(|e| match e {
        NotClaimed::System(source) => system(source),
        NotClaimed::Because(why) => refuse(why),
    })?;
    check_identity(&target.identity, needs).map_err(refuse)?;
    check_room(&target.identity, sector_size, needs).map_err(refuse)?;
    Ok(TargetClaim { target, sector_size, claim })
}

/// Why the target must not be written to for the sake of one source.
fn check_source(source: &Path, target: &Stack) -> Result<Option<Why>, Refused> {
    let meta = fs::metadata(source)
        .map_err(|error| Refused::System { path: source.to_owned(), source: error })?;
    let relation = target.relation(&Stack::under(source, &meta));
    Ok(relation.map(|relation| Why::Source { path: source.to_owned(), relation }))
}

/// Whether it is the target that was meant.
fn check_identity(identity: &Identity, needs: &Needs) -> Result<(), Why> {
    match &needs.expect_serial {
        Some(expected) if identity.serial.as_deref() != Some(expected.trim()) => {
            let (expected, found) = (expected.clone(), identity.serial.clone());
            return Err(Why::Serial { expected, found });
        }
        _ => {}
    }
    match needs.expect_size {
        Some(expected) if expected != identity.size => {
            Err(Why::Size { expected, found: identity.size })
        }
        _ => Ok(()),
    }
}

/// Whether what is to be written fits, and in whole sectors.
fn check_room(identity: &Identity, sector_size: u32, needs: &Needs) -> Result<(), Why> {
    let Range { start, end } = needs.range;
    let is_device = identity.number.is_some();
    if end > identity.size && (is_device || !needs.may_grow) {
        return Err(Why::TooSmall { needed: end, found: identity.size });
    }
    let uneven = [start, end].into_iter().find(|at| !at.is_multiple_of(u64::from(sector_size)));
    match uneven {
        Some(offset) if is_device => Err(Why::Misaligned { offset, sector_size }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Identity, Needs, check_identity};

    #[test]
    fn a_serial_number_is_the_one_expected_or_both_are_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut identity = Identity::of(file.path(), file.as_file()).unwrap();
        identity.serial = Some("S1".to_owned());
        let expecting =
            |serial: &str| Needs { expect_serial: Some(serial.to_owned()), ..Needs::default() };
        assert!(check_identity(&identity, &expecting(" S1 ")).is_ok());
        let why = check_identity(&identity, &expecting("S2")).unwrap_err();
        assert_eq!(why.to_string(), r#"has serial number "S1", expected "S2""#);
    }
}
