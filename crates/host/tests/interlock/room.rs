//! Files that fit, and files that do not.

use std::path::{Path, PathBuf};

use host::entry::Entry;
use host::room::{self, Needs, NoRoom, Room};
use libtest_mimic::Trial;

use crate::support::loopmount::{LoopMount, Tmpfs};
use crate::support::needs::{LOOP_MOUNT, Need, trial};
use crate::support::scratch::{self, Scratch};
use crate::support::{MIB, Outcome, ensure, ext4};

pub(crate) fn trials() -> Vec<Trial> {
    let ext4 = [LOOP_MOUNT.as_slice(), &[Need::Tool("mkfs.ext4")]].concat();
    vec![
        trial("room_on_a_small_tmpfs", &LOOP_MOUNT, small_tmpfs),
        trial("room_that_a_file_has_already", &LOOP_MOUNT, room_of_its_own),
        trial("room_on_a_small_ext4", &ext4, small_ext4),
        trial("a_file_larger_than_ext4_has", &ext4, larger_than_files_are),
        trial("room_nowhere", &[], nowhere),
    ]
}

fn data(bytes: u64) -> Needs {
    Needs { file_size: bytes, data_bytes: bytes, preallocate: false }
}

/// Room for the file that is there, or else for a new one.
fn check_room(place: &Path, needs: Needs) -> Result<Room, NoRoom> {
    let system = |source| NoRoom::System { path: place.to_owned(), source };
    let file = std::fs::File::open(place).ok();
    room::check_room(&Entry::at(place).map_err(system)?, file.as_ref(), needs)
}

fn no_space(place: &Path, needs: Needs) -> Outcome<(u64, u64)> {
    match check_room(place, needs) {
        Err(NoRoom::Space { path, needed, available }) if path == place => Ok((needed, available)),
        other => Err(format!("not a lack of space: {other:?}").into()),
    }
}

fn names(directory: &Path) -> Outcome<Vec<PathBuf>> {
    Ok(std::fs::read_dir(directory)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?)
}

fn small_tmpfs() -> Outcome {
    let scratch = Scratch::new()?;
    let directory = scratch.dir("tmpfs")?;
    let tmpfs = Tmpfs::mount(&directory, MIB)?;
    for place in [directory.join("new"), directory.join("other")] {
        let fits = check_room(&place, data(MIB))?;
        ensure!(fits == Room { needed: MIB, available: Some(MIB) }, "{fits:?}");
        ensure!(no_space(&place, data(MIB + 1))? == (MIB + 1, MIB), "wrong numbers");
        let sparse = Needs { file_size: 1 << 40, data_bytes: 4096, preallocate: false };
        ensure!(check_room(&place, sparse)?.needed == 4096, "holes count");
        no_space(&place, Needs { preallocate: true, ..sparse })?;
    }
    let left = names(&directory)?;
    ensure!(left.is_empty(), "left: {left:?}");
    tmpfs.unmount()
}

fn room_of_its_own() -> Outcome {
    let scratch = Scratch::new()?;
    let directory = scratch.dir("tmpfs")?;
    let tmpfs = Tmpfs::mount(&directory, MIB)?;
    let file = directory.join("file");
    let bytes = vec![1; 768 << 10];
    scratch::write(&file, &bytes)?;
    ensure!(check_room(&file, data(MIB))?.available == Some(MIB), "not its own blocks");
    ensure!(
        no_space(&directory.join("other"), data(MIB))? == (MIB, 256 << 10),
        "others count its blocks"
    );
    ensure!(scratch::read(&file)? == bytes, "the file was changed");
    tmpfs.unmount()
}

fn small_ext4() -> Outcome {
    let scratch = Scratch::new()?;
    ext4(&scratch.path("image"), 16 * MIB, "small")?;
    let mount = LoopMount::read_write(&scratch.path("image"), &scratch.path("mount"))?;
    let place = mount.dir().join("new");
    check_room(&place, data(8 * MIB))?;
    let (_, available) = no_space(&place, data(16 * MIB))?;
    ensure!(available > 8 * MIB && available < 16 * MIB, "{available} bytes");
    mount.unmount()
}

fn larger_than_files_are() -> Outcome {
    let scratch = Scratch::new()?;
    ext4(&scratch.path("image"), 64 * MIB, "large")?;
    let mount = LoopMount::read_write(&scratch.path("image"), &scratch.path("mount"))?;
    let place = mount.dir().join("volume.img");
    let sparse = |file_size| Needs { file_size, data_bytes: 0, preallocate: false };
    // The limit is 16 TiB for blocks of 4 KiB, and less for smaller ones.
    check_room(&place, sparse(1 << 40))?;
    let refused = match check_room(&place, sparse((16 << 40) + 1)) {
        Err(refused) => refused,
        Ok(room) => return Err(format!("{room:?}").into()),
    };
    let text = refused.to_string();
    ensure!(matches!(refused, NoRoom::FileTooLarge { size: 17_592_186_044_417, .. }), "{text}");
    ensure!(
        text.contains("volume.img: a file of 17592186044417 bytes (16.0 TiB) is too large"),
        "{text}"
    );
    // One that is there may be as large as it is, and it alone.
    let file = mount.dir().join("there");
    drop(scratch::new_sparse(&file, MIB)?);
    ensure!(check_room(&file, sparse((16 << 40) + 1)).is_err(), "grown beyond the limit");
    check_room(&file, sparse(MIB))?;
    let mut left = names(mount.dir())?;
    left.retain(|path| !path.ends_with("lost+found"));
    ensure!(left == [file], "left: {left:?}");
    mount.unmount()
}

fn nowhere() -> Outcome {
    let refused = check_room(Path::new("/nowhere/at/all"), data(1));
    ensure!(matches!(refused, Err(NoRoom::System { .. })), "{refused:?}");
    Ok(())
}
