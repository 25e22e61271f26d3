//! Dumps of a volume of 16 TiB: what looking at one costs depends on the blocks that are listed, and is
//! little for each of them; what it costs to look at a chain does not grow with the square of its length.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

#[path = "../../testing/counting.rs"]
mod counting;
mod support;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use counting::{Asked, alone, measure};
use foreign::Limits;
use foreign::backup::{BackupSet, Problem};
use restore::VolumeMember;
use restore::source::{ExtentKind, RawSource, Source};
use snaprestore::stack::Stack;
use support::forge::{DATA, Forged};
use tempfile::TempDir;

const LIMITS: Limits = Limits::DEFAULT;
const GIB: u64 = 16 << 10;
const BLOCKS: u32 = 1 << 25;
/// As long as a real one.
const TOKEN: &str = "AAUBAcuWqOCnDNuKle11s7IIX6jp6FYcC/q8oT93913HhvLvA+3JRrSybp/0";
/// Blocks whose files are there; of all others they are lost.
const THERE: u32 = 5;

/// What a page and what it names may take besides.
const FIXED: usize = 2 << 20;
/// Most bytes for each run of neighbouring blocks: in its page and in the whole list, each with room to
/// grow.
const RUN: usize = 64;

fn is_long() -> bool {
    std::env::var_os("SNAPRESTORE_TEST_LONG").is_some()
}

fn id(number: u32) -> String {
    format!("snap-{number:017x}")
}

/// Pages as the AWS CLI prints them.
fn list(directory: &Path, name: &str, key: &str, blocks: &[u32], per_page: usize) {
    fs::create_dir_all(directory).unwrap();
    let pages = blocks.chunks(per_page);
    let last = pages.len() - 1;
    for (number, page) in pages.enumerate() {
        let mut text = format!("{{\n    \"{key}\": [");
        for (place, block) in page.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            let token = if key == "Blocks" { "BlockToken" } else { "SecondBlockToken" };
            write!(
                text,
                "{comma}\n        {{\n            \"BlockIndex\": {block},\n            \
                 \"{token}\": \"{TOKEN}\"\n        }}"
            )
            .unwrap();
        }
        let next = if number < last { "\n    \"NextToken\": \"more\"," } else { "" };
        write!(text, "\n    ],{next}\n    \"VolumeSize\": {GIB},\n    \"BlockSize\": 524288\n}}\n")
            .unwrap();
        fs::write(directory.join(format!("{name}.{number:05}.json")), text).unwrap();
    }
}

/// A snapshot of which these blocks are listed and the first few are there.
fn dump(tree: &TempDir, number: u32, parent: Option<u32>, blocks: &[u32], per_page: usize) {
    let directory = tree.path().join(id(number));
    match parent {
        None => list(&directory, "list-snapshot-blocks", "Blocks", blocks, per_page),
        Some(parent) => {
            let name = format!("list-changed-blocks.{}..{}", id(parent), id(number));
            list(&directory, &name, "ChangedBlocks", blocks, per_page);
        }
    }
    fs::create_dir(directory.join("blocks")).unwrap();
    for block in blocks.iter().take(THERE as usize) {
        let file = fs::File::create(directory.join(format!("blocks/{block:08}.bin"))).unwrap();
        file.set_len(512 << 10).unwrap();
    }
}

/// So many blocks, none beside another, all over the volume.
fn apart(count: u32, first: u32) -> Vec<u32> {
    let step = BLOCKS / count;
    (0..count).map(|n| n * step + first).collect()
}

fn lost(set: &BackupSet) -> u64 {
    match set.all_problems().collect::<Vec<_>>().as_slice() {
        [] => 0,
        [Problem::Blocks { lost, .. }] => *lost,
        other => panic!("{other:?}"),
    }
}

/// How often a walk over all extents comes upon data.
fn data(source: &dyn Source) -> u64 {
    let (mut at, mut data, mut extents) = (0, 0, Vec::new());
    while at < source.size() {
        extents.clear();
        source.extents(at..at + 1, &mut extents).unwrap();
        let extent = extents.last().unwrap();
        data += u64::from(matches!(extent.kind, ExtentKind::Data(_)));
        at = extent.range.end;
    }
    data
}

#[expect(clippy::print_stderr, reason = "the figures are wanted in the log of the run")]
fn report(what: &str, runs: usize, asked: Asked, time: Duration) {
    let Asked { most, times } = asked;
    let each = most / runs;
    eprintln!(
        "{what} of {runs} listed blocks: {most} bytes at most, {each} a block, in {times} pieces, {time:?}"
    );
}

#[test]
fn a_listing_of_16_tebibytes() {
    alone(|| {
        let count = if is_long() { 4_000_000 } else { 80_000 };
        let tree = tempfile::tempdir().unwrap();
        let full = apart(count, 0);
        dump(&tree, 1, None, &full, count as usize / 400);
        // Half of these are new, half are others of the blocks that were listed before.
        let step = BLOCKS / count;
        let changed: Vec<u32> = (0..count / 8).map(|n| 8 * n * step + n % 2).collect();
        dump(&tree, 2, Some(1), &changed, count as usize / 400);
        let runs = full.len() + changed.len();
        let started = Instant::now();
        let (backups, asked) =
            measure(|| foreign::find(&[tree.path().to_owned()], &LIMITS).backups);
        report("finding", runs, asked, started.elapsed());
        assert!(asked.most < FIXED + RUN * runs, "{asked:?}");
        let [first, second] = backups.sets.as_slice() else { panic!("{}", backups.sets.len()) };
        let there = u64::from(THERE);
        let new = changed.len() as u64 / 2;
        assert_eq!(lost(first), u64::from(count) - there);
        // Five of each are there, the first block in both.
        assert_eq!(lost(second), u64::from(count) + new - there - there + 1);
        let started = Instant::now();
        let (opened, asked) = measure(|| (second.open(&LIMITS).unwrap(), second.damage()));
        report("opening", runs, asked, started.elapsed());
        assert!(asked.most < FIXED + RUN * runs, "{asked:?}");
        let (members, damage) = opened;
        let source = &*members[0].source;
        assert_eq!((source.size(), damage.len()), (GIB << 30, 1000));
        let (found, asked) = measure(|| data(source));
        assert_eq!(found, u64::from(count) + new);
        assert!(asked.most < FIXED, "{asked:?}");
    });
}

#[test]
fn many_snapshots_on_one_cost_little_for_each() {
    alone(|| {
        let tree = tempfile::tempdir().unwrap();
        let full = apart(40_000, 0);
        dump(&tree, 0, None, &full, full.len());
        // Every other one in a long line, the rest on the first one, each with more of its blocks.
        let parent = |number: u32| if number.is_multiple_of(2) { number - 2 } else { 0 };
        for number in 1..200 {
            let changed: Vec<u32> =
                (0..THERE).map(|n| full[(number * THERE + n) as usize]).collect();
            dump(&tree, number, Some(parent(number)), &changed, changed.len());
        }
        let started = Instant::now();
        let (backups, asked) =
            measure(|| foreign::find(&[tree.path().to_owned()], &LIMITS).backups);
        let took = started.elapsed();
        report("finding a tree", full.len(), asked, took);
        let found: Vec<u64> = backups.sets.iter().map(lost).collect();
        let line = |number: u64| if number.is_multiple_of(2) { number / 2 } else { 1 };
        let expected = (0..200).map(|number| 40_000 - (1 + line(number)) * u64::from(THERE));
        assert_eq!(found, expected.collect::<Vec<_>>());
        assert!(asked.most < FIXED + RUN * full.len(), "{asked:?}");
        assert!(took < Duration::from_secs(60), "{took:?}");
    });
}

/// Superblocks of a few KiB on sparse members make an array of as many pieces as there can be.
#[test]
fn an_array_of_very_many_pieces() {
    alone(|| {
        let forged = Forged { level: 10, layout: 0x102, chunk: 4096, disks: 3, ..Forged::RAID0 };
        let size = 2_090_000 * 4096;
        let tree = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = (0..3)
            .map(|place| {
                let path = tree.path().join(format!("m{place}"));
                let file = fs::File::create(&path).unwrap();
                file.set_len(DATA as u64 + size).unwrap();
                file.write_all_at(&forged.superblock(place, 1, size), 4096).unwrap();
                path
            })
            .collect();
        for given in [&paths[..1], &paths] {
            let members = given.iter().map(|path| VolumeMember {
                volume_id: path.file_name().unwrap().to_str().unwrap().parse().unwrap(),
                source: Arc::new(RawSource::open(path, 1 << 16).unwrap()),
            });
            let members = members.collect();
            let started = Instant::now();
            let (stack, asked) = measure(|| Stack::of_members(members).unwrap());
            report("an array", 3_135_000, asked, started.elapsed());
            assert_eq!(stack.devices().last().unwrap().size, Some(size / 2 * 3));
            assert!(asked.most < 150 << 20, "{asked:?}");
        }
    });
}
