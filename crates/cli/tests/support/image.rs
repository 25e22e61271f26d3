//! Filesystem images: made, grown and checked by the filesystem's own tools.

use std::path::Path;

use super::attachment::all_servers_live;
use super::loopmount::LoopMount;
use super::needs::{LOOP_MOUNT, Need};
use super::{Outcome, scratch, tool};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filesystem {
    Ext4,
    Xfs,
    Btrfs,
}

impl Filesystem {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// What making, mounting, growing and checking one needs.
    pub(crate) fn needs(self) -> Vec<Need> {
        let tools: &[&'static str] = match self {
            Self::Ext4 => &["mkfs.ext4", "resize2fs", "e2fsck"],
            Self::Xfs => &["mkfs.xfs", "xfs_growfs", "xfs_repair"],
            Self::Btrfs => &["mkfs.btrfs", "btrfs"],
        };
        let mut needs = LOOP_MOUNT.to_vec();
        needs.push(Need::Filesystem(self.name()));
        needs.extend(tools.iter().map(|name| Need::Tool(name)));
        needs
    }

    /// A new filesystem over a whole sparse file of `size` bytes, holding a copy of `tree`.
    pub(crate) fn make(self, image: &Path, size: u64, tree: &Path, mount_at: &Path) -> Outcome {
        drop(scratch::set_len(image, size)?);
        let _living = all_servers_live();
        match self {
            Self::Ext4 => {
                let flags = ["-q", "-F", "-d"].map(Path::new);
                return tool::run("mkfs.ext4", flags.into_iter().chain([tree, image])).map(drop);
            }
            Self::Xfs => tool::run("mkfs.xfs", [Path::new("-q"), image])?,
            Self::Btrfs => tool::run("mkfs.btrfs", [Path::new("-q"), image])?,
        };
        let mount = LoopMount::read_write(image, mount_at)?;
        let mut contents = tree.as_os_str().to_owned();
        contents.push("/.");
        scratch::copy_tree(Path::new(&contents), mount.dir())?;
        mount.unmount()
    }

    /// Makes an unmounted filesystem as large as its image has become.
    pub(crate) fn grow(self, image: &Path, mount_at: &Path) -> Outcome {
        if self == Self::Ext4 {
            // Off-line: growing a mounted one takes a capability that root in a container may lack.
            tool::run("e2fsck", [Path::new("-fp"), image])?;
            return tool::run("resize2fs", [image]).map(drop);
        }
        let mount = LoopMount::read_write(image, mount_at)?;
        if self == Self::Xfs {
            tool::run("xfs_growfs", [mount.dir()])?;
        } else {
            let words = ["filesystem", "resize", "max"].map(Path::new);
            tool::run("btrfs", words.into_iter().chain([mount.dir()]))?;
        }
        mount.unmount()
    }

    /// The filesystem's own checker finds nothing, and changes nothing.
    pub(crate) fn check(self, image: &Path) -> Outcome {
        let _living = all_servers_live();
        match self {
            Self::Ext4 => tool::run("e2fsck", [Path::new("-fn"), image]),
            Self::Xfs => tool::run("xfs_repair", [Path::new("-n"), Path::new("-f"), image]),
            Self::Btrfs => {
                let words = ["check", "--readonly"].map(Path::new);
                tool::run("btrfs", words.into_iter().chain([image]))
            }
        }
        .map(drop)
    }
}
