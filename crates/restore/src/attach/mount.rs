//! How a filesystem of a volume is mounted without harm: so that nothing is replayed that cannot be
//! written, nothing on it is run or trusted, and none is taken for another.

use std::ffi::CString;
use std::fmt;
use std::io;
use std::path::PathBuf;

use rustix::mount::{MountFlags, mount};
use serde::{Deserialize, Serialize};

use crate::filesystem::{Filesystem, State};
use crate::signature::Kind;

/// A way to mount a filesystem.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Recipe {
    /// Its type, as `mount(2)` has it.
    pub kind: String,
    /// Whether it can be written to.
    pub writable: bool,
    /// Options of that type.
    pub data: Vec<String>,
}

/// Options that every mount has: devices, set-user-id bits and programs of the volume count for nothing here.
const ALWAYS: &str = "nodev,nosuid,noexec";

/// A filesystem to be mounted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Its partition; `None` for the whole volume.
    pub partition: Option<u32>,
    /// The device it is on.
    pub device: PathBuf,
    /// Where it is to be.
    pub at: PathBuf,
    /// How.
    pub recipe: Recipe,
}

/// A mount that failed.
#[derive(Debug, thiserror::Error)]
#[error("mount {} {} {}: {source}", plan.recipe, plan.device.display(), plan.at.display())]
pub struct MountError {
    /// What was tried.
    pub plan: Plan,
    /// The system's error.
    pub source: io::Error,
}

/// The type of a filesystem as `mount(2)` has it; `None` for what is none.
pub(super) const fn kind_of(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Ext2 => "ext2",
        Kind::Ext3 => "ext3",
        Kind::Ext4 => "ext4",
        Kind::Xfs => "xfs",
        Kind::Btrfs => "btrfs",
        Kind::Ntfs => "ntfs3",
        Kind::Fat => "vfat",
        Kind::ExFat => "exfat",
        Kind::ExtJournal
        | Kind::Swap
        | Kind::Luks
        | Kind::Lvm
        | Kind::Md
        | Kind::Zfs
        | Kind::Gpt
        | Kind::Mbr => return None,
    })
}

impl Recipe {
    /// The safe way for this filesystem; `None` for what cannot be mounted.
    ///
    /// `ext4(5)`: read-only is not enough, "the journal will be replayed" unless `noload`. `xfs(5)`:
    /// `norecovery` likewise, and `nouuid` lets a copy be mounted beside its original. `btrfs(5)`: a log that
    /// was not replayed needs `rescue=nologreplay`.
    pub fn of(filesystem: &Filesystem, writable: bool) -> Option<Self> {
        let kind = filesystem.signature.kind;
        let replay = filesystem.facts.state == State::NeedsReplay;
        let data: &[&str] = match (kind, writable) {
            (Kind::Ext3 | Kind::Ext4, false) => &["noload"],
            (Kind::Xfs, false) => &["norecovery", "nouuid"],
            (Kind::Xfs, true) => &["nouuid"],
            (Kind::Btrfs, false) if replay => &["rescue=nologreplay"],
            _ => &[],
        };
        let data = data.iter().map(|option| (*option).to_owned()).collect();
        Some(Self { kind: kind_of(kind)?.to_owned(), writable, data })
    }

    /// All options, as the mount table has them.
    pub fn options(&self) -> String {
        let access = if self.writable { "rw" } else { "ro" };
        let own = self.data.iter().map(String::as_str);
        let all: Vec<&str> = [access, ALWAYS].into_iter().chain(own).collect();
        all.join(",")
    }

    fn flags(&self) -> MountFlags {
        let always = MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC;
        if self.writable { always } else { always | MountFlags::RDONLY }
    }
}

/// As `mount(8)` takes it.
impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "-t {} -o {}", self.kind, self.options())
    }
}

impl Plan {
    /// Mounts it.
    pub(super) fn run(&self) -> Result<(), MountError> {
        let Self { device, at, recipe, .. } = self;
        let data = CString::new(recipe.data.join(",")).map_err(|e| self.failed(e.into()))?;
        mount(device, at, recipe.kind.as_str(), recipe.flags(), data.as_c_str())
            .map_err(|e| self.failed(e.into()))
    }

    pub(super) fn failed(&self, source: io::Error) -> MountError {
        MountError { plan: self.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::Recipe;
    use crate::filesystem::{Facts, Filesystem, State};
    use crate::signature::{Kind, Signature};

    #[test]
    fn each_in_its_way() {
        for (kind, state, writable, expected) in [
            (Kind::Ext4, State::NeedsReplay, false, "-t ext4 -o ro,nodev,nosuid,noexec,noload"),
            (Kind::Ext4, State::NeedsReplay, true, "-t ext4 -o rw,nodev,nosuid,noexec"),
            (Kind::Ext2, State::Clean, false, "-t ext2 -o ro,nodev,nosuid,noexec"),
            (Kind::Xfs, State::Clean, false, "-t xfs -o ro,nodev,nosuid,noexec,norecovery,nouuid"),
            (Kind::Xfs, State::Clean, true, "-t xfs -o rw,nodev,nosuid,noexec,nouuid"),
            (Kind::Btrfs, State::Clean, false, "-t btrfs -o ro,nodev,nosuid,noexec"),
            (
                Kind::Btrfs,
                State::NeedsReplay,
                false,
                "-t btrfs -o ro,nodev,nosuid,noexec,rescue=nologreplay",
            ),
            (Kind::Fat, State::Unknown, false, "-t vfat -o ro,nodev,nosuid,noexec"),
        ] {
            let signature = Signature { kind, label: None, uuid: None };
            let facts = Facts { state, ..Facts::default() };
            let recipe = Recipe::of(&Filesystem { signature, facts }, writable).unwrap();
            assert_eq!(recipe.to_string(), expected);
        }
        let signature = Signature { kind: Kind::Luks, label: None, uuid: None };
        assert!(Recipe::of(&Filesystem { signature, facts: Facts::default() }, false).is_none());
    }
}
