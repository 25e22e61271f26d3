//! What the tests need of the machine: mounts and loop devices, as the tests of the command line have
//! them.

#[path = "../cli/tests/support/loopmount.rs"]
pub(crate) mod loopmount;
#[path = "../cli/tests/support/needs.rs"]
pub(crate) mod needs;
#[path = "../cli/tests/support/scratch.rs"]
pub(crate) mod scratch;
#[path = "../cli/tests/support/tool.rs"]
pub(crate) mod tool;

use std::path::{Path, PathBuf};

/// What a step of a test gives back.
pub(crate) type Outcome<T = ()> = Result<T, libtest_mimic::Failed>;

/// A mounted ramfs: its files know neither holes nor `fallocate(2)`.
pub(crate) struct Ramfs(PathBuf);

impl Ramfs {
    pub(crate) fn mount(dir: &Path) -> Outcome<Self> {
        let ramfs = ["-t", "ramfs", "ramfs"].map(Path::new);
        tool::run("mount", ramfs.into_iter().chain([dir]))?;
        Ok(Self(dir.to_owned()))
    }
}

impl Drop for Ramfs {
    fn drop(&mut self) {
        drop(tool::run("umount", [Path::new("-l"), &self.0]));
    }
}
