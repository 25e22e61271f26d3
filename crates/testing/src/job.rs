//! Restores of whole volumes, and targets that hold something already.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use host::entry::Entry;
use restore::Volume;
use restore::job::{JournalAt, Restore, Target};
use restore::journal::SyncPoints;

use super::{jobs, noise};

/// All of a volume, with nothing asked for besides.
pub fn whole(volume: &Volume, target: Target) -> Restore<'_> {
    Restore::whole(volume, target, jobs(2))
}

/// A new image.
pub fn image(path: &Path) -> Target {
    Target::image(path).unwrap()
}

/// An existing file or device, overwritten unseen.
pub fn in_place(path: &Path) -> Target {
    over(path, false, false)
}

/// A journal that takes note of everything at once.
pub fn journal(path: &Path) -> JournalAt {
    let points = SyncPoints { bytes: 1, ..SyncPoints::default() };
    JournalAt { entry: entry(path), volume: "content-1".into(), points, restart: false }
}

/// A name in a directory that is there.
pub fn entry(path: &Path) -> Entry {
    Entry::at(path).unwrap()
}

/// An existing file or device, open for reading and writing.
pub fn over(path: &Path, delta: bool, preallocate: bool) -> Target {
    Target::InPlace { file: open(path), path: path.to_owned(), delta, preallocate }
}

pub fn open(path: &Path) -> File {
    File::options().read(true).write(true).open(path).unwrap()
}

/// What a target held before, block by block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Before {
    Dirty,
    Zeros,
    Hole,
}

/// The unit in which a file has holes, in bytes.
pub const BLOCK: usize = 4096;

/// The bytes of a target with such blocks, again and again, and of this length.
pub fn stale(len: usize, blocks: &[Before]) -> Vec<u8> {
    let mut bytes = noise(99, len);
    for (block, before) in bytes.chunks_mut(BLOCK).zip(blocks.iter().cycle()) {
        if *before != Before::Dirty {
            block.fill(0);
        }
    }
    bytes
}

/// A file with these bytes, where holes are holes.
pub fn write_stale(path: &Path, bytes: &[u8], blocks: &[Before]) {
    let file = File::create(path).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    let places = (0..).step_by(BLOCK).zip(bytes.chunks(BLOCK)).zip(blocks.iter().cycle());
    for ((at, block), before) in places {
        if *before != Before::Hole {
            file.write_all_at(block, at).unwrap();
        }
    }
}

/// What a target must hold afterwards: the volume's bytes in `range`, zeros from there to `end`, and
/// what it held before everywhere else.
pub fn expected(mut before: Vec<u8>, volume: &[u8], range: &Range<u64>, end: u64) -> Vec<u8> {
    let (range, end) = (super::indices(range), super::index(end));
    before.resize(before.len().max(end), 0);
    before[range.clone()].copy_from_slice(&volume[range.clone()]);
    before[range.end..end].fill(0);
    before
}
