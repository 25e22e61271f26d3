//! Members come, go, grow and shrink, and the layout follows them; every generation comes back as it was.

use libtest_mimic::Trial;

use crate::support::layout::Layout;
use crate::support::needs::trial;
use crate::support::noise::noise;
use crate::support::run::Call;
use crate::support::sample::{Captured, SOURCE, Sample, restore};
use crate::support::scratch::{Scratch, files_below};
use crate::support::{Outcome, ensure, hash};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("members_come_go_grow_and_shrink", &[], || members_change(&["--chunk-size", "16K"])),
        trial("members_change_with_compact_zeros_and_dedup", &[], || {
            members_change(&["--chunk-size", "4K", "--compact-zeros", "--dedup"])
        }),
    ]
}

const KIB: u64 = 1 << 10;
const ROW: u64 = 2 * 64 * KIB;

/// A generation's layout, and the members that are full in it.
struct Generation {
    layout: Layout,
    full: &'static [&'static str],
}

fn generations() -> Vec<Generation> {
    let pair = [("vol-a", 0), ("vol-b", 0)];
    let first =
        Layout::new().striped(6 * ROW, 64 * KIB, &pair).linear(300 * KIB + 512, ("vol-c", 0));
    vec![
        Generation { layout: first.clone(), full: &["vol-a", "vol-b", "vol-c"] },
        // The pair grows, the tail shrinks into the midst of a chunk, a fourth member comes.
        Generation {
            layout: Layout::new()
                .striped(9 * ROW, 64 * KIB, &pair)
                .linear(101 * KIB + 512, ("vol-c", 0))
                .unmapped(70 * KIB)
                .linear(64 * KIB, ("vol-d", 0)),
            full: &["vol-d"],
        },
        // One of the pair goes, the other shrinks below what it was at first; the tail grows again.
        Generation {
            layout: Layout::new()
                .linear(200 * KIB, ("vol-a", 0))
                .linear(333 * KIB, ("vol-c", 0))
                .linear(64 * KIB, ("vol-d", 0)),
            full: &[],
        },
        // It comes back, as new; a fifth takes the fourth's place.
        Generation {
            layout: Layout::new()
                .striped(7 * ROW, 64 * KIB, &[("vol-b", 0), ("vol-a", 0)])
                .linear(333 * KIB, ("vol-c", 0))
                .linear(KIB, ("vol-e", 0)),
            full: &["vol-b", "vol-e"],
        },
        // All as it was in the beginning.
        Generation { layout: first, full: &[] },
    ]
}

/// The image of a generation: what stays where it was in the one before, with changes of every kind.
fn image(before: &[u8], layout: &Layout, number: usize) -> Outcome<Vec<u8>> {
    let mut image = noise(number as u64, usize::try_from(layout.logical_size())?);
    let kept = before.len().min(image.len());
    image[..kept].copy_from_slice(&before[..kept]);
    let part = 40_000;
    for (nth, start) in (number * 7000..kept.saturating_sub(part)).step_by(90_000).enumerate() {
        match (nth + number) % 3 {
            0 => image[start..start + part].fill(0),
            1 => image[start..start + 100].copy_from_slice(&noise(nth as u64, 100)),
            _ => {}
        }
    }
    for piece in layout.pieces().iter().filter(|p| p.place.is_none()) {
        image[usize::try_from(piece.logical.start)?..usize::try_from(piece.logical.end)?].fill(0);
    }
    Ok(image)
}

fn members_change(flags: &[&str]) -> Outcome {
    let scratch = Scratch::new()?;
    let sets = scratch.dir("sets")?;
    let mut samples: Vec<Sample> = Vec::new();
    for (number, Generation { layout, full }) in generations().into_iter().enumerate() {
        let before =
            samples.last().map_or_else(|| Ok(Vec::new()), |s| std::fs::read(&s.logical))?;
        let image = image(&before, &layout, number)?;
        let sample =
            Sample::with_image(&scratch.path(&format!("members-{number}")), layout, &image)?;
        let call = sample.capture(&sets, &format!("dsnap-{number}a")).args(flags);
        let call = call.option("--source-volume", SOURCE);
        let set = Captured::of(&if number > 0 { call.option("--parent", &sets) } else { call })?;
        for file in &set.files {
            let kind = if full.contains(&file.volume_id.as_str()) { "full" } else { "incremental" };
            ensure!(file.kind == kind, "generation {number}: expected {kind}: {file:?}");
        }
        ensure!(set.files.len() == sample.members.len(), "generation {number}: {:?}", set.files);
        samples.push(sample);
    }
    for (number, sample) in samples.iter().enumerate() {
        let generation = number.to_string();
        for jobs in ["1", "3"] {
            let target = scratch.path("volume.img");
            let call = restore(&[&sets], &target).option("--generation", &generation);
            let report = call.option("-j", jobs).json()?;
            hash::same_sha256(&format!("generation {number}"), &target, &sample.logical)?;
            ensure!(report["proof"]["none"] == 0, "generation {number}: {report}");
            std::fs::remove_file(&target)?;
        }
        let verify = Call::new("verify").arg(&sets).option("--generation", &generation).json()?;
        ensure!(verify["damage"] == serde_json::json!([]), "generation {number}: {verify}");
        sizes_are_said(&sets, sample, &generation)?;
    }
    // Each file is needed by one generation at least, and by those that build on it.
    newest_needs_its_ancestors(&sets, &samples)
}

fn sizes_are_said(sets: &std::path::Path, sample: &Sample, generation: &str) -> Outcome {
    let report = Call::new("inspect").arg(sets).option("--generation", generation).json()?;
    let members = report["set"]["members"].as_array().cloned().unwrap_or_default();
    let said: Vec<_> =
        members.iter().map(|m| (m["volume_id"].as_str(), m["size"].as_u64())).collect();
    let sizes = sample.layout.member_sizes();
    let expected: Vec<_> =
        sizes.iter().map(|(id, size)| (Some(id.as_str()), Some(*size))).collect();
    ensure!(said == expected, "generation {generation}: {said:?}, expected {expected:?}");
    Ok(())
}

/// The second member was away for a generation: nothing from before is needed of it any more.
fn newest_needs_its_ancestors(sets: &std::path::Path, samples: &[Sample]) -> Outcome {
    for file in files_below(sets)?.into_iter().filter(|f| f.to_string_lossy().contains("vol-b")) {
        let early = ["dsnap-0a", "dsnap-1a"].iter().any(|id| file.starts_with(sets.join(id)));
        if early {
            std::fs::remove_file(&file)?;
        }
    }
    let target = sets.join("volume.img");
    restore(&[sets], &target).succeeds()?;
    hash::same_sha256("without what is not needed", &target, &samples[samples.len() - 1].logical)?;
    Call::new("restore")
        .arg(sets)
        .option("-o", sets.join("x"))
        .option("--generation", "1")
        .exits(6)?;
    Ok(())
}
