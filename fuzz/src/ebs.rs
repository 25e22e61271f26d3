//! Answers of the EBS direct APIs, and directories of them.

use std::fs;
use std::path::Path;

use foreign::Limits;
use foreign::ebs::{Answer, parse};
use foreign::find;
use repository::catalog::Selection;
use restore::source::Scratch;

const SNAPSHOT: &str = "snap-90a5b666e55ef4506";
const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/ebs-direct/datafy-pairs");
/// Parts the documents of a directory; no JSON has it.
const PART: u8 = 0xff;

/// Parses a text as answers.
pub fn answers(input: &[u8]) {
    let limits = Limits { token_bytes: 1 << 10, ..Limits::DEFAULT };
    for answer in parse(input, &limits).unwrap_or_default() {
        if let Answer::Descriptions { snapshots, .. } = &answer {
            assert!(snapshots.iter().all(|s| s.snapshot_id.as_str().starts_with("snap-")));
        }
        assert_eq!(answer, answer.clone());
    }
}

/// Makes a directory of documents and a few blocks, and reads whatever sets come of it.
pub fn directory(input: &[u8]) {
    let Ok(tree) = tempfile::tempdir() else { return };
    let folder = tree.path().join(SNAPSHOT);
    if fs::create_dir(&folder).is_err() {
        return;
    }
    for (n, document) in input.split(|byte| *byte == PART).take(8).enumerate() {
        // The first is about all snapshots, the others are of one.
        let at = if n == 0 { tree.path() } else { &folder };
        let _ = fs::write(at.join(format!("document-{n}.json")), document);
    }
    for block in [0, 2, 3] {
        // A hole, so that it costs nothing.
        let file = fs::File::create(folder.join(format!("block-{block}.bin")));
        let _ = file.and_then(|file| file.set_len(512 << 10));
    }
    read(tree.path());
}

fn read(tree: &Path) {
    let limits = Limits::DEFAULT;
    let backups = find(&[tree.to_owned()], &limits).backups;
    let _ = repository::select_backup(&backups, &Selection::default());
    let mut scratch = Scratch::new().expect("memory");
    let mut block = vec![0; 512 << 10];
    for set in &backups.sets {
        let said: Vec<String> = set.all_problems().map(ToString::to_string).collect();
        assert!(said.iter().all(|text| !text.is_empty()));
        let Ok(members) = set.open(&limits) else { continue };
        let _ = set.damage();
        for member in members {
            let mut extents = Vec::new();
            let size = member.source.size();
            let _ = member.source.extents(0..size.min(64 << 20), &mut extents);
            for extent in extents {
                if let restore::source::ExtentKind::Data(chunk) = extent.kind {
                    assert!(chunk.range.end <= size);
                    let _ = member.source.read(&chunk, &mut block[..chunk.len()], &mut scratch);
                }
            }
        }
    }
}

/// The documents of the sample.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut texts: Vec<Vec<u8>> = Vec::new();
    let mut paths: Vec<_> = fs::read_dir(SAMPLE)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|e| e == "json")) {
        texts.extend(fs::read(path));
    }
    let page = br#"{"Blocks": [{"BlockIndex": 0, "BlockToken": "a"}, {"BlockIndex": 2},
        {"BlockIndex": 3}], "VolumeSize": 1, "BlockSize": 524288, "ExpiryTime": 1.5}"#;
    let changes = br#"{"ChangedBlocks": [{"BlockIndex": 0, "SecondBlockToken": "a"}],
        "VolumeSize": 1, "BlockSize": 524288, "NextToken": null,
        "FirstSnapshotId": "snap-72c89b87fef997e87"}"#;
    let sums = br#"{"0": {"DataLength": 524288, "ChecksumAlgorithm": "SHA256",
        "Checksum": "B4VNL+8pega6gWheZgwzLeNtXRjVRpJ9MNqtbX/aFUE="}}"#;
    let described = br#"{"Snapshots": [{"SnapshotId": "snap-90a5b666e55ef4506", "VolumeSize": 1,
        "VolumeId": "vol-1", "StartTime": 1795238698.0, "Tags": [{"Key": "datafy:snapshot:id",
        "Value": "dsnap-1"}]}]}"#;
    texts.extend([page.to_vec(), changes.to_vec(), sums.to_vec(), described.to_vec()]);
    let directories = [
        [described.as_slice(), page, sums].join(&PART),
        [described.as_slice(), changes, sums].join(&PART),
    ];
    let answers = texts.into_iter().map(|text| ("ebs_answers", text));
    answers.chain(directories.map(|text| ("ebs_directory", text))).collect()
}
