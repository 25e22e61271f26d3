//! Sets that look whole and are not: chains that do not add up, files that do not belong together.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::path::{Path, PathBuf};

use restore::engine::{RunError, run};
use restore::source::{ReadCause, Source};
use restore::{Layout, Progress, Volume, VolumeMember};
use snapfmt::{Column, ExtentMap, Limits, Mapping, MemberNo, Segment};
use snaprestore::catalog::{
    Ambiguity, Catalog, CatalogError, Lookup, Missing, Selection, SetState,
};
use snaprestore::verify::{Depth, FileReport, Finding, verify};
use testing::files::{self, Place, by_id, flip};
use testing::hand::{Chunk, HandFile, HandMember, HandSet, Named};
use testing::memory::volume_over;
use testing::model::{MemberModel, Part, VolumeModel};
use testing::sinks::MemorySink;
use testing::{jobs, noise, strict};

const CHUNK: usize = 4096;

fn single(id: &str, generation: u64, member: HandMember) -> HandSet {
    HandSet { generation, ..HandSet::single(id, CHUNK, member) }
}

fn full(directory: &Path, id: &str, bytes: &[u8]) -> HandFile {
    single(id, 0, HandMember::full("vol-0", bytes, CHUNK)).write(directory).remove(0)
}

fn child(directory: &Path, id: &str, generation: u64, bytes: &[u8], parent: Named<'_>) -> HandFile {
    let member = HandMember::inheriting("vol-0", bytes, CHUNK, parent);
    single(id, generation, member).write(directory).remove(0)
}

fn refused(directory: &Path, id: &str) -> CatalogError {
    let catalog = files::catalog(directory);
    let selected = catalog.select(&by_id(id)).unwrap();
    catalog.open_set(selected.entry).unwrap_err()
}

fn verified(directory: &Path, id: &str) -> Vec<FileReport> {
    let set = files::open_set(&files::catalog(directory), id);
    verify(&set, Depth::Full, jobs(2), &Progress::default()).unwrap()
}

/// The one finding, which is about `path`.
fn finding(reports: &[FileReport], path: &Path) -> String {
    let mut found = reports.iter().flat_map(|r| r.findings.iter().map(|f| (&r.path, f)));
    let (of, first) = found.next().unwrap();
    assert_eq!(of, path);
    assert!(found.next().is_none(), "one finding only");
    match first {
        Finding::Format(e) => format!("format {:?}", e.what),
        Finding::Chain(e) => match &e.cause {
            ReadCause::BeyondParent { start, end, parent } => {
                format!("beyond {start}..{end} of {parent}")
            }
            cause => format!("chain {cause}"),
        },
        Finding::State { expected, found } => {
            assert_ne!(expected, found);
            "state".to_owned()
        }
    }
}

#[test]
fn a_chain_that_adds_up_has_no_findings() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = noise(1, 6 * CHUNK + 5);
    let parent = full(directory.path(), "dsnap-0", &bytes);
    let middle = child(directory.path(), "dsnap-1", 1, &bytes, ("dsnap-0", parent.state));
    assert_eq!(parent.state, middle.state);
    child(directory.path(), "dsnap-2", 2, &bytes, ("dsnap-1", middle.state));
    let reports = verified(directory.path(), "dsnap-2");
    assert_eq!(reports.len(), 3);
    assert!(reports.iter().all(|r| r.findings.is_empty()));
}

#[test]
fn a_cancelled_check_is_no_result() {
    let directory = tempfile::tempdir().unwrap();
    full(directory.path(), "dsnap-0", &noise(1, 6 * CHUNK));
    let set = files::open_set(&files::catalog(directory.path()), "dsnap-0");
    let progress = Progress::default();
    progress.cancel();
    let result = verify(&set, Depth::Full, jobs(2), &progress);
    assert!(matches!(result, Err(RunError::Interrupted)), "{result:?}");
}

#[test]
fn a_child_that_names_another_state_than_its_chain_has_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = noise(1, 6 * CHUNK);
    let parent = full(directory.path(), "dsnap-0", &bytes);
    // The child claims that what it inherits is something else.
    let mut other = bytes.clone();
    other[3 * CHUNK] ^= 1;
    let wrong = child(directory.path(), "dsnap-1", 1, &other, ("dsnap-0", parent.state));
    let reports = verified(directory.path(), "dsnap-1");
    assert_eq!(finding(&reports, &wrong.path), "state");
    let text = reports[0].findings[0].to_string();
    assert!(text.contains(&wrong.state.to_string()), "{text}");
    // Zeros claimed where the parent has data, too.
    let mut zeros = HandMember::inheriting("vol-0", &bytes, CHUNK, ("dsnap-0", parent.state));
    zeros.chunks[2] = Chunk::InheritZeros;
    let wrong = single("dsnap-2", 1, zeros).write(directory.path()).remove(0);
    assert_eq!(finding(&verified(directory.path(), "dsnap-2"), &wrong.path), "state");
}

#[test]
fn a_parent_of_another_state_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = noise(1, 6 * CHUNK);
    let parent = full(directory.path(), "dsnap-0", &bytes);
    let elsewhere = tempfile::tempdir().unwrap();
    let other = full(elsewhere.path(), "dsnap-0", &noise(2, 6 * CHUNK));
    let wrong = child(directory.path(), "dsnap-1", 1, &bytes, ("dsnap-0", other.state));
    match refused(directory.path(), "dsnap-1") {
        CatalogError::WrongParent { child, parent: at, expected, found, .. } => {
            assert_eq!((child, at), (wrong.path, parent.path));
            assert_eq!((expected, found), (other.state, parent.state));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn nothing_is_inherited_beyond_the_parents_end() {
    let bytes = noise(1, 8 * CHUNK);
    let (small, chunk) = (3 * CHUNK + 100, CHUNK as u64);
    // Whole chunks beyond the parent, and the chunk that its end cuts.
    for (from, start, end) in [(4, 4 * chunk, 8 * chunk), (3, 3 * chunk, 8 * chunk)] {
        let directory = tempfile::tempdir().unwrap();
        let parent = full(directory.path(), "dsnap-0", &bytes[..small]);
        let mut member = HandMember::inheriting("vol-0", &bytes, CHUNK, ("dsnap-0", parent.state));
        let own = bytes.chunks(CHUNK).map(|c| Chunk::Data(c.to_vec()));
        for (no, data) in own.enumerate().take(from).skip(1) {
            member.chunks[no] = data;
        }
        let written = single("dsnap-1", 1, member).write(directory.path()).remove(0);
        let reports = verified(directory.path(), "dsnap-1");
        assert_eq!(
            finding(&reports, &written.path),
            format!("beyond {start}..{end} of {}", 3 * chunk)
        );
        let volume =
            files::open_set(&files::catalog(directory.path()), "dsnap-1").volume().unwrap();
        let sink = MemorySink::new(volume.size());
        match run(&volume, 0..volume.size(), &sink, &strict(1), &Progress::default()) {
            Err(RunError::Damaged(damage)) => {
                assert!(matches!(damage.cause.cause, ReadCause::BeyondParent { .. }));
                assert_eq!(damage.cause.path, written.path);
            }
            other => panic!("{other:?}"),
        }
        let sink = MemorySink::new(volume.size());
        let options = testing::salvage(1, 0);
        let report = run(&volume, 0..volume.size(), &sink, &options, &Progress::default()).unwrap();
        assert_eq!(*report.damaged_ranges(), std::iter::once(start..end).collect());
    }
}

/// A parent that is larger than its child lends whole chunks only: the cut one is the child's own.
#[test]
fn the_chunk_that_the_childs_end_cuts_is_not_inherited() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = noise(1, 8 * CHUNK);
    let parent = full(directory.path(), "dsnap-0", &bytes);
    let written = child(directory.path(), "dsnap-1", 1, &bytes[..5000], ("dsnap-0", parent.state));
    let reports = verified(directory.path(), "dsnap-1");
    assert_eq!(finding(&reports, &written.path), "beyond 0..5000 of 4096");
}

#[test]
fn a_chain_longer_than_the_limit_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = noise(1, 2 * CHUNK);
    let state = full(directory.path(), "dsnap-0", &bytes).state;
    for n in 1..4 {
        let (id, parent) = (format!("dsnap-{n}"), format!("dsnap-{}", n - 1));
        child(directory.path(), &id, n, &bytes, (&parent, state));
    }
    for (chain, fits) in [(4, true), (3, false)] {
        let limits = Limits { chain, ..Limits::DEFAULT };
        let lookup = Lookup { limits, map: false };
        let catalog = Catalog::open(&[directory.path().to_owned()], &lookup);
        let entry = catalog.select(&by_id("dsnap-3")).unwrap().entry;
        match catalog.open_set(entry) {
            Ok(set) => assert!(fits && set.all_files().count() == 4),
            Err(CatalogError::ChainTooLong { max, path }) => {
                assert_eq!((fits, max), (false, 3));
                assert_eq!(path, directory.path().join("dsnap-3/0.snap"));
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// As long as the limit allows: looking up each link must not run out of stack or time.
#[test]
fn the_longest_chain_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = noise(1, 3 * CHUNK + 1);
    let state = full(directory.path(), "dsnap-0000", &bytes).state;
    let links = u64::from(Limits::DEFAULT.chain);
    for n in 1..links {
        let (id, parent) = (format!("dsnap-{n:04}"), format!("dsnap-{:04}", n - 1));
        child(directory.path(), &id, n, &bytes, (&parent, state));
    }
    let catalog = files::catalog(directory.path());
    let volume = files::open_set(&catalog, &format!("dsnap-{:04}", links - 1)).volume().unwrap();
    let sink = MemorySink::new(volume.size());
    run(&volume, 0..volume.size(), &sink, &strict(2), &Progress::default()).unwrap();
    assert_eq!(sink.into_bytes(&(0..volume.size())), bytes);
}

/// The set's own files are those that the content id stands for; the parent's footer says anything.
#[test]
fn an_expected_content_id_proves_what_is_inherited() {
    let directory = tempfile::tempdir().unwrap();
    let (right, wrong) = (noise(1, 6 * CHUNK + 5), noise(2, 6 * CHUNK + 5));
    let base = full(directory.path(), "dsnap-0", &wrong);
    let liar = child(directory.path(), "dsnap-1", 1, &right, ("dsnap-0", base.state));
    let newest = child(directory.path(), "dsnap-2", 2, &right, ("dsnap-1", liar.state));
    let expecting = |id: &str| {
        let catalog = files::catalog(directory.path());
        let content = catalog.select(&by_id(id)).unwrap().entry.content.unwrap().to_string();
        let selection = Selection { content_id: Some(content), ..by_id(id) };
        catalog.select(&selection).map(|set| set.entry.manifest.id.to_string())
    };
    match expecting("dsnap-2") {
        Err(CatalogError::WrongParent { child, parent, expected, found, .. }) => {
            assert_eq!((child, parent), (newest.path, liar.path));
            assert_eq!((expected, found), (liar.state, base.state));
        }
        other => panic!("{other:?}"),
    }
    // What these name is what they inherit.
    assert_eq!(expecting("dsnap-1").unwrap(), "dsnap-1");
    assert_eq!(expecting("dsnap-0").unwrap(), "dsnap-0");
    flip(&base.path, Place::IndexPage(0));
    match expecting("dsnap-1") {
        Err(CatalogError::Unproved { set_id, cause }) => {
            assert_eq!((set_id.as_str(), &cause.path), ("dsnap-1", &base.path));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_chain_that_returns_to_itself_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = noise(1, 2 * CHUNK);
    // What a member contains does not depend on how it is stored, so its state can be known before.
    let elsewhere = tempfile::tempdir().unwrap();
    let state = full(elsewhere.path(), "dsnap-x", &bytes).state;
    let one = child(directory.path(), "dsnap-1", 1, &bytes, ("dsnap-2", state));
    child(directory.path(), "dsnap-2", 2, &bytes, ("dsnap-1", state));
    let error = refused(directory.path(), "dsnap-1");
    assert!(
        matches!(&error, CatalogError::ChainTooLong { path, .. } if *path == one.path),
        "{error}"
    );
}

#[test]
fn a_parent_of_another_chunk_size_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = noise(1, 4 * CHUNK);
    let coarse = HandMember::full("vol-0", &bytes, 2 * CHUNK);
    let coarse = HandSet::single("dsnap-0", 2 * CHUNK, coarse).write(directory.path()).remove(0);
    let fine = child(directory.path(), "dsnap-1", 1, &bytes, ("dsnap-0", coarse.state));
    match refused(directory.path(), "dsnap-1") {
        CatalogError::ChunkSize { child, parent } => {
            assert_eq!((child, parent), (fine.path, coarse.path));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_missing_or_damaged_parent_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = noise(1, 4 * CHUNK);
    let parent = full(directory.path(), "dsnap-0", &bytes);
    child(directory.path(), "dsnap-1", 1, &bytes, ("dsnap-0", parent.state));
    flip(&parent.path, Place::IndexRoot);
    let catalog = Catalog::open(&[directory.path().to_owned()], &Lookup::default());
    let entry = catalog.select(&by_id("dsnap-1")).unwrap().entry;
    assert_eq!(catalog.state(entry), SetState::Damaged);
    match catalog.open_set(entry) {
        Err(CatalogError::Damaged { file, .. }) => assert_eq!(file.path, parent.path),
        other => panic!("{other:?}"),
    }
    std::fs::remove_file(&parent.path).unwrap();
    match refused(directory.path(), "dsnap-1") {
        CatalogError::Incomplete { missing, .. } => {
            let [Missing::Parent { volume_id, set_id }] = missing.as_slice() else {
                panic!("{missing:?}")
            };
            assert_eq!((volume_id.as_str(), set_id.as_str()), ("vol-0", "dsnap-0"));
        }
        other => panic!("{other}"),
    }
}

/// A pair, member by member.
fn pair(id: &str, seed: u64) -> HandSet {
    let bytes = [noise(seed, 4 * CHUNK), noise(seed + 1, 4 * CHUNK)];
    let members: Vec<_> = (0..).zip(&bytes).map(|(n, b)| (format!("vol-{n}"), b)).collect();
    let model = VolumeModel {
        members: members.iter().map(|(id, b)| MemberModel::of(id, (*b).clone())).collect(),
        layout: vec![Part::Striped(4, 4096, vec![(0, 0), (1, 0)])],
    };
    HandSet {
        id: id.into(),
        generation: 0,
        chunk: CHUNK,
        map: model.extent_map(),
        members: members.iter().map(|(id, b)| HandMember::full(id, b, CHUNK)).collect(),
    }
}

fn select(directory: &Path, selection: &Selection) -> Result<String, CatalogError> {
    let catalog = files::catalog(directory);
    catalog.select(selection).map(|s| s.entry.manifest.id.to_string())
}

#[test]
fn two_captures_under_one_set_id_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (directory.path().join("one"), directory.path().join("two"));
    let kept = pair("dsnap-0", 1).write(&one);
    let dropped = pair("dsnap-0", 5).write(&two);
    // Half of each: a whole set by name.
    std::fs::remove_file(&kept[1].path).unwrap();
    std::fs::remove_file(&dropped[0].path).unwrap();
    for selection in [by_id("dsnap-0"), Selection::default()] {
        match select(directory.path(), &selection) {
            Err(CatalogError::Mixed { set_id, first, second }) => {
                assert_eq!(set_id.as_str(), "dsnap-0");
                let mut paths = [first, second];
                paths.sort();
                assert_eq!(paths, [kept[0].path.clone(), dropped[1].path.clone()]);
            }
            other => panic!("{other:?}"),
        }
    }
    // Neither is whole for whoever knows which one is meant.
    for entry in files::catalog(directory.path()).sets() {
        let id = entry.content.unwrap().to_string();
        let selection = Selection { content_id: Some(id), ..Selection::default() };
        let catalog = files::catalog(directory.path());
        let entry = catalog.select(&selection).unwrap().entry;
        let error = catalog.open_set(entry).unwrap_err();
        assert!(matches!(error, CatalogError::Incomplete { .. }), "{error}");
    }
}

#[test]
fn files_of_one_seal_that_contradict_each_other_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut set = pair("dsnap-0", 1);
    set.members[1].own_tag = Some("another story".into());
    let written = set.write(directory.path());
    match refused(directory.path(), "dsnap-0") {
        CatalogError::Contradiction { set_id, first, second } => {
            assert_eq!(set_id.as_str(), "dsnap-0");
            assert_eq!([first, second], [written[0].path.clone(), written[1].path.clone()]);
        }
        other => panic!("{other}"),
    }
    let catalog = files::catalog(directory.path());
    assert_eq!(catalog.state(&catalog.sets()[0]), SetState::Damaged);
}

#[test]
fn members_of_different_sets_make_no_set() {
    let directory = tempfile::tempdir().unwrap();
    let one = pair("dsnap-a", 1).write(directory.path());
    let two = pair("dsnap-b", 1).write(directory.path());
    std::fs::remove_file(&one[1].path).unwrap();
    std::fs::remove_file(&two[0].path).unwrap();
    for (id, index, volume) in [("dsnap-a", 1, "vol-1"), ("dsnap-b", 0, "vol-0")] {
        match refused(directory.path(), id) {
            CatalogError::Incomplete { set_id, missing, .. } => {
                let (set, volume_id) = (set_id.clone(), volume.parse().unwrap());
                assert_eq!(missing, [Missing::Member { index, volume_id, set_id: set }]);
                assert_eq!(set_id.as_str(), id);
            }
            other => panic!("{other}"),
        }
    }
    // Both are generation 0 of one volume: none is the newest.
    match select(directory.path(), &Selection::default()) {
        Err(CatalogError::Ambiguous { why: Ambiguity::Fork, candidates }) => {
            assert_eq!(candidates.len(), 2);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_files_for_one_member_are_one_copy_or_refused() {
    let directory = tempfile::tempdir().unwrap();
    let written = pair("dsnap-0", 1).write(directory.path());
    let copy: PathBuf = directory.path().join("copy.snap");
    std::fs::copy(&written[0].path, &copy).unwrap();
    let set = files::open_set(&files::catalog(directory.path()), "dsnap-0");
    assert_eq!(set.own_files().count(), 2);
    let other = pair("dsnap-0", 3).write(&directory.path().join("other"));
    std::fs::copy(&other[0].path, &copy).unwrap();
    std::fs::remove_dir_all(directory.path().join("other")).unwrap();
    let error = select(directory.path(), &Selection::default()).unwrap_err();
    assert!(matches!(error, CatalogError::Mixed { .. }), "{error}");
}

/// A layout from elsewhere that needs more of a member than there is.
#[test]
fn a_layout_beyond_its_members_is_refused() {
    let source = |len: usize| {
        let directory = tempfile::tempdir().unwrap();
        let file = full(directory.path(), "dsnap-0", &noise(1, len));
        Box::new(files::chain(&[(file.path.clone(), files::open(&file.path))])) as Box<dyn Source>
    };
    assert_eq!(volume_over(source(2 * CHUNK)).size(), 2 * CHUNK as u64);
    let far = u64::MAX - 10;
    for (offset, length) in [(1, 2 * CHUNK as u64), (far - 5, 5), (0, far)] {
        let mapping = Mapping::Linear(Column { member: MemberNo(0), offset });
        let segment = Segment { start: 0, length, mapping };
        let map = ExtentMap::new(length, &[far], [segment], &Limits::DEFAULT).unwrap();
        let volume_id = "vol-0".parse().unwrap();
        let members = vec![VolumeMember { volume_id, source: source(2 * CHUNK).into() }];
        let error = Volume::new(Layout::new(map), members).unwrap_err();
        assert_eq!((error.needed, error.found), (offset + length, 2 * CHUNK as u64));
    }
}
