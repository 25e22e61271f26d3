//! Targets that hold something already: every byte of the range ends as the volume has it, and no
//! other byte changes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

#[path = "../../testing/machine.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod machine;

use std::fs::OpenOptions;
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::Arguments;
use machine::loopmount::{LoopDevice, Tmpfs, keep_mounts_private};
use machine::needs::{LOOP_MOUNT, Need, trial};
use machine::{Outcome, Ramfs};
use proptest::prelude::{any, prop};
use proptest::test_runner::TestRunner;
use restore::job::{JobError, Restore, Target, compare};
use restore::journal::{Binding, Journal};
use restore::sink::{Io, ReadBack};
use restore::{Progress, Volume};
use rustix::fs::{FallocateFlags, OFlags, fallocate};
use snaprestore::capture::Form;
use tempfile::TempDir;
use testing::job::{
    BLOCK, Before, entry, expected, in_place, journal, over, stale, whole, write_stale,
};
use testing::lineage::{Act, Change, Lineage, Piece, Step, Stored, Way};
use testing::scenario::steps;
use testing::{check, files};

fn main() -> ExitCode {
    keep_mounts_private();
    let ramfs = [&LOOP_MOUNT, [Need::Filesystem("ramfs")].as_slice()].concat();
    let trials = vec![
        trial("a_new_image", &[], || on(&Medium::plain(Kinds::NewImage)?)),
        trial("a_file", &[], || on(&Medium::plain(Kinds::File)?)),
        trial("a_file_on_tmpfs", &LOOP_MOUNT, || on(&Medium::tmpfs()?)),
        trial("space_is_kept_or_given_back", &LOOP_MOUNT, || space(&Medium::tmpfs()?)),
        trial("a_file_without_fallocate", &ramfs, || on(&Medium::ramfs(Kinds::File)?)),
        trial("a_loop_device", &LOOP_MOUNT, || on(&Medium::plain(Kinds::Loop)?)),
        trial("a_loop_device_that_cannot_zero", &ramfs, || on(&Medium::ramfs(Kinds::Loop)?)),
        trial("a_range_that_reaches_beyond_the_volume", &[], beyond),
        trial("a_sync_that_fails_proves_nothing", &LOOP_MOUNT, failed_sync),
        trial("volumes_at_random", &[], at_random),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// What is restored to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kinds {
    NewImage,
    File,
    Loop,
}

/// Where targets are made. Its fields are dropped in order: the mount before its directory.
struct Medium {
    kind: Kinds,
    _mount: Option<Box<dyn std::any::Any>>,
    dir: TempDir,
}

/// A target that holds something.
struct Prepared {
    path: PathBuf,
    _device: Option<LoopDevice>,
}

impl Medium {
    fn plain(kind: Kinds) -> Outcome<Self> {
        Ok(Self { kind, _mount: None, dir: tempfile::tempdir()? })
    }

    fn tmpfs() -> Outcome<Self> {
        let dir = tempfile::tempdir()?;
        let mount = Tmpfs::mount(dir.path(), 64 << 20)?;
        Ok(Self { kind: Kinds::File, _mount: Some(Box::new(mount)), dir })
    }

    /// A ramfs: its files cannot be punched, and a loop device on it does not unmap.
    fn ramfs(kind: Kinds) -> Outcome<Self> {
        let dir = tempfile::tempdir()?;
        let mount = Ramfs::mount(dir.path())?;
        let medium = Self { kind, _mount: Some(Box::new(mount)), dir };
        // Or what is done without would be tested with it.
        let probe = medium.prepare(&[1; 4 * BLOCK], &[Before::Dirty])?;
        let file = OpenOptions::new().write(true).open(&probe.path)?;
        let can = |flags: FallocateFlags| {
            let flags = flags | FallocateFlags::KEEP_SIZE;
            fallocate(&file, flags, 0, BLOCK as u64) != Err(rustix::io::Errno::OPNOTSUPP)
        };
        assert!(!can(FallocateFlags::PUNCH_HOLE), "it can unmap");
        // A device always can: the kernel writes the zeros itself if need be.
        assert_eq!(can(FallocateFlags::ZERO_RANGE), kind == Kinds::Loop);
        Ok(medium)
    }

    /// A target that holds these bytes.
    fn prepare(&self, bytes: &[u8], blocks: &[Before]) -> Outcome<Prepared> {
        let path = self.dir.path().join("target");
        if self.kind == Kinds::NewImage {
            drop(std::fs::remove_file(&path));
            return Ok(Prepared { path, _device: None });
        }
        write_stale(&path, bytes, blocks);
        let is_loop = self.kind == Kinds::Loop;
        let device = is_loop.then(|| LoopDevice::attach(&path, false)).transpose()?;
        let path = device.as_ref().map_or(path, |device| device.path().to_owned());
        Ok(Prepared { path, _device: device })
    }

    /// Whether files here can be opened for reading and writing past the page cache.
    fn has_direct(&self) -> bool {
        let path = self.dir.path().join("probe");
        std::fs::write(&path, [0; BLOCK]).unwrap();
        let flags = i32::try_from(OFlags::DIRECT.bits()).unwrap();
        OpenOptions::new().write(true).custom_flags(flags).open(&path).is_ok()
    }

    fn target(&self, prepared: &Prepared, how: How) -> Target {
        let (path, How { preallocate, delta, .. }) = (&prepared.path, how);
        match self.kind {
            Kinds::NewImage => Target::Image { entry: entry(path), replace: false, preallocate },
            Kinds::File | Kinds::Loop => over(path, delta, preallocate),
        }
    }
}

/// How to write.
#[derive(Clone, Copy, Debug)]
struct How {
    io: Io,
    preallocate: bool,
    delta: bool,
}

impl How {
    fn all() -> Vec<Self> {
        let io = [Io::Auto, Io::Direct, Io::Buffered].into_iter();
        let flags = [(false, false), (false, true), (true, false), (true, true)];
        io.flat_map(|io| flags.map(|(preallocate, delta)| Self { io, preallocate, delta }))
            .collect()
    }
}

/// What is brought where.
struct Case<'v> {
    volume: &'v Volume,
    bytes: &'v [u8],
    range: Range<u64>,
    end: u64,
    /// Length of the target before, and what it holds.
    len: usize,
    blocks: &'v [Before],
}

impl Case<'_> {
    /// Restores, and compares each byte of the target.
    fn holds(&self, medium: &Medium, how: How) -> Outcome {
        let before = stale(self.len, self.blocks);
        let prepared = medium.prepare(&before, self.blocks)?;
        let target = medium.target(&prepared, how);
        let (range, end) = (self.range.clone(), self.end);
        let restore = Restore { range, end, io: how.io, ..whole(self.volume, target) };
        let result = restore.run(&Progress::default());
        if how.io == Io::Direct && medium.kind != Kinds::Loop && !medium.has_direct() {
            assert!(result.is_err(), "direct or not at all");
            return Ok(());
        }
        result.map_err(|unfinished| unfinished.to_string())?.publish()?;
        let found = std::fs::read(&prepared.path)?;
        if medium.kind == Kinds::NewImage {
            let zeros = vec![0; testing::index(end)];
            let whole = expected(zeros, self.bytes, &self.range, end);
            check::same(&found, &whole[testing::index(self.range.start)..], self.range.start);
        } else {
            check::same(&found, &expected(before, self.bytes, &self.range, end), 0);
        }
        Ok(())
    }
}

const CHUNK: usize = 4096;
const KINDS: [Stored; 4] = [Stored::Data, Stored::Zero, Stored::Hole, Stored::Inherit];

/// Two generations of two members: every kind over every kind, then long runs of zeros and of holes,
/// cut by segments whose borders are on no grid.
fn lineage() -> Lineage {
    let act = |kind: Stored, seed: u64| match kind {
        Stored::Data => Act::Fresh(seed << 32),
        Stored::Zero => Act::Zero,
        Stored::Hole => Act::Hole,
        Stored::Inherit => Act::Keep,
    };
    let mixed = 60;
    let layout = vec![
        Piece { width: 2, member: 0, stripe: 7000, length: 20, skip: 10 },
        Piece { width: 0, member: 0, stripe: 1, length: 5001, skip: 0 },
        Piece { width: 1, member: 1, stripe: 1, length: 70_003, skip: 500 },
        Piece { width: 0, member: 0, stripe: 1, length: (5 << 18) + 77, skip: 0 },
        Piece { width: 1, member: 0, stripe: 1, length: u64::MAX, skip: 3 },
    ];
    let step = |generation: u64| {
        let kind = |no: usize| match (no, generation) {
            (0..60, 0) => KINDS[no % 3],
            (0..60, _) => KINDS[no / 3 % 4],
            (60..360, _) => Stored::Zero,
            _ => Stored::Hole,
        };
        let acts = (0..mixed + 600).map(|no| act(kind(no), generation + 1)).collect();
        let changes = vec![Change { chunks: mixed + 600, short: 1000, acts }; 2];
        let form = Form { compact_zeros: true, dedup: false };
        let layout = layout.clone();
        Step { changes, layout, way: Way::Hand, restart: false, form, rotate: 0, jobs: 2 }
    };
    Lineage::new(CHUNK, &[step(0), step(1)])
}

/// Dirty, zeros and holes in an order that meets every kind the volume has.
const BLOCKS: [Before; 5] =
    [Before::Dirty, Before::Dirty, Before::Zeros, Before::Hole, Before::Zeros];

/// How often each kind of before meets each of: data, zero, hole, inherited, unmapped.
fn transitions(lineage: &Lineage) -> [[usize; 5]; 3] {
    let generation = &lineage.generations[1];
    let mut seen = [[0; 5]; 3];
    let mut at = 0;
    testing::model::each_byte(&generation.model.layout, |place| {
        let before = BLOCKS[at / BLOCK % BLOCKS.len()];
        let kind = place.map_or(4, |(member, byte)| {
            let stored = generation.stored[member][byte / CHUNK];
            KINDS.iter().position(|kind| *kind == stored).unwrap()
        });
        seen[before as usize][kind] += 1;
        at += 1;
    });
    seen
}

/// Every transition, in every way of writing.
fn on(medium: &Medium) -> Outcome {
    let lineage = lineage();
    assert!(transitions(&lineage).iter().flatten().all(|times| *times > 0));
    let generation = &lineage.generations[1];
    let set = files::open_set(&files::catalog(lineage.directory.path()), &generation.set_id);
    let volume = set.volume()?;
    let (bytes, size) = (generation.model.bytes(), volume.size());
    let long = testing::index(size + (2 << 20)).next_multiple_of(BLOCK);
    // A file may also be too short, and end anywhere.
    let (ragged, short) = match medium.kind {
        Kinds::Loop => (long, long),
        Kinds::NewImage | Kinds::File => (long - 1001, testing::index(size / 2) + 100),
    };
    let ranges = [
        (0..size, size + (5 << 18) + 1, ragged),
        (size / 9 + 13..size / 3 + 5, size / 3 + 5, long),
        (0..size, size, short),
    ];
    for (number, how) in How::all().into_iter().enumerate() {
        // Each way of writing with each range is more than it takes.
        for (range, end, len) in ranges.iter().skip(number % 2).step_by(2).cloned() {
            let (volume, bytes, blocks) = (&volume, bytes.as_slice(), BLOCKS.as_slice());
            let case = Case { volume, bytes, range, end, len, blocks };
            case.holds(medium, how).map_err(|e| format!("{how:?}: {e:?}"))?;
        }
    }
    Ok(())
}

/// Zeros give space back unless it is to be kept; a new image has all of it if asked.
fn space(medium: &Medium) -> Outcome {
    let lineage = lineage();
    let generation = &lineage.generations[1];
    let set = files::open_set(&files::catalog(lineage.directory.path()), &generation.set_id);
    let volume = set.volume()?;
    let size = testing::index(volume.size());
    let allocated = |path: &Path| path.metadata().map(|meta| meta.blocks() * 512);
    let path = medium.dir.path().join("target");
    for preallocate in [false, true] {
        write_stale(&path, &stale(size, &[Before::Dirty]), &[Before::Dirty]);
        let full = allocated(&path)?;
        let target = over(&path, false, preallocate);
        whole(&volume, target).run(&Progress::default())?.publish()?;
        assert_eq!(allocated(&path)? == full, preallocate, "in place");
        assert!(preallocate || allocated(&path)? < full / 4, "long runs of zeros are holes");
        let path = medium.dir.path().join(format!("image-{preallocate}"));
        let target = Target::Image { entry: entry(&path), replace: false, preallocate };
        whole(&volume, target).run(&Progress::default())?.publish()?;
        assert_eq!(allocated(&path)? >= volume.size(), preallocate, "a new image");
    }
    Ok(())
}

/// A range ends where the volume does, and what lies between that and the end are zeros.
fn beyond() -> Outcome {
    let member = testing::model::MemberModel::of("vol-0", testing::noise(1, 100_001));
    let source = testing::memory::MemorySource::new(&member, 5000);
    let volume = testing::memory::volume_over(Box::new(source));
    let medium = Medium::plain(Kinds::File)?;
    for how in How::all() {
        for range in [0..150_000, 100_001..150_000, 120_000..150_000] {
            let (blocks, len) = (BLOCKS.as_slice(), 200_000);
            let bytes = [member.bytes.clone(), vec![0; 50_000]].concat();
            let case = Case { volume: &volume, bytes: &bytes, range, end: 150_000, len, blocks };
            case.holds(&medium, how)?;
        }
    }
    Ok(())
}

/// A device that has no room for what the page cache has taken: only `fsync(2)` says so, and once.
fn failed_sync() -> Outcome {
    let model = testing::place::model();
    let volume = testing::place::volume(&model);
    let whole_volume = 0..volume.size();
    let dir = tempfile::tempdir()?;
    let _mount = Tmpfs::mount(dir.path(), 32 << 20)?;
    // Room for the data before the volume's zeros and for nothing else. The border lies among them:
    // of a write across it a loop device would keep the first part and report no error.
    let (backing, filler) = (dir.path().join("backing"), dir.path().join("filler"));
    write_stale(&backing, &stale(1465 * BLOCK, &[Before::Dirty]), &[Before::Dirty]);
    OpenOptions::new().write(true).open(&backing)?.set_len(32 << 20)?;
    assert!(std::fs::write(&filler, vec![1; 32 << 20]).is_err(), "it is full");
    let device = LoopDevice::attach(&backing, false)?;
    let elsewhere = tempfile::tempdir()?;
    let path = elsewhere.path().join("journal");
    let bring = || {
        let journal = Some(journal(&path));
        let restore =
            Restore { journal, io: Io::Buffered, ..whole(&volume, in_place(device.path())) };
        restore.run(&Progress::default())
    };
    let compared = |range: &Range<u64>| {
        let target = ReadBack::open(device.path(), 0).unwrap();
        let progress = Progress::default();
        compare(&target, &volume, range, range.end, &testing::strict(1), &progress).unwrap()
    };
    let unfinished = bring().unwrap_err();
    assert!(matches!(unfinished.error, JobError::Target { .. }), "{unfinished}");
    assert!(unfinished.proven < volume.size());
    assert!(!compared(&whole_volume).is_empty(), "there is no room for it");
    if unfinished.proven > 0 {
        let binding = Binding { volume: "content-1".into(), range: whole_volume.clone() };
        let proven = Journal::open(&entry(&path), &binding)?.proven();
        assert_eq!(proven.bytes(), unfinished.proven);
        assert!(proven.iter().all(|range| compared(range).is_empty()), "{proven:?}");
    }
    // What was still to be written when the run stopped fails as well, and someone is told.
    drop(OpenOptions::new().write(true).open(device.path())?.sync_all());
    std::fs::remove_file(&filler)?;
    let restored = bring()?;
    assert_eq!(restored.report.counts.resumed, unfinished.proven);
    restored.publish()?;
    assert!(compared(&whole_volume).is_empty());
    Ok(())
}

fn at_random() -> Outcome {
    let before = prop::sample::select(vec![Before::Dirty, Before::Zeros, Before::Hole]);
    let blocks = prop::collection::vec(before, 1..9);
    let how = (prop::sample::select(How::all()), any::<bool>());
    let places = any::<(u64, u64, u32, u32)>();
    let mediums = [Medium::plain(Kinds::NewImage)?, Medium::plain(Kinds::File)?];
    let strategy = (steps(), blocks, how, places);
    let result = TestRunner::new(testing::cases(24)).run(
        &strategy,
        |((chunk, steps), blocks, (how, in_place), places)| {
            let lineage = Lineage::new(chunk, &steps);
            let medium = &mediums[usize::from(in_place)];
            random_case(&lineage, &blocks, places, |case| case.holds(medium, how).unwrap());
            Ok(())
        },
    );
    result.map_err(|e| e.to_string().into())
}

/// The last generation, some stretch of it, with or without something behind it.
fn random_case(
    lineage: &Lineage,
    blocks: &[Before],
    (a, b, behind, len): (u64, u64, u32, u32),
    check: impl FnOnce(&Case<'_>),
) {
    let generation = lineage.generations.last().unwrap();
    let catalog = files::catalog(lineage.directory.path());
    let volume = files::open_set(&catalog, &generation.set_id).volume().unwrap();
    let size = volume.size();
    let (a, b) = (a % (size + 1), b % (size + 1));
    // The whole of it every now and then.
    let range = if a % 4 == 0 { 0..size } else { a.min(b)..a.max(b) };
    let end = range.end + if range.end == size { u64::from(behind % 300_000) } else { 0 };
    let len = len as usize % (2 * testing::index(size) + 1);
    let bytes = generation.model.bytes();
    check(&Case { volume: &volume, bytes: &bytes, range, end, len, blocks });
}
