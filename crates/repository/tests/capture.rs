//! Captures: the same bytes whoever does the work, and nothing under the set's name unless whole.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use restore::source::{ChunkRef, Source};
use restore::{Layout, Progress, Volume};
use snapfmt::{Consistency, ExtentMap, Fault, Limits, Mapping, Segment};
use snaprestore::capture::{CaptureError, CaptureRequest, Form, ParentSet, capture};
use testing::hand::time_of;
use testing::hand::{HandMember, HandSet};
use testing::hooked::Hooked;
use testing::memory::{MemorySource, volume_of};
use testing::model::{Kind, MemberModel, Part, VolumeModel};
use testing::{chunk_size, files, jobs, noise};

const CHUNK: usize = 4096;

fn model() -> VolumeModel {
    let mut members: Vec<MemberModel> =
        (0..3).map(|n| MemberModel::of(&format!("vol-{n}"), noise(n, 300 * CHUNK + 99))).collect();
    for member in &mut members {
        // Equal chunks, zeros and holes among the others.
        let one = noise(77, CHUNK);
        for no in (0..300).step_by(3) {
            member.bytes[no * CHUNK..(no + 1) * CHUNK].copy_from_slice(&one);
        }
        for (no, kind) in [(40, Kind::Zero), (90, Kind::Hole)] {
            let range = no * CHUNK..(no + 30) * CHUNK;
            member.bytes[range.clone()].fill(0);
            member.kinds[range].fill(kind);
        }
    }
    let layout = vec![Part::Striped(90, 5000, vec![(2, 0), (0, 0), (1, 3)])];
    VolumeModel { members, layout }
}

fn volume(model: &VolumeModel, cut: u32) -> Volume {
    volume_of(model, |_, member| Box::new(MemorySource::new(member, cut)) as Box<dyn Source>)
}

fn request(
    directory: &Path,
    generation: u64,
    form: Form,
    workers: usize,
) -> CaptureRequest<'static> {
    CaptureRequest {
        directory: directory.to_owned(),
        set_id: format!("dsnap-{generation}").parse().unwrap(),
        source_volume_id: "vol-logical".parse().unwrap(),
        generation,
        time: time_of(generation),
        consistency: Consistency::Quiesced,
        tags: BTreeMap::new(),
        chunk_size: chunk_size(CHUNK),
        level: 3,
        form,
        sectors: vec![(512, 4096); 3],
        parent: None,
        tool: "tests".into(),
        jobs: jobs(workers),
    }
}

/// The files of a set, by name.
fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries
        .map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap()))
        .collect()
}

#[test]
fn the_bytes_do_not_depend_on_the_workers() {
    let first = model();
    let mut second = first.clone();
    second.members[1].bytes[CHUNK..20 * CHUNK].copy_from_slice(&noise(5, 19 * CHUNK));
    for form in [(false, false), (true, false), (false, true), (true, true)] {
        let form = Form { compact_zeros: form.0, dedup: form.1 };
        let mut all = Vec::new();
        // Neither on how the source is cut.
        for (workers, cut) in [(1, 4096), (2, 10_000), (4, 1 << 20)] {
            let directory = tempfile::tempdir().unwrap();
            let progress = Progress::default();
            let done = capture(
                &volume(&first, cut),
                &request(directory.path(), 0, form, workers),
                &progress,
            );
            assert_eq!(
                (progress.done(), progress.total()),
                (3 * first.members[0].size(), progress.done())
            );
            let full = contents(&done.unwrap().directory);
            let catalog = files::catalog(directory.path());
            let entry = catalog.select(&files::by_id("dsnap-0")).unwrap().entry;
            let open = catalog.open_set(entry).unwrap();
            let parent = ParentSet { manifest: &entry.manifest, open: &open };
            let request = CaptureRequest {
                parent: Some(parent),
                ..request(directory.path(), 1, form, workers)
            };
            let done = capture(&volume(&second, cut), &request, &Progress::default()).unwrap();
            assert!(done.files.iter().all(|file| file.incremental));
            all.push((full, contents(&done.directory)));
        }
        assert_eq!(all[0].0.len(), 5, "three members, the layout and a text");
        assert!(all[0] == all[1] && all[0] == all[2], "{form:?}");
    }
}

/// Nothing is left: neither a set nor a half of one.
fn nothing_in(directory: &Path) {
    let left: Vec<_> = std::fs::read_dir(directory).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_source_that_fails_leaves_nothing() {
    let model = model();
    for fails in [0, 50, 169] {
        let directory = tempfile::tempdir().unwrap();
        let volume = volume_of(&model, |no, member| {
            let source = MemorySource::new(member, 4096);
            Box::new(if no == 2 { source.failing_at(fails) } else { source }) as Box<dyn Source>
        });
        let request = request(directory.path(), 0, Form::default(), 2);
        let error = capture(&volume, &request, &Progress::default()).unwrap_err();
        assert!(matches!(error, CaptureError::Source(_)), "{error}");
        nothing_in(directory.path());
    }
}

#[test]
fn a_signal_between_two_members_is_heard() {
    let (model, directory) = (model(), tempfile::tempdir().unwrap());
    let progress = Arc::new(Progress::default());
    let volume = volume_of(&model, |no, member| {
        let source = MemorySource::new(member, 4096);
        let (size, progress) = (source.size(), Arc::clone(&progress));
        // Only the end of the first member cancels the job.
        let before_read = move |chunk: &ChunkRef| {
            if chunk.range.end == size {
                progress.cancel();
            }
        };
        match no {
            0 => Box::new(Hooked { source, before_read }),
            _ => Box::new(source) as Box<dyn Source>,
        }
    });
    let request = request(directory.path(), 0, Form::default(), 2);
    let error = capture(&volume, &request, &progress).unwrap_err();
    assert!(matches!(error, CaptureError::Interrupted), "{error}");
    let size = model.members[0].size();
    assert!(progress.done() <= size, "{} of {size} bytes", progress.done());
    nothing_in(directory.path());
}

#[test]
fn a_cancelled_capture_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let progress = Progress::default();
    progress.cancel();
    let request = request(directory.path(), 0, Form::default(), 2);
    let error = capture(&volume(&model(), 4096), &request, &progress).unwrap_err();
    assert!(matches!(error, CaptureError::Interrupted), "{error}");
    nothing_in(directory.path());
}

#[test]
fn what_exists_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let request = request(directory.path(), 0, Form::default(), 1);
    let volume = volume(&model(), 4096);
    let done = capture(&volume, &request, &Progress::default()).unwrap();
    let before = contents(&done.directory);
    let error = capture(&volume, &request, &Progress::default()).unwrap_err();
    assert!(matches!(&error, CaptureError::Exists { path } if *path == done.directory), "{error}");
    assert!(contents(&done.directory) == before);
}

#[test]
fn a_parent_of_another_chunk_size_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let volume = volume(&model(), 4096);
    capture(&volume, &request(directory.path(), 0, Form::default(), 1), &Progress::default())
        .unwrap();
    let catalog = files::catalog(directory.path());
    let entry = catalog.select(&files::by_id("dsnap-0")).unwrap().entry;
    let open = catalog.open_set(entry).unwrap();
    let request = CaptureRequest {
        parent: Some(ParentSet { manifest: &entry.manifest, open: &open }),
        chunk_size: chunk_size(2 * CHUNK),
        ..request(directory.path(), 1, Form::default(), 1)
    };
    let error = capture(&volume, &request, &Progress::default()).unwrap_err();
    assert!(matches!(error, CaptureError::ChunkSize { parent: 4096, asked: 8192 }), "{error}");
}

/// A chain that nobody would follow is not made one longer.
#[test]
fn a_chain_is_not_made_longer_than_the_limit() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = noise(1, 2 * CHUNK);
    let model = VolumeModel {
        members: vec![MemberModel::of("vol-0", bytes.clone())],
        layout: vec![Part::Linear(2 * CHUNK as u64, (0, 0))],
    };
    let first = HandSet::single("dsnap-0", CHUNK, HandMember::full("vol-0", &bytes, CHUNK));
    let state = first.write(directory.path())[0].state;
    let max = u64::from(Limits::DEFAULT.chain);
    for generation in 1..max {
        let below = format!("dsnap-{}", generation - 1);
        let member = HandMember::inheriting("vol-0", &bytes, CHUNK, (&below, state));
        let set = HandSet::single(&format!("dsnap-{generation}"), CHUNK, member);
        HandSet { generation, ..set }.write(directory.path());
    }
    let catalog = files::catalog(directory.path());
    for (below, fits) in [(max - 2, true), (max - 1, false)] {
        let entry = catalog.select(&files::by_id(&format!("dsnap-{below}"))).unwrap().entry;
        let open = catalog.open_set(entry).unwrap();
        let request = CaptureRequest {
            parent: Some(ParentSet { manifest: &entry.manifest, open: &open }),
            sectors: vec![(512, 512)],
            ..request(directory.path(), max + below, Form::default(), 1)
        };
        match capture(&volume(&model, 4096), &request, &Progress::default()) {
            Ok(_) => assert!(fits),
            Err(CaptureError::Manifest(Fault::Limit { value, max: limit, .. })) => {
                assert_eq!((fits, value, limit), (false, max + 1, max));
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn what_no_member_holds_is_not_captured() {
    let directory = tempfile::tempdir().unwrap();
    for size in [1 << 20, 20 << 20] {
        let unmapped = Segment { start: 0, length: size, mapping: Mapping::Unmapped };
        let map = ExtentMap::new(size, &[], [unmapped], &Limits::DEFAULT).unwrap();
        let volume = Volume::new(Layout::new(map), Vec::new()).unwrap();
        let request = request(directory.path(), 0, Form::default(), 1);
        let error = capture(&volume, &request, &Progress::default()).unwrap_err();
        assert!(
            matches!(error, CaptureError::NoMembers { size: found } if found == size),
            "{error}"
        );
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}
