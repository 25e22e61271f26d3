//! Files whose index or tail is lost, made whole again byte for byte, or not at all.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::path::{Path, PathBuf};

use proptest::prelude::{any, proptest};
use snapfmt::{ChunkNo, FOOTER_BYTES};
use snaprestore::catalog::{Catalog, Lookup};
use snaprestore::rebuild::{RebuildError, Rebuilt, rebuild};
use testing::files::{self, Place, cut, flip, overwrite};
use testing::hand::{Chunk, HandFile, HandMember, HandSet};
use testing::lineage::Lineage;
use testing::model::{MemberModel, Part, VolumeModel};
use testing::scenario::steps;
use testing::{check, noise};

const CHUNK: usize = 4096;

/// Ways to lose the index or the tail and none of the records.
#[derive(Clone, Copy, Debug)]
enum Loss {
    /// The last bytes.
    Footer,
    /// Everything behind the index.
    Tail,
    /// Everything behind the records.
    Index,
    /// A page of the index is no longer what it was.
    Page,
    Directory,
    Root,
    /// The footer is there, and damaged.
    BadFooter,
}

const LOSSES: [Loss; 7] = [
    Loss::Footer,
    Loss::Tail,
    Loss::Index,
    Loss::Page,
    Loss::Directory,
    Loss::Root,
    Loss::BadFooter,
];

fn lose(path: &Path, loss: Loss) {
    let len = path.metadata().unwrap().len();
    let footer = *files::open(path).footer();
    match loss {
        Loss::Footer => cut(path, len - FOOTER_BYTES),
        Loss::Tail => cut(path, footer.manifest_copy),
        Loss::Index => cut(path, footer.index),
        Loss::Page => flip(path, Place::IndexPage(0)),
        Loss::Directory => flip(path, Place::DirectoryPage(0)),
        Loss::Root => flip(path, Place::IndexRoot),
        Loss::BadFooter => overwrite(path, len - 100, &[0xFF; 8]),
    }
}

/// A copy of a file, damaged, beside the sets and not among them.
fn damaged(path: &Path, place: &Path, loss: Loss) -> PathBuf {
    let copy = place.join("damaged");
    std::fs::copy(path, &copy).unwrap();
    lose(&copy, loss);
    copy
}

fn catalog(paths: &[&Path]) -> Catalog {
    let paths: Vec<PathBuf> = paths.iter().map(|p| p.to_path_buf()).collect();
    Catalog::open(&paths, &Lookup::default())
}

fn rebuilt(path: &Path, siblings: &[&Path]) -> Result<(Rebuilt, Vec<u8>), RebuildError> {
    let out = path.with_extension("rebuilt");
    let done = rebuild(path, &out, &catalog(siblings), &Lookup::default());
    match done {
        Ok(done) => {
            let bytes = std::fs::read(&out).unwrap();
            std::fs::remove_file(&out).unwrap();
            Ok((done, bytes))
        }
        Err(error) => {
            assert!(out.symlink_metadata().is_err(), "a failed rebuild leaves a file");
            let left = std::fs::read_dir(path.parent().unwrap()).unwrap();
            let left = left.map(|e| e.unwrap().file_name().into_string().unwrap());
            assert!(left.into_iter().all(|name| !name.contains(".rebuild.")));
            Err(error)
        }
    }
}

/// Data, zeros, holes; more of them than an index page holds.
fn mixed(seed: u64, chunks: usize) -> HandMember {
    let bytes = noise(seed, chunks * CHUNK - 100);
    let mut member = HandMember::full(&format!("vol-{seed}"), &bytes, CHUNK);
    for (no, chunk) in member.chunks.iter_mut().enumerate() {
        match no % 7 {
            3 => *chunk = Chunk::Zero,
            5 | 6 => *chunk = Chunk::Hole,
            _ => {}
        }
    }
    member
}

fn single(directory: &Path) -> HandFile {
    HandSet::single("dsnap-0", CHUNK, mixed(1, 1500)).write(directory).remove(0)
}

fn pair(directory: &Path) -> Vec<HandFile> {
    let members = vec![mixed(0, 40), mixed(1, 40)];
    let model = VolumeModel {
        members: members
            .iter()
            .map(|m| MemberModel::of(&m.volume, vec![0; testing::index(m.size)]))
            .collect(),
        layout: vec![Part::Striped(16, 10_000, vec![(1, 0), (0, 7)])],
    };
    let map = model.extent_map();
    HandSet { id: "dsnap-0".into(), generation: 0, chunk: CHUNK, map, members }.write(directory)
}

#[test]
fn a_full_file_alone_is_made_whole() {
    let directory = tempfile::tempdir().unwrap();
    let place = tempfile::tempdir().unwrap();
    let file = single(directory.path());
    let original = std::fs::read(&file.path).unwrap();
    for loss in LOSSES {
        let copy = damaged(&file.path, place.path(), loss);
        let (done, bytes) = rebuilt(&copy, &[]).unwrap();
        check::same(&bytes, &original, 0);
        assert_eq!(done.snapshot_id, files::open(&file.path).footer().snapshot, "{loss:?}");
        assert_eq!(done.records, files::open(&file.path).index().totals.records, "{loss:?}");
    }
}

#[test]
fn one_of_several_members_needs_the_seal() {
    let directory = tempfile::tempdir().unwrap();
    let place = tempfile::tempdir().unwrap();
    let written = pair(directory.path());
    let original = std::fs::read(&written[1].path).unwrap();
    for loss in LOSSES {
        let copy = damaged(&written[1].path, place.path(), loss);
        let (done, bytes) = rebuilt(&copy, &[&written[0].path]).unwrap();
        check::same(&bytes, &original, 0);
        assert!(done.sealed, "{loss:?}");
    }
    // Alone it has the seal only where its own tail is whole.
    for loss in LOSSES {
        let copy = damaged(&written[1].path, place.path(), loss);
        match (loss, rebuilt(&copy, &[])) {
            (Loss::Page | Loss::Directory, Ok((done, bytes))) => {
                check::same(&bytes, &original, 0);
                assert!(done.sealed, "{loss:?}");
            }
            (Loss::Page | Loss::Directory, other) => panic!("{loss:?}: {other:?}"),
            (_, Err(RebuildError::Unproved { path })) => assert_eq!(path, copy),
            (_, other) => panic!("{loss:?}: {other:?}"),
        }
    }
}

/// A parent of 60 chunks and a child that has some anew, among them zeros that hide data.
fn incremental(directory: &Path) -> (HandFile, HandFile) {
    let parent = mixed(1, 60);
    let whole = parent.clone();
    let parent = HandSet::single("dsnap-0", CHUNK, parent).write(directory).remove(0);
    let mut child = HandMember { parent: Some(("dsnap-0".into(), parent.state)), ..whole };
    for (no, chunk) in child.chunks.iter_mut().enumerate() {
        *chunk = match (no, &chunk) {
            (10 | 11 | 30, _) => Chunk::Data(noise(500 + no as u64, CHUNK)),
            (20..25, _) => Chunk::Zero,
            (_, Chunk::Data(bytes)) => Chunk::Inherit(bytes.clone()),
            _ => Chunk::InheritZeros,
        };
    }
    let set = HandSet { generation: 1, ..HandSet::single("dsnap-1", CHUNK, child) };
    (parent, set.write(directory).remove(0))
}

#[test]
fn an_incremental_file_needs_its_parent_and_the_end_of_its_records() {
    let directory = tempfile::tempdir().unwrap();
    let place = tempfile::tempdir().unwrap();
    let (parent, child) = incremental(directory.path());
    let original = std::fs::read(&child.path).unwrap();
    // The parent's chunks are not read: damage there is no hindrance.
    flip(&parent.path, Place::Chunk(0));
    for loss in LOSSES {
        let copy = damaged(&child.path, place.path(), loss);
        match (loss, rebuilt(&copy, &[&parent.path])) {
            // Nothing tells that the last record is the last.
            (Loss::Index, Err(RebuildError::Unproved { path })) => assert_eq!(path, copy),
            (Loss::Index, other) => panic!("{other:?}"),
            (_, done) => check::same(&done.unwrap().1, &original, 0),
        }
        // With a whole copy of the file there is a seal.
        let (done, bytes) = rebuilt(&copy, &[&parent.path, &child.path]).unwrap();
        check::same(&bytes, &original, 0);
        assert!(done.sealed);
        match rebuilt(&copy, &[]) {
            Err(RebuildError::NoParent { set_id, .. }) => assert_eq!(set_id, "dsnap-0"),
            other => panic!("{other:?}"),
        }
    }
}

/// What is lost from an incremental file must not be taken from its parent.
#[test]
fn a_lost_record_is_never_the_parents_chunk() {
    let directory = tempfile::tempdir().unwrap();
    let place = tempfile::tempdir().unwrap();
    let (parent, child) = incremental(directory.path());
    let copy = place.path().join("damaged");
    std::fs::copy(&child.path, &copy).unwrap();
    flip(&copy, Place::RecordHeader(11));
    match rebuilt(&copy, &[&parent.path, &child.path]) {
        Err(RebuildError::Mismatch { expected, found, .. }) => {
            assert_eq!(expected, files::open(&child.path).footer().snapshot);
            assert_ne!(expected, found);
        }
        other => panic!("{other:?}"),
    }
    let footer = *files::open(&child.path).footer();
    cut(&copy, footer.root);
    let result = rebuilt(&copy, &[&parent.path]);
    assert!(matches!(result, Err(RebuildError::Unproved { .. })), "{result:?}");
    // Cut off behind a record, everything after it is gone.
    std::fs::copy(&child.path, &copy).unwrap();
    cut(&copy, files::place(&child.path, Place::RecordHeader(30)).start);
    let result = rebuilt(&copy, &[&parent.path]);
    assert!(matches!(result, Err(RebuildError::Unproved { .. })), "{result:?}");
    let result = rebuilt(&copy, &[&parent.path, &child.path]);
    assert!(matches!(result, Err(RebuildError::Mismatch { .. })), "{result:?}");
}

#[test]
fn lost_chunks_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let place = tempfile::tempdir().unwrap();
    let file = single(directory.path());
    let copy = place.path().join("damaged");
    let lost = |result: Result<_, RebuildError>| match result {
        Err(RebuildError::Lost { lost, chunks, first, .. }) => (lost, chunks, first),
        other => panic!("{:?}", other.map(drop)),
    };
    for place in [Place::Chunk(7), Place::RecordHeader(7)] {
        std::fs::copy(&file.path, &copy).unwrap();
        flip(&copy, place);
        flip(&copy, Place::Chunk(1100));
        assert_eq!(lost(rebuilt(&copy, &[])), (2, 1500, ChunkNo(7)), "{place:?}");
    }
    std::fs::copy(&file.path, &copy).unwrap();
    cut(&copy, files::stored(&file.path, 1400).offset + 10);
    assert_eq!(lost(rebuilt(&copy, &[])), (100, 1500, ChunkNo(1400)));
}

#[test]
fn what_exists_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let file = single(directory.path());
    let out = directory.path().join("out");
    std::fs::write(&out, "mine").unwrap();
    let result = rebuild(&file.path, &out, &catalog(&[]), &Lookup::default());
    assert!(matches!(result, Err(RebuildError::Exists { .. })), "{result:?}");
    assert_eq!(std::fs::read(&out).unwrap(), b"mine");
}

/// A volume that holds snapshot files: their headers are in its chunks, stored as they are because
/// they do not compress, and must not be taken for the file's own.
#[test]
fn snapshot_files_within_the_volume_are_only_data() {
    let directory = tempfile::tempdir().unwrap();
    let place = tempfile::tempdir().unwrap();
    let inner =
        HandSet::single("dsnap-in", CHUNK, HandMember::full("vol-1", &noise(8, 9 * CHUNK), CHUNK));
    let inner = std::fs::read(&inner.write(place.path())[0].path).unwrap();
    let mut bytes = noise(9, 6 * CHUNK + 33);
    bytes.extend(&inner);
    bytes.extend(noise(10, 2 * CHUNK));
    bytes.extend(&inner[..inner.len() - 5]);
    let member = HandMember::full("vol-1", &bytes, CHUNK);
    let file = HandSet::single("dsnap-0", CHUNK, member).write(directory.path()).remove(0);
    let original = std::fs::read(&file.path).unwrap();
    let magic = snapfmt::PROJECT_MAGIC;
    let first = 6 * CHUNK / CHUNK + 1;
    let seen = |no: u32| {
        let range = files::place(&file.path, Place::Chunk(no));
        original[testing::indices(&range)].windows(magic.len()).any(|w| w == magic)
    };
    assert!(
        seen(u32::try_from(first).unwrap()),
        "the test needs headers that are stored as they are"
    );
    for loss in LOSSES {
        let copy = damaged(&file.path, place.path(), loss);
        check::same(&rebuilt(&copy, &[]).unwrap().1, &original, 0);
    }
    // Looking for the next header, the scan goes through the chunk with the foreign ones.
    for no in 0..u32::try_from(bytes.len().div_ceil(CHUNK)).unwrap() {
        let copy = damaged(&file.path, place.path(), Loss::Footer);
        let header = files::place(&file.path, Place::RecordHeader(no));
        overwrite(&copy, header.start, &[0; 16]);
        match rebuilt(&copy, &[]) {
            Err(RebuildError::Lost { lost: 1, first, .. }) => assert_eq!(first, ChunkNo(no)),
            other => panic!("chunk {no}: {other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(testing::cases(24))]

    /// Whatever a capture writes is written again, byte for byte, as long as something proves it.
    #[test]
    fn any_file_is_made_whole((chunk, steps) in steps(), which in any::<(u8, u8)>()) {
        let lineage = Lineage::new(chunk, &steps);
        let sets = files::catalog(lineage.directory.path());
        let generation = &lineage.generations[usize::from(which.0) % lineage.generations.len()];
        let set = files::open_set(&sets, &generation.set_id);
        let loss = LOSSES[usize::from(which.1) % LOSSES.len()];
        for file in set.own_files() {
            let place = tempfile::tempdir().unwrap();
            // An incremental file without a change has no page that could be damaged.
            let empty = file.snapshot.index().pages.is_empty();
            let loss = if empty { Loss::Footer } else { loss };
            let copy = damaged(&file.path, place.path(), loss);
            let (done, bytes) = rebuilt(&copy, &[&lineage.sets()]).unwrap();
            check::same(&bytes, &std::fs::read(&file.path).unwrap(), 0);
            assert!(done.sealed);
        }
    }
}
