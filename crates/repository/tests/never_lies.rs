//! Whatever happens to the files, bytes that come back as good are good.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::path::PathBuf;

use proptest::prelude::{any, prop, proptest};
use restore::Progress;
use restore::engine::{RunError, run};
use snaprestore::catalog::{Catalog, Lookup, OpenSet};
use snaprestore::verify::{Depth, verify};
use testing::lineage::Lineage;
use testing::model::VolumeModel;
use testing::scenario::steps;
use testing::sinks::MemorySink;
use testing::{check, files, indices, jobs, salvage, strict};

/// What lost bytes are filled with.
const FILL: u8 = 0xAA;

/// Changes a byte of one of the files: which file, which byte, how.
fn change(paths: &[PathBuf], (file, at, how): (u8, u32, u8)) -> PathBuf {
    let path = &paths[usize::from(file) % paths.len()];
    let mut bytes = std::fs::read(path).unwrap();
    let at = usize::try_from(at).unwrap() % bytes.len();
    bytes[at] ^= how.max(1);
    std::fs::write(path, bytes).unwrap();
    path.clone()
}

fn stops_or_is_right(set: &OpenSet, model: &VolumeModel) {
    let volume = set.volume().unwrap();
    let sink = MemorySink::new(volume.size());
    match run(&volume, 0..volume.size(), &sink, &strict(2), &Progress::default()) {
        Ok(report) => {
            assert!(report.damage.is_empty());
            check::same(&sink.into_bytes(&(0..volume.size())), &model.bytes(), 0);
        }
        Err(RunError::Damaged(_)) => {}
        Err(other) => panic!("{other}"),
    }
}

fn salvages_the_rest(set: &OpenSet, model: &VolumeModel) {
    let volume = set.volume().unwrap();
    let sink = MemorySink::new(volume.size());
    let progress = Progress::default();
    let report = run(&volume, 0..volume.size(), &sink, &salvage(2, FILL), &progress).unwrap();
    let mut expected = model.bytes();
    for range in report.damaged_ranges().iter() {
        expected[indices(range)].fill(FILL);
    }
    check::same(&sink.into_bytes(&(0..volume.size())), &expected, 0);
}

proptest! {
    #![proptest_config(testing::cases(96))]

    #[test]
    fn damaged_files_never_give_wrong_bytes(
        (chunk, steps) in steps(),
        changes in prop::collection::vec(any::<(u8, u32, u8)>(), 1..4),
    ) {
        let lineage = Lineage::new(chunk, &steps);
        let last = lineage.generations.last().unwrap();
        let paths: Vec<PathBuf> = {
            let catalog = files::catalog(lineage.directory.path());
            catalog.files().iter().map(|f| f.path.clone()).collect()
        };
        let before: Vec<_> = paths.iter().map(|p| std::fs::read(p).unwrap()).collect();
        for one in changes {
            change(&paths, one);
        }
        let changed = |path: &PathBuf| {
            let no = paths.iter().position(|p| p == path).unwrap();
            std::fs::read(path).unwrap() != before[no]
        };
        let catalog = Catalog::open(&[lineage.sets()], &Lookup::default());
        // A file that cannot be opened was one of those changed, and its set says so.
        for bad in catalog.bad() {
            assert!(changed(&bad.error.path), "{}", bad.error);
        }
        let selected = catalog.select(&files::by_id(&last.set_id));
        let Some(set) = selected.ok().and_then(|s| catalog.open_set(s.entry).ok()) else {
            assert!(!catalog.bad().is_empty());
            return Ok(());
        };
        // The extent map is read last.
        if set.volume().is_err() {
            assert!(set.own_files().any(|f| changed(&f.path)));
            return Ok(());
        }
        stops_or_is_right(&set, &last.model);
        salvages_the_rest(&set, &last.model);
        let reports = verify(&set, Depth::Full, jobs(2), &Progress::default()).unwrap();
        for report in reports {
            let found = !report.findings.is_empty();
            // A damaged parent is a finding for its children, too.
            assert!(found || !changed(&report.path), "{} is changed", report.path.display());
        }
    }
}
