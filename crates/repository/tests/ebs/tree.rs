//! Dumps made by hand.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::found;

pub(crate) const A: &str = "snap-0000000000000000a";
pub(crate) const B: &str = "snap-0000000000000000b";
pub(crate) const C: &str = "snap-0000000000000000c";
pub(crate) const BLOCK: usize = 512 * 1024;

pub(crate) struct Tree {
    directory: TempDir,
}

/// The bytes of a block that is filled with one value.
pub(crate) fn plain(fill: u8) -> Vec<u8> {
    vec![fill; BLOCK]
}

impl Tree {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn json(&self, name: &str, value: &Value) -> PathBuf {
        self.write(name, value.to_string().as_bytes())
    }

    /// Blocks, each filled with a value, and their checksums.
    pub(crate) fn blocks(&self, snapshot: &str, blocks: &[(u32, u8)]) {
        let mut checksums = serde_json::Map::new();
        for (number, fill) in blocks {
            self.write(&format!("{snapshot}/blocks/{number:08}.bin"), &plain(*fill));
            let checksum = STANDARD.encode(Sha256::digest(plain(*fill)));
            let answer = json!({"Checksum": checksum, "ChecksumAlgorithm": "SHA256",
                                "DataLength": BLOCK});
            checksums.insert(number.to_string(), answer);
        }
        self.json(&format!("{snapshot}/get-snapshot-block.json"), &Value::Object(checksums));
    }

    /// A full dump.
    pub(crate) fn full(&self, snapshot: &str, gib: u64, blocks: &[(u32, u8)]) {
        self.blocks(snapshot, blocks);
        let numbers: Vec<u32> = blocks.iter().map(|(number, _)| *number).collect();
        self.json(&format!("{snapshot}/list.json"), &full_page(gib, &numbers));
    }

    /// A dump of changes: a block's value, or `None` where it is gone.
    pub(crate) fn changes(
        &self,
        snapshot: &str,
        parent: &str,
        gib: u64,
        blocks: &[(u32, Option<u8>)],
    ) {
        let stored: Vec<_> = blocks.iter().filter_map(|(n, fill)| Some((*n, (*fill)?))).collect();
        self.blocks(snapshot, &stored);
        let name = format!("{snapshot}/list-changed-blocks.{parent}..{snapshot}.json");
        self.json(&name, &changes_page(gib, blocks));
    }

    /// A dump of flexible-snapshot-proxy: runs of blocks, each with one value.
    pub(crate) fn proxy(&self, snapshot: &str, gib: u64, runs: &[(u32, u32, u8)]) -> Vec<PathBuf> {
        let one = |(first, count, fill): &(u32, u32, u8)| {
            let plain = vec![*fill; BLOCK * *count as usize];
            let sha = URL_SAFE.encode(Sha256::digest(&plain));
            let name = format!("{snapshot}.{gib}/{first}.{sha}.{count}.zstd");
            self.write(&name, &zstd::encode_all(plain.as_slice(), 1).unwrap())
        };
        runs.iter().map(one).collect()
    }

    pub(crate) fn describe(&self, snapshots: &[Value]) {
        self.json("describe-snapshots.json", &json!({"Snapshots": snapshots}));
    }

    /// The first byte of each of a snapshot's blocks, up to a number, as the source has them.
    pub(crate) fn content(&self, snapshot: &str, blocks: usize) -> Vec<u8> {
        let open = crate::opened(&found(self.path()), snapshot).unwrap();
        assert!(open.damage.is_empty(), "{:?}", open.damage);
        let source = &open.members[0].source;
        let mut content = crate::sample::bytes(&**source, 0..(blocks * BLOCK) as u64).unwrap();
        for block in content.chunks(BLOCK) {
            assert!(block.iter().all(|byte| *byte == block[0]));
        }
        content = content.chunks(BLOCK).map(|block| block[0]).collect();
        content
    }
}

pub(crate) fn full_page(gib: u64, blocks: &[u32]) -> Value {
    let entry = |block: &u32| json!({"BlockIndex": block, "BlockToken": "AAAB"});
    json!({"Blocks": blocks.iter().map(entry).collect::<Vec<_>>(), "ExpiryTime": 1_795_843_491.246,
           "VolumeSize": gib, "BlockSize": BLOCK})
}

pub(crate) fn changes_page(gib: u64, blocks: &[(u32, Option<u8>)]) -> Value {
    let entry = |(block, fill): &(u32, Option<u8>)| match fill {
        Some(_) => json!({"BlockIndex": block, "SecondBlockToken": "AAAB"}),
        None => json!({"BlockIndex": block, "FirstBlockToken": "AAAB"}),
    };
    json!({"ChangedBlocks": blocks.iter().map(entry).collect::<Vec<_>>(),
           "ExpiryTime": "2026-11-28 05:25:11+00:00", "VolumeSize": gib, "BlockSize": BLOCK})
}

/// A description with tags.
pub(crate) fn described(snapshot: &str, volume: &str, time: &str, tags: &[(&str, &str)]) -> Value {
    let tag = |(key, value): &(&str, &str)| json!({"Key": key, "Value": value});
    json!({"SnapshotId": snapshot, "VolumeId": volume, "VolumeSize": 1, "State": "completed",
           "StartTime": time, "OwnerId": "123456789012", "Description": "nightly",
           "Tags": tags.iter().map(tag).collect::<Vec<_>>()})
}
