//! `rebuild`: the very file that was lost, or nothing.

use std::ops::Range;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use restore::snapfmt::crc32;

use crate::support::frames::{Anatomy, middle};
use crate::support::layout::Layout;
use crate::support::needs::trial;
use crate::support::noise::noise;
use crate::support::run::Call;
use crate::support::sample::Sample;
use crate::support::scratch::{copy, flip_bit, read, set_len, write};
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure, tool};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("rebuild_with_siblings", &[], with_siblings),
        trial("rebuild_without_a_sibling", &[], without_a_sibling),
        trial("rebuild_of_an_increment_needs_its_parent", &[], increment),
        trial("rebuild_of_a_single_member", &[], single_member),
        trial("rebuild_does_not_make_up_what_is_lost", &[], lost),
        trial("rebuild_compares_every_chunk_with_its_digest", &[], another_chunk),
        trial("rebuild_of_no_snapshot", &[], no_snapshot),
    ]
}

/// A copy of a file without anything after its last data.
fn cut(stage: &Stage, whole: &Path) -> Outcome<PathBuf> {
    let cut = stage.scratch.dir("cut")?.join("cut.snap");
    copy(whole, &cut)?;
    drop(set_len(&cut, Anatomy::of(whole)?.index().stored.start)?);
    Ok(cut)
}

fn rebuild(stage: &Stage, cut: &Path, siblings: &[&Path]) -> Call {
    let call = Call::new("rebuild").arg(cut).option("-o", stage.out.join("rebuilt.snap"));
    siblings.iter().fold(call, |call, path| call.option("--sibling", path))
}

/// The rebuilt file is the whole one. It is removed.
fn gives(stage: &Stage, call: &Call, whole: &Path, sealed: bool) -> Outcome {
    let report = call.json()?;
    let rebuilt = stage.out.join("rebuilt.snap");
    tool::same_bytes(&rebuilt, whole)?;
    ensure!(report["sealed"] == sealed, "{report}");
    ensure!(report["output"] == rebuilt.to_string_lossy().as_ref(), "{report}");
    ensure!(report["records"].as_u64().is_some_and(|n| n > 0), "{report}");
    let inspect = Call::new("inspect").arg(whole).arg("--json").run()?.document()?;
    ensure!(report["snapshot_id"] == inspect["files"][0]["snapshot_id"], "{report}\n{inspect}");
    std::fs::remove_file(&rebuilt)?;
    Ok(())
}

fn with_siblings() -> Outcome {
    let stage = Stage::new()?;
    let whole = stage.file("vol-b")?;
    let cut = cut(&stage, &whole)?;
    // One is enough, whichever; a directory is searched.
    for sibling in [stage.file("vol-a")?, stage.file("vol-c")?, stage.sets.clone()] {
        gives(&stage, &rebuild(&stage, &cut, &[&sibling]), &whole, true)?;
    }
    // With the index damaged instead of lost, and of a file that lacks nothing.
    let damaged = stage.scratch.path("damaged.snap");
    copy(&whole, &damaged)?;
    flip_bit(&damaged, middle(Anatomy::of(&whole)?.index()))?;
    gives(&stage, &rebuild(&stage, &damaged, &[&stage.sets]), &whole, true)?;
    gives(&stage, &rebuild(&stage, &whole, &[&stage.sets]), &whole, true)
}

/// Nothing proves that the last record is the last.
fn without_a_sibling() -> Outcome {
    let stage = Stage::new()?;
    let cut = cut(&stage, &stage.file("vol-b")?)?;
    stage.refuses(rebuild(&stage, &cut, &[]), 4, &["cut.snap", "--sibling"])?;
    // Another set's files are no siblings.
    let other = Sample::make(&stage.scratch.path("other"), stage.sample.layout.clone(), 1)?;
    let elsewhere = stage.scratch.path("elsewhere");
    other.captured(&elsewhere, "dsnap-0b")?;
    stage.refuses(rebuild(&stage, &cut, &[&elsewhere]), 4, &["cut.snap", "--sibling"])?;
    // Where only the index is damaged, the file's own tail says what it was.
    let whole = stage.file("vol-b")?;
    let damaged = stage.scratch.path("damaged.snap");
    copy(&whole, &damaged)?;
    flip_bit(&damaged, middle(Anatomy::of(&whole)?.index()))?;
    gives(&stage, &rebuild(&stage, &damaged, &[]), &whole, true)
}

fn increment() -> Outcome {
    let stage = Stage::new()?;
    let (_, set) = stage.next_generation("dsnap-1a", 1)?;
    let whole = set.file("vol-b")?.path.clone();
    let cut = cut(&stage, &whole)?;
    let sibling = set.file("vol-a")?.path.clone();
    stage.refuses(rebuild(&stage, &cut, &[&sibling]), 6, &["cut.snap", "dsnap-0a", "--sibling"])?;
    let parent = stage.file("vol-b")?;
    stage.refuses(rebuild(&stage, &cut, &[&parent]), 4, &["cut.snap", "--sibling"])?;
    gives(&stage, &rebuild(&stage, &cut, &[&sibling, &parent]), &whole, true)
}

/// A full snapshot has a record for every chunk: that all are there proves itself.
fn single_member() -> Outcome {
    let stage = Stage::with_layout(Layout::new().linear((1 << 20) + 700, ("vol-a", 0)))?;
    let whole = stage.file("vol-a")?;
    let cut = cut(&stage, &whole)?;
    gives(&stage, &rebuild(&stage, &cut, &[]), &whole, false)?;
    // Not so an increment that ends nobody knows where.
    let (_, child) = stage.next_generation("dsnap-1a", 1)?;
    let whole = child.file("vol-a")?.path.clone();
    let cut = self::cut(&stage, &whole)?;
    stage.refuses(rebuild(&stage, &cut, &[&stage.set.directory]), 4, &["cut.snap"])?;
    // One whose index only has a wrong bit shows where its records end.
    let damaged = stage.scratch.path("damaged.snap");
    copy(&whole, &damaged)?;
    flip_bit(&damaged, middle(Anatomy::of(&whole)?.footer()))?;
    gives(&stage, &rebuild(&stage, &damaged, &[&stage.set.directory]), &whole, false)
}

fn lost() -> Outcome {
    let stage = Stage::new()?;
    let whole = stage.file("vol-b")?;
    let anatomy = Anatomy::of(&whole)?;
    let data: Vec<_> = anatomy.data().cloned().collect();
    let damaged = stage.scratch.path("damaged.snap");
    // A chunk with a wrong bit, and one that was cut off with all after it.
    copy(&whole, &damaged)?;
    flip_bit(&damaged, middle(&data[2]))?;
    stage.refuses(rebuild(&stage, &damaged, &[&stage.sets]), 4, &["1 of 8 chunks", "chunk 2"])?;
    copy(&whole, &damaged)?;
    drop(set_len(&damaged, data[5].stored.end - 1)?);
    stage.refuses(rebuild(&stage, &damaged, &[&stage.sets]), 4, &["3 of 8 chunks", "chunk 5"])?;
    // The head says what the file is, and the tail repeats it; without both nothing does.
    copy(&whole, &damaged)?;
    flip_bit(&damaged, middle(anatomy.manifest()))?;
    gives(&stage, &rebuild(&stage, &damaged, &[&stage.sets]), &whole, true)?;
    drop(set_len(&damaged, anatomy.index().stored.start)?);
    stage.refuses(rebuild(&stage, &damaged, &[&stage.sets]), 4, &["damaged.snap"])
}

fn no_snapshot() -> Outcome {
    let stage = Stage::new()?;
    let file = stage.scratch.path("holiday.snap");
    for content in
        [&b""[..], b"PK", b"a text that is long enough to hold the head of a snapshot file"]
    {
        write(&file, content)?;
        stage.refuses(rebuild(&stage, &file, &[&stage.sets]), 4, &["holiday.snap"])?;
    }
    stage.refuses(rebuild(&stage, &stage.scratch.path("nowhere"), &[]), 4, &["nowhere"])?;
    let readme = stage.set.directory.join("README.txt");
    stage.refuses(rebuild(&stage, &readme, &[&stage.sets]), 4, &["README.txt"])
}

/// Another valid frame in the place of a chunk, with every CRC put right: only the BLAKE3 digest tells.
fn another_chunk() -> Outcome {
    let stage = Stage::new()?;
    // What cannot be compressed is stored in as many bytes, chunk for chunk.
    let layout = Layout::new().linear(512 << 10, ("vol-n", 0));
    let sample = Sample::with_image(&stage.scratch.path("noise"), layout, &noise(7, 512 << 10))?;
    let noisy = sample.captured(&stage.scratch.path("noisy"), "dsnap-0b")?;
    let path = stage.scratch.dir("swapped")?.join("swapped.snap");
    copy(&noisy.file("vol-n")?.path, &path)?;
    let anatomy = Anatomy::of(&path)?;
    let mut bytes = read(&path)?;
    let (mut data, mut swapped) = (Vec::new(), None);
    for frame in anatomy.data() {
        let own = usize::try_from(frame.stored.start)?..usize::try_from(frame.stored.end)?;
        let twin = data.iter().find(|other: &&Range<usize>| {
            other.len() == own.len() && bytes[(*other).clone()] != bytes[own.clone()]
        });
        swapped = swapped.or_else(|| Some((twin?.clone(), own.clone())));
        data.push(own);
    }
    let (from, to) = swapped.ok_or("no two chunks are stored in as many bytes")?;
    bytes.copy_within(from, to.start);
    // Its record's header is the frame before: 64 bytes of header, 64 of record.
    let record = to.start - 64..to.start;
    let old: Vec<u8> = bytes[record.clone()].to_vec();
    let crc = crc32(&bytes[to.clone()]);
    bytes[record.start + 12..record.start + 16].copy_from_slice(&crc.to_le_bytes());
    let new: Vec<u8> = bytes[record.clone()].to_vec();
    for frame in anatomy.frames.iter().filter(|frame| frame.skippable) {
        let own = usize::try_from(frame.stored.start)?..usize::try_from(frame.stored.end)?;
        for place in (own.start + 64..own.end).step_by(64) {
            if bytes.get(place..place + 64) == Some(&old[..]) {
                bytes[place..place + 64].copy_from_slice(&new);
            }
        }
        mend(&mut bytes[own]);
    }
    write(&path, &bytes)?;
    stage.refuses(rebuild(&stage, &path, &[]), 4, &["swapped.snap", "1 of 8 chunks"])
}

/// Puts the CRCs of a frame's payload and header right.
fn mend(frame: &mut [u8]) {
    let Some((header, payload)) = frame.split_at_mut_checked(64) else { return };
    header[56..60].copy_from_slice(&crc32(payload).to_le_bytes());
    let crc = crc32(&header[..60]);
    header[60..64].copy_from_slice(&crc.to_le_bytes());
}
