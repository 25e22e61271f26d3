//! What an expected content id proves of a set that inherits: a parent's own word for its content is none.

use std::path::Path;

use libtest_mimic::Trial;
use restore::snapfmt::{FOOTER_BYTES, HEADER_LEN, Limits, Snapshot, StateId, crc32};

use crate::lineage::Lineage;
use crate::support::frames::{Anatomy, middle};
use crate::support::needs::trial;
use crate::support::run::Call;
use crate::support::sample::{SOURCE, Sample, pair_gap_and_tail};
use crate::support::scratch::{flip_bit, read, write};
use crate::support::{Outcome, ensure};

/// Where a footer's payload has the state id, docs/FORMAT.md.
const STATE: std::ops::Range<usize> = 56..88;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("an_expected_content_id_proves_what_is_inherited", &[], inherited),
        trial("what_cannot_be_followed_is_not_proved", &[], unreadable),
    ]
}

/// Every command that gives something of a set, or says something of its content.
fn commands(lineage: &Lineage) -> Vec<Call> {
    let over = |command: &str| Call::new(command).arg(&lineage.sets);
    vec![
        lineage.restore(),
        over("plan").option("-o", lineage.target()),
        over("read").option("--length", "4096").option("-o", lineage.target()),
        over("attach").option("--name", "proofs-never-attached"),
        over("inspect"),
        over("list"),
        over("verify"),
        over("verify").arg("--quick"),
    ]
}

fn inherited() -> Outcome {
    let lineage = Lineage::of(3)?;
    let id = |number: usize| lineage.generations[number].1.content_id.clone();
    let expecting = |call: Call| call.option("--expect-content-id", id(2));
    lineage.gives(&expecting(lineage.restore()), 2)?;
    // Another volume of the same ids takes the place of generation 0, and says that its content is that one's.
    let other = lineage.scratch.path("other");
    let sample = Sample::make(&lineage.scratch.path("others"), pair_gap_and_tail(), 99)?;
    let call = sample.capture(&other, &lineage.id(0)).option("--source-volume", SOURCE);
    call.option("--time", "2024-01-01T00:00:00Z").option("--chunk-size", "64K").succeeds()?;
    let mut states = Vec::new();
    for volume in ["vol-a", "vol-b", "vol-c"] {
        let file = lineage.file(0, volume)?;
        let name = file.file_name().ok_or("no name")?;
        states.push(take_the_place_of(&file, &other.join(lineage.id(0)).join(name))?);
    }
    // The set says of itself what it did before.
    lineage.restore().succeeds()?;
    std::fs::remove_file(lineage.target())?;
    let ran = Call::new("verify").arg(&lineage.sets).arg("--quick").exits(4)?;
    ensure!(ran.stderr.contains("damage in"), "{}", ran.describe());
    let (parent, expected) = (lineage.file(1, "vol-a")?, states[0].to_string());
    let names = parent.file_name().and_then(|n| n.to_str()).ok_or("no name")?;
    for call in commands(&lineage) {
        lineage.refuses(expecting(call), 4, &[&lineage.id(1), names, "holds state"])?;
    }
    // The child of the one that lies says which state it was built on.
    let call = lineage.restore().option("--generation", "1").option("--expect-content-id", id(1));
    lineage.refuses(call, 4, &[&lineage.id(0), names, expected.as_str()])
}

/// Puts `other` in the place of `file`, with that one's state in its footer; returns that state.
fn take_the_place_of(file: &Path, other: &Path) -> Outcome<StateId> {
    let (good, mut bytes) = (read(file)?, read(other)?);
    let footer = |bytes: &[u8]| bytes.len() - usize::try_from(FOOTER_BYTES).unwrap_or(0);
    let payload = |bytes: &[u8]| footer(bytes) + HEADER_LEN;
    let (from, at) = (payload(&good), payload(&bytes));
    bytes[at..][STATE].copy_from_slice(&good[from..][STATE]);
    let (header, of_payload) = (footer(&bytes), crc32(&bytes[at..]));
    bytes[header..][56..60].copy_from_slice(&of_payload.to_le_bytes());
    let of_header = crc32(&bytes[header..][..60]);
    bytes[header..][60..64].copy_from_slice(&of_header.to_le_bytes());
    write(file, &bytes)?;
    let snapshot = Snapshot::open(std::sync::Arc::new(bytes), &Limits::DEFAULT)?;
    Ok(snapshot.footer().state)
}

fn unreadable() -> Outcome {
    let lineage = Lineage::of(2)?;
    let file = lineage.file(0, "vol-a")?;
    flip_bit(&file, middle(Anatomy::of(&file)?.index()))?;
    let id = lineage.generations[1].1.content_id.clone();
    let call = lineage.restore().option("--expect-content-id", id);
    lineage.refuses(call, 4, &["0-vol-a.snap", &lineage.id(0), "proved"])
}
