//! How a filesystem of a volume is mounted without harm: so that nothing is replayed that cannot be
//! written, nothing on it is run or trusted, and none is taken for another.

pub(crate) mod duplicate_uuid;
pub(crate) mod find;

use std::ffi::CString;
use std::fmt;
use std::io;
use std::path::PathBuf;

use rustix::mount::{MountFlags, mount};
use serde::{Deserialize, Serialize};

use disk::filesystem::{Elsewhere, Filesystem, State};
use disk::signature::Kind;
use host::entry::{Directory, Entry};

/// What a mounted filesystem is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Access {
    /// Write to it.
    pub writable: bool,
    /// Run the programs on it.
    pub exec: bool,
}

/// A way to mount a filesystem.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Recipe {
    /// Its type, as `mount(2)` has it.
    pub kind: String,
    /// Whether it can be written to.
    pub writable: bool,
    /// Whether programs on it can be run.
    #[serde(default)]
    pub exec: bool,
    /// Options of that type.
    pub data: Vec<String>,
}

/// Why there is no way to mount a filesystem without harm.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unmountable {
    /// The kernel has no filesystem like this.
    #[error("it is no filesystem that can be mounted")]
    NoFilesystem,
    /// To mount it would touch another device of this machine, or takes one.
    #[error("{0}")]
    Elsewhere(Elsewhere),
}

/// Options that every mount has: devices and set-user-id bits of the volume count for nothing here.
const ALWAYS: [&str; 2] = ["nodev", "nosuid"];

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
        | Kind::BitLocker
        | Kind::Lvm
        | Kind::Md
        | Kind::Zfs
        | Kind::Gpt
        | Kind::Mbr => return None,
    })
}

impl Recipe {
    /// The safe way for this filesystem. It touches no other device, and an error that the kernel finds on
    /// it stops neither the machine nor, read-only, any other read.
    ///
    /// `ext4(5)`: read-only is not enough, "the journal will be replayed" unless `noload`; without that, a
    /// journal on another device is opened and written to. What happens on an error is in the superblock,
    /// `panic` included, or in options it brings along, and both give way to what is said here. `xfs(5)`:
    /// `norecovery` likewise, and `nouuid` lets a copy be mounted beside its original; a log or realtime
    /// section elsewhere has to be named. `btrfs(5)`: a log that was not replayed needs `rescue=nologreplay`;
    /// other devices are taken by the filesystem's id alone. XFS, btrfs and NTFS have no such thing as
    /// `errors=panic` on the volume.
    pub fn of(filesystem: &Filesystem, access: Access) -> Result<Self, Unmountable> {
        let Access { writable, exec } = access;
        let kind = filesystem.signature.kind;
        let name = kind_of(kind).ok_or(Unmountable::NoFilesystem)?;
        match filesystem.facts.elsewhere {
            // It is not loaded.
            Some(Elsewhere::Journal) if !writable => {}
            Some(elsewhere) => return Err(Unmountable::Elsewhere(elsewhere)),
            None => {}
        }
        let replay = filesystem.facts.state == State::NeedsReplay;
        // What is read-only can be read on; what is written to must not get worse.
        let errors = if writable { "errors=remount-ro" } else { "errors=continue" };
        let data: &[&str] = match (kind, writable) {
            (Kind::Ext3 | Kind::Ext4, false) => &["noload", errors, "nowarn_on_error"],
            (Kind::Ext3 | Kind::Ext4, true) => &[errors, "nowarn_on_error"],
            (Kind::Ext2 | Kind::Fat | Kind::ExFat, _) => &[errors],
            (Kind::Xfs, false) => &["norecovery", "nouuid"],
            (Kind::Xfs, true) => &["nouuid"],
            (Kind::Btrfs, false) if replay => &["rescue=nologreplay"],
            _ => &[],
        };
        let data = data.iter().map(|option| (*option).to_owned()).collect();
        Ok(Self { kind: name.to_owned(), writable, exec, data })
    }

    /// All options, as the mount table has them.
    pub fn options(&self) -> String {
        let access = if self.writable { "rw" } else { "ro" };
        let exec = (!self.exec).then_some("noexec");
        let own = self.data.iter().map(String::as_str);
        let all: Vec<&str> = [access].into_iter().chain(ALWAYS).chain(exec).chain(own).collect();
        all.join(",")
    }

    fn flags(&self) -> MountFlags {
        let mut flags = MountFlags::NODEV | MountFlags::NOSUID;
        flags.set(MountFlags::NOEXEC, !self.exec);
        flags.set(MountFlags::RDONLY, !self.writable);
        flags
    }
}

/// As `mount(8)` takes it.
impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "-t {} -o {}", self.kind, self.options())
    }
}

impl Plan {
    /// Makes the directory, if it is to be `made`. It is reached by no link of another user.
    pub(super) fn directory(&self, made: bool) -> Result<Directory, MountError> {
        let opened = if made {
            let directory = Entry::at(&self.at).and_then(|entry| entry.make_directory());
            directory.and_then(|made| made.ok_or_else(|| io::ErrorKind::AlreadyExists.into()))
        } else {
            Directory::open(&self.at)
        };
        opened.map_err(|e| self.failed(e))
    }

    /// Mounts it on that directory, whatever has got its name meanwhile.
    pub(super) fn run(&self, directory: &Directory) -> Result<(), MountError> {
        let Self { device, recipe, .. } = self;
        let data = CString::new(recipe.data.join(",")).map_err(|e| self.failed(e.into()))?;
        let at = directory.own_path();
        mount(device, at, recipe.kind.as_str(), recipe.flags(), data.as_c_str())
            .map_err(|e| self.failed(e.into()))
    }

    pub(super) fn failed(&self, source: io::Error) -> MountError {
        MountError { plan: self.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::{Access, Recipe, Unmountable};
    use disk::filesystem::{Elsewhere, Facts, Filesystem, State};
    use disk::signature::{Kind, Signature};

    const READ: Access = Access { writable: false, exec: false };
    const WRITE: Access = Access { writable: true, exec: false };

    fn filesystem(kind: Kind, facts: Facts) -> Filesystem {
        Filesystem { signature: Signature { kind, label: None, uuid: None }, facts }
    }

    #[test]
    fn each_in_its_way() {
        let ro = "ro,nodev,nosuid,noexec";
        let rw = "rw,nodev,nosuid,noexec";
        for (kind, state, access, expected) in [
            (
                Kind::Ext4,
                State::NeedsReplay,
                READ,
                format!("-t ext4 -o {ro},noload,errors=continue,nowarn_on_error"),
            ),
            (
                Kind::Ext4,
                State::NeedsReplay,
                WRITE,
                format!("-t ext4 -o {rw},errors=remount-ro,nowarn_on_error"),
            ),
            (
                Kind::Ext3,
                State::Clean,
                READ,
                format!("-t ext3 -o {ro},noload,errors=continue,nowarn_on_error"),
            ),
            (Kind::Ext2, State::Clean, READ, format!("-t ext2 -o {ro},errors=continue")),
            (Kind::Ext2, State::Clean, WRITE, format!("-t ext2 -o {rw},errors=remount-ro")),
            (Kind::Xfs, State::Clean, READ, format!("-t xfs -o {ro},norecovery,nouuid")),
            (Kind::Xfs, State::Clean, WRITE, format!("-t xfs -o {rw},nouuid")),
            (Kind::Btrfs, State::Clean, READ, format!("-t btrfs -o {ro}")),
            (Kind::Btrfs, State::NeedsReplay, READ, format!("-t btrfs -o {ro},rescue=nologreplay")),
            (Kind::Fat, State::Unknown, READ, format!("-t vfat -o {ro},errors=continue")),
            (Kind::ExFat, State::Unknown, WRITE, format!("-t exfat -o {rw},errors=remount-ro")),
            (Kind::Ntfs, State::Unknown, READ, format!("-t ntfs3 -o {ro}")),
        ] {
            let filesystem = filesystem(kind, Facts { state, ..Facts::default() });
            let recipe = Recipe::of(&filesystem, access).unwrap();
            assert_eq!(recipe.to_string(), expected);
            // Programs are run where that is asked for, and nothing else is different.
            let recipe = Recipe::of(&filesystem, Access { exec: true, ..access }).unwrap();
            assert_eq!(recipe.to_string(), expected.replace(",noexec", ""));
        }
        let luks = filesystem(Kind::Luks, Facts::default());
        assert_eq!(Recipe::of(&luks, READ), Err(Unmountable::NoFilesystem));
    }

    #[test]
    fn no_other_device_is_touched() {
        for (kind, elsewhere) in [
            (Kind::Xfs, Elsewhere::Log),
            (Kind::Xfs, Elsewhere::Realtime),
            (Kind::Btrfs, Elsewhere::Devices { all: 2 }),
            (Kind::Ext4, Elsewhere::Journal),
        ] {
            let facts = Facts { elsewhere: Some(elsewhere), ..Facts::default() };
            let filesystem = filesystem(kind, facts);
            let refused = Err(Unmountable::Elsewhere(elsewhere));
            assert_eq!(Recipe::of(&filesystem, WRITE), refused);
            let read = Recipe::of(&filesystem, READ);
            if elsewhere == Elsewhere::Journal {
                assert!(read.unwrap().data.iter().any(|option| option == "noload"));
            } else {
                assert_eq!(read, refused);
            }
        }
    }
}
