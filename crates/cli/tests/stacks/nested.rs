//! Stripes over stripes that would be a piece for each stripe: the arrays below stay volumes of their
//! own.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use crate::forge::{DATA, Forged};
use crate::support::needs::trial;
use crate::support::run::Call;
use crate::support::scratch::{Scratch, new_sparse};
use crate::support::{Outcome, ensure};

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("stripes_over_stripes", &[], stripes_over_stripes)]
}

/// Bytes of each disk: the array over all has a million stripes.
const SIZE: u64 = 16 << 30;
const CHUNK: u64 = Forged::RAID0.chunk as u64;

/// Bytes of data that a member of so many has.
const fn data(len: u64) -> u64 {
    (len - DATA as u64) / CHUNK * CHUNK
}

/// Where a byte of the upper array is: on which disk, and where.
fn place(at: u64) -> (usize, u64) {
    let start = DATA as u64;
    let (pair, within) = (at / CHUNK % 2, start + at / (2 * CHUNK) * CHUNK + at % CHUNK);
    let (disk, offset) = (within / CHUNK % 2, within / (2 * CHUNK) * CHUNK + within % CHUNK);
    (usize::try_from(2 * pair + disk).unwrap_or(0), start + offset)
}

/// Two arrays of two disks each, and an array over both, with something at these places.
fn disks(scratch: &Scratch, written: &[u64]) -> Outcome<Vec<PathBuf>> {
    let paths: Vec<PathBuf> = (0..4).map(|n| scratch.path(&format!("disk{n}"))).collect();
    let lower = data(SIZE);
    let mut files = Vec::new();
    for (n, path) in (0_u8..).zip(&paths) {
        let file = new_sparse(path, SIZE)?;
        let forged = Forged { uuid: [1 + n / 2; 16], ..Forged::RAID0 };
        file.write_all_at(&forged.superblock((n % 2).into(), 1, lower), 4096)?;
        files.push(file);
    }
    let upper = Forged { uuid: [9; 16], ..Forged::RAID0 };
    for (number, first) in [(0, 0), (1, 2)] {
        let superblock = upper.superblock(number, 1, data(2 * lower));
        files[first].write_all_at(&superblock, DATA as u64 + 4096)?;
    }
    for at in written {
        let (disk, offset) = place(*at);
        files[disk].write_all_at(&at.to_be_bytes(), offset)?;
    }
    Ok(paths)
}

fn holds(target: &Path, written: &[u64]) -> Outcome {
    let file = File::open(target)?;
    for at in written {
        let mut found = [0; 8];
        file.read_exact_at(&mut found, *at)?;
        ensure!(u64::from_be_bytes(found) == *at, "{at}: {found:?}");
    }
    Ok(())
}

fn stripes_over_stripes() -> Outcome {
    let scratch = Scratch::new()?;
    let size = 2 * data(2 * data(SIZE));
    let written = [64, 77 * CHUNK + 5, (31 << 30) + 9, size - 8];
    let disks = disks(&scratch, &written)?;
    let shown = Call::new("inspect").args(&disks).json()?;
    let members = ["array-01010101", "array-02020202"];
    let layout = shown["layout"].as_array().ok_or("no layout")?;
    for (column, name) in layout[0]["columns"].as_array().ok_or("no columns")?.iter().zip(members) {
        ensure!(column["member"].as_str().unwrap_or_default().starts_with(name), "{shown}");
    }
    let target = scratch.path("target");
    let report = Call::new("restore").args(&disks).option("-o", &target).json()?;
    ensure!(report["logical_size"] == size, "{report}");
    // Holes stay holes: a chunk of each place, and of the superblocks, is all that is read.
    let read = report["bytes"]["data"].as_u64().unwrap_or(u64::MAX);
    ensure!(read <= 16 * CHUNK, "{report}");
    holds(&target, &written)?;
    std::fs::remove_file(&target)?;

    // A set of the arrays stands alone.
    let set = scratch.path("set");
    Call::new("capture").args(&disks).option("-o", &set).succeeds()?;
    Call::new("restore").arg(&set).option("-o", &target).succeeds()?;
    holds(&target, &written)?;

    // A disk that is missing below is missing above.
    std::fs::remove_file(&target)?;
    let rest = [&disks[0], &disks[1], &disks[2]];
    Call::new("restore").args(rest).option("-o", &target).exits(6)?;
    Ok(())
}
