//! Real filesystems, restored onto a device that held something else, mounted and checked there.

use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use crate::support::image::Filesystem;
use crate::support::layout::Layout;
use crate::support::loopmount::{LoopDevice, Mount};
use crate::support::needs::trial;
use crate::support::noise::noise;
use crate::support::sample::{Sample, restore};
use crate::support::scratch::{Scratch, write};
use crate::support::{Outcome, ensure, tool, tree};

const MIB: u64 = 1 << 20;

pub(crate) fn trials() -> Vec<Trial> {
    [Filesystem::Ext4, Filesystem::Xfs, Filesystem::Btrfs]
        .into_iter()
        .map(|filesystem| {
            let name = format!("{}_onto_a_dirty_device", filesystem.name());
            trial(&name, &filesystem.needs(), move || onto_a_device(filesystem))
        })
        .collect()
}

fn onto_a_device(filesystem: Filesystem) -> Outcome {
    let scratch = Scratch::new()?;
    let tree = scratch.path("tree");
    tree::gather(&tree, 12 * MIB)?;
    let image = scratch.path("filesystem.img");
    // As small as XFS takes, in two members of which one is striped over.
    let size = 304 * MIB;
    filesystem.make(&image, size, &tree, &scratch.dir("made")?)?;
    let layout = Layout::new().striped(size, 64 << 10, &[("vol-a", 0), ("vol-b", 0)]);
    let sample = Sample::with_file(&scratch.path("members"), layout, image)?;
    let sets = scratch.dir("sets")?;
    sample.capture(&sets, "dsnap-0a").succeeds()?;

    let backing = dirty(&scratch, size + 16 * MIB)?;
    let device = LoopDevice::attach(&backing, false)?;
    let call = restore(&[&sets], device.path()).arg("--in-place");
    let call = call.option("--journal", scratch.path("journal"));
    let ran = call.arg("--verify-target").succeeds()?;
    ensure!(ran.stderr.contains("is larger than the"), "no hint\n{}", ran.describe());
    tool::run("cmp", [Path::new("-n"), size.to_string().as_ref(), device.path(), &sample.logical])?;
    let mut mount = Mount::of_device(device.path(), &scratch.path("mounted"), "ro")?;
    tool::same_tree(mount.dir(), &tree)?;
    mount.unmount()?;
    drop(device);
    filesystem.check(&backing)
}

/// A file full of the same noise over and over.
fn dirty(scratch: &Scratch, len: u64) -> Outcome<PathBuf> {
    let path = scratch.path("disk.img");
    write(&path, &noise(1, 1 << 20).repeat(usize::try_from(len / MIB)?))?;
    Ok(path)
}
