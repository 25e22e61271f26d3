//! `restore --overlay`: a set and what was written over it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use attach::overlay::Overlay;
use libtest_mimic::Trial;
use repository::catalog::{Catalog, Lookup};
use restore::image::{Image, WritableImage};
use restore::reader::{Options, Reader};

use crate::support::frames::{Anatomy, middle};
use crate::support::layout::Layout;
use crate::support::needs::trial;
use crate::support::noise::noise;
use crate::support::run::Call;
use crate::support::scratch::{flip_bit, read, write};
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("overlay_restores_what_was_written_over_a_set", &[], restores),
        trial("overlay_and_damage_below", &[], damage_below),
        trial("overlay_that_was_written_to_is_another_restore", &[], written_meanwhile),
        trial("overlay_of_something_else_is_refused", &[], refuses),
    ]
}

/// The set of a stage, as an image to write over, and its content.
fn below(stage: &Stage) -> Outcome<(Arc<dyn Image>, String)> {
    let catalog = Catalog::open(std::slice::from_ref(&stage.sets), &Lookup::default());
    let entry = catalog.sets().first().ok_or("no set")?;
    let set = catalog.open_set(entry)?;
    let reader = Reader::new(Arc::new(set.volume()?), &Options::default())?;
    Ok((Arc::new(reader), set.content.to_string()))
}

/// Writes over the set: into data, zeros and what nothing is mapped to. Gives what is there then.
fn written(stage: &Stage, path: &Path, seed: u64) -> Outcome<Vec<u8>> {
    let (lower, content) = below(stage)?;
    let overlay = Overlay::open_or_create(path, &content, lower)?;
    let mut image = read(&stage.sample.logical)?;
    for (n, at) in (seed..).zip([0, 70_000, 900_000, 1_400_000, image.len() - 5000]) {
        let bytes = noise(n, 5000);
        overlay.write_at(at as u64, &bytes)?;
        image[at..at + 5000].copy_from_slice(&bytes);
    }
    overlay.zero_at(200_000..300_000)?;
    image[200_000..300_000].fill(0);
    overlay.flush()?;
    Ok(image)
}

fn overlay_of(stage: &Stage) -> PathBuf {
    stage.scratch.path("overlay")
}

fn restores() -> Outcome {
    let stage = Stage::new()?;
    let overlay = overlay_of(&stage);
    let image = written(&stage, &overlay, 1)?;
    let before = read(&overlay)?;
    let call = stage.restore().option("--overlay", &overlay);
    let plan = Call::new("plan").arg(&stage.sets).option("-o", stage.target());
    plan.option("--overlay", &overlay).succeeds()?;
    let report = call.clone().arg("--verify-target").json()?;
    ensure!(read(&stage.target())? == image, "wrong bytes: {}", call.line());
    // It is no content that the set's id is of.
    ensure!(report["content_id"].is_null(), "{report}");
    let base = &report["overlay"]["base_content_id"];
    ensure!(base.is_string() && report["overlay"]["path"].is_string(), "{report}");
    let none = report["proof"]["none"].as_u64().unwrap_or_default();
    ensure!(none > 0 && report["proof"]["digest"] == 0, "{report}");
    let pipe = Call::new("restore").arg(&stage.sets).option("-o", "-");
    let ran = pipe.option("--overlay", &overlay).option("--offset", "69000").succeeds()?;
    ensure!(ran.stdout == image[69_000..], "wrong bytes in the pipe");
    ensure!(read(&overlay)? == before, "the overlay was changed");
    // Without it, the set is what it was.
    stage.restores(&stage.restore().arg("--force"), &stage.sample)
}

/// What is overwritten is not missed; what is not, is.
fn damage_below() -> Outcome {
    let stage = Stage::new()?;
    let overlay = overlay_of(&stage);
    let image = written(&stage, &overlay, 1)?;
    let file = stage.file("vol-b")?;
    let chunk = Anatomy::of(&file)?.data().nth(2).cloned().ok_or("no third chunk")?;
    flip_bit(&file, middle(&chunk))?;
    let call = || stage.restore().option("--overlay", &overlay).arg("--no-journal");
    stage.refuses(call(), 4, &["1-vol-b.snap"])?;
    let report = call().arg("--salvage").json_exits(3)?;
    let found = read(&stage.target())?;
    let wrong: Vec<usize> = (0..image.len()).filter(|at| found[*at] != image[*at]).collect();
    let lost = report["damage"].as_array().ok_or("no damage")?;
    let is_told = |at: usize| {
        lost.iter().filter_map(|d| d["logical_ranges"].as_array()).flatten().any(|range| {
            let bound = |n: usize| range[n].as_u64().unwrap_or_default();
            (bound(0)..bound(1)).contains(&(at as u64))
        })
    };
    ensure!(!wrong.is_empty() && wrong.iter().all(|at| is_told(*at)), "{report}");
    // Written over all that is lost.
    let (lower, content) = below(&stage)?;
    let over = Overlay::open(&overlay, &content, lower)?;
    over.write_at(0, &image)?;
    over.flush()?;
    drop(over);
    call().arg("--force").succeeds()?;
    ensure!(read(&stage.target())? == image, "wrong bytes");
    Ok(())
}

/// A restore that was not finished is not continued with other bytes.
fn written_meanwhile() -> Outcome {
    // So much that some of it is proved before the end is come upon.
    let stage = Stage::with_layout(Layout::new().linear(24 << 20, ("vol-a", 0)))?;
    let overlay = overlay_of(&stage);
    written(&stage, &overlay, 1)?;
    let file = stage.file("vol-a")?;
    let last = Anatomy::of(&file)?.data().last().cloned().ok_or("no data")?;
    flip_bit(&file, middle(&last))?;
    let call = || stage.restore().option("--overlay", &overlay).option("--sync-every", "64K");
    call().exits(4)?;
    flip_bit(&file, middle(&last))?;
    let image = written(&stage, &overlay, 9)?;
    stage.refuses(call(), 5, &["journal"])?;
    call().arg("--restart").succeeds()?;
    ensure!(read(&stage.target())? == image, "wrong bytes");
    Ok(())
}

fn refuses() -> Outcome {
    let stage = Stage::new()?;
    let overlay = overlay_of(&stage);
    written(&stage, &overlay, 1)?;
    let with = |path: &Path| stage.restore().option("--overlay", path);
    stage.refuses(with(&stage.scratch.path("nowhere")), 4, &["nowhere"])?;
    let notes = stage.scratch.path("notes");
    write(&notes, b"my notes")?;
    stage.refuses(with(&notes), 4, &["notes", "is not an overlay"])?;
    let over_itself = Call::new("restore").arg(&stage.sets).option("-o", &overlay);
    let over_itself = over_itself.option("--overlay", &overlay).arg("--force");
    stage.refuses(over_itself, 5, &["one of the sources"])?;
    let (lower, content) = below(&stage)?;
    let in_use = Overlay::open(&overlay, &content, lower)?;
    stage.refuses(with(&overlay), 5, &["another process"])?;
    drop(in_use);
    let members = Call::new("restore").arg(&stage.sets).option("--members", stage.target());
    stage.refuses(members.option("--overlay", &overlay), 2, &["--overlay"])?;
    // Of another generation.
    stage.next_generation("dsnap-1b", 3)?;
    stage.refuses(with(&overlay), 4, &["overlay over content"])
}
